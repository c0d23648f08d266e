//! What a port does with those who say nothing, say too much or speak something else.

use axum::routing::get;
use tokio::io::AsyncReadExt;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::*;

/// Nothing here takes so long.
const LIMIT: Duration = Duration::from_secs(20);

struct Port {
    address: SocketAddr,
    /// Lets `/held` answer.
    go: Arc<Notify>,
    /// How many requests are being held.
    held: Arc<Semaphore>,
    stop: CancellationToken,
    served: tokio::task::JoinHandle<()>,
}

impl Port {
    async fn open(change: impl FnOnce(&mut Limits)) -> Port {
        let mut limits = Limits::new("test", 100);
        change(&mut limits);
        let listener = bind("test", ([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (go, held, stop) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)), CancellationToken::new());
        let (going, holding, hanging) = (Arc::clone(&go), Arc::clone(&held), Arc::clone(&held));
        let app = Router::new()
            .route("/", get(|| async { "here" }))
            .route(
                "/held",
                get(move || async move {
                    holding.add_permits(1);
                    going.notified().await;
                    "late"
                }),
            )
            .route(
                "/hung",
                get(move || async move {
                    hanging.add_permits(1);
                    std::future::pending::<&str>().await
                }),
            );
        let served = tokio::spawn(serve(listener, app, limits, stop.clone()));
        Port { address, go, held, stop, served }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

async fn say(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
}

/// All that comes until the other side closes.
async fn until_closed(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset is an end too.
    let _ = tokio::time::timeout(LIMIT, stream.read_to_end(&mut bytes)).await.expect("the connection stays open");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// One answer on a connection that stays open.
async fn answer(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let read = async {
        while !text.ends_with(b"here") && !text.ends_with(b"late") {
            if stream.read_buf(&mut text).await.unwrap() == 0 {
                break;
            }
        }
    };
    tokio::time::timeout(LIMIT, read).await.expect("no answer");
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn who_brings_no_request_in_time_is_closed() {
    let port = Port::open(|limits| limits.first_request = Duration::from_millis(300)).await;
    for said in ["", "GET / HT", "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "] {
        let began = Instant::now();
        let mut stream = port.connect().await;
        say(&mut stream, said).await;
        assert!(!until_closed(&mut stream).await.contains("200 OK"), "{said:?} was answered");
        assert!(began.elapsed() >= Duration::from_millis(300), "{said:?} was closed early");
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_a_used_one_is_not() {
    let port = Port::open(|limits| {
        (limits.first_request, limits.idle) = (Duration::from_millis(100), Duration::from_secs(2));
    })
    .await;
    let mut stream = port.connect().await;
    for _ in 0..3 {
        say(&mut stream, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(answer(&mut stream).await.starts_with("HTTP/1.1 200 OK"));
        // Past the deadline of the first request, and well before the end of an idle one.
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    let began = Instant::now();
    until_closed(&mut stream).await;
    assert!(began.elapsed() >= Duration::from_secs(1), "closed after {:?}", began.elapsed());
}

#[tokio::test]
async fn one_connection_too_many_is_told_to_try_another_replica() {
    let port = Port::open(|limits| limits.connections = 2).await;
    let mut kept = Vec::new();
    for _ in 0..2 {
        let mut stream = port.connect().await;
        say(&mut stream, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
        answer(&mut stream).await;
        kept.push(stream);
    }
    let told = until_closed(&mut port.connect().await).await;
    assert!(told.starts_with("HTTP/1.1 503 ") && told.contains("Retry-After: 2\r\n"), "{told}");
    // A place is free again once somebody has gone.
    drop(kept.pop());
    let again = async {
        loop {
            let mut stream = port.connect().await;
            // One that is refused may be gone before it speaks.
            let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
            if until_closed(&mut stream).await.contains("200 OK") {
                return;
            }
        }
    };
    tokio::time::timeout(LIMIT, again).await.expect("the place stays taken");
}

#[tokio::test]
async fn what_is_not_http_1_is_refused() {
    let port = Port::open(|_| {}).await;
    let many: String = (0..101).map(|n| format!("X-{n}: 1\r\n")).collect();
    for (said, status) in [
        // HTTP/2, as a client begins it that knows the server speaks it.
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), None),
        (format!("GET / HTTP/1.1\r\nHost: x\r\n{many}\r\n"), Some("HTTP/1.1 431 ")),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\x00".to_owned(), Some("HTTP/1.1 400 ")),
    ] {
        let mut stream = port.connect().await;
        say(&mut stream, &said).await;
        let told = until_closed(&mut stream).await;
        assert!(!told.contains("200 OK") && status.is_none_or(|status| told.starts_with(status)), "{said:?}: {told}");
    }
    // An offer to change to HTTP/2 is not taken up.
    let mut stream = port.connect().await;
    say(&mut stream, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n").await;
    assert!(answer(&mut stream).await.starts_with("HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn after_the_stop_it_is_there_for_those_who_have_not_heard_of_it() {
    let port = Port::open(|limits| limits.linger = Duration::from_secs(5)).await;
    let request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    let (mut used, mut idle) = (port.connect().await, port.connect().await);
    say(&mut used, request).await;
    assert!(!answer(&mut used).await.contains("connection: close"));
    say(&mut idle, request).await;
    answer(&mut idle).await;
    port.stop.cancel();
    let stopped = Instant::now();
    // On connections that there were, and on new ones; each ends with its answer.
    for mut stream in [used, port.connect().await] {
        say(&mut stream, request).await;
        let told = until_closed(&mut stream).await;
        assert!(told.starts_with("HTTP/1.1 200 OK") && told.contains("connection: close"), "{told}");
    }
    until_closed(&mut idle).await;
    assert!(stopped.elapsed() >= Duration::from_secs(5), "ended after {:?}", stopped.elapsed());
    tokio::time::timeout(LIMIT, port.served).await.expect("it serves for ever").unwrap();
    assert!(TcpStream::connect(port.address).await.is_err(), "the port is still open");
}

#[tokio::test]
async fn at_the_stop_what_runs_is_finished_and_what_hangs_is_cut() {
    let port = Port::open(|limits| limits.drain = Duration::from_millis(500)).await;
    let mut idle = port.connect().await;
    say(&mut idle, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    answer(&mut idle).await;
    let (mut finished, mut hanging) = (port.connect().await, port.connect().await);
    say(&mut finished, "GET /held HTTP/1.1\r\nHost: x\r\n\r\n").await;
    say(&mut hanging, "GET /hung HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let _ = tokio::time::timeout(LIMIT, port.held.acquire_many(2)).await.expect("the requests don't arrive");
    port.stop.cancel();
    until_closed(&mut idle).await;
    port.go.notify_one();
    assert!(answer(&mut finished).await.ends_with("late"));
    assert_eq!(until_closed(&mut hanging).await, "");
    tokio::time::timeout(LIMIT, port.served).await.expect("it serves for ever").unwrap();
    assert!(TcpStream::connect(port.address).await.is_err(), "the port is still open");
}
