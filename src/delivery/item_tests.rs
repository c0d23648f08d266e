//! Every kind of entry as a client sees it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::domain::{E164, PhoneNumberId};
use crate::store::{Contact, LineRef};

/// An item of about `size` bytes for tests of pages.
pub(in crate::delivery) fn item(seq: Seq, size: usize) -> Arc<Item> {
    let json = RawValue::from_string(format!("\"{}\"", "x".repeat(size.saturating_sub(2)))).unwrap();
    Arc::new(Item { seq, at: Timestamp::UNIX_EPOCH, fingerprint: format!("{seq:x}"), json })
}

fn entry(kind: Kind, raw: Option<&str>) -> LogEntry {
    LogEntry {
        seq: 7,
        kind,
        at: "2026-11-24T10:00:00.5Z".parse().unwrap(),
        fp: "0a1b".into(),
        ours: kind.is_ours(),
        line: Some(LineRef {
            phone_number_id: PhoneNumberId::parse("1060").unwrap(),
            phone_number: E164::parse("+212612345678").unwrap(),
        }),
        epoch: Some(2),
        action: None,
        meta_id: Some(Pii("wamid.SECRET".into())),
        contact_id: Some("c-1".into()),
        contact: Some(Contact {
            user_id: Some(Pii("MA.1".into())),
            wa_id: None,
            name: Some(Pii("Amina".into())),
            username: None,
        }),
        message_id: Some("m-1".into()),
        reply_to: None,
        refers_to: None,
        kind_of_message: Some("text".into()),
        status: None,
        timestamp: Some(1_790_000_000),
        field: None,
        client_ref: None,
        recruiter: None,
        merged: Vec::new(),
        erased: Vec::new(),
        gone: Vec::new(),
        raw: raw.map(|r| Pii(r.to_owned())),
    }
}

fn rendered(entry: &LogEntry) -> Value {
    serde_json::from_str(render(entry).unwrap().json.get()).unwrap()
}

fn base(kind: &str) -> Value {
    json!({
        "seq": 7, "kind": kind, "at": "2026-11-24T10:00:00.500Z",
        "line": {"phone_number_id": "1060", "phone_number": "+212612345678"},
        "contact": {"id": "c-1", "name": "Amina", "user_id": "MA.1"},
        "message_id": "m-1",
    })
}

fn plus(mut base: Value, more: Value) -> Value {
    base.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    base
}

fn minus(mut base: Value, name: &str) -> Value {
    base.as_object_mut().unwrap().shift_remove(name);
    base
}

#[test]
fn every_kind() {
    let text = r#"{"type":"text","text":{"body":"salam"}}"#;
    let content: Value = serde_json::from_str(text).unwrap();
    let message = |more: Value| plus(plus(base("message"), json!({"timestamp": "1790000000"})), more);
    let reaction = LogEntry { kind_of_message: Some("reaction".into()), ..entry(Kind::Message, Some(text)) };
    let refers = LogEntry { refers_to: Some("m-0".into()), ..reaction.clone() };
    let reply = LogEntry { reply_to: Some("m-0".into()), ..entry(Kind::Message, Some(text)) };
    let reply_unknown = r#"{"context":{"id":"wamid.X","from":"1"}}"#;
    let forwarded = r#"{"context":{"forwarded":true}}"#;
    let status = r#"{"status":"failed","errors":[{"code":131047}]}"#;
    let failed = LogEntry { status: Some("failed".into()), message_id: None, ..entry(Kind::Status, Some(status)) };
    let sent =
        LogEntry { client_ref: Some("r-1".into()), recruiter: Some("fatima".into()), ..entry(Kind::Sent, Some(text)) };
    let merged = LogEntry { merged: vec!["c-2".into()], ..entry(Kind::Contact, None) };
    let call = LogEntry { field: Some("calls".into()), message_id: None, ..entry(Kind::Event, Some(text)) };
    let fence =
        LogEntry { action: Some(FenceAction::Taken), contact_id: None, message_id: None, ..entry(Kind::Fence, None) };
    let closed = LogEntry { line: None, contact_id: None, message_id: None, ..entry(Kind::Closed, None) };
    let table = [
        (entry(Kind::Message, Some(text)), message(json!({"type": "text", "content": content}))),
        (reaction, message(json!({"type": "reaction", "refers_to": null, "content": content}))),
        (refers, message(json!({"type": "reaction", "refers_to": "m-0", "content": content}))),
        (reply, message(json!({"type": "text", "reply_to": "m-0", "content": content}))),
        (
            entry(Kind::Message, Some(reply_unknown)),
            message(json!({"type": "text", "reply_to": null, "content": {"context": {"id": "wamid.X", "from": "1"}}})),
        ),
        (
            entry(Kind::Message, Some(forwarded)),
            message(json!({"type": "text", "content": {"context": {"forwarded": true}}})),
        ),
        (
            failed,
            plus(
                base("status"),
                json!({"message_id": null, "status": "failed", "timestamp": "1790000000",
                    "errors": [{"code": 131047}], "content": {"status": "failed", "errors": [{"code": 131047}]}}),
            ),
        ),
        (
            sent,
            plus(base("sent"), json!({"type": "text", "client_ref": "r-1", "recruiter": "fatima", "content": content})),
        ),
        (merged, minus(plus(base("contact"), json!({"merged": ["c-2"]})), "message_id")),
        (
            call,
            minus(
                plus(base("event"), json!({"field": "calls", "timestamp": "1790000000", "content": content})),
                "message_id",
            ),
        ),
        (
            fence,
            minus(
                minus(
                    plus(base("event"), json!({"field": "line", "content": {"action": "taken", "epoch": 2}})),
                    "message_id",
                ),
                "contact",
            ),
        ),
        (
            closed,
            json!({"seq": 7, "kind": "event", "at": "2026-11-24T10:00:00.500Z", "field": "company",
                "content": {"action": "closed"}}),
        ),
        (
            LogEntry {
                line: None,
                contact_id: None,
                contact: None,
                erased: vec!["c-1".into(), "c-2".into()],
                gone: vec!["00ff".into()],
                ..entry(Kind::Erasure, None)
            },
            json!({"seq": 7, "kind": "event", "at": "2026-11-24T10:00:00.500Z", "field": "contact",
                "content": {"action": "erased", "contact_ids": ["c-1", "c-2"]}}),
        ),
        (
            entry(Kind::Erased, Some(text)),
            json!({"seq": 7, "kind": "erased", "at": "2026-11-24T10:00:00.500Z", "contact": {"id": "c-1"}}),
        ),
    ];
    for (entry, want) in &table {
        assert_eq!(&rendered(entry), want, "{:?}", entry.kind);
    }
}

#[test]
fn metas_text_is_unchanged() {
    for text in [
        r#"{"n": 123456789012345678901234567890.10, "s":"\ud800", "u":"\u00e9é","x":1e400 }"#,
        r#"{"a":1,"a":2,  "b" : [ ] }"#,
        &format!("{}1{}", "[".repeat(100), "]".repeat(100)),
    ] {
        let json = render(&entry(Kind::Message, Some(text))).unwrap().json;
        assert!(json.get().ends_with(&format!("\"content\":{text}}}")), "{}", json.get());
    }
}

#[test]
fn what_parsers_may_not_take_is_a_string() {
    let deep = format!("{}1{}", "[".repeat(101), "]".repeat(101));
    let very_deep = format!("{}1{}", "[".repeat(200_000), "]".repeat(200_000));
    for text in [deep.as_str(), very_deep.as_str(), "not json", "{\"open\":"] {
        assert_eq!(rendered(&entry(Kind::Message, Some(text)))["content"], text);
    }
    assert_eq!(depth(r#"{"a":"[[[[\"[[","b":[{}]}"#), 3);
}

#[test]
fn wamids_stay_inside_content() {
    for kind in [Kind::Message, Kind::Status, Kind::Sent, Kind::Contact, Kind::Event, Kind::Erased, Kind::Erasure] {
        assert!(!render(&entry(kind, Some("{}"))).unwrap().json.get().contains("wamid"), "{kind:?}");
    }
}

#[test]
fn cursors_stand_on_items() {
    assert_eq!(render(&entry(Kind::Message, None)).unwrap().cursor().to_string(), "7.0a1b");
}
