//! A store that takes every insert into a company's log at once and keeps none of them: a proxy in front of the real one,
//! which everything else passes through to. Both routers speak to it by their drivers, so what is left out is the same for
//! both, and what the drivers cost is not.

use anyhow::{Result, bail};
use mongodb::bson::{RawDocument, doc};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::support::Mongo;
use crate::support::wire::{more_to_come, read_message};

const HEADER: usize = 16;
const OP_MSG: i32 = 2013;

/// Runs until it is dropped.
pub struct Stub {
    pub uri: String,
    _stop: DropGuard,
}

impl Stub {
    pub async fn start(store: &Mongo) -> Result<Stub> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let uri = format!("mongodb://{}/?directConnection=true", listener.local_addr()?);
        let (stop, upstream) = (CancellationToken::new(), store.address());
        let ended = stop.clone();
        tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (upstream, ended) = (upstream.clone(), ended.clone());
                // An error is a connection that one side has closed.
                tokio::spawn(ended.run_until_cancelled_owned(async move { speak(client, &upstream).await }));
            }
        }));
        Ok(Stub { uri, _stop: stop.drop_guard() })
    }
}

async fn speak(mut client: TcpStream, upstream: &str) -> Result<()> {
    let mut server = TcpStream::connect(upstream).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    while let Some(message) = read_message(&mut client).await? {
        if let Some(count) = log_insert(&message) {
            client.write_all(&inserted(&message, count)?).await?;
            continue;
        }
        server.write_all(&message).await?;
        if more_to_come(&message) {
            continue;
        }
        loop {
            let Some(answer) = read_message(&mut server).await? else { bail!("the store closed the connection") };
            client.write_all(&answer).await?;
            if !more_to_come(&answer) {
                break;
            }
        }
    }
    Ok(())
}

fn number(message: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_le_bytes(message.get(at..at + 4)?.try_into().ok()?))
}

/// How many documents an insert into a log brings; None for any other message.
fn log_insert(message: &[u8]) -> Option<usize> {
    if number(message, 12)? != OP_MSG {
        return None;
    }
    let (mut at, mut is_log, mut count) = (HEADER + 4, false, 0);
    while at < message.len() {
        let length = usize::try_from(number(message, at + 1)?).ok()?;
        let section = message.get(at + 1..at + 1 + length)?;
        match message[at] {
            0 => {
                let body = RawDocument::from_bytes(section).ok()?;
                is_log = body.get_str("insert").ok()? == "log";
                if let Ok(documents) = body.get_array("documents") {
                    count += documents.into_iter().count();
                }
            }
            1 => {
                // Its name, then the documents.
                let mut at = 4 + section.get(4..)?.iter().position(|&byte| byte == 0)? + 1;
                while at < section.len() {
                    at += usize::try_from(number(section, at)?).ok()?;
                    count += 1;
                }
            }
            _ => return None,
        }
        at += 1 + length;
    }
    is_log.then_some(count)
}

fn inserted(request: &[u8], count: usize) -> Result<Vec<u8>> {
    let body = doc! {"n": i32::try_from(count)?, "ok": 1.0}.to_vec()?;
    let mut answer = Vec::with_capacity(HEADER + 5 + body.len());
    answer.extend(i32::try_from(HEADER + 5 + body.len())?.to_le_bytes());
    answer.extend(0_i32.to_le_bytes());
    answer.extend(&request[4..8]);
    answer.extend(OP_MSG.to_le_bytes());
    answer.extend([0; 5]);
    answer.extend(body);
    Ok(answer)
}
