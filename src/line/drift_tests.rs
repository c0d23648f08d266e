use super::*;
use crate::resources::client_number::LineStatus;
use serde_json::{Value, json};

const NOW: &str = "2026-11-01T10:00:00Z";
const OURS: &str = "https://wa.example.ma/webhook";

fn ours() -> Ours {
    Ours { webhook_url: Some(OURS.into()), tags: vec!["clientnumber:owner=w".into(), "clientnumber:company=a".into()] }
}

/// Meta's entry of a line that is as it should be, with `change` on its fields.
fn entry(change: Value) -> PhoneNumber {
    let mut entry = json!({
        "id": "1", "display_phone_number": "+212 612-345678", "verified_name": "Atlas", "name_status": "APPROVED",
        "status": "CONNECTED", "quality_rating": "GREEN", "platform_type": "CLOUD_API", "account_mode": "LIVE",
        "whatsapp_business_manager_messaging_limit": "TIER_2K", "webhook_configuration": {"application": OURS},
    });
    for (name, value) in change.as_object().unwrap() {
        entry[name] = value.clone();
    }
    serde_json::from_value(entry).unwrap()
}

fn owned(change: Value) -> OwnedNumber {
    let mut number = json!({"id": "9", "phone_number": "+212612345678", "status": "active", "tags": ours().tags});
    for (name, value) in change.as_object().unwrap() {
        number[name] = value.clone();
    }
    serde_json::from_value(number).unwrap()
}

fn seen(before: &LineStatus, meta: Presence<'_, PhoneNumber>, carrier: Presence<'_, OwnedNumber>) -> LineStatus {
    let heard_gap = Duration::from_secs(3600);
    let sight = Sight { meta, tells_webhooks: true, carrier, heard: None, heard_gap };
    facts(before.clone(), &sight, &ours(), NOW.parse().unwrap())
}

fn well() -> LineStatus {
    seen(&LineStatus::default(), Presence::There(&entry(json!({}))), Presence::There(&owned(json!({}))))
}

/// Ready, Degraded and DisplayNameApproved of a line with these facts, where they are not as they should be.
fn shown(line: &LineStatus) -> Vec<String> {
    let ready = verdict(Some(line));
    let name = display_name(Some(line), "Atlas");
    let mut shown = Vec::new();
    if ready.reason != Reason::Ready {
        assert!(ready.message.contains(": ") && ready.message.ends_with("read again by itself"), "{}", ready.message);
        shown.push(format!("Ready={}", ready.reason.as_str()));
    }
    shown.extend(degraded(line).map(|d| format!("Degraded={}", d.reason.as_str())));
    if name.truth != Truth::True {
        shown.push(format!("Name={}/{}", name.truth.as_str(), name.reason.as_str()));
    }
    shown
}

#[test]
fn what_meta_changes_is_shown_and_ends_with_it() {
    assert_eq!(shown(&well()), [""; 0]);
    let other = "https://other.example/hook?token=SECRET";
    let cases: Vec<(Value, &[&str])> = vec![
        (json!({"status": "DISCONNECTED"}), &["Ready=LineNotConnected"]),
        (json!({"status": "BANNED"}), &["Ready=LineNotConnected"]),
        (json!({"status": "FLAGGED"}), &["Degraded=LineRestricted"]),
        (json!({"status": "RESTRICTED"}), &["Degraded=LineRestricted"]),
        (json!({"status": "RATE_LIMITED"}), &["Degraded=LineRestricted"]),
        (json!({"status": "SOMETHING_NEW"}), &[]),
        (json!({"account_mode": "SANDBOX"}), &["Degraded=LineRestricted"]),
        (json!({"quality_rating": "YELLOW"}), &["Degraded=QualityLow"]),
        (json!({"quality_rating": "RED", "status": "FLAGGED"}), &["Degraded=LineRestricted"]),
        (json!({"quality_rating": "NA"}), &[]),
        (json!({"whatsapp_business_manager_messaging_limit": "TIER_250"}), &["Degraded=LimitLowered"]),
        (json!({"whatsapp_business_manager_messaging_limit": "TIER_10K"}), &[]),
        (json!({"whatsapp_business_manager_messaging_limit": "TIER_OF_SORTS"}), &[]),
        (json!({"webhook_configuration": {"application": OURS, "phone_number": other}}), &["Ready=WebhookOverridden"]),
        (json!({"webhook_configuration": {"whatsapp_business_account": other}}), &["Ready=WebhookOverridden"]),
        // The number's wins over the account's.
        (json!({"webhook_configuration": {"phone_number": OURS, "whatsapp_business_account": other}}), &[]),
        (json!({"webhook_configuration": {"phone_number": format!("{OURS}/")}}), &[]),
        (json!({"verified_name": "Atlas Casino"}), &["Name=False/NameDiffers"]),
        (json!({"new_display_name": "Casino", "new_name_status": "PENDING_REVIEW"}), &["Name=False/NameDiffers"]),
        (json!({"new_display_name": "Casino", "new_name_status": "DECLINED"}), &[]),
        (json!({"new_display_name": "Atlas", "new_name_status": "APPROVED"}), &[]),
        (json!({"verified_name": "Old", "new_display_name": "Atlas"}), &["Name=False/NamePending"]),
        (
            json!({"verified_name": "Old", "new_display_name": "Atlas", "new_name_status": "DECLINED"}),
            &["Name=False/NameDeclined"],
        ),
        (json!({"name_status": "DECLINED"}), &["Name=False/NameDeclined"]),
        (json!({"name_status": "PENDING_REVIEW"}), &["Name=False/NamePending"]),
        (json!({"name_status": null}), &["Name=Unknown/NotRead"]),
    ];
    for (change, expected) in cases {
        let (mut changed, before) = (entry(change.clone()), well());
        let drifted = seen(&before, Presence::There(&changed), Presence::Unknown);
        assert_eq!(shown(&drifted), expected, "{change}");
        assert!(!format!("{drifted:?}").contains("SECRET"), "{drifted:?}");
        changed = entry(json!({}));
        // But a limit that was seen once is remembered, so that a lowered one is told.
        let undone = seen(&drifted, Presence::There(&changed), Presence::Unknown);
        let raised = change.to_string().contains("TIER_10K");
        assert_eq!(shown(&undone), if raised { vec!["Degraded=LimitLowered"] } else { vec![] }, "{change}");
    }
}

#[test]
fn what_the_carrier_changes_is_shown_and_ends_with_it() {
    let cases: Vec<(Value, &[&str])> = vec![
        (json!({"status": "deleted"}), &["Ready=NumberLost"]),
        (json!({"status": "ported-out"}), &["Ready=NumberLost"]),
        (json!({"status": "port-out-pending"}), &["Degraded=NumberNotActive"]),
        (json!({"status": "something-new"}), &[]),
        (json!({"status": null}), &[]),
        (json!({"tags": []}), &["Degraded=NumberUntagged"]),
        (json!({"tags": ["clientnumber:owner=w", "clientnumber:company=b"]}), &["Degraded=NumberUntagged"]),
    ];
    for (change, expected) in cases {
        let drifted = seen(&well(), Presence::Unknown, Presence::There(&owned(change.clone())));
        assert_eq!(shown(&drifted), expected, "{change}");
        let undone = seen(&drifted, Presence::Unknown, Presence::There(&owned(json!({}))));
        assert_eq!(shown(&undone), [""; 0], "{change}");
    }
}

#[test]
fn a_number_that_is_gone_undoes_its_step_until_it_is_back() {
    let gone = seen(&well(), Presence::Gone, Presence::There(&owned(json!({}))));
    assert_eq!(shown(&gone), ["Ready=LineNotConnected"]);
    assert_eq!(undone(Step::Link, &gone).map(|u| u.0), Some(Reason::LineNotConnected));
    assert_eq!(undone(Step::Acquire, &gone), None);
    let lost = seen(&well(), Presence::There(&entry(json!({}))), Presence::Gone);
    assert_eq!(shown(&lost), ["Ready=NumberLost"]);
    assert_eq!(undone(Step::Acquire, &lost).map(|u| u.0), Some(Reason::NumberLost));
    for drifted in [gone, lost] {
        assert_eq!(seen(&drifted, Presence::Unknown, Presence::Unknown), drifted, "not read: it stays");
        let back = seen(&drifted, Presence::There(&entry(json!({}))), Presence::There(&owned(json!({}))));
        assert_eq!(back, well());
    }
}

#[test]
fn what_is_not_told_is_no_drift_and_no_recovery() {
    let bare: PhoneNumber = serde_json::from_value(json!({"id": "1"})).unwrap();
    assert_eq!(shown(&seen(&well(), Presence::There(&bare), Presence::Unknown)), ["Name=Unknown/NotRead"]);
    let other = json!({"webhook_configuration": {"phone_number": "https://other"}, "status": "CONNECTED"});
    let overridden = seen(&well(), Presence::There(&entry(other)), Presence::Unknown);
    let told_by_none = told(overridden.clone(), &bare, false, &ours());
    assert_eq!(verdict(Some(&told_by_none)).reason, Reason::WebhookOverridden, "the account does not tell: it stays");
    let told_by_others = told(overridden, &bare, true, &ours());
    assert_eq!(verdict(Some(&told_by_others)).reason, Reason::Ready, "told of others: this one has none");
    let banned = seen(&well(), Presence::There(&entry(json!({"status": "BANNED"}))), Presence::Unknown);
    let still = seen(&banned, Presence::There(&bare), Presence::Unknown);
    assert_eq!(verdict(Some(&still)).reason, Reason::LineNotConnected);
}

#[test]
fn a_busy_line_is_no_write_a_round() {
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let hear = |before: &LineStatus, heard: &str| {
        let heard_gap = Duration::from_secs(3600);
        let (meta, carrier) = (Presence::Unknown, Presence::Unknown);
        let sight = Sight { meta, tells_webhooks: true, carrier, heard: Some(at(heard)), heard_gap };
        facts(before.clone(), &sight, &ours(), at(NOW))
    };
    let first = hear(&well(), "2026-11-01T09:00:00.7Z");
    assert_eq!(first.last_webhook_at.clone().map(|t| t.0), Some(at("2026-11-01T09:00:00Z")));
    assert_eq!(hear(&first, "2026-11-01T09:59:59Z"), first);
    assert_ne!(hear(&first, "2026-11-01T10:00:00Z"), first);
}

#[test]
fn tiers_are_ordered() {
    let ordered = ["TIER_50", "TIER_250", "TIER_1K", "TIER_2K", "TIER_10K", "TIER_100K", "TIER_UNLIMITED"];
    assert!(ordered.windows(2).all(|pair| tier(pair[0]).is_some() && tier(pair[0]) < tier(pair[1])));
    assert_eq!((tier("NOT_SET"), tier("TIER_NOT_SET"), tier("TIER_K")), (None, None, None));
}
