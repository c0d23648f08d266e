//! Every answer of docs/provider-codes.md and what it becomes: class, reason, message, delay, sentence. The answers are
//! data, `tests/data/provider-answers`; docs, answers and the rows of the tables are held together both ways.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::Value;

use super::classify::{BY_STATUS, Row};
use super::error::{Effect, ErrorClass, Provider};
use super::refusal::{Dialect, refusal};
use super::request::Operation;
use super::{meta, telnyx};

const SHEET: &str = include_str!("../../docs/provider-codes.md");
const FILES: [(&str, Option<Provider>); 3] = [
    (include_str!("../../tests/data/provider-answers/telnyx.yaml"), Some(Provider::Telnyx)),
    (include_str!("../../tests/data/provider-answers/meta.yaml"), Some(Provider::Meta)),
    (include_str!("../../tests/data/provider-answers/plain.yaml"), None),
];
/// The calls of the answers that are not reads.
const WRITES: &[&str] = &[
    "cancel_sub_order",
    "create_order",
    "create_phone_number",
    "create_texml_application",
    "deregister",
    "place_call",
    "register",
    "release_number",
    "request_code",
    "send",
    "set_display_name",
    "verify_code",
];
const SETS: &[&str] = &["set_pin", "subscribe", "transcribe", "update_number", "update_profile"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    /// The line of docs/provider-codes.md.
    code: String,
    provider: Option<String>,
    /// Where the code stands if it is not an answer: in a webhook's status or message, or in a number's health.
    told: Option<String>,
    call: Option<String>,
    status: Option<u16>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<Value>,
    text: Option<String>,
    class: String,
    reason: String,
    delay: String,
    message: Option<String>,
    sentence: String,
}

/// What an answer became.
#[derive(Debug, PartialEq)]
struct Outcome {
    class: &'static str,
    reason: &'static str,
    delay: String,
    message: Option<String>,
    sentence: &'static str,
}

fn answers() -> Vec<(Answer, Provider)> {
    let mut all = Vec::new();
    for (file, provider) in FILES {
        let answers: Vec<Answer> = serde_yaml::from_str(file).unwrap();
        for answer in answers {
            let named = match answer.provider.as_deref() {
                Some("telnyx") => Some(Provider::Telnyx),
                Some("meta") => Some(Provider::Meta),
                _ => None,
            };
            let provider = provider.or(named).unwrap();
            all.push((answer, provider));
        }
    }
    all
}

fn dialect(provider: Provider) -> &'static Dialect {
    match provider {
        Provider::Telnyx => &telnyx::errors::DIALECT,
        Provider::Meta => &meta::errors::DIALECT,
        Provider::Transcriber => unreachable!("it words no errors"),
    }
}

fn operation(name: &str) -> Operation {
    let find = |names: &[&'static str]| names.iter().copied().find(|known| *known == name);
    match (find(WRITES), find(SETS)) {
        (Some(name), _) => Operation::write(name),
        (_, Some(name)) => Operation::set(name),
        _ => Operation::read(String::leak(name.to_owned())),
    }
}

fn class(class: ErrorClass) -> &'static str {
    match class {
        ErrorClass::Transient => "Transient",
        ErrorClass::Throttled { .. } => "Throttled",
        ErrorClass::NeedsHuman => "NeedsHuman",
        ErrorClass::Refused => "Refused",
        ErrorClass::Unknown => "Unknown",
    }
}

fn delay(asked: Option<Duration>, policy: Option<Duration>) -> String {
    match (asked, policy) {
        (Some(wait), _) => format!("retry {}", wait.as_secs()),
        (None, Some(wait)) => format!("wait {}", wait.as_secs()),
        (None, None) => "none".to_owned(),
    }
}

/// The answer through the path that every real answer takes.
fn outcome(answer: &Answer, provider: Provider) -> Outcome {
    if answer.told.is_some() {
        let body = answer.body.as_ref().unwrap();
        let code = body.get("code").or(body.get("error_code")).and_then(Value::as_u64).unwrap();
        let row = meta::errors::told(code.try_into().unwrap(), &body.to_string()).unwrap();
        return Outcome {
            class: class(row.class.resolve(Effect::Write, None)),
            reason: row.reason.as_str(),
            delay: delay(None, row.wait),
            message: None,
            sentence: row.what_to_do,
        };
    }
    let mut headers = HeaderMap::new();
    for (name, value) in &answer.headers {
        headers.insert(HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value).unwrap());
    }
    let body = match (&answer.body, &answer.text) {
        (Some(body), None) => body.to_string(),
        (None, Some(text)) => text.clone(),
        _ => panic!("{}: body or text", answer.code),
    };
    let call = operation(answer.call.as_deref().unwrap());
    let secrets = ["a-secret-of-ours"];
    let (error, _) = refusal(dialect(provider), call, answer.status.unwrap(), &headers, body.as_bytes(), &secrets);
    assert!(error.to_string().ends_with(error.what_to_do), "what a person reads ends in what to do");
    if let ErrorClass::Throttled { retry_after } = error.class {
        assert_eq!(retry_after, error.retry_after);
    }
    Outcome {
        class: class(error.class),
        reason: error.reason.as_str(),
        delay: delay(error.retry_after, error.policy_wait),
        message: Some(error.message.clone()),
        sentence: error.what_to_do,
    }
}

/// The first cells of the sheet's tables, without backticks.
fn sheet() -> Vec<String> {
    SHEET
        .lines()
        .filter_map(|line| Some(line.strip_prefix("| ")?.split(" | ").next()?.replace('`', "")))
        .filter(|cell| !cell.starts_with("---") && cell != "code" && cell != "answer")
        .collect()
}

fn rows() -> impl Iterator<Item = &'static Row> {
    telnyx::errors::TABLE.iter().chain(meta::errors::TABLE)
}

#[test]
fn each_answer_becomes_what_the_table_says() {
    let mut wrong = Vec::new();
    for (answer, provider) in answers() {
        let got = outcome(&answer, provider);
        let same = got.class == answer.class
            && got.reason == answer.reason
            && got.delay == answer.delay
            && got.message == answer.message
            && got.sentence == answer.sentence;
        if !same {
            wrong.push(format!("{}: {got:#?}", answer.code));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_code_of_the_sheet_has_exactly_one_answer() {
    let (sheet, answers) = (sheet(), answers());
    let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for line in &sheet {
        counts.entry(line.clone()).or_default().0 += 1;
    }
    for (answer, _) in &answers {
        counts.entry(answer.code.clone()).or_default().1 += 1;
    }
    let off: Vec<_> = counts.iter().filter(|(_, count)| **count != (1, 1)).collect();
    assert!(off.is_empty(), "(lines of the sheet, answers): {off:?}");
    assert!(sheet.len() >= 80, "only {} answers", sheet.len());
    // An answer shows the code of its line.
    for (answer, _) in answers.iter().filter(|(answer, _)| !answer.code.starts_with(['H', 'i'])) {
        let line = answer.code.split(' ').next().unwrap();
        let (code, subcode) = line.split_once('/').map_or((line, None), |(code, sub)| (code, Some(sub)));
        let body = answer.body.as_ref().unwrap();
        let error = body.pointer("/errors/0").or(body.get("error")).unwrap_or(body);
        let shown = super::classify::code(error.get("code").or(error.get("error_code"))).unwrap();
        let fits = match code.split_once('-') {
            Some((low, high)) => {
                (low.parse::<u32>().unwrap()..=high.parse().unwrap()).contains(&shown.parse().unwrap())
            }
            None => code == "*" || code == shown,
        };
        assert!(fits, "{}: {shown}", answer.code);
        let shown = super::classify::code(error.get("error_subcode"));
        assert!(subcode.is_none() || shown.as_deref() == subcode, "{}: {shown:?}", answer.code);
    }
}

#[test]
fn each_row_has_an_answer_and_a_sentence_of_its_own() {
    let hit: BTreeSet<&str> = answers().iter().map(|(answer, provider)| outcome(answer, *provider).sentence).collect();
    let mut seen = BTreeSet::new();
    let sentences = rows().map(|row| (row.code, row.what_to_do, row.class));
    let plain = BY_STATUS.iter().map(|row| ("HTTP", row.what_to_do, row.class));
    for (code, sentence, class) in sentences.chain(plain) {
        assert!(seen.insert(sentence), "{code}: two rows say: {sentence}");
        assert!(hit.contains(sentence), "{code}: no answer hits the row that says: {sentence}");
        let idle = sentence.starts_with("nothing to do");
        assert!(!(idle && class == super::Class::NeedsHuman), "{code}: a person is needed, and told: {sentence}");
        assert!(sentence.len() > 20 && !sentence.ends_with('.') && !sentence.contains("  "), "{code}: {sentence}");
    }
    // Answers in which a code decides have one sentence each.
    let coded: Vec<&str> = FILES[..2]
        .iter()
        .flat_map(|(file, _)| serde_yaml::from_str::<Vec<Answer>>(file).unwrap())
        .map(|answer| rows().map(|row| row.what_to_do).find(|sentence| *sentence == answer.sentence).unwrap())
        .collect();
    assert_eq!(coded.iter().collect::<BTreeSet<_>>().len(), coded.len());
    assert_eq!(coded.len(), rows().count());
}

/// The codes of other sheets are in ours: `CLIENTNUMBER_FACTS` names a folder with telnyx.md and meta-whatsapp.md.
#[test]
fn no_code_of_the_facts_is_missing() {
    let Some(folder) = std::env::var_os("CLIENTNUMBER_FACTS") else { return };
    let mut read = 0;
    for (file, plausible) in [
        ("telnyx.md", &[10_001..=10_099, 20_012..=20_100, 40_008..=40_008, 85_000..=85_099, 90_000..=90_099][..]),
        (
            "meta-whatsapp.md",
            &[80_000..=80_099, 130_000..=139_999, 141_000..=141_099, 200_000..=200_000, 2_388_000..=2_388_999][..],
        ),
    ] {
        let text = std::fs::read_to_string(std::path::Path::new(&folder).join(file)).unwrap();
        for word in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.') {
            let Ok(code) = word.parse::<u32>() else { continue };
            if plausible.iter().any(|range| range.contains(&code)) {
                read += 1;
                let ours = SHEET.split(|c: char| !c.is_ascii_digit()).any(|ours| ours == word);
                assert!(ours, "{file} names {code}, which docs/provider-codes.md lacks");
            }
        }
    }
    assert!(read > 80, "only {read} codes were found in the facts");
}

/// Bodies that no provider should send. `@` stands for what is echoed.
const ODD: &[&str] = &[
    "",
    "@",
    "null",
    "[]",
    "[[[]]]",
    "{}",
    r#"{"error": "@"}"#,
    r#"{"error": ["@"]}"#,
    r#"{"error": {}}"#,
    r#"{"error": {"code": null, "message": null, "error_data": null, "error_subcode": null}}"#,
    r#"{"error": {"code": "@", "message": ["@"], "type": {}, "fbtrace_id": "@"}}"#,
    r#"{"error": {"code": 190.0, "error_subcode": 463.0, "message": "@"}}"#,
    r#"{"error": {"code": 99999999999999999999, "error_subcode": -4, "message": "@"}}"#,
    r#"{"error": {"code": 1e400, "message": "@"}}"#,
    r#"{"error": {"code": 100, "message": "@", "error_data": "{\"details\": \"@\"}"}}"#,
    r#"{"error": {"code": 100, "message": "a", "error_data": "@", "error_user_msg": "@", "error_user_title": "@"}}"#,
    r#"{"error": {"code": 271828, "error_subcode": 271828, "message": "(#271828) @"}}"#,
    r#"{"error": {"message": "@""#,
    r#"{"errors": "@"}"#,
    r#"{"errors": {"code": "10015", "detail": "@"}}"#,
    r#"{"errors": ["@", null, 1, []]}"#,
    r#"{"errors": [{}]}"#,
    r#"{"errors": [{"code": "@", "title": "@", "detail": "@", "source": {"pointer": "/@"}}]}"#,
    r#"{"errors": [{"code": 10015, "title": 7, "detail": null, "source": "@"}]}"#,
    r#"{"errors": [{"code": 10015.5, "title": "@", "source": [[["@"]]]}]}"#,
    r#"{"errors": [{"code": "10005", "detail": "\u202e@\u202c\u0000\r\n\u2028@"}]}"#,
    r#"{"token": "@", "more": "@"}"#,
    "<html>\u{202e}@<br/>&quot;@&quot;\r\n\t\u{1b}[31m@</html>",
    "Authorization: Basic @",
];

/// The secret in the forms in which an echo may carry it.
fn echoes(secret: &str) -> Vec<String> {
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    let bytes = |form: fn(u8) -> String| secret.bytes().map(form).collect::<String>();
    vec![
        secret.to_owned(),
        format!("Bearer {secret}"),
        bytes(|byte| format!("\\u{byte:04x}")),
        bytes(|byte| format!("%{byte:02X}")),
        bytes(|byte| format!("&#{byte};")),
        hex::encode(secret),
        STANDARD.encode(format!("api:{secret}")),
        URL_SAFE_NO_PAD.encode(format!("{secret}:")),
    ]
}

/// No body makes a panic, a second line, a long line, or shows a secret; and no odd body passes for proof.
#[test]
fn odd_bodies_do_no_harm() {
    let secrets = ["KEY-0123-of-ours/x", "271828"];
    let mut bodies: Vec<(Vec<u8>, Option<String>)> = Vec::new();
    for odd in ODD {
        for secret in secrets {
            for echo in echoes(secret) {
                bodies.push((odd.replace('@', &echo).into_bytes(), Some(echo)));
            }
        }
        bodies.push((odd.replace('@', &"long text ".repeat(6554)).into_bytes(), None));
        bodies.push((odd.replace('@', &"x".repeat(65_536)).into_bytes(), None));
        let mut broken = odd.replace('@', "text").into_bytes();
        broken.extend([0xff, 0xfe, 0xc3, 0x28, 0xed, 0xa0, 0x80]);
        bodies.push((broken.clone(), None));
        broken.reverse();
        bodies.push((broken, None));
    }
    for depth in [100, 127, 128, 10_000] {
        for open in ["[", r#"{"errors":"#, r#"{"error":"#] {
            bodies.push((open.repeat(depth).into_bytes(), None));
            let close = if open == "[" { "]" } else { "}" };
            bodies.push((format!("{}1{}", open.repeat(depth), close.repeat(depth)).into_bytes(), None));
        }
    }
    let mut headers = HeaderMap::new();
    for (name, value) in [("content-type", &b"te\xffxt"[..]), ("retry-after", b"-1"), ("x-ratelimit-remaining", b"0")] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap());
    }
    headers.insert(
        "x-business-use-case-usage",
        HeaderValue::from_static(r#"{"1": [1, {"estimated_time_to_regain_access": "x"}]}"#),
    );
    for (body, echo) in &bodies {
        for dialect in [&telnyx::errors::DIALECT, &meta::errors::DIALECT] {
            for (call, statuses) in [("balance", [404, 400]), ("set_pin", [503, 401]), ("create_order", [404, 302])] {
                for status in &statuses[..if body.len() > 1000 { 1 } else { 2 }] {
                    let (error, trace) = refusal(dialect, operation(call), *status, &headers, body, &secrets);
                    let shown = format!("{error} {error:?} {trace:?}");
                    let body = String::from_utf8_lossy(&body[..body.len().min(200)]);
                    assert!(error.message.chars().count() <= 300, "{body}: {}", error.message);
                    assert!(!error.message.chars().any(super::hide::is_invisible), "{body}: {shown}");
                    assert!(!error.message.contains(['\n', '\r', '\u{2028}']), "{body}: {shown}");
                    for secret in echo.iter().map(String::as_str).chain(secrets) {
                        assert!(!shown.contains(secret), "{body}: {shown}");
                    }
                    let effect = operation(call).effect;
                    let unclear = matches!(error.reason.as_str(), "Unclassified" | "ProviderUnavailable");
                    let class = if effect == Effect::Write { ErrorClass::Unknown } else { ErrorClass::Transient };
                    assert!(error.class == class || !unclear || error.code.is_some(), "{body}: {shown}");
                }
            }
        }
    }
}
