//! What the controller does to the world outside, each call and write under a name that is the same in every run: no
//! ids, no times, no names of objects. Pure: requests as the proxies see them, calls as the sandbox's journal has them.
//!
//! Must never name two different effects alike, or a point of the matrix would stand for both.

use serde_json::Value;

use crate::support::api_proxy::ApiRequest;
use crate::support::wire::MongoRequest;

/// Where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    Telnyx,
    Meta,
    Api,
    Mongo,
}

impl Channel {
    pub const ALL: [Channel; 4] = [Channel::Telnyx, Channel::Meta, Channel::Api, Channel::Mongo];
}

/// A call or a write.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct What {
    pub channel: Channel,
    /// The provider's operation, the command, or what is written.
    pub name: String,
    /// Whether it may change something.
    pub write: bool,
}

/// What a request to the API server writes for this line; None: nothing, or nothing of it.
pub fn api(request: &ApiRequest, line: &str) -> Option<What> {
    let method = request.method.as_str();
    let write = |name: String| Some(What { channel: Channel::Api, name, write: true });
    if method == "GET" {
        return None;
    }
    let body = request.body.as_ref();
    let object = request.path.split_once("/clientnumbers/").map(|(_, rest)| rest);
    if let Some(rest) = object {
        return match (method, rest.strip_prefix(line)?) {
            ("PUT", "/status") => write(format!("status {}", facts(&body?["status"], line))),
            // The finalizer is taken by a JSON patch: a list of operations.
            ("PATCH", "") => write(match body? {
                Value::Array(_) => "finalizer removed".to_owned(),
                merge if merge["metadata"]["finalizers"].is_array() => "finalizer set".to_owned(),
                _ => "annotation".to_owned(),
            }),
            _ => None,
        };
    }
    if request.path.ends_with("/status") && request.path.contains("/portfolios/") {
        return write(format!("ledger {}", claim(&body?["status"], line)?));
    }
    if request.path.ends_with("/events") && body?["regarding"]["name"] == line {
        let reason = body?["reason"].as_str()?;
        return if STAGES.contains(&reason) { None } else { write(format!("event {reason}")) };
    }
    if request.path.contains("/secrets") {
        return write(if method == "DELETE" { "PIN deleted".to_owned() } else { "PIN".to_owned() });
    }
    None
}

/// The company of a line of these tests.
pub fn company(line: &str) -> String {
    format!("company-{line}")
}

/// How this line stands in a Portfolio's status, by its claims and by the number that is kept for its company; None: it
/// is not in there. The write that lists the kept number is the last record before the finalizer goes, and must not be
/// named as the counts are that go before it.
fn claim(portfolio: &Value, line: &str) -> Option<&'static str> {
    let entries = |list: &str| portfolio[list].as_array().into_iter().flatten();
    let mut mine = entries("ledger")
        .filter(|entry| entry["line"].as_str().is_some_and(|name| name.rsplit('/').next() == Some(line)))
        .peekable();
    let kept = entries("retained").any(|entry| entry["companyId"] == company(line).as_str());
    match (mine.peek().is_none(), mine.all(|entry| entry["settledAt"].is_string()), kept) {
        (true, _, false) => None,
        (_, true, true) => Some("number kept"),
        (_, true, false) => Some("claim settled"),
        (_, false, _) => Some("claim"),
    }
}

/// What of a status tells one write from the next.
fn facts(status: &Value, line: &str) -> String {
    let mut facts = Vec::new();
    let condition = |name: &str| {
        status["conditions"].as_array().into_iter().flatten().find(|c| c["type"] == name).cloned().unwrap_or_default()
    };
    let ready = condition("Ready");
    facts.push(format!("{}/{}", text(&status["step"]), text(&ready["reason"])));
    for (name, value) in [
        ("purchase", &status["purchase"]["phase"]),
        ("link", &status["link"]["phase"]),
        ("route", &status["route"]["state"]),
    ] {
        if let Some(value) = value.as_str() {
            facts.push(format!("{name}={value}"));
        }
    }
    for (name, value) in [
        ("order", &status["purchase"]["orderId"]),
        ("number", &status["phoneNumber"]),
        ("armed", &status["verification"]["armedAt"]),
        ("awaited", &status["verification"]["codeExpiresAt"]),
        ("handed", &status["verification"]["handedIn"][0]["at"]),
        ("verified", &status["verification"]["verifiedAt"]),
        ("registered", &status["registration"]["registeredAt"]),
        ("failed", &status["retry"]["lastError"]),
    ] {
        if value.is_string() {
            facts.push(name.to_owned());
        }
    }
    for (name, value) in
        [("codes", &status["verification"]["requests"]), ("attempts", &status["registration"]["attempts"])]
    {
        if let Some(list) = value.as_array() {
            facts.push(format!("{name}={}", list.len()));
        }
    }
    if condition("Deleting")["status"] == "True" {
        facts.push("deleting".to_owned());
    }
    // Messages are stable but for times, numbers and names.
    let message = text(&ready["message"]);
    let message = if message.starts_with(LISTENING) { LISTENING } else { message }.replace(line, "-");
    facts.push(format!("\"{}\"", message.replace(|c: char| c.is_ascii_digit(), "#")));
    facts.join(" ")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

const MONGO_WRITES: [&str; 8] =
    ["insert", "update", "delete", "findAndModify", "createIndexes", "create", "drop", "dropDatabase"];

/// What a command to MongoDB writes; None: nothing.
pub fn mongo(request: &MongoRequest) -> Option<What> {
    if !MONGO_WRITES.iter().any(|name| name.eq_ignore_ascii_case(&request.command)) {
        return None;
    }
    let database = if request.database.starts_with("co_") { "company's " } else { "" };
    let name = format!("{} {database}{}", request.command, request.collection);
    Some(What { channel: Channel::Mongo, name, write: true })
}

/// What the listener reads in its own time, whatever the line does: which list comes next, and whether a recording is read
/// by its id, is a matter of whose turn it is. Before and after each of them everything is as the line's writes left it.
const BY_TURN: [&str; 4] =
    ["telnyx.list_call_events", "telnyx.list_recordings", "telnyx.list_transcriptions", "telnyx.get_recording"];
/// What a line tells of its call, stage by stage, as far as a list happened to show it.
const STAGES: [&str; 4] = ["CallRang", "CallAnswered", "CallRecorded", "CallTranscribed"];
/// How the message begins that tells the same.
pub const LISTENING: &str = "Meta was asked to call";

/// A call in the sandbox's journal; None: one that the sandbox made itself, or that only some runs make.
pub fn provider(entry: &Value) -> Option<What> {
    if BY_TURN.iter().any(|name| entry["operation"] == *name) {
        return None;
    }
    let channel = match entry["provider"].as_str()? {
        "telnyx" => Channel::Telnyx,
        "meta" => Channel::Meta,
        _ => return None,
    };
    Some(What { channel, name: entry["operation"].as_str()?.to_owned(), write: entry["method"] != "GET" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn request(method: &str, path: &str, body: Value) -> ApiRequest {
        ApiRequest {
            method: method.parse().unwrap(),
            path: path.to_owned(),
            query: String::new(),
            body: Some(body),
            user_agent: String::new(),
        }
    }

    #[test]
    fn writes_to_the_api_server_have_names_of_their_own() {
        let line = "/apis/clientnumber.dev/v1alpha1/namespaces/c/clientnumbers/p1";
        let ledger = |settled: Value| json!({"status": {"ledger": [{"line": "c/p1", "settledAt": settled}]}});
        let kept = |company: &str| {
            let mut body = ledger(json!("2026-11-01T10:00:00Z"));
            body["status"]["retained"] = json!([{"phoneNumber": "+2", "companyId": company}]);
            body
        };
        let portfolio = "/apis/clientnumber.dev/v1alpha1/namespaces/p/portfolios/main/status";
        for (method, path, body, expected) in [
            ("PATCH", line.to_owned(), json!({"metadata": {"finalizers": ["x"]}}), Some("finalizer set")),
            (
                "PATCH",
                line.to_owned(),
                json!([{"op": "remove", "path": "/metadata/finalizers/0"}]),
                Some("finalizer removed"),
            ),
            ("PATCH", line.to_owned(), json!({"metadata": {"annotations": {}}}), Some("annotation")),
            ("PATCH", format!("{line}0"), json!({"metadata": {"annotations": {}}}), None),
            ("PUT", portfolio.to_owned(), ledger(Value::Null), Some("ledger claim")),
            ("PUT", portfolio.to_owned(), ledger(json!("2026-11-01T10:00:00Z")), Some("ledger claim settled")),
            ("PUT", portfolio.to_owned(), json!({"status": {"ledger": []}}), None),
            ("PUT", portfolio.to_owned(), kept("company-p1"), Some("ledger number kept")),
            ("PUT", portfolio.to_owned(), kept("company-p2"), Some("ledger claim settled")),
            (
                "POST",
                "/apis/events.k8s.io/v1/namespaces/c/events".to_owned(),
                json!({"regarding": {"name": "p1"}, "reason": "Acquired"}),
                Some("event Acquired"),
            ),
            ("POST", "/api/v1/namespaces/p/secrets".to_owned(), json!({}), Some("PIN")),
            ("DELETE", "/api/v1/namespaces/p/secrets/pin-1".to_owned(), json!({}), Some("PIN deleted")),
            ("GET", line.to_owned(), json!({}), None),
        ] {
            let found = api(&request(method, &path, body), "p1").map(|what| what.name);
            assert_eq!(found.as_deref(), expected, "{method} {path}");
        }
    }

    #[test]
    fn a_status_is_named_by_what_it_records_and_not_by_when() {
        let status = |at: &str, phase: &str| {
            let body = json!({"status": {"step": "acquire", "purchase": {"phase": phase, "startedAt": at},
                "conditions": [{"type": "Ready", "reason": "OrderPending", "message": format!("until {at} for p1")}]}});
            api(&request("PUT", "/x/clientnumbers/p1/status", body), "p1").unwrap().name
        };
        assert_eq!(status("10:00", "Intended"), "status acquire/OrderPending purchase=Intended \"until ##:## for -\"");
        assert_eq!(status("10:00", "Intended"), status("11:30", "Intended"));
        assert_ne!(status("10:00", "Intended"), status("10:00", "Ordered"));
    }

    #[test]
    fn only_what_may_change_something_counts_in_mongodb() {
        let command = |command: &str, database: &str| {
            let request = MongoRequest {
                command: command.to_owned(),
                database: database.to_owned(),
                collection: "log".to_owned(),
                body: mongodb::bson::Document::new(),
            };
            mongo(&request).map(|what| what.name)
        };
        assert_eq!(command("insert", "co_0123").as_deref(), Some("insert company's log"));
        assert_eq!(command("createIndexes", "clientnumber").as_deref(), Some("createIndexes log"));
        assert_eq!(command("find", "co_0123"), None);
        assert_eq!(command("hello", "admin"), None);
    }
}
