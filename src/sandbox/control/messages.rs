//! Writing as a candidate: messages, statuses, raw bodies.
//!
//! Meta: a line receives only while it is CONNECTED and its WABA has a subscribed app; every message carries the
//! sender's business-scoped id, the phone only where it may be shown; a wamid contains the phone. Several messages in
//! one request become one POST, as Meta batches.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use base64::Engine as _;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::sync::oneshot;

use super::{Answer, Refused, parse};
use crate::sandbox::http::digits;
use crate::sandbox::meta::line::Line;
use crate::sandbox::server::Shared;
use crate::sandbox::webhooks::{Outcome, Post, Signature, send, url_of};
use crate::sandbox::world::World;

/// Who writes.
#[derive(Deserialize, Default, Clone)]
#[serde(deny_unknown_fields, default)]
pub struct Sender {
    name: Option<String>,
    user_id: Option<String>,
    phone: Option<String>,
    username: Option<String>,
}

impl Sender {
    /// The business-scoped id: given, or always the same one for the same person.
    fn user_id(&self, world: &World) -> String {
        let person = [&self.phone, &self.username, &self.name].into_iter().flatten().next();
        self.user_id.clone().unwrap_or_else(|| {
            format!("MA.{}", world.dice.numeric(20, "candidate", person.map_or("somebody", String::as_str)))
        })
    }
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
struct Message {
    to: String,
    #[serde(default)]
    from: Sender,
    text: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    content: Option<Value>,
    context: Option<Value>,
    timestamp: Option<i64>,
    wamid: Option<String>,
    #[serde(default = "yes")]
    wait: bool,
    #[serde(default)]
    force: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch {
    batch: Vec<Message>,
    #[serde(default = "yes")]
    wait: bool,
}

fn yes() -> bool {
    true
}

fn line<'w>(world: &'w World, to: &str) -> Result<&'w Line, Refused> {
    let wanted = digits(to);
    let found = world.meta.lines.iter().rev().find(|line| line.digits == wanted || line.id == wanted);
    found.ok_or_else(|| Refused::missing(format!("no WABA has the number {to}: GET /numbers lists the lines")))
}

/// Why Meta would not deliver to this line.
fn silent(world: &World, line: &Line) -> Option<&'static str> {
    let subscribed = world.meta.wabas.get(&line.waba).is_some_and(|waba| waba.subscribed);
    if line.status != "CONNECTED" {
        Some("the line is not registered (status is not CONNECTED)")
    } else if !subscribed {
        Some("no app is subscribed to the WABA")
    } else if !world.meta.delivers("messages") {
        Some("the app is not subscribed to the field messages")
    } else if url_of(world, &line.id).is_none() {
        Some("no callback URL: start the sandbox with --webhook-url")
    } else {
        None
    }
}

/// `wamid.` and base64 of phone (or user id) and a random part, as the real ones are built.
fn wamid(person: &str, random: &str) -> String {
    let mut bytes = vec![0x1c, 0x18, u8::try_from(person.len()).unwrap_or(u8::MAX)];
    bytes.extend_from_slice(person.as_bytes());
    bytes.extend_from_slice(&[0x15, 0x02, 0x00, 0x12, 0x18, 0x14]);
    bytes.extend_from_slice(random.as_bytes());
    bytes.push(0);
    format!("wamid.{}", base64::engine::general_purpose::STANDARD.encode(bytes))
}

fn new_wamid(world: &mut World, line: &str, person: &str) -> String {
    let random: String =
        world.uuid_of("wamid", &format!("{line} {person}")).replace('-', "").to_uppercase().chars().take(20).collect();
    wamid(person, &random)
}

/// One change of field `messages` with one message.
fn change(world: &mut World, wish: &Message, now: Timestamp) -> Result<(String, String, Value), Refused> {
    let (id, number, waba) = {
        let line = line(world, &wish.to)?;
        (line.id.clone(), line.digits.clone(), line.waba.clone())
    };
    let user_id = wish.from.user_id(world);
    let phone = wish.from.phone.as_deref().map(digits).filter(|phone| !phone.is_empty());
    let wamid = match &wish.wamid {
        Some(wamid) => wamid.clone(),
        None => new_wamid(world, &number, phone.as_deref().unwrap_or(&user_id)),
    };
    let (kind, content) = match (&wish.text, &wish.kind) {
        (Some(text), None) => ("text".to_owned(), json!({ "body": text })),
        (None, Some(kind)) => (kind.clone(), wish.content.clone().unwrap_or_else(|| json!({}))),
        _ => return Err(Refused::bad("give either text, or type and content")),
    };
    let mut profile = json!({"name": wish.from.name.as_deref().unwrap_or("Candidate")});
    if let Some(username) = &wish.from.username {
        profile["username"] = Value::from(username.as_str());
    }
    let mut contact = Map::from_iter([("profile".to_owned(), profile)]);
    let mut message = Map::new();
    if let Some(phone) = &phone {
        contact.insert("wa_id".to_owned(), Value::from(phone.as_str()));
        message.insert("from".to_owned(), Value::from(phone.as_str()));
    }
    contact.insert("user_id".to_owned(), Value::from(user_id.as_str()));
    message.insert("from_user_id".to_owned(), Value::from(user_id));
    message.insert("id".to_owned(), Value::from(wamid.as_str()));
    let timestamp = wish.timestamp.unwrap_or_else(|| now.as_second());
    message.insert("timestamp".to_owned(), Value::from(timestamp.to_string()));
    message.insert("type".to_owned(), Value::from(kind.as_str()));
    message.insert(kind, content);
    if let Some(context) = &wish.context {
        message.insert("context".to_owned(), context.clone());
    }
    let value = json!({"messaging_product": "whatsapp", "metadata": metadata(&number, &id),
                       "contacts": [contact], "messages": [message]});
    Ok((wamid, waba, json!({"field": "messages", "value": value})))
}

fn metadata(number: &str, id: &str) -> Value {
    json!({"display_phone_number": number, "phone_number_id": id})
}

/// One POST with all changes, one entry a WABA.
fn envelope(changes: Vec<(String, Value)>) -> Value {
    let mut entries: Vec<(String, Vec<Value>)> = Vec::new();
    for (waba, change) in changes {
        match entries.iter_mut().find(|(id, _)| *id == waba) {
            Some((_, list)) => list.push(change),
            None => entries.push((waba, vec![change])),
        }
    }
    let entries: Vec<Value> = entries.into_iter().map(|(id, changes)| json!({"id": id, "changes": changes})).collect();
    json!({"object": "whatsapp_business_account", "entry": entries})
}

async fn deliver(shared: &Arc<Shared>, post: Post, wait: bool) -> Outcome {
    let (sender, receiver) = oneshot::channel();
    let task_shared = shared.clone();
    tokio::spawn(async move { send(&task_shared, &post, Some(sender)).await });
    if wait { receiver.await.unwrap_or_default() } else { Outcome::default() }
}

fn report(mut about: Value, outcome: &Outcome, waited: bool) -> Json<Value> {
    about["delivered"] = Value::from(outcome.delivered());
    about["status"] = json!(outcome.status);
    if !waited {
        about["waiting"] = Value::from(true);
    } else if !outcome.delivered() {
        about["answer"] = Value::from(outcome.answer.as_str());
    }
    Json(about)
}

/// POST /messages
pub async fn messages(State(shared): State<Arc<Shared>>, body: Bytes) -> Answer {
    let value: Value = parse(&body)?;
    let single = value.get("batch").is_none();
    let (wishes, wait) = if single {
        let message: Message = parse(&body)?;
        let wait = message.wait;
        (vec![message], wait)
    } else {
        let batch: Batch = parse(&body)?;
        (batch.batch, batch.wait)
    };
    let (wamids, silence, post) = {
        let (mut world, now) = shared.world();
        let (mut wamids, mut changes, mut silence, mut url) = (Vec::new(), Vec::new(), None, None);
        for wish in &wishes {
            let (wamid, waba, change) = change(&mut world, wish, now)?;
            let line = line(&world, &wish.to)?;
            silence = silence.or(silent(&world, line).filter(|_| !wish.force));
            url = url.or(url_of(&world, &line.id));
            wamids.push(wamid);
            changes.push((waba, change));
        }
        (wamids, silence, Post { url, ..Post::of(&envelope(changes)) })
    };
    let about = if single { json!({"wamid": wamids.first()}) } else { json!({ "wamids": wamids }) };
    if let Some(reason) = silence {
        let mut about = about;
        about["delivered"] = Value::from(false);
        about["status"] = Value::Null;
        about["reason"] = Value::from(reason);
        return Ok(Json(about));
    }
    let outcome = deliver(&shared, post, wait).await;
    Ok(report(about, &outcome, wait))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Status {
    line: String,
    message_id: String,
    status: String,
    #[serde(default)]
    recipient: Sender,
    timestamp: Option<i64>,
    #[serde(default)]
    extra: Map<String, Value>,
    #[serde(default = "yes")]
    wait: bool,
}

/// POST /statuses
pub async fn statuses(State(shared): State<Arc<Shared>>, body: Bytes) -> Answer {
    let wish: Status = parse(&body)?;
    let post = {
        let (world, now) = shared.world();
        let line = line(&world, &wish.line)?;
        if let Some(reason) = silent(&world, line) {
            return Ok(Json(json!({"delivered": false, "status": null, "reason": reason})));
        }
        let user_id = wish.recipient.user_id(&world);
        let timestamp = wish.timestamp.unwrap_or_else(|| now.as_second()).to_string();
        let mut status =
            json!({"id": wish.message_id, "status": wish.status, "timestamp": timestamp, "recipient_user_id": user_id});
        let mut contact =
            json!({"profile": {"name": wish.recipient.name.as_deref().unwrap_or("Candidate")}, "user_id": user_id});
        if let Some(phone) = wish.recipient.phone.as_deref().map(digits) {
            status["recipient_id"] = Value::from(phone.as_str());
            contact["wa_id"] = Value::from(phone);
        }
        for (key, value) in wish.extra {
            status[key] = value;
        }
        let mut value = json!({"messaging_product": "whatsapp", "metadata": metadata(&line.digits, &line.id), "statuses": [status]});
        // A failed status carries no contacts.
        if wish.status != "failed" {
            value["contacts"] = json!([contact]);
        }
        let change = json!({"field": "messages", "value": value});
        Post { url: url_of(&world, &line.id), ..Post::of(&envelope(vec![(line.waba.clone(), change)])) }
    };
    let outcome = deliver(&shared, post, wish.wait).await;
    Ok(report(json!({}), &outcome, wish.wait))
}

/// Query of POST /webhook-raw.
#[derive(Deserialize)]
pub struct RawQuery {
    signature: Option<String>,
    #[serde(default)]
    repeat: u8,
}

/// POST /webhook-raw: the body as it came, signed well, badly (`signature=bad`) or not at all (`signature=none`).
pub async fn raw(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<RawQuery>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let signature = match query.signature.as_deref() {
        None | Some("good") => Signature::Good,
        Some("bad") => Signature::Bad,
        Some("none") => Signature::None,
        Some(_) => return Err(Refused::bad("signature must be good, bad or none")),
    };
    let kind = headers.get("content-type").and_then(|value| value.to_str().ok());
    // curl's default; what Meta sends is JSON.
    let kind = kind.filter(|kind| *kind != "application/x-www-form-urlencoded").unwrap_or("application/json");
    let post =
        Post { url: None, body: Value::Null, raw: Some((kind.to_owned(), body)), signature, repeats: query.repeat > 0 };
    let outcome = deliver(&shared, post, true).await;
    Ok(report(json!({}), &outcome, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wamid_contains_the_phone_as_the_real_one_does() {
        let id = wamid("16505551234", "0123456789ABCDEF0123");
        assert!(id.starts_with("wamid.HBgLMTY1MDU1NTEyMzQVAgASGBQ"), "{id}");
        assert!(id.ends_with('A') || id.ends_with('='), "{id}");
    }

    #[test]
    fn changes_of_one_waba_share_an_entry() {
        let body = envelope(vec![("1".into(), json!(1)), ("2".into(), json!(2)), ("1".into(), json!(3))]);
        assert_eq!(body["entry"], json!([{"id": "1", "changes": [1, 3]}, {"id": "2", "changes": [2]}]));
    }
}
