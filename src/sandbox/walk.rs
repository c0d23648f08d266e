//! The whole path over real sockets at speed 0: from a search to a candidate's message, and the faults on the way.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::meta::tokens::hmac_hex;
use super::server::{Config, Running, start};

const SECRET: &str = "test_app_secret";
const ARMED: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<Response><Record playBeep="false" finishOnKey="" maxLength="120" channels="single" format="wav"
 transcription="true" transcriptionEngine="B" transcriptionLanguage="en-US"/></Response>"#;

/// A router of the test's own: two documents and a webhook that checks the signature itself.
#[derive(Clone, Default)]
struct Peer {
    answers: Arc<Mutex<VecDeque<u16>>>,
    taken: Arc<Mutex<Vec<Value>>>,
}

async fn webhook(State(peer): State<Peer>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let expected = format!("sha256={}", hmac_hex(SECRET, &body));
    if headers.get("x-hub-signature-256").and_then(|value| value.to_str().ok()) != Some(expected.as_str()) {
        return StatusCode::UNAUTHORIZED;
    }
    if let Some(status) = peer.answers.lock().expect("lock").pop_front() {
        return StatusCode::from_u16(status).expect("a status");
    }
    peer.taken.lock().expect("lock").push(serde_json::from_slice(&body).expect("JSON"));
    StatusCode::OK
}

pub(super) struct Walk {
    pub(super) running: Running,
    peer: Peer,
    peer_url: String,
    pub(super) http: reqwest::Client,
}

impl Walk {
    pub(super) async fn new() -> Self {
        Self::seeded(11).await
    }

    pub(super) async fn seeded(seed: u64) -> Self {
        let peer = Peer::default();
        let app = axum::Router::new()
            .route("/capture.xml", get(|| async { ARMED }))
            .route("/reject.xml", get(|| async { "<Response><Reject/></Response>" }))
            .route("/beep.xml", get(|| async { r#"<Response><Record format="wav"/></Response>"# }))
            .route("/webhook", post(webhook))
            .with_state(peer.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let peer_url = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, app).await });
        let free = "127.0.0.1:0".parse().expect("an address");
        crate::install_crypto_provider();
        let running = start(Config {
            telnyx_addr: free,
            meta_addr: free,
            control_addr: free,
            webhook_url: Some(format!("{peer_url}/webhook")),
            app_secret: Some(SecretString::from(SECRET)),
            speed: 0.0,
            seed,
            journal: None,
            settings: super::settings::Settings::default(),
        })
        .await
        .expect("started");
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        Self { running, peer, peer_url, http }
    }

    async fn call(&self, request: reqwest::RequestBuilder) -> (u16, Value) {
        let answer = request.send().await.expect("an answer");
        let status = answer.status().as_u16();
        (status, serde_json::from_slice(&answer.bytes().await.expect("a body")).unwrap_or_default())
    }

    pub(super) async fn telnyx(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let url = format!("{}{path}", self.running.telnyx);
        let mut request = self.http.request(method.parse().expect("a method"), url).bearer_auth("key");
        if let Some(body) = body {
            request = request.json(&body);
        }
        self.call(request).await
    }

    pub(super) async fn meta(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let url = format!("{}/v25.0{path}", self.running.meta);
        let proof = hmac_hex(SECRET, b"token");
        let mut request = self.http.request(method.parse().expect("a method"), url).bearer_auth("token");
        request = request.query(&[("appsecret_proof", proof)]);
        if let Some(body) = body {
            request = request.json(&body);
        }
        self.call(request).await
    }

    pub(super) async fn control(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let url = format!("{}{path}", self.running.control);
        let mut request = self.http.request(method.parse().expect("a method"), url);
        if let Some(body) = body {
            request = request.json(&body);
        }
        self.call(request).await
    }

    /// Asks until the list in `data` is not empty.
    pub(super) async fn first(&self, path: &str) -> Value {
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            let (_, answer) = self.telnyx("GET", path, None).await;
            if !answer["data"][0].is_null() {
                return answer["data"][0].clone();
            }
            assert!(Instant::now() < until, "nothing at {path} in 10 s: {answer}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(super) async fn application(&self, document: &str) -> String {
        let body = json!({"friendly_name": document, "voice_url": format!("{}/{document}", self.peer_url), "voice_method": "get"});
        let (status, answer) = self.telnyx("POST", "/texml_applications", Some(body)).await;
        assert_eq!(status, 201, "{answer}");
        answer["data"]["id"].as_str().expect("an id").to_owned()
    }

    /// Buys a number; returns the number and its id.
    pub(super) async fn bought(&self) -> (String, String) {
        let search =
            "/available_phone_numbers?filter[country_code]=MA&filter[phone_number_type]=mobile&filter[limit]=1";
        let offer = self.first(search).await;
        let number = offer["phone_number"].as_str().expect("a number").to_owned();
        let order = json!({"phone_numbers": [{"phone_number": number}], "customer_reference": "prod/clients/atlas"});
        let (status, answer) = self.telnyx("POST", "/number_orders", Some(order)).await;
        assert_eq!((status, answer["data"]["status"].as_str()), (200, Some("pending")));
        let owned = self.first(&format!("/phone_numbers?filter[phone_number]={}", &number[1..])).await;
        (number, owned["id"].as_str().expect("an id").to_owned())
    }

    pub(super) async fn line(&self, number: &str) -> String {
        let body = json!({"cc": "212", "phone_number": &number[4..], "verified_name": "Atlas by Recruto"});
        let (status, answer) = self.meta("POST", "/104/phone_numbers", Some(body)).await;
        assert_eq!(status, 200, "{answer}");
        answer["id"].as_str().expect("an id").to_owned()
    }

    async fn request_code(&self, line: &str) {
        let body = json!({"code_method": "VOICE", "language": "en_US"});
        let (status, answer) = self.meta("POST", &format!("/{line}/request_code"), Some(body)).await;
        assert_eq!((status, &answer["success"]), (200, &json!(true)), "{answer}");
    }
}

/// A reader of the test's own: English digits and digit words, the last six of the first sentence.
fn read_code(text: &str) -> String {
    let words = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
    let first = text.split('.').next().unwrap_or("");
    let digits: String = first
        .split(|c: char| c.is_whitespace() || c == '-')
        .filter_map(|word| match words.iter().position(|known| *known == word) {
            Some(digit) => Some(digit.to_string()),
            None if word == "oh" => Some("0".to_owned()),
            None => Some(word.to_owned()).filter(|word| word.bytes().all(|c| c.is_ascii_digit())),
        })
        .collect();
    assert_eq!(digits.len(), 6, "{text}");
    digits
}

#[tokio::test]
async fn from_a_search_to_a_candidates_message() {
    let walk = Walk::new().await;
    let (number, id) = walk.bought().await;
    let capture = walk.application("capture.xml").await;
    let reject = walk.application("reject.xml").await;
    let path = format!("/phone_numbers/{id}");
    let patch = json!({"connection_id": capture, "tags": ["clientnumber:owner=prod"], "customer_reference": "prod/clients/atlas"});
    assert_eq!(walk.telnyx("PATCH", &path, Some(patch)).await.0, 200);

    let line = walk.line(&number).await;
    walk.request_code(&line).await;
    let called = walk.first(&format!("/call_events?filter[to]={number}")).await;
    assert_eq!(called["metadata"]["event"]["payload"]["connection_id"], json!(capture));
    let recording = walk.first(&format!("/recordings?filter[to]={}", &number[1..])).await;
    let rec_id = recording["id"].as_str().expect("an id").to_owned();
    let transcription = walk.first(&format!("/recording_transcriptions?filter[recording_id]={rec_id}")).await;
    assert_eq!(transcription["status"], "completed");
    let text = transcription["transcription_text"].as_str().expect("a text").to_owned();
    let code = read_code(&text);

    // Telnyx's own speech-to-text hears the same in the downloaded audio.
    let wav = walk.http.get(recording["download_urls"]["wav"].as_str().expect("a link")).send().await.expect("audio");
    let audio = reqwest::multipart::Part::bytes(wav.bytes().await.expect("bytes").to_vec()).file_name("a.wav");
    let form = reqwest::multipart::Form::new().text("model", "openai/whisper-large-v3-turbo").part("file", audio);
    let url = format!("{}/ai/audio/transcriptions", walk.running.telnyx);
    let (_, heard) = walk.call(walk.http.post(url).bearer_auth("key").multipart(form)).await;
    assert_eq!(heard["text"], json!(text));

    // The code of a number of this account is not given away at the control port.
    assert_eq!(walk.control("GET", "/codes", None).await.1["codes"], json!([]));
    let wrong = if code == "000000" { "000001" } else { "000000" };
    let verify = format!("/{line}/verify_code");
    assert_eq!(walk.meta("POST", &verify, Some(json!({"code": wrong}))).await.1["error"]["code"], 136_025);
    assert_eq!(walk.meta("POST", &verify, Some(json!({ "code": code }))).await.0, 200);
    let register = json!({"messaging_product": "whatsapp", "pin": "314159"});
    assert_eq!(walk.meta("POST", &format!("/{line}/register"), Some(register)).await.0, 200);
    assert_eq!(walk.telnyx("DELETE", &format!("/recordings/{rec_id}"), None).await.0, 200);
    let gone = format!("/recording_transcriptions/{}", transcription["id"].as_str().expect("an id"));
    assert_eq!(walk.telnyx("DELETE", &gone, None).await.0, 200);

    // Disarmed: an ordinary call is rejected and leaves nothing.
    assert_eq!(walk.telnyx("PATCH", &path, Some(json!({"connection_id": reject}))).await.0, 200);
    let (_, call) = walk.control("POST", "/calls", Some(json!({"to": number}))).await;
    assert_eq!(call, json!({"outcome": "rejected"}));
    assert_eq!(walk.telnyx("GET", "/recordings", None).await.1["data"], json!([]));

    // Not subscribed: silence without an error. Then the message arrives, signed.
    let message = json!({"to": number, "from": {"name": "Amina", "phone": "+212611223344"}, "text": "سلام"});
    assert_eq!(walk.control("POST", "/messages", Some(message.clone())).await.1["delivered"], false);
    assert_eq!(walk.meta("POST", "/104/subscribed_apps", None).await.0, 200);
    let (_, sent) = walk.control("POST", "/messages", Some(message)).await;
    assert_eq!((&sent["delivered"], &sent["status"]), (&json!(true), &json!(200)), "{sent}");
    let taken = walk.peer.taken.lock().expect("lock").clone();
    let value = &taken[0]["entry"][0]["changes"][0]["value"];
    assert_eq!((taken.len(), &taken[0]["entry"][0]["id"]), (1, &json!("104")));
    assert_eq!(value["metadata"], json!({"display_phone_number": &number[1..], "phone_number_id": line}));
    assert_eq!(value["messages"][0]["text"]["body"], "سلام");
    assert_eq!(value["messages"][0]["from"], "212611223344");
    assert_eq!(value["messages"][0]["id"], sent["wamid"]);
    assert!(value["contacts"][0]["user_id"].as_str().is_some_and(|id| id.starts_with("MA.")));

    let (_, ledger) = walk.control("GET", "/ledger", None).await;
    assert_eq!((&ledger["orders"], &ledger["monthly_usd"]), (&json!(1), &json!("1.10")));
    let (_, journal) = walk.control("GET", "/journal?full=1", None).await;
    let all = journal.to_string();
    for secret in [code.as_str(), "314159", "سلام", &text, &hmac_hex(SECRET, b"token")] {
        assert!(!all.contains(secret), "the journal keeps {secret}");
    }
}

#[tokio::test]
async fn a_beep_an_unreachable_document_and_a_lost_application_have_their_effects() {
    let walk = Walk::new().await;
    let (number, id) = walk.bought().await;
    let path = format!("/phone_numbers/{id}");
    let call = json!({"to": number, "text": "one two three four five six seven eight nine ten"});
    let ring = async |connection: &str| {
        assert_eq!(walk.telnyx("PATCH", &path, Some(json!({ "connection_id": connection }))).await.0, 200);
        walk.control("POST", "/calls", Some(call.clone())).await.1
    };
    assert_eq!(ring("").await["outcome"], "no_answer");
    let beep = ring(&walk.application("beep.xml").await).await;
    assert_eq!(beep["outcome"], "recorded");
    let missing = ring(&walk.application("missing.xml").await).await;
    assert_eq!((&missing["outcome"], &missing["reason"]), (&json!("error"), &json!("HTTP 404")));
    let recording = walk.first("/recordings").await;
    assert_eq!(recording["id"], beep["recording_id"]);
    let (_, seen) = walk.control("GET", "/recordings", None).await;
    // The beep covers the first words; nobody asked for a transcription.
    assert_eq!(seen["recordings"][0]["heard"], "nine ten.");
    assert!(seen["recordings"][0]["transcription"].is_null());
    assert_eq!(
        walk.control("POST", "/calls", Some(json!({"to": "+212600000000"}))).await.1["outcome"],
        "no_such_number"
    );
}

#[tokio::test]
async fn faults_strike_before_or_after_the_effect() {
    let walk = Walk::new().await;
    let search = "/available_phone_numbers?filter[country_code]=MA&filter[limit]=2";
    let (_, offers) = walk.telnyx("GET", search, None).await;
    let order = |place: usize| json!({"phone_numbers": [{"phone_number": offers["data"][place]["phone_number"]}]});
    let post = async |place: usize| {
        let url = format!("{}/number_orders", walk.running.telnyx);
        walk.http.post(url).bearer_auth("key").json(&order(place)).send().await.map(|answer| answer.status().as_u16())
    };
    let plant = async |fault: Value| {
        let (status, answer) = walk.control("POST", "/faults", Some(fault)).await;
        assert_eq!(status, 200, "{answer}");
        answer["id"].as_u64().expect("an id")
    };
    let orders = async || walk.telnyx("GET", "/number_orders", None).await.1["meta"]["total_results"].clone();

    plant(json!({"operation": "telnyx.create_number_order", "action": "drop"})).await;
    assert!(post(0).await.is_err());
    assert_eq!(orders().await, 0);
    plant(json!({"operation": "telnyx.create_number_order", "action": "drop", "when": "after"})).await;
    assert!(post(0).await.is_err());
    assert_eq!(orders().await, 1);
    plant(json!({"operation": "telnyx.create_number_order", "action": "status", "status": 500, "body": "<html>"}))
        .await;
    assert_eq!(post(1).await.expect("an answer"), 500);

    // Held after the effect; the client goes away; the effect stays.
    let held = plant(json!({"operation": "telnyx.create_number_order", "action": "hold", "when": "after"})).await;
    let (answer, ()) = tokio::join!(post(1), async {
        let until = Instant::now() + Duration::from_secs(10);
        while walk.control("GET", &format!("/faults/{held}"), None).await.1["holding"] != 1 {
            assert!(Instant::now() < until, "nothing is held");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(orders().await, 2);
        assert_eq!(walk.control("POST", &format!("/faults/{held}/release"), None).await.0, 200);
    });
    assert_eq!(answer.expect("an answer"), 200);
    assert_eq!(walk.control("GET", &format!("/faults/{held}"), None).await.1["hits"], 1);
    let (status, answer) =
        walk.control("POST", "/faults", Some(json!({"operation": "telnyx.nonsense", "action": "drop"}))).await;
    assert!(status == 400 && answer["error"].as_str().is_some_and(|text| text.contains("GET /")), "{answer}");
    let (_, journal) = walk.control("GET", "/journal?operation=telnyx.create_number_order", None).await;
    let statuses: Vec<&Value> =
        journal["entries"].as_array().expect("a list").iter().map(|entry| &entry["status"]).collect();
    assert_eq!(statuses, [&json!(null), &json!(null), &json!(500), &json!(200)]);
}

#[tokio::test]
async fn a_webhook_is_repeated_until_it_is_taken_and_a_bad_signature_is_not() {
    let walk = Walk::new().await;
    let number = "+212612345678";
    let line = walk.line(number).await;
    // A line of another operator: the code is read by the person with the phone.
    walk.request_code(&line).await;
    let (_, codes) = walk.control("GET", &format!("/codes?to={number}"), None).await;
    let code = codes["codes"][0]["code"].as_str().expect("a code").to_owned();
    assert_eq!(read_code(codes["codes"][0]["heard"].as_str().expect("words")), code);
    assert_eq!(walk.meta("POST", &format!("/{line}/verify_code"), Some(json!({ "code": code }))).await.0, 200);
    let register = json!({"messaging_product": "whatsapp", "pin": "314159"});
    assert_eq!(walk.meta("POST", &format!("/{line}/register"), Some(register)).await.0, 200);
    assert_eq!(walk.meta("POST", "/104/subscribed_apps", None).await.0, 200);

    walk.peer.answers.lock().expect("lock").extend([503, 500]);
    let batch =
        json!({"batch": [{"to": number, "text": "a"}, {"to": line, "from": {"username": "amina.b"}, "text": "b"}]});
    let (_, sent) = walk.control("POST", "/messages", Some(batch)).await;
    assert_eq!((&sent["delivered"], &sent["status"]), (&json!(false), &json!(503)));
    let until = Instant::now() + Duration::from_secs(10);
    while walk.peer.taken.lock().expect("lock").is_empty() {
        assert!(Instant::now() < until, "the webhook was not repeated");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let taken = walk.peer.taken.lock().expect("lock").clone();
    assert_eq!(taken[0]["entry"][0]["changes"].as_array().map(Vec::len), Some(2));
    let hidden = &taken[0]["entry"][0]["changes"][1]["value"];
    assert!(hidden["messages"][0].get("from").is_none() && hidden["contacts"][0].get("wa_id").is_none(), "{hidden}");
    let (_, journal) = walk.control("GET", "/journal?operation=sandbox.webhook", None).await;
    assert_eq!(journal["entries"].as_array().map(Vec::len), Some(3));

    for (query, status) in [("signature=bad", 401), ("signature=none", 401), ("", 200)] {
        let (_, sent) = walk.control("POST", &format!("/webhook-raw?{query}"), Some(json!({"entry": []}))).await;
        assert_eq!(sent["status"], status, "{query}");
    }
    let status = json!({"line": number, "message_id": "wamid.X", "status": "delivered", "recipient": {"phone": "+212611223344"}});
    assert_eq!(walk.control("POST", "/statuses", Some(status)).await.1["delivered"], true);
}

#[test]
fn the_page_about_the_control_port_names_every_operation_and_every_route() {
    let page = include_str!("../../docs/sandbox.md");
    for operation in super::operations() {
        assert!(page.contains(&format!("`{operation}`")), "docs/sandbox.md does not name {operation}");
    }
    let routes = include_str!("control/mod.rs")
        .lines()
        .filter_map(|line| line.trim().strip_prefix(".route(\"")?.split('"').next());
    for route in routes.filter(|route| *route != "/") {
        assert!(
            page.contains(&format!("{route}`"))
                || page.contains(&format!("{route} "))
                || page.contains(&format!("{route}?")),
            "docs/sandbox.md does not name {route}"
        );
    }
}
