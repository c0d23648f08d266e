//! The calls that no pass of a line makes yet: documents, voice settings, the call log, applications.

use anyhow::{Context, Result};
use clientnumber::domain::{BusinessId, Country, CustomerReference, E164, NumberType, Pii, Pin, WabaId};
use clientnumber::providers::meta::{Callback, Granularity, Photo, PricingQuery, PricingType, Profile};
use clientnumber::providers::telnyx::{
    Diversion, FieldKind, OrderPart, OrderStatus, RecordKind, RequirementAction, RequirementStatus,
};
use clientnumber::providers::{ErrorClass, Reason};
use jiff::Timestamp;
use serde_json::json;

use super::{Providers, SOON, buy, capture_document, start};
use crate::support::{Seen, wait};

const RULES: [(&str, &str); 2] =
    [("3d5d2f9e-8d49-4c1c-9d6a-0a4f6f0b7a01", "document"), ("3d5d2f9e-8d49-4c1c-9d6a-0a4f6f0b7a02", "textual")];

/// Mobile numbers need two values from now on.
async fn strict(providers: &Providers) -> Result<()> {
    let needed: Vec<_> = RULES.iter().map(|(id, kind)| json!({"requirement_id": id, "field_type": kind})).collect();
    providers.control("/settings", json!({"telnyx": {"requirements": {"MA/mobile": needed}}})).await.map(drop)
}

fn value(place: usize, text: &str) -> (String, Pii<String>) {
    (RULES[place].0.to_owned(), Pii(text.to_owned()))
}

#[tokio::test]
async fn documents_are_asked_for_seen_handed_in_and_grouped() -> Result<()> {
    let providers = start("provider-documents").await?;
    strict(&providers).await?;
    let telnyx = &providers.telnyx;
    let (country, mobile) = (Country::parse("MA")?, NumberType::Mobile);
    let reference: CustomerReference = "test/clients/atlas".parse()?;

    // What is needed, before anything is bought.
    let rules = telnyx.requirements(&country, mobile, &RequirementAction::Ordering).await?;
    let first = rules.first().and_then(|set| set.requirements.first()).context("nothing is needed")?;
    assert_eq!((first.id.as_str(), &first.field_type), (RULES[0].0, &Some(FieldKind::Document)));
    assert_eq!(rules[0].requirements[1].criteria.as_ref().and_then(|rule| rule.max_length), Some(100));
    assert_eq!(telnyx.requirements(&country, NumberType::Local, &RequirementAction::Ordering).await?, []);

    // An order that waits: its sub-order, its item with the deadline, the values one by one.
    let candidates = telnyx.search(&country, &[mobile], 2).await?;
    let number = &candidates.first().context("nothing for sale")?.number;
    assert_eq!(telnyx.requirements_of(number).await?.len(), 1);
    let order = telnyx.create_order(number, &reference, None, None).await?;
    let subs = telnyx.sub_orders(&order.id).await?;
    assert_eq!(subs.iter().map(|sub| sub.id.as_str()).collect::<Vec<_>>(), order.sub_orders);
    assert_eq!(subs[0].requirements_met, Some(false));
    assert_eq!(telnyx.sub_orders("00000000-0000-4000-8000-000000000000").await?, []);
    telnyx.hand_in(OrderPart::SubOrder(&subs[0].id), &[value(0, "AB123456")]).await?;
    let sub = telnyx.sub_order(&subs[0].id).await?.context("the sub-order is gone")?;
    let item = sub.numbers.first().context("the sub-order has no number")?;
    assert_eq!(item.requirements.iter().map(|one| one.value.is_some()).collect::<Vec<_>>(), [true, false]);
    assert!(!format!("{sub:?}").contains("AB123456"), "a value was printed");
    let item_id = item.id.clone().context("the item has no id")?;
    let seen = telnyx.order_item(&item_id).await?.context("the item is gone")?;
    assert!(seen.deadline.is_some_and(|at| at > Timestamp::now()), "{seen:?}");
    assert_eq!(seen.sub_order.as_deref(), Some(subs[0].id.as_str()));
    telnyx.hand_in(OrderPart::Item(&item_id), &[value(1, "Atlas SARL")]).await?;
    assert_eq!(telnyx.order_item(&item_id).await?.and_then(|item| item.deadline), None);
    wait::until(SOON, "the order to succeed", async || match telnyx.order(&order.id).await {
        Ok(Some(order)) if order.status == Some(OrderStatus::Success) => Seen::Done(()),
        other => Seen::NotYet(format!("{other:?}")),
    })
    .await?;
    let error = telnyx.hand_in(OrderPart::Order(&order.id), &[value(1, "Atlas SARL")]).await.err();
    assert_eq!(error.map(|error| (error.class, error.reason)), Some((ErrorClass::Refused, Reason::AlreadyExists)));

    // A group: made, found, read; not approved, so that an order does not go on with it.
    let group = telnyx.create_requirement_group(&country, mobile, "test", &[value(0, "d"), value(1, "t")]).await?;
    assert_eq!((&group.status, group.is_approved()), (&Some(RequirementStatus::Unapproved), false));
    assert_eq!(telnyx.requirement_groups(&country, mobile).await?, std::slice::from_ref(&group));
    assert_eq!(telnyx.requirement_group(&group.id).await?.as_ref(), Some(&group));
    assert_eq!(telnyx.requirement_group("00000000-0000-4000-8000-000000000000").await?, None);
    let second = &candidates.get(1).context("one number for sale only")?.number;
    let order = telnyx.create_order(second, &reference, None, None).await?;
    let sub = telnyx.attach_requirement_group(&order.sub_orders[0], &group.id).await?;
    assert_eq!(sub.requirements_met, Some(false));
    assert!(telnyx.cancel_sub_order(&sub.id).await?);
    Ok(())
}

#[tokio::test]
async fn a_forwarded_number_a_call_and_a_lock_are_seen() -> Result<()> {
    let providers = start("provider-voice").await?;
    let telnyx = &providers.telnyx;
    let reference: CustomerReference = "test/clients/atlas".parse()?;
    let capture = telnyx.create_texml_application("clientnumber/test/c/capture", &capture_document().await?).await?;
    assert_eq!(telnyx.texml_application(&capture.id).await?.as_ref(), Some(&capture));
    let owned = buy(telnyx, &reference, &capture.id).await?;

    // Forwarding is put right before a code is asked for.
    let settings = telnyx.voice_settings(&owned.id).await?.context("no voice settings")?;
    assert_eq!((settings.diversion(), settings.number.as_ref()), (None, Some(&owned.number)));
    let path = format!("{}/phone_numbers/{}/voice", providers.telnyx_url, owned.id);
    let forwards = json!({"call_forwarding": {"call_forwarding_enabled": true, "forwards_to": "+212600000000"}});
    reqwest::Client::new().patch(path).bearer_auth("KEY-for-tests").json(&forwards).send().await?.error_for_status()?;
    let all = telnyx.all_voice_settings().await?;
    assert_eq!(
        all.iter().map(|one| (one.id.as_str(), one.diversion())).collect::<Vec<_>>(),
        [(owned.id.as_str(), Some(Diversion::Forwarded))]
    );
    assert_eq!(telnyx.number_by_id(&owned.id).await?.and_then(|n| n.call_forwarding_enabled), Some(true));
    assert_eq!(telnyx.let_calls_through(&owned.id).await?.diversion(), None);
    assert_eq!(telnyx.voice_settings("1").await?, None);

    // A call: in both logs, and only for the number that was called.
    let before = Timestamp::now() - jiff::SignedDuration::from_secs(60);
    let call = providers.control("/calls", json!({"to": owned.number.as_str()})).await?;
    assert_eq!(call["outcome"], "recorded");
    let record = wait::until(SOON, "a detail record", async || {
        match telnyx.detail_records(&RecordKind::CallControl, before, Some(&owned.number)).await {
            Ok(found) => found.into_iter().next().ok_or("none").into(),
            Err(error) => Seen::NotYet(error.to_string()),
        }
    })
    .await?;
    assert_eq!((record.to.as_ref(), record.connected), (Some(&owned.number), Some(true)));
    assert!(record.call_secs.is_some_and(|secs| secs > 0) && record.cost.is_some(), "{record:?}");
    let events = telnyx.call_events_since(before, 1).await?.entries;
    assert!(events.iter().any(|event| event.call_session_id == record.call_session_id), "{events:?}");
    let other = E164::parse("+212699999999")?;
    assert_eq!(telnyx.detail_records(&RecordKind::CallControl, before, Some(&other)).await?, []);
    assert_eq!(telnyx.detail_records(&RecordKind::SipTrunking, before, None).await?, []);

    // A locked number is not given back; nor is it taken for gone.
    let path = format!("/numbers/{}", owned.number.digits());
    providers.control(&path, json!({"telnyx": {"deletion_lock": true}})).await?;
    assert_eq!(telnyx.number_by_id(&owned.id).await?.and_then(|n| n.deletion_lock_enabled), Some(true));
    let error = telnyx.release_number(&owned.id).await.err().context("a locked number was released")?;
    assert_eq!((error.class, error.reason), (ErrorClass::NeedsHuman, Reason::DeletionLocked));
    providers.control(&path, json!({"telnyx": {"deletion_lock": false}})).await?;
    telnyx.release_number(&owned.id).await?;
    telnyx.delete_texml_application(&capture.id).await?;
    telnyx.delete_texml_application(&capture.id).await?;
    assert_eq!(telnyx.texml_application(&capture.id).await?, None);
    Ok(())
}

#[tokio::test]
async fn a_photo_overrides_the_apps_fields_and_costs_are_seen() -> Result<()> {
    let providers = start("provider-account").await?;
    let meta = &providers.meta;
    let (waba, number) = (WabaId::parse("104")?, E164::parse("+212612345678")?);
    let id = meta.create_phone_number(&waba, &number, "Atlas by Recruto").await?;

    // A photo is shown once its bytes are there; a handle that was made up is not.
    let photo = Photo::new(b"\x89PNG\r\n\x1a\n and some pixels".to_vec())?;
    meta.set_profile_photo(&id, &photo).await?;
    assert!(meta.profile(&id).await?.profile_picture_url.is_some());
    let made_up = Profile { photo_handle: Some("4:made-up".to_owned()), ..Profile::default() };
    let error = meta.update_profile(&id, &made_up).await.err();
    assert_eq!(error.and_then(|error| error.code.clone()).as_deref(), Some("100"));

    // Overrides of number and account: set, seen, cleared.
    let callback = Callback::new("https://elsewhere.example/webhook", "verify-me".into())?;
    let overridden =
        async || anyhow::Ok(meta.phone_number(&id).await?.context("gone")?.webhook_override().map(str::to_owned));
    assert_eq!(overridden().await?, None);
    meta.override_number_webhook(&id, &callback).await?;
    assert_eq!(overridden().await?.as_deref(), Some("https://elsewhere.example/webhook"));
    meta.clear_webhook_override(&id).await?;
    meta.override_account_webhook(&waba, &callback).await?;
    assert_eq!(overridden().await?.as_deref(), Some("https://elsewhere.example/webhook"));
    assert!(meta.subscribed_apps(&waba).await?[0].override_callback_uri.is_some());
    meta.subscribe(&waba).await?;
    assert_eq!(overridden().await?, None);

    // The app's own subscription: none, then two fields.
    assert_eq!(meta.app_subscriptions().await?, []);
    meta.subscribe_app(&callback, &["messages", "security"]).await?;
    let subscriptions = meta.app_subscriptions().await?;
    assert!(subscriptions[0].is_whatsapp() && subscriptions[0].active == Some(true));
    assert_eq!(subscriptions[0].fields, ["messages", "security"]);
    let error = meta.subscribe_app(&callback, &["colours"]).await.err();
    assert_eq!(error.and_then(|error| error.code.clone()).as_deref(), Some("100"));

    // Nothing is registered, so nothing was charged; what can't be asked is refused.
    let end = Timestamp::now();
    let days = |days: i64| PricingQuery {
        start: end - jiff::SignedDuration::from_hours(24 * days),
        end,
        granularity: Granularity::Daily,
        numbers: vec![number.clone()],
    };
    let none = meta.pricing_analytics(&waba, &days(3)).await?;
    assert_eq!((none.currency.as_deref(), none.points.len()), (Some("USD"), 0));
    providers.control("/numbers/212612345678", json!({"meta": {"code_verification_status": "VERIFIED"}})).await?;
    meta.register(&id, &Pin::parse("246810")?).await?;
    let read = meta.pricing_analytics(&waba, &days(3)).await?;
    assert!(!read.points.is_empty() && read.points.iter().all(|point| point.number.as_ref() == Some(&number)));
    for point in &read.points {
        let (volume, cost) = (point.volume.context("no volume")?, point.cost.context("no cost")?);
        let rate = match point.pricing_type {
            Some(PricingType::FreeCustomerService) => 0,
            Some(PricingType::Regular) => 414,
            ref other => anyhow::bail!("{other:?}"),
        };
        // To the last digit: no float stands between Meta's number and this one.
        assert_eq!(cost, rust_decimal::Decimal::new(rate * i64::try_from(volume)?, 4));
    }
    assert!(meta.pricing_analytics(&waba, &days(800)).await.is_err());

    // What does not exist is told as that.
    let unknown = WabaId::parse("999")?;
    assert_eq!(meta.waba(&unknown).await.err().map(|error| error.reason), Some(Reason::NotFound));
    assert_eq!(meta.phone_numbers(&unknown).await.err().map(|error| error.reason), Some(Reason::NotFound));
    assert_eq!(meta.business(&BusinessId::parse("999")?).await.err().map(|error| error.reason), Some(Reason::NotFound));
    Ok(())
}
