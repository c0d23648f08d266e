//! A call of the account's own to one of its numbers: made, recorded and written down as a call from outside is; and what
//! keeps it from being made.

use anyhow::{Context, Result};
use clientnumber::code::transcript;
use clientnumber::domain::{CustomerReference, E164};
use clientnumber::providers::telnyx::{CallEventKind, OutboundCall};
use clientnumber::providers::{ErrorClass, Reason};
use jiff::{Timestamp, ToSpan};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::{Providers, SOON, buy, capture_document, start};
use crate::support::{Seen, wait};

const FROM: &str = "+212699000001";
const SAYS: &str = r#"<?xml version="1.0" encoding="UTF-8"?><Response>
    <Say>Verification code is 1, 2, 0, 4, 5, 6.</Say><Pause length="1"/>
    <Say>Verification code is 1, 2, 0, 4, 5, 6.</Say></Response>"#;

/// An application that may call out when it has a profile; its id.
async fn application(providers: &Providers, profile: Option<&str>) -> Result<String> {
    let outbound = profile.map_or_else(|| json!({}), |id| json!({"outbound_voice_profile_id": id}));
    let body = json!({"friendly_name": "rehearsal", "voice_url": "https://a.example/x.xml", "outbound": outbound});
    let request = reqwest::Client::new().post(format!("{}/texml_applications", providers.telnyx_url));
    let answer: Value = request.bearer_auth("KEY-for-tests").json(&body).send().await?.json().await?;
    answer["data"]["id"].as_str().map(str::to_owned).context("no application")
}

#[tokio::test]
async fn a_number_of_the_account_hears_a_call_of_the_account() -> Result<()> {
    let providers = start("provider-calling").await?;
    let telnyx = &providers.telnyx;
    let capture = telnyx.create_texml_application("capture", &capture_document().await?).await?;
    let reference: CustomerReference = "test/clients/atlas".parse()?;
    let owned = buy(telnyx, &reference, &capture.id).await?;
    providers.control("/existing-numbers", json!({"phone_number": FROM})).await?;
    let (account, from) = (telnyx.organization().await?, E164::parse(FROM)?);
    let (bare, stranger) = (application(&providers, None).await?, E164::parse("+212699000002")?);
    let connection = application(&providers, Some("1293384261075731499")).await?;
    let call =
        OutboundCall { account: &account, from: &from, to: &owned.number, connection: &connection, document: SAYS };

    // What can't be made: nothing rings, and each says which field is to be corrected.
    for (refused, reason, names) in [
        (OutboundCall { from: &stranger, ..call }, Reason::InvalidPhoneNumber, "telnyx.rehearsal.fromNumber"),
        (OutboundCall { connection: &bare, ..call }, Reason::InvalidConnection, "an outbound voice profile"),
        (OutboundCall { connection: "12", ..call }, Reason::InvalidConnection, "telnyx.rehearsal.connectionId"),
    ] {
        let error = telnyx.place_call(&refused).await.err().context("the call was made")?;
        assert_eq!((error.class, error.reason), (ErrorClass::NeedsHuman, reason), "{error}");
        assert!(error.what_to_do.contains(names), "{}", error.what_to_do);
    }
    let since = Timestamp::now() - 1.hour();
    assert!(telnyx.call_events_since(since, 1).await?.entries.is_empty(), "something rang");

    telnyx.place_call(&call).await?;
    let recording = wait::until(SOON, "a recording", async || match telnyx.recordings_since(since, 1).await {
        Ok(found) => found.entries.into_iter().find(|r| r.to.as_ref() == Some(&owned.number)).ok_or("none").into(),
        Err(error) => Seen::NotYet(error.to_string()),
    })
    .await?;
    assert_eq!(recording.connection_id.as_deref(), Some(capture.id.as_str()));
    assert_eq!(recording.from.as_ref().map(|from| from.0.as_str()), Some(FROM));
    let text = wait::until(SOON, "its transcription", async || match telnyx.transcriptions_since(since).await {
        Ok(all) => {
            let done = all.into_iter().find(|t| t.recording_id.as_deref() == Some(&recording.id) && t.is_complete());
            done.and_then(|t| t.text().cloned()).ok_or("not yet").into()
        }
        Err(error) => Seen::NotYet(error.to_string()),
    })
    .await?;
    let transcript::Reading::Code { code, .. } = transcript::read(text.expose_secret()) else {
        anyhow::bail!("the digits can't be read");
    };
    assert_eq!(code.expose(), "120456");
    // The account's own leg stands in the call log beside the one that rang.
    let events = telnyx.call_events_since(since, 1).await?.entries;
    let began = |outgoing: bool| {
        let of = events.iter().filter(|event| event.kind == CallEventKind::Initiated && event.outgoing == outgoing);
        of.filter(|event| event.to.as_ref() == Some(&owned.number)).count()
    };
    assert_eq!((began(true), began(false)), (1, 1));
    Ok(())
}
