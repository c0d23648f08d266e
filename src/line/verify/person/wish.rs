//! A person's wish that Meta call or text now (`clientnumber.dev/call-requested-at`): whether it is still one.
//!
//! Pure. A wish must never be granted later than somebody waits at the phone: what stood in the way (a suspension, a
//! controller that was down, a provider that was away) may last until the night.

use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;

use crate::line::plan::{Step, plan};
use crate::resources::client_number::{Carrier, VerificationStatus};
use crate::resources::names::ANNOTATION_CALL;
use crate::resources::{ClientNumber, ClientNumberStatus};

/// What a person wishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// Nothing that was not answered.
    None,
    /// A call now. The annotation's value.
    Fresh(String),
    /// A call, at this time, which is too long ago. The annotation's value.
    Late(String, Timestamp),
}

impl Wish {
    /// What is noted once it is answered.
    pub fn value(self) -> Option<String> {
        match self {
            Self::None => None,
            Self::Fresh(value) | Self::Late(value, _) => Some(value),
        }
    }
}

/// The wish of these annotations. A value that is no time (RFC 3339) is set by hand, and counts when it is first seen.
pub fn judge(asked: Option<&str>, handled: Option<&str>, now: Timestamp, good_for: Duration) -> Wish {
    let Some(value) = asked.filter(|asked| handled != Some(*asked)) else { return Wish::None };
    match value.parse::<Timestamp>() {
        Ok(at) if now.duration_since(at) > jiff::SignedDuration::try_from(good_for).unwrap_or_default() => {
            Wish::Late(value.to_owned(), at)
        }
        _ => Wish::Fresh(value.to_owned()),
    }
}

/// The wish of a line.
pub fn of(line: &ClientNumber, now: Timestamp, good_for: Duration) -> Wish {
    let handled = line.status.as_ref().and_then(|s| s.verification.as_ref()?.handled_call_request.as_deref());
    judge(line.annotations().get(ANNOTATION_CALL).map(String::as_str), handled, now, good_for)
}

/// Whether the line is one that a wish is for, and waits for one.
fn is_for(line: &ClientNumber) -> bool {
    line.spec.number.existing.as_ref().is_some_and(|existing| existing.carrier == Carrier::External)
        && line.status.as_ref().is_some_and(|status| plan(status) == Step::Verify)
}

/// Whether somebody waits at the phone for the line's next look: no time of its own holds it up.
pub fn is_urgent(line: &ClientNumber, now: Timestamp, good_for: Duration) -> bool {
    is_for(line) && matches!(of(line, now, good_for), Wish::Fresh(_))
}

/// The look failed: the person is told so, and the wish is over, or each write of the failure would begin another look.
pub fn failed(line: &ClientNumber, status: &mut ClientNumberStatus) {
    if is_for(line)
        && let Some(asked) = line.annotations().get(ANNOTATION_CALL)
    {
        status.verification.get_or_insert_with(VerificationStatus::default).handled_call_request = Some(asked.clone());
    }
}

/// What was recorded before a call that was not made. The wish for it stays answered.
pub fn kept(before: Option<VerificationStatus>, handled: Option<String>) -> Option<VerificationStatus> {
    if handled.is_none() {
        return before;
    }
    Some(VerificationStatus { handled_call_request: handled, ..before.unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const NOW: &str = "2026-11-01T10:00:00Z";
    const GOOD_FOR: Duration = Duration::from_secs(120);

    #[test]
    fn a_wish_is_good_for_two_minutes() {
        let fresh = |value: &str| Wish::Fresh(value.to_owned());
        let late = |value: &str| Wish::Late(value.to_owned(), value.parse().unwrap());
        for (asked, handled, want) in [
            (None, None, Wish::None),
            (None, Some("x"), Wish::None),
            (Some(NOW), None, fresh(NOW)),
            (Some(NOW), Some(NOW), Wish::None),
            (Some(NOW), Some("2026-11-01T09:00:00Z"), fresh(NOW)),
            (Some("2026-11-01T09:58:00Z"), None, fresh("2026-11-01T09:58:00Z")),
            (Some("2026-11-01T10:57:59.5+01:00"), None, late("2026-11-01T10:57:59.5+01:00")),
            (Some("2026-11-01T09:57:59Z"), None, late("2026-11-01T09:57:59Z")),
            (Some("2026-10-30T03:00:00.123456789Z"), Some(NOW), late("2026-10-30T03:00:00.123456789Z")),
            (Some("2026-10-30T03:00:00Z"), Some("2026-10-30T03:00:00Z"), Wish::None),
            // The clock of whoever wishes may go before ours.
            (Some("2026-11-01T10:01:00Z"), None, fresh("2026-11-01T10:01:00Z")),
            (Some("please"), None, fresh("please")),
            (Some("please"), Some("please"), Wish::None),
            (Some(""), None, fresh("")),
        ] {
            assert_eq!(judge(asked, handled, NOW.parse().unwrap(), GOOD_FOR), want, "{asked:?} {handled:?}");
        }
    }

    fn line(carrier: &str, asked: &str, verification: Value) -> ClientNumber {
        serde_json::from_value(json!({
            "apiVersion": "clientnumber.dev/v1alpha1", "kind": "ClientNumber",
            "metadata": {"name": "rif", "annotations": {ANNOTATION_CALL: asked}},
            "spec": {"companyId": "rif", "displayName": "Rif", "portfolioRef": {"name": "main"},
                "number": {"existing": {"phoneNumber": "+212661000001", "carrier": carrier}}},
            "status": {"observedGeneration": 1, "phoneNumberId": "7", "conditions": [],
                "purchase": {"phase": "Owned", "attempt": 0},
                "link": {"phase": "Linked", "startedAt": NOW, "attempt": 1}, "verification": verification},
        }))
        .unwrap()
    }

    #[test]
    fn a_fresh_wish_is_urgent_until_it_is_answered_or_a_look_failed() {
        let old = "2026-11-01T09:00:00Z";
        for (carrier, asked, verification, urgent) in [
            ("External", NOW, json!({}), true),
            ("External", NOW, json!({"handledCallRequest": old}), true),
            ("External", NOW, json!({"handledCallRequest": NOW}), false),
            ("External", old, json!({}), false),
            ("External", NOW, json!({"verifiedAt": NOW}), false),
            ("Telnyx", NOW, json!({}), false),
        ] {
            let line = line(carrier, asked, verification.clone());
            let got = is_urgent(&line, NOW.parse().unwrap(), GOOD_FOR);
            assert_eq!(got, urgent, "{carrier} {asked} {verification}");
        }
        let mut waits = line("External", NOW, json!({"notBefore": old}));
        let mut status = waits.status.clone().unwrap();
        failed(&waits, &mut status);
        assert_eq!(status.verification.as_ref().and_then(|v| v.handled_call_request.as_deref()), Some(NOW));
        assert!(status.verification.as_ref().is_some_and(|v| v.not_before.is_some()), "something else was changed");
        waits.status = Some(status);
        assert!(!is_urgent(&waits, NOW.parse().unwrap(), GOOD_FOR), "each failure would begin another look");
        let telnyx = line("Telnyx", NOW, json!({}));
        let mut status = telnyx.status.clone().unwrap();
        failed(&telnyx, &mut status);
        assert_eq!(status, telnyx.status.clone().unwrap());
    }

    #[test]
    fn a_call_that_was_not_made_leaves_its_wish_answered() {
        let at = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(NOW.parse().unwrap()));
        let before = VerificationStatus { not_before: at, ..VerificationStatus::default() };
        let after = kept(Some(before.clone()), Some(NOW.into())).unwrap();
        assert_eq!(after, VerificationStatus { handled_call_request: Some(NOW.into()), ..before.clone() });
        assert_eq!(kept(None, Some(NOW.into())).unwrap().handled_call_request.as_deref(), Some(NOW));
        assert_eq!((kept(None, None), kept(Some(before.clone()), None)), (None, Some(before)));
    }
}
