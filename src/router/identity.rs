//! What Meta says of a person whose ids change: system messages, and the field `user_id_update`. Pure.
//!
//! A person who changes their phone number gets another BSUID. Meta tells the new ids, and the old ones by different ways
//! in different versions: `previous_user_id`, the message's `from`, or words in `body` alone. Must never take a name for an
//! id: everybody chooses their name.

use crate::domain::Pii;
use crate::store::{ContactHint, IdentityChange};

use super::json::Object;
use super::split::usable;

/// The types of a system message that tell of new ids; `customer_changed_number` is the oldest one's.
const KINDS: [&str; 3] = ["user_changed_number", "user_changed_user_id", "customer_changed_number"];

/// From a message's `system` object and whom the message is from.
pub(super) fn change(system: &Object<'_>, from_user: Option<&str>, from: Option<&str>) -> Option<IdentityChange> {
    let get = |name: &str| usable(system.text(name));
    let kind = get("type")?;
    if !KINDS.contains(&kind.as_str()) {
        return None;
    }
    let now = ids(get("user_id"), get("wa_id").or_else(|| get("new_wa_id")));
    let other = |id: Option<&str>, now: &Option<Pii<String>>| {
        usable(id.map(str::to_owned)).filter(|id| now.as_ref().is_none_or(|now| now.expose() != id))
    };
    let said = || system.text("body").and_then(|body| old_of(&body, now.user_id.as_ref()?.expose()));
    let user = get("previous_user_id").or_else(said);
    let user = other(user.as_deref(), &now.user_id).or_else(|| other(from_user, &now.user_id));
    let phone = other(from, &now.wa_id).or_else(|| other(get("customer").as_deref(), &now.wa_id));
    complete(ids(user, phone), now)
}

/// From the value of `user_id_update`; None: it has no list of them.
pub(super) fn updates(value: &Object<'_>) -> Option<Vec<IdentityChange>> {
    let list = value.array("user_id_update").ok()??;
    let one = |text: &str| {
        let update = Object::of(text)?;
        let user = update.object("user_id")?;
        let now = ids(usable(user.text("current")), usable(update.text("wa_id")));
        complete(ids(usable(user.text("previous")), None), now)
    };
    Some(list.into_iter().filter_map(one).collect())
}

fn ids(user_id: Option<String>, wa_id: Option<String>) -> ContactHint {
    ContactHint { user_id: user_id.map(Pii), wa_id: wa_id.map(Pii), ..ContactHint::default() }
}

fn complete(before: ContactHint, now: ContactHint) -> Option<IdentityChange> {
    let some = |hint: &ContactHint| hint.user_id.is_some() || hint.wa_id.is_some();
    (some(&before) && some(&now) && before != now).then_some(IdentityChange { before, now })
}

/// The old id in "User NAME changed from OLD to NEW". The name stands before both, so the last such words are Meta's.
fn old_of(body: &str, new: &str) -> Option<String> {
    let (_, rest) = body.rsplit_once(" changed from ")?;
    let (old, said) = rest.split_once(" to ")?;
    let is_id = |text: &str| {
        let (country, number) = text.split_once('.').unwrap_or_default();
        country.len() == 2
            && country.bytes().all(|c| c.is_ascii_uppercase())
            && !number.is_empty()
            && number.len() <= 140
            && number.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'.')
    };
    (said.trim_end_matches('.') == new && is_id(old)).then(|| old.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(change: Option<IdentityChange>) -> String {
        let text = |id: &Option<Pii<String>>| id.as_ref().map_or("-".to_owned(), |id| id.expose().clone());
        let hint = |hint: &ContactHint| format!("{} {}", text(&hint.user_id), text(&hint.wa_id));
        change.map_or("none".to_owned(), |change| format!("{} > {}", hint(&change.before), hint(&change.now)))
    }

    #[test]
    fn system_messages() {
        for (what, system, from_user, from, want) in [
            ("the number, old form", r#"{"type":"user_changed_number","wa_id":"22"}"#, "", "11", "- 11 > - 22"),
            (
                "the oldest form",
                r#"{"type":"customer_changed_number","new_wa_id":"22","customer":"11"}"#,
                "",
                "",
                "- 11 > - 22",
            ),
            (
                "the number with ids",
                r#"{"type":"user_changed_number","wa_id":"22","user_id":"MA.2","previous_user_id":"MA.1"}"#,
                "MA.2",
                "11",
                "MA.1 11 > MA.2 22",
            ),
            (
                "the number without the old id",
                r#"{"type":"user_changed_number","wa_id":"22","user_id":"MA.2"}"#,
                "MA.2",
                "11",
                "- 11 > MA.2 22",
            ),
            (
                "from the old id",
                r#"{"type":"user_changed_number","wa_id":"22","user_id":"MA.2"}"#,
                "MA.1",
                "11",
                "MA.1 11 > MA.2 22",
            ),
            (
                "the id alone",
                r#"{"type":"user_changed_user_id","user_id":"MA.2","previous_user_id":"MA.1"}"#,
                "",
                "",
                "MA.1 - > MA.2 -",
            ),
            (
                "the old id in words",
                r#"{"type":"user_changed_user_id","user_id":"MA.2","body":"User Amina changed from MA.1 to MA.2"}"#,
                "",
                "",
                "MA.1 - > MA.2 -",
            ),
            (
                "a name that looks like it",
                r#"{"type":"user_changed_user_id","user_id":"MA.2","body":"User X changed from MA.9 to MA.2 changed from MA.1 to MA.2"}"#,
                "",
                "",
                "MA.1 - > MA.2 -",
            ),
            (
                "words about another",
                r#"{"type":"user_changed_user_id","user_id":"MA.2","body":"User X changed from MA.1 to MA.3"}"#,
                "",
                "",
                "none",
            ),
            (
                "words that are no id",
                r#"{"type":"user_changed_user_id","user_id":"MA.2","body":"User X changed from Amina to MA.2"}"#,
                "",
                "",
                "none",
            ),
            ("nothing old", r#"{"type":"user_changed_user_id","user_id":"MA.2"}"#, "MA.2", "", "none"),
            ("nothing new", r#"{"type":"user_changed_number"}"#, "MA.1", "11", "none"),
            ("the same", r#"{"type":"user_changed_number","wa_id":"11"}"#, "", "11", "none"),
            ("another type", r#"{"type":"customer_identity_changed","user_id":"MA.2"}"#, "MA.1", "", "none"),
            ("no type", r#"{"user_id":"MA.2","previous_user_id":"MA.1"}"#, "", "", "none"),
        ] {
            let some = |text: &'static str| (!text.is_empty()).then_some(text);
            let change = change(&Object::of(system).unwrap(), some(from_user), some(from));
            assert_eq!(told(change), want, "{what}");
        }
    }

    #[test]
    fn the_field() {
        let of = |value: &str| {
            let changes = updates(&Object::of(value).unwrap());
            changes.map(|all| all.into_iter().map(|change| told(Some(change))).collect::<Vec<_>>())
        };
        assert_eq!(of(r#"{"metadata":{}}"#), None);
        assert_eq!(of(r#"{"user_id_update":{}}"#), None);
        let two = r#"{"user_id_update":[
            {"wa_id":"22","user_id":{"previous":"MA.1","current":"MA.2"},"timestamp":"1"},
            {"user_id":{"previous":"MA.3","current":"MA.4"}}, {"user_id":{"current":"MA.4"}}, {"user_id":"MA.5"}, 7]}"#;
        assert_eq!(of(two), Some(vec!["MA.1 - > MA.2 22".to_owned(), "MA.3 - > MA.4 -".to_owned()]));
    }
}
