//! The two clients against the sandbox, call by call in the order of the pipeline: do both understand the same providers?

mod breadth;
mod calling;
mod taking_over;

use crate::support::{Program, Seen, run_dir, wait};
use anyhow::{Context, Result, anyhow};
use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use clientnumber::code::transcript;
use clientnumber::domain::{AppId, BusinessId, Country, CustomerReference, E164, NumberType, OtpCode, Pin, WabaId};
use clientnumber::providers::meta::{self, CodeMethod, CodeVerificationStatus};
use clientnumber::providers::telnyx::{self, NumberUpdate, OrderStatus, OwnedStatus, Transcription};
use clientnumber::providers::{ErrorClass, Http, Reason};
use jiff::{Timestamp, ToSpan};
use secrecy::{ExposeSecret, SecretString};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);
const CAPTURE: &str = r#"<?xml version="1.0" encoding="UTF-8"?><Response><Record playBeep="false" finishOnKey=""
  maxLength="120" timeout="0" channels="single" format="wav" transcription="true" transcriptionEngine="B"
  transcriptionLanguage="en-US"/></Response>"#;

struct Providers {
    telnyx: telnyx::Client,
    meta: meta::Client,
    control: String,
    telnyx_url: String,
    _sandbox: Program,
}

impl Providers {
    /// POST on the control port; the answer.
    async fn control(&self, path: &str, body: serde_json::Value) -> Result<serde_json::Value> {
        let answer = reqwest::Client::new().post(format!("{}{path}", self.control)).json(&body).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        anyhow::ensure!(status.is_success(), "POST {path}: {status} {text}");
        Ok(serde_json::from_str(&text)?)
    }
}

async fn start(name: &str) -> Result<Providers> {
    let dir = run_dir(name)?;
    let args =
        "sandbox --telnyx-addr 127.0.0.1:0 --meta-addr 127.0.0.1:0 --control-addr 127.0.0.1:0 --speed 0 --seed 7";
    let env = [("APP_SECRET", "app-secret-for-tests")];
    let mut sandbox = Program::start(name, env!("CARGO_BIN_EXE_clientnumber"), &dir, args.split(' '), env)?;
    let line = sandbox.wait_for_log("\"telnyx\"", SOON).await?;
    let at: serde_json::Value = serde_json::from_str(&line[line.find('{').context("no JSON")?..])?;
    let address = |name: &str| at[name].as_str().map(str::to_owned).context("an address is missing");
    let http = Http::new()?;
    let secret = SecretString::from("app-secret-for-tests");
    let telnyx = telnyx::Client::new(&address("telnyx")?, "KEY-for-tests".into(), &http)?;
    let url = address("meta")?;
    let meta = meta::Client::new(&url, "v25.0", "EAA-for-tests".into(), &secret, AppId::parse("7700")?, &http)?;
    Ok(Providers { telnyx, meta, control: address("control")?, telnyx_url: address("telnyx")?, _sandbox: sandbox })
}

/// Serves the document that a called number's application names; its URL.
async fn capture_document() -> Result<String> {
    let app = Router::new().route("/capture.xml", get(|| async { ([(CONTENT_TYPE, "text/xml")], CAPTURE) }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/capture.xml", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(url)
}

/// Buys the first offer; the number and its id.
async fn buy(telnyx: &telnyx::Client, reference: &CustomerReference, connection: &str) -> Result<telnyx::OwnedNumber> {
    let types = [NumberType::Mobile, NumberType::National, NumberType::Local];
    let candidates = telnyx.search(&Country::parse("MA")?, &types, 10).await?;
    let number = candidates.first().context("nothing for sale")?.number.clone();
    let order = telnyx.create_order(&number, reference, Some(connection), None).await?;
    wait::until(SOON, "the order to succeed", async || match telnyx.order(&order.id).await {
        Ok(Some(order)) if order.status == Some(OrderStatus::Success) => Seen::Done(()),
        other => Seen::NotYet(format!("{other:?}")),
    })
    .await?;
    wait::until(SOON, "the account to list the number", async || match telnyx.number(&number).await {
        Ok(Some(owned)) if owned.status == Some(OwnedStatus::Active) => Seen::Done(owned),
        other => Seen::NotYet(format!("{other:?}")),
    })
    .await
}

#[tokio::test]
async fn a_line_call_by_call() -> Result<()> {
    let Providers { telnyx, meta, .. } = &start("providers").await?;
    let reference: CustomerReference = "test/clients/atlas".parse()?;
    let waba = WabaId::parse("104")?;

    // The account.
    assert!(telnyx.balance().await?.available.to_string() != "0");
    assert!(telnyx.coverage(&Country::parse("MA")?).await?.numbers);
    let capture = telnyx.create_texml_application("clientnumber/test/c/capture", &capture_document().await?).await?;
    assert!(telnyx.texml_applications().await?.contains(&capture));

    // Acquire, tag, find again.
    let owned = buy(telnyx, &reference, &capture.id).await?;
    let number = owned.number.clone();
    let orders = telnyx.orders_by_reference(&reference).await?;
    assert!(orders.len() == 1 && orders[0].item(&number).is_some(), "{orders:?}");
    let update = NumberUpdate {
        connection_id: Some(capture.id.clone()),
        tags: Some(vec!["clientnumber:owner=test".to_owned()]),
        customer_reference: Some(reference.clone()),
    };
    telnyx.update_number(&owned.id, &update).await?;
    for found in
        [telnyx.numbers_by_tag("clientnumber:owner=test").await?, telnyx.numbers_by_reference(&reference).await?]
    {
        assert_eq!(found.iter().map(|n| &n.number).collect::<Vec<_>>(), [&number]);
        assert_eq!(found[0].connection_id.as_deref(), Some(capture.id.as_str()));
    }

    // Link.
    let id = meta.create_phone_number(&waba, &number, "Atlas by Recruto").await?;
    wait::until(SOON, "the account to list it", async || match meta.phone_numbers(&waba).await {
        Ok(list) if list.iter().any(|n| n.id == id && n.number().as_ref() == Some(&number)) => Seen::Done(()),
        other => Seen::NotYet(format!("{other:?}")),
    })
    .await?;

    // Verify: a wrong code first, then the one that was spoken.
    let began = Timestamp::now() - 1.hour();
    let of = |t: &Transcription, recording: &str| t.recording_id.as_deref() == Some(recording) && t.is_complete();
    meta.request_code(&id, &CodeMethod::Voice, "en_US").await?;
    let recording = wait::until(SOON, "a recording", async || match telnyx.recordings_since(began, 1).await {
        Ok(found) => found.entries.into_iter().find(|r| r.to.as_ref() == Some(&number)).ok_or("none").into(),
        Err(error) => Seen::NotYet(error.to_string()),
    })
    .await?;
    assert_eq!(recording.to.as_ref(), Some(&number));
    let transcription = wait::until(SOON, "a transcription", async || match telnyx.transcriptions_since(began).await {
        Ok(all) => all.into_iter().find(|t| of(t, &recording.id)).ok_or("none").into(),
        Err(error) => Seen::NotYet(error.to_string()),
    })
    .await?;
    let text = transcription.text().context("no text")?.expose_secret().to_owned();
    let fresh = telnyx.recording(&recording.id).await?.context("the recording is gone")?;
    assert!(!telnyx.transcribe(&fresh).await?.expose_secret().is_empty());
    let transcript::Reading::Code { code, .. } = transcript::read(&text) else {
        return Err(anyhow!("the code was not read"));
    };
    let wrong = OtpCode::parse(if code.expose() == "000000" { "000001" } else { "000000" })?;
    let error = meta.verify_code(&id, &wrong).await.err().context("a wrong code was taken")?;
    assert_eq!((error.class, error.reason), (ErrorClass::Refused, Reason::WrongCode));
    meta.verify_code(&id, &code).await?;
    telnyx.delete_transcription(&transcription.id).await?;
    telnyx.delete_recording(&recording.id).await?;
    telnyx.delete_recording(&recording.id).await?;

    // Register, then everything that is read of a line.
    let pin = Pin::parse("246810")?;
    wait::until(SOON, "the number to be registered", async || match meta.register(&id, &pin).await {
        Ok(()) => Seen::Done(()),
        Err(error) => Seen::NotYet(error.to_string()),
    })
    .await?;
    let line = wait::until(SOON, "the number to be connected", async || match meta.phone_number(&id).await {
        Ok(Some(line)) if line.is_connected() => Seen::Done(line),
        other => Seen::NotYet(format!("{other:?}")),
    })
    .await?;
    assert_eq!(line.code_verification_status, Some(CodeVerificationStatus::Verified));
    let error = meta.register(&id, &Pin::parse("135791")?).await.err().context("a wrong PIN was taken")?;
    assert_eq!((error.class, error.reason), (ErrorClass::NeedsHuman, Reason::PinMismatch));
    meta.subscribe(&waba).await?;
    assert!(meta.subscribed_apps(&waba).await?.iter().any(|app| app.id == *meta.app_id()));
    let profile = meta::Profile { about: Some("We hire".to_owned()), ..meta::Profile::default() };
    meta.update_profile(&id, &profile).await?;
    assert_eq!(meta.profile(&id).await?.about.as_deref(), Some("We hire"));
    assert!(meta.debug_token().await?.is_valid);
    meta.waba(&waba).await?;
    meta.business(&BusinessId::parse("1020")?).await?;

    // Release, twice: gone is gone.
    meta.deregister(&id).await?;
    telnyx.release_number(&owned.id).await?;
    telnyx.release_number(&owned.id).await?;
    Ok(())
}

#[tokio::test]
async fn refusals_are_told_apart() -> Result<()> {
    let Providers { telnyx, meta, .. } = &start("provider-refusals").await?;
    let reference: CustomerReference = "test/clients/atlas".parse()?;
    let waba = WabaId::parse("104")?;
    // A number that was not searched for, then one that is taken.
    let error = telnyx.create_order(&E164::parse("+212699999999")?, &reference, None, None).await.err();
    assert_eq!(error.map(|e| (e.class, e.reason)), Some((ErrorClass::Refused, Reason::SearchNeeded)));
    let capture = telnyx.create_texml_application("clientnumber/test/c/capture", &capture_document().await?).await?;
    let owned = buy(telnyx, &reference, &capture.id).await?;
    let error = telnyx.create_order(&owned.number, &reference, None, None).await.err();
    assert_eq!(error.map(|e| (e.class, e.reason)), Some((ErrorClass::Refused, Reason::NumberTaken)));
    assert_eq!(telnyx.number(&E164::parse("+212699999999")?).await?, None);
    assert_eq!(telnyx.order("00000000-0000-4000-8000-000000000000").await?, None);
    // Registering before verifying.
    let id = meta.create_phone_number(&waba, &owned.number, "Atlas by Recruto").await?;
    let error = meta.register(&id, &Pin::parse("246810")?).await.err();
    assert_eq!(error.map(|e| (e.class, e.reason)), Some((ErrorClass::Refused, Reason::NeedsVerification)));
    Ok(())
}
