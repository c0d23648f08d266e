//! The errors of the two providers: docs/errors.md holds every row of the tables, and the answers of
//! `tests/data/provider-answers` mean over HTTP what the tables say.
//!
//! The tables of the page are made from the rows; `WRITE_DOCS=1 cargo test --test it reference` writes them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::body::Body;
use axum::http::Response;
use clientnumber::domain::{
    AppId, BusinessId, Country, CustomerReference, E164, NumberType, OtpCode, PhoneNumberId, Pin, WabaId,
};
use clientnumber::line::error::condition;
use clientnumber::providers::meta::CodeMethod;
use clientnumber::providers::telnyx::NumberUpdate;
use clientnumber::providers::{
    BY_STATUS, Class, Effect, ErrorClass, Http, ProviderError, Reason, Row, StatusRow, meta, telnyx,
};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;

use crate::support::root;

/// What a line shows, for reads and for effects. Where the call decides and not the outcome, the table of calls tells.
fn shown(operations: &[&str], class: Class, reason: Reason) -> String {
    let name = |operation: &str, effect, reason| condition(operation, class.resolve(effect, None), reason).as_str();
    if operations.is_empty() && name("", Effect::Write, reason) == name("", Effect::Write, Reason::Unclassified) {
        return "by call".to_owned();
    }
    let operations = if operations.is_empty() { &[""] } else { operations };
    let names: BTreeSet<_> = operations.iter().map(|operation| name(operation, Effect::Write, reason)).collect();
    list(&names.into_iter().collect::<Vec<_>>(), "`")
}

/// What a line shows where only the call and the class decide.
fn by_call() -> String {
    use ErrorClass::{NeedsHuman, Refused, Throttled, Transient, Unknown};
    let mut table = "| call | Transient | Throttled | NeedsHuman | Refused | Unknown |\n".to_owned();
    table += "| --- | --- | --- | --- | --- | --- |\n";
    for call in ["create_order", "create_phone_number", "request_code", "verify_code", "register", "any other"] {
        table += &format!("| {call} |");
        for class in [Transient, Throttled { retry_after: None }, NeedsHuman, Refused, Unknown] {
            table += &format!(" `{}` |", condition(call, class, Reason::Unclassified).as_str());
        }
        table += "\n";
    }
    table
}

fn list<T: ToString>(items: &[T], quote: &str) -> String {
    items.iter().map(|item| format!("{quote}{}{quote}", item.to_string())).collect::<Vec<_>>().join(", ")
}

fn wait(wait: Option<Duration>) -> String {
    match wait.map(|wait| wait.as_secs()) {
        None => String::new(),
        Some(seconds) if seconds >= 3600 => format!("{} h", seconds / 3600),
        Some(seconds) if seconds >= 60 => format!("{} min", seconds / 60),
        Some(seconds) => format!("{seconds} s"),
    }
}

fn table(rows: &[Row]) -> String {
    let mut table = "| code | only if | class | outcome | on the line | delay | what to do |\n".to_owned();
    table += "| --- | --- | --- | --- | --- | --- | --- |\n";
    for row in rows {
        // Without `..`: a new condition must be shown.
        let Row { code, subcode, statuses, operations, text, class, reason, what_to_do, wait: delay } = row;
        let mut only = Vec::new();
        if !operations.is_empty() {
            only.push(format!("call {}", list(operations, "`")));
        }
        if !text.is_empty() {
            only.push(format!("text says {}", list(text, "\"")));
        }
        if !statuses.is_empty() {
            only.push(format!("HTTP {}", list(statuses, "")));
        }
        let code = subcode.map_or_else(|| (*code).to_owned(), |subcode| format!("{code}/{subcode}"));
        let code = if code == "*" { "any other".to_owned() } else { format!("`{code}`") };
        let (shown, delay) = (shown(operations, *class, *reason), wait(*delay));
        let only = only.join("; ");
        table += &format!("| {code} | {only} | {class:?} | {reason} | {shown} | {delay} | {what_to_do} |\n")
            .replace("|  |", "| |")
            .replace("|  |", "| |");
    }
    table
}

fn by_status() -> String {
    let mut table = "| HTTP status | only if | class | outcome | on the line | what to do |\n".to_owned();
    table += "| --- | --- | --- | --- | --- | --- |\n";
    for StatusRow { from, to, own, transient, write, class, reason, what_to_do } in BY_STATUS {
        let status = match (from, to) {
            (from, to) if from == to => from.to_string(),
            (0, _) => "any other".to_owned(),
            (300, 999) => "any".to_owned(),
            (from, 999) => format!("{from} and above"),
            (from, to) => format!("{from} to {to}"),
        };
        let mut only = Vec::new();
        only.extend(own.map(|own| if own { "its own" } else { "not its own" }));
        only.extend(write.map(|write| if write { "an effect" } else { "a read or a setting" }));
        only.extend(transient.then_some("Meta says `is_transient`"));
        let (only, shown) = (only.join(", "), shown(&[], *class, *reason));
        table +=
            &format!("| {status} | {only} | {class:?} | {reason} | {shown} | {what_to_do} |\n").replace("|  |", "| |");
    }
    table
}

#[test]
fn the_error_reference_is_what_the_tables_say() -> Result<()> {
    let file = root().join("docs/errors.md");
    let mut page = std::fs::read_to_string(&file)?;
    let before = page.clone();
    for (name, table) in [
        ("rows of Telnyx", table(telnyx::errors::TABLE)),
        ("rows of Meta", table(meta::errors::TABLE)),
        ("rows by status", by_status()),
        ("reasons by call", by_call()),
    ] {
        ensure!(!table.contains('<'), "{name}: what stands in a table must be plain text");
        let mark = format!("<!-- {name} -->\n");
        let (head, rest) = page.split_once(&mark).with_context(|| format!("docs/errors.md lacks {mark}"))?;
        let (_, tail) = rest.split_once("<!-- end -->").context("docs/errors.md lacks an end")?;
        page = format!("{head}{mark}{table}<!-- end -->{tail}");
    }
    if std::env::var_os("WRITE_DOCS").is_some() {
        std::fs::write(&file, &page)?;
    } else {
        ensure!(page == before, "docs/errors.md is old: run `WRITE_DOCS=1 cargo test --test it reference`");
    }
    Ok(())
}

/// One answer of `tests/data/provider-answers`, as far as it matters here.
#[derive(Clone, Deserialize)]
struct Answer {
    code: String,
    call: Option<String>,
    status: Option<u16>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<Value>,
    text: Option<String>,
    class: String,
    reason: String,
    message: Option<String>,
    sentence: String,
}

fn answers(file: &str) -> Result<Vec<Answer>> {
    let text = std::fs::read_to_string(root().join("tests/data/provider-answers").join(file))?;
    Ok(serde_yaml::from_str(&text)?)
}

/// A server that gives the answer that is set.
async fn serve(next: Arc<Mutex<Option<Answer>>>) -> Result<String> {
    let app = Router::new().fallback(move || {
        let answer = next.lock().unwrap().clone().unwrap();
        let mut response = Response::builder().status(answer.status.unwrap_or(500));
        for (name, value) in &answer.headers {
            response = response.header(name, value);
        }
        if answer.body.is_some() && !answer.headers.contains_key("content-type") {
            response = response.header("content-type", "application/json");
        }
        let body = answer.body.map_or_else(|| answer.text.unwrap_or_default(), |body| body.to_string());
        async move { response.body(Body::from(body)).unwrap() }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(url)
}

/// Calls; None if the name is of no call here.
async fn call(telnyx: &telnyx::Client, meta: &meta::Client, name: &str) -> Result<Option<Option<ProviderError>>> {
    let number = E164::parse("+212612345678")?;
    let reference: CustomerReference = "test/clients/atlas".parse()?;
    let (waba, id) = (WabaId::parse("104")?, PhoneNumberId::parse("900")?);
    let pin = Pin::parse("246810")?;
    let update = NumberUpdate::default();
    Ok(Some(match name {
        "create_order" => telnyx.create_order(&number, &reference, Some("1"), None).await.err(),
        "search" => telnyx.search(&Country::parse("MA")?, &[NumberType::Mobile], 5).await.err(),
        "order" => telnyx.order("1").await.err(),
        "number_by_id" => telnyx.number_by_id("1").await.err(),
        "release_number" => telnyx.release_number("1").await.err(),
        "update_number" => telnyx.update_number("1", &update).await.err(),
        "list_numbers" => telnyx.number(&number).await.err(),
        "cancel_sub_order" => telnyx.cancel_sub_order("1").await.err(),
        "create_texml_application" => telnyx.create_texml_application("a", "https://a.example/").await.err(),
        "balance" => telnyx.balance().await.err(),
        "request_code" => meta.request_code(&id, &CodeMethod::Voice, "en_US").await.err(),
        "verify_code" => meta.verify_code(&id, &OtpCode::parse("271828")?).await.err(),
        "register" => meta.register(&id, &pin).await.err(),
        "deregister" => meta.deregister(&id).await.err(),
        "set_pin" => meta.set_pin(&id, &pin).await.err(),
        "set_display_name" => meta.set_display_name(&id, "Atlas by Recruto").await.err(),
        "update_profile" => meta.update_profile(&id, &meta::Profile::default()).await.err(),
        "create_phone_number" => meta.create_phone_number(&waba, &number, "Atlas by Recruto").await.err(),
        "list_phone_numbers" => meta.phone_numbers(&waba).await.err(),
        "list_subscribed_apps" => meta.subscribed_apps(&waba).await.err(),
        "phone_number" => meta.phone_number(&id).await.err(),
        "subscribe" => meta.subscribe(&waba).await.err(),
        "waba" => meta.waba(&waba).await.err(),
        "business" => meta.business(&BusinessId::parse("1020")?).await.err(),
        _ => return Ok(None),
    }))
}

/// The same answers as in `src/providers/answers.rs`, but over HTTP and through the clients: whether a client's own
/// reading of an answer (gone is gone) or the transport changes what it means.
#[tokio::test]
async fn the_answers_over_http() -> Result<()> {
    let next = Arc::new(Mutex::new(None));
    let url = serve(next.clone()).await?;
    // A client for each answer: what one answer says about the pace must not hold up the next.
    let clients = || -> Result<_> {
        let http = Http::new()?;
        let telnyx = telnyx::Client::new(&url, "KEY-for-tests".into(), &http)?;
        let secret = SecretString::from("app-secret-for-tests");
        let meta = meta::Client::new(&url, "v25.0", "EAA-for-tests".into(), &secret, AppId::parse("7700")?, &http)?;
        Ok((telnyx, meta))
    };
    let mut heard = 0;
    for file in ["telnyx.yaml", "meta.yaml", "plain.yaml"] {
        for answer in answers(file)? {
            let (telnyx, meta) = clients()?;
            *next.lock().unwrap() = Some(answer.clone());
            let Some(name) = answer.call.as_deref() else { continue };
            let Some(error) = call(&telnyx, &meta, name).await? else { continue };
            heard += 1;
            let Some(error) = error else {
                let gone = ["NotFound", "NotRegistered"].contains(&answer.reason.as_str());
                ensure!(gone && answer.class == "Refused", "{}: success", answer.code);
                continue;
            };
            let got = (error.class.as_str().replace('_', ""), error.reason.as_str(), error.what_to_do);
            let wanted = (answer.class.to_lowercase(), answer.reason.as_str(), answer.sentence.as_str());
            ensure!(got == wanted, "{}: {got:?} in place of {wanted:?}", answer.code);
            ensure!(Some(&error.message) == answer.message.as_ref(), "{}: {}", answer.code, error.message);
            ensure!(error.http_status == answer.status && error.operation == name, "{}: {error:?}", answer.code);
        }
    }
    ensure!(heard > 120, "only {heard} answers were heard");
    Ok(())
}
