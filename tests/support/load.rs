//! Meta's side of what is measured: signed POSTs over connections that stay open, as fast as they are answered or so many a
//! second. Light, so that it is not what is measured.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use super::router::signature;

/// Makes the body of the nth POST.
pub type Body = Arc<dyn Fn(u64) -> String + Send + Sync>;

struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Connection {
    async fn open(port: u16) -> Result<Connection> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, answer: Vec::with_capacity(1024) })
    }

    /// Posts and reads the answer; its status.
    async fn post(&mut self, body: &str) -> Result<u16> {
        let request = format!(
            "POST /webhook HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nX-Hub-Signature-256: {}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            signature(body.as_bytes())?,
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await?;
        self.answer.clear();
        let mut wanted = None;
        loop {
            if self.stream.read_buf(&mut self.answer).await? == 0 {
                bail!("the server closed the connection");
            }
            if wanted.is_none() {
                wanted = whole(&self.answer);
            }
            if wanted.is_some_and(|wanted| self.answer.len() >= wanted) {
                let status = std::str::from_utf8(self.answer.get(9..12).context("no status")?)?;
                return Ok(status.parse()?);
            }
        }
    }
}

/// Length of a whole answer once its head is there.
fn whole(answer: &[u8]) -> Option<usize> {
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&answer[..head]).ok()?.to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:"))?.trim().parse::<usize>().ok()?;
    Some(head + length)
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Load {
    pub taken: u64,
    pub refused: u64,
    pub took: Duration,
    /// Of a steady pace: milliseconds from when each was due to its answer, ascending.
    pub answers: Vec<f64>,
}

/// As fast as they are answered, over so many connections.
pub async fn flood(port: u16, connections: u32, time: Duration, next: &Arc<AtomicU64>, body: &Body) -> Result<Load> {
    let began = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..connections {
        let (next, body) = (next.clone(), body.clone());
        tasks.push(tokio::spawn(async move {
            let mut connection = Connection::open(port).await?;
            let (mut taken, mut refused) = (0, 0);
            while began.elapsed() < time {
                match connection.post(&body(next.fetch_add(1, Ordering::Relaxed))).await? {
                    200 => taken += 1,
                    _ => refused += 1,
                }
            }
            anyhow::Ok((taken, refused))
        }));
    }
    let mut load = Load::default();
    for task in tasks {
        let (taken, refused) = task.await??;
        load.taken += taken;
        load.refused += refused;
    }
    load.took = began.elapsed();
    Ok(load)
}

/// So many a second, to these ports in turn, whether or not the ones before were answered.
pub async fn steady(
    ports: &[u16],
    per_second: u32,
    time: Duration,
    next: &Arc<AtomicU64>,
    body: &Body,
) -> Result<Load> {
    let idle: Vec<Arc<Mutex<Vec<Connection>>>> = ports.iter().map(|_| Arc::default()).collect();
    let began = Instant::now();
    let pause = Duration::from_secs(1) / per_second;
    let mut tasks = Vec::new();
    let mut due = began;
    for place in (0..ports.len()).cycle() {
        if due - began >= time {
            break;
        }
        tokio::time::sleep_until(due.into()).await;
        let (port, idle, body, n) =
            (ports[place], idle[place].clone(), body.clone(), next.fetch_add(1, Ordering::Relaxed));
        tasks.push(tokio::spawn(async move {
            let free = idle.lock().await.pop();
            let mut connection = match free {
                Some(connection) => connection,
                None => Connection::open(port).await?,
            };
            let status = connection.post(&body(n)).await?;
            idle.lock().await.push(connection);
            anyhow::Ok((status, due.elapsed().as_secs_f64() * 1_000.0))
        }));
        due += pause;
    }
    let mut load = Load::default();
    for task in tasks {
        let (status, took) = task.await??;
        match status {
            200 => load.taken += 1,
            _ => load.refused += 1,
        }
        load.answers.push(took);
    }
    load.answers.sort_by(f64::total_cmp);
    load.took = began.elapsed();
    Ok(load)
}
