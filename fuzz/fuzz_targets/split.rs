//! Any body through the splitter of webhooks (src/router/split.rs), held against another reading of the same JSON.
//!
//! Must hold: no panic; only what is no object is refused; every entry and change comes out once, in its order and byte for
//! byte, as a line's, as the account's or as malformed, which is kept; a line's messages and statuses each come out once,
//! byte for byte; a change taken apart again, as from the quarantine, gives the same. Bodies are too short here for more
//! parts than a POST may have. Prints the body that broke one of them: the input is made up, so nobody's data leaks.
#![no_main]
#![allow(dead_code)]

use libfuzzer_sys::fuzz_target;

#[path = "../../src/domain"]
mod domain {
    //! What the splitter needs of the domain.
    mod ids;
    mod pii;
    pub use ids::PhoneNumberId;
    pub use pii::Pii;

    #[derive(Debug)]
    pub struct Invalid;

    impl Invalid {
        pub fn new(_: &'static str, _: &str, _: &'static str) -> Self {
            Self
        }
    }

    impl std::fmt::Display for Invalid {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("invalid")
        }
    }
}

mod store {
    //! What the splitter fills in, without the store behind it.
    use super::domain::Pii;

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Kind {
        Message,
        Status,
        Event,
    }

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Extent {
        Change,
        Entry,
        Body,
    }

    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct ContactHint {
        pub user_id: Option<Pii<String>>,
        pub wa_id: Option<Pii<String>>,
        pub name: Option<Pii<String>>,
        pub username: Option<Pii<String>>,
    }

    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct IdentityChange {
        pub before: ContactHint,
        pub now: ContactHint,
    }

    pub struct LineRef;

    pub struct NewEntry {
        pub kind: Kind,
        pub meta_id: Option<Pii<String>>,
        pub line: LineRef,
        pub epoch: i64,
        pub contact: Option<ContactHint>,
        pub changes: Vec<IdentityChange>,
        pub about: Option<Pii<String>>,
        pub about_required: bool,
        pub reply_to: Option<Pii<String>>,
        pub refers_to: Option<Pii<String>>,
        pub kind_of_message: Option<String>,
        pub status: Option<String>,
        pub timestamp: Option<i64>,
        pub field: Option<String>,
        pub raw: Option<Pii<String>>,
    }

    impl NewEntry {
        pub fn new(kind: Kind, line: LineRef, epoch: i64) -> Self {
            Self {
                kind,
                meta_id: None,
                line,
                epoch,
                contact: None,
                changes: Vec::new(),
                about: None,
                about_required: false,
                reply_to: None,
                refers_to: None,
                kind_of_message: None,
                status: None,
                timestamp: None,
                field: None,
                raw: None,
            }
        }
    }
}

#[path = "../../src/router"]
mod router {
    mod identity;
    mod json;
    pub mod split;
}

mod seen {
    //! JSON read by its quotes and brackets alone. For texts that are JSON; a text in it is None if it is no Rust string.

    pub fn is_json(text: &str) -> bool {
        serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
    }

    pub fn is(text: &str, first: char) -> bool {
        text.trim_start().starts_with(first)
    }

    /// The members of an object or the elements of an array.
    pub fn parts(text: &str) -> Vec<&str> {
        let text = text.trim();
        let inner = &text[1..text.len() - 1];
        let (mut parts, mut from) = (Vec::new(), 0);
        walk(inner, |at, c| {
            if c == b',' {
                parts.push(inner[from..at].trim());
                from = at + 1;
            }
        });
        let last = inner[from..].trim();
        parts.extend((!last.is_empty()).then_some(last));
        parts
    }

    /// The last member of that name.
    pub fn member<'a>(object: &'a str, name: &str) -> Option<&'a str> {
        let named = |part: &&'a str| {
            let mut colon = None;
            walk(part, |at, c| colon = colon.or((c == b':').then_some(at)));
            let (key, value) = part.split_at(colon.expect("a member without a colon"));
            let key = serde_json::from_str::<String>(key.trim()).ok();
            (key.as_deref() == Some(name)).then(|| value[1..].trim())
        };
        parts(object).iter().rev().find_map(named)
    }

    pub fn text(object: &str, name: &str) -> Option<String> {
        let value = member(object, name)?;
        match value.as_bytes()[0] {
            b'"' => serde_json::from_str(value).ok(),
            b'-' | b'0'..=b'9' => Some(value.to_owned()),
            _ => None,
        }
    }

    /// A member that is a list, unless it is absent or null; an error if it is something else.
    pub fn list<'a>(object: &'a str, name: &str) -> Result<Vec<&'a str>, ()> {
        match member(object, name) {
            None | Some("null") => Ok(Vec::new()),
            Some(value) if is(value, '[') => Ok(parts(value)),
            Some(_) => Err(()),
        }
    }

    /// Calls with every byte that stands in no quotes and no brackets.
    fn walk(text: &str, mut outside: impl FnMut(usize, u8)) {
        let (mut depth, mut quoted, mut escaped) = (0u32, false, false);
        for (at, c) in text.bytes().enumerate() {
            match c {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                _ if quoted => {}
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ if depth == 0 => outside(at, c),
                _ => {}
            }
        }
    }
}

use domain::Pii;
use router::split::{Change, Content, Item, NotAnObject, change, not_text, split};
use seen::{is, list, member, parts, text};
use store::Kind;

fuzz_target!(|data: &[u8]| match std::str::from_utf8(data) {
    Ok(body) => judge(body, split(body)),
    Err(_) => judge_lossy(&String::from_utf8_lossy(data), not_text(data)),
});

/// As of its text, but for the changes that may have lost something.
fn judge_lossy(body: &str, result: Result<Vec<Change>, NotAnObject>) {
    let mut expected = split(body);
    for Change { text, content, .. } in expected.iter_mut().flatten() {
        if let Content::Line { remainder, .. } = content {
            *remainder |= text.expose().contains('\u{fffd}');
        }
    }
    assert_eq!(result, expected, "{body:?}");
    judge(body, split(body));
}

fn judge(body: &str, result: Result<Vec<Change>, NotAnObject>) {
    if !seen::is_json(body) || !is(body, '{') {
        assert!(result.is_err(), "no object, and not refused: {body:?}");
        return;
    }
    let changes = result.unwrap_or_else(|_| panic!("an object was refused: {body:?}"));
    let entries = member(body, "entry").filter(|entries| is(entries, '['));
    let ours = text(body, "object").as_deref() == Some("whatsapp_business_account");
    let Some(entries) = entries.filter(|_| ours) else {
        assert!(kept_whole(&changes, body), "not kept whole: {body:?}");
        return;
    };
    // The texts that must come out, and whether each is a change.
    let mut wanted = Vec::new();
    for entry in parts(entries) {
        let changes = is(entry, '{').then(|| member(entry, "changes")).flatten().filter(|changes| is(changes, '['));
        match changes {
            Some(changes) => wanted.extend(parts(changes).into_iter().map(|change| (change, true))),
            None => wanted.push((entry, false)),
        }
    }
    let texts: Vec<&str> = changes.iter().map(|change| change.text.expose().as_str()).collect();
    assert_eq!(texts, wanted.iter().map(|(text, _)| *text).collect::<Vec<_>>(), "{body:?}");
    for (one, (text, is_change)) in changes.iter().zip(wanted) {
        if is_change {
            assert!(*one == change(&one.entry_id, one.entry_time, text), "taken apart again it is another: {text:?}");
            judge_change(one, text);
        } else {
            assert!(one.content == Content::Malformed, "an entry without changes became something: {text:?}");
        }
    }
}

fn kept_whole(changes: &[Change], body: &str) -> bool {
    matches!(changes, [Change { content: Content::Malformed, text, .. }] if text.expose() == body)
}

/// The line that a change names.
fn line(change: &str) -> Option<String> {
    let value = is(change, '{').then(|| member(change, "value")).flatten().filter(|value| is(value, '{'))?;
    let metadata = member(value, "metadata").filter(|metadata| is(metadata, '{'))?;
    let id = text(metadata, "phone_number_id")?;
    let digits = (1..=32).contains(&id.len()) && id.bytes().all(|c| c.is_ascii_digit());
    (digits && text(change, "field").is_some()).then_some(id)
}

fn judge_change(one: &Change, change: &str) {
    match &one.content {
        Content::Malformed => assert!(line(change).is_none(), "it names a line: {change:?}"),
        Content::Account { field, value } => {
            assert_eq!(Some(field), text(change, "field").as_ref());
            assert_eq!(Some(value.as_str()), member(change, "value"));
        }
        Content::Line { phone_number_id, items, remainder } => {
            assert_eq!(Some(phone_number_id.as_str()), line(change).as_deref(), "another line: {change:?}");
            judge_items(items, *remainder, change);
        }
    }
}

fn judge_items(items: &[Item], remainder: bool, change: &str) {
    let of = |kind| items.iter().filter(move |item| item.kind == kind);
    let raw = |kind| of(kind).map(|item| item.raw.expose().as_str()).collect::<Vec<_>>();
    let value = member(change, "value").unwrap_or_default();
    let messages = text(change, "field").as_deref() == Some("messages");
    let lists = if messages { [list(value, "messages"), list(value, "statuses")] } else { [Ok(vec![]), Ok(vec![])] };
    assert_eq!(remainder, lists.iter().any(Result::is_err), "{change:?}");
    let [sent, told] = lists.map(Result::unwrap_or_default);
    assert_eq!(raw(Kind::Message), sent, "messages of {change:?}");
    assert_eq!(raw(Kind::Status), told, "statuses of {change:?}");
    let errors = member(value, "errors").is_some_and(|errors| errors != "null");
    let whole = !messages || errors || (sent.is_empty() && told.is_empty() && !remainder);
    assert_eq!(raw(Kind::Event), if whole { vec![value] } else { vec![] }, "{change:?}");
    for item in of(Kind::Message).filter(|item| is(item.raw.expose(), '{')) {
        let id = text(item.raw.expose(), "id").filter(|id| (1..=512).contains(&id.len()));
        assert!(id.is_none_or(|id| item.meta_id == Pii(id)), "another id: {change:?}");
    }
    assert!(items.iter().all(|item| !item.meta_id.expose().is_empty()));
}
