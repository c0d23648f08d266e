//! Tests that see each fault on the wire, with a client that knows nothing but TCP where that makes a difference.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::walk::Walk;

async fn plant(walk: &Walk, plan: Value) -> u64 {
    let (status, planted) = walk.control("POST", "/faults", Some(plan)).await;
    assert_eq!(status, 200, "{planted}");
    planted["id"].as_u64().expect("an id")
}

/// The label of the newest call in the journal, and its status.
async fn noted(walk: &Walk) -> (String, Value) {
    let (_, journal) = walk.control("GET", "/journal", None).await;
    let entry = journal["entries"].as_array().expect("a list").last().expect("a call").clone();
    (entry["fault"].as_str().unwrap_or("").to_owned(), entry["status"].clone())
}

/// Sends a request as bytes on a connection of its own.
async fn raw(walk: &Walk, method: &str, path: &str, body: &str) -> TcpStream {
    let address = walk.running.telnyx.trim_start_matches("http://").trim_end_matches("/v2").to_owned();
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let length = body.len();
    let request = format!(
        "{method} /v2{path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer key\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    stream
}

/// What comes until the connection ends.
async fn whole(mut stream: TcpStream) -> Result<String, std::io::ErrorKind> {
    let mut all = Vec::new();
    match stream.read_to_end(&mut all).await {
        Ok(_) => Ok(String::from_utf8_lossy(&all).into_owned()),
        Err(error) => Err(error.kind()),
    }
}

async fn applications(walk: &Walk) -> Value {
    walk.telnyx("GET", "/texml_applications", None).await.1["meta"]["total_results"].clone()
}

#[tokio::test]
async fn a_reset_is_a_reset_before_and_after_the_effect() {
    let walk = Walk::new().await;
    let app = r#"{"friendly_name": "a", "voice_url": "http://127.0.0.1:1/a.xml"}"#;
    for (action, when, seen, made) in [
        ("reset", "before", Err(std::io::ErrorKind::ConnectionReset), 0),
        ("drop", "before", Ok(String::new()), 0),
        ("reset", "after", Err(std::io::ErrorKind::ConnectionReset), 1),
        ("drop", "after", Ok(String::new()), 2),
    ] {
        let plan = json!({"operation": "telnyx.create_application", "action": action, "when": when});
        let id = plant(&walk, plan).await;
        assert_eq!(whole(raw(&walk, "POST", "/texml_applications", app).await).await, seen, "{action} {when}");
        assert_eq!(noted(&walk).await, (format!("{when} {action} #{id}"), Value::Null));
        assert_eq!(applications(&walk).await, made, "{action} {when}");
    }
}

#[tokio::test]
async fn a_truncated_answer_ends_in_the_middle_of_its_body() {
    let walk = Walk::new().await;
    for (chunked, at) in [(false, 10), (true, 10), (false, 0)] {
        let plan = json!({"operation": "telnyx.get_balance", "action": "truncate", "when": "after", "at": at, "chunked": chunked});
        let id = plant(&walk, plan).await;
        let answer = whole(raw(&walk, "GET", "/balance", "").await).await.expect("an end");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let told = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map(str::to_owned);
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        if chunked {
            assert_eq!((told, head.contains("transfer-encoding: chunked")), (None, true));
            assert!(body.starts_with("A\r\n{\"data\":{\"") && !body.contains("\r\n0\r\n"), "{body}");
        } else {
            let told: usize = told.expect("a length").parse().expect("a number");
            assert!(told > 20 && body.len() == at, "{told} {body}");
        }
        assert_eq!(noted(&walk).await, (format!("after truncate #{id}"), json!(200)));
        // A client that checks the length sees an error and no answer.
        plant(
            &walk,
            json!({"operation": "telnyx.get_balance", "action": "truncate", "when": "after", "chunked": chunked}),
        )
        .await;
        let request = walk.http.get(format!("{}/balance", walk.running.telnyx)).bearer_auth("key");
        assert!(request.send().await.expect("a head").bytes().await.is_err());
    }
}

#[tokio::test]
async fn a_slow_answer_comes_piece_by_piece_and_whole_in_the_end() {
    let walk = Walk::new().await;
    for slow_head in [false, true] {
        let rate = if slow_head { 300 } else { 100 };
        let plan = json!({"operation": "telnyx.get_balance", "action": "slow", "when": "after", "bytes_per_second": rate,
                          "slow_head": slow_head});
        plant(&walk, plan).await;
        let mut stream = raw(&walk, "GET", "/balance", "").await;
        let mut all = Vec::new();
        let (mut pieces, mut head_at) = (0, None);
        loop {
            let mut piece = [0; 4_096];
            let got = stream.read(&mut piece).await.expect("a piece");
            pieces += 1;
            all.extend_from_slice(&piece[..got]);
            let text = String::from_utf8_lossy(&all);
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            head_at.get_or_insert(pieces);
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
            if body.len() == length.parse::<usize>().expect("a number") {
                assert!(serde_json::from_str::<Value>(body).is_ok(), "{body}");
                break;
            }
        }
        assert!(pieces > 2, "{pieces}");
        assert_eq!(head_at == Some(1), !slow_head, "the head came in piece {head_at:?}");
    }
}

#[tokio::test]
async fn a_huge_body_is_as_long_as_asked_and_begins_like_json() {
    let walk = Walk::new().await;
    for length in [false, true] {
        plant(
            &walk,
            json!({"operation": "telnyx.list_numbers", "action": "huge", "bytes": 3_000_000, "length": length}),
        )
        .await;
        let request = walk.http.get(format!("{}/phone_numbers", walk.running.telnyx)).bearer_auth("key");
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.content_length(), length.then_some(3_000_000));
        let body = answer.bytes().await.expect("a body");
        assert!(body.len() == 3_000_000 && body.starts_with(b"{\"data\":[{\"id\":"));
        // 100 MB by default; who stops reading has enough.
        plant(&walk, json!({"operation": "telnyx.list_numbers", "action": "huge", "length": length})).await;
        let mut stream = raw(&walk, "GET", "/phone_numbers", "").await;
        let mut start = vec![0; 100_000];
        stream.read_exact(&mut start).await.expect("a beginning");
        let told = String::from_utf8_lossy(&start[..1_000]).contains("content-length: 104857600");
        assert_eq!(told, length);
    }
}

async fn asked(walk: &Walk, url: String) -> (u16, Option<String>, Option<String>, String) {
    let answer = walk.http.get(url).bearer_auth("key").send().await.expect("an answer");
    let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (status, kind, retry) = (answer.status().as_u16(), header("content-type"), header("retry-after"));
    (status, kind, retry, answer.text().await.expect("a text"))
}

#[tokio::test]
async fn pages_and_refusals_of_others_come_in_their_own_form() {
    let walk = Walk::new().await;
    let (telnyx, meta) = (format!("{}/balance", walk.running.telnyx), format!("{}/v25.0/104", walk.running.meta));
    for (plan, status, title) in [
        (json!({"operation": "*", "action": "html"}), 502, "502 Bad Gateway"),
        (json!({"operation": "*", "action": "html", "status": 503}), 503, "503 Service Temporarily Unavailable"),
        (json!({"operation": "*", "action": "html", "status": 200}), 200, "Just a moment..."),
    ] {
        for url in [&telnyx, &meta] {
            plant(&walk, plan.clone()).await;
            let (found, kind, _, body) = asked(&walk, url.clone()).await;
            assert_eq!((found, kind.as_deref()), (status, Some("text/html")));
            assert!(body.starts_with("<html>") && body.contains(title), "{body}");
        }
    }
    for (url, status, code) in [(&telnyx, 429, "\"10011\""), (&meta, 400, "80008")] {
        for retry_after in [None, Some(7)] {
            plant(&walk, json!({"operation": "*", "action": "throttle", "retry_after_s": retry_after})).await;
            let (found, kind, retry, body) = asked(&walk, url.clone()).await;
            assert_eq!((found, retry), (status, retry_after.map(|seconds| seconds.to_string())));
            assert!(kind.is_some_and(|kind| kind.starts_with("application/json")) && body.contains(code), "{body}");
        }
    }
    plant(&walk, json!({"operation": "meta.*", "action": "throttle", "status": 429})).await;
    assert_eq!(asked(&walk, meta).await.0, 429);
}

#[tokio::test]
async fn the_real_answer_is_altered_where_asked() {
    let walk = Walk::new().await;
    let (number, id) = walk.bought().await;
    let path = format!("/phone_numbers?filter[phone_number]={}", &number[1..]);
    let plan = json!({"operation": "telnyx.list_numbers", "action": "alter", "set": {"/data/*/status": "on-the-moon",
                      "/data/0/tags": null, "/meta/total_results": "1"}, "remove": ["/data/0/phone_number"]});
    let fault = plant(&walk, plan).await;
    let (_, altered) = walk.telnyx("GET", &path, None).await;
    let one = &altered["data"][0];
    assert_eq!((&one["id"], &one["status"], &one["tags"]), (&json!(id), &json!("on-the-moon"), &Value::Null));
    assert_eq!((one.get("phone_number"), &altered["meta"]["total_results"]), (None, &json!("1")));
    assert_eq!(noted(&walk).await, (format!("after alter #{fault}"), json!(200)));
    // The number itself is as it was.
    assert_eq!(walk.telnyx("GET", &path, None).await.1["data"][0]["status"], "active");
    plant(&walk, json!({"operation": "telnyx.get_balance", "action": "alter", "content_type": "text/plain"})).await;
    let (status, kind, _, body) = asked(&walk, format!("{}/balance", walk.running.telnyx)).await;
    assert_eq!((status, kind.as_deref()), (200, Some("text/plain")));
    assert!(body.starts_with("{\"data\""), "{body}");
    // What would alter nothing is a mistake.
    let (status, _) = walk.control("POST", "/faults", Some(json!({"operation": "*", "action": "alter"}))).await;
    assert_eq!(status, 400);
}
