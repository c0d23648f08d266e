//! Who is let in: handshakes as the official client sees them refused.

use std::time::Duration;

use anyhow::Result;
use clientnumber::domain::CompanyId;
use clientnumber::store::Revocation;
use jiff::Timestamp;
use mongodb::bson::{self, doc};
use serde_json::{Value, json};

use super::bed::{Bed, token};
use crate::support::client::Client;
use crate::support::{run_dir, wait};

#[tokio::test]
async fn bad_handshakes_are_refused_with_their_code() -> Result<()> {
    let bed = Bed::start(&run_dir("delivery-handshakes")?).await?;
    let atlas = bed.company("atlas", 101).await?;
    let replica = bed.replica(|_| {}).await?;
    let now = Timestamp::now().as_second();
    let signed = |change: Value| token("atlas", "fatima", change).map(|token| json!({ "token": token }));
    let foreign = {
        let key = jsonwebtoken::EncodingKey::from_secret(b"another secret, of another platform");
        let claims = json!({"sub": "x", "company_id": "atlas", "aud": "clientnumber", "iat": now, "exp": now + 60});
        jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key)?
    };
    let good = atlas.token("fatima", json!({}))?;
    let table = [
        ("nothing", json!({}), "unauthorized"),
        ("no token", json!({"device": "d"}), "unauthorized"),
        ("an empty token", json!({"token": ""}), "unauthorized"),
        ("a number", json!({"token": 5}), "unauthorized"),
        ("words", json!({"token": "let me in"}), "unauthorized"),
        ("another secret", json!({ "token": foreign }), "unauthorized"),
        ("a cut token", json!({"token": &good[..good.len() - 3]}), "unauthorized"),
        ("another audience", signed(json!({"aud": "crm"}))?, "unauthorized"),
        ("no subject", signed(json!({"sub": null}))?, "unauthorized"),
        ("no company", signed(json!({"company_id": null}))?, "unauthorized"),
        ("no issue time", signed(json!({"iat": null}))?, "unauthorized"),
        ("no expiry", signed(json!({"exp": null}))?, "unauthorized"),
        ("a day long", signed(json!({"exp": now + 86_400}))?, "unauthorized"),
        ("expired", signed(json!({"exp": now - 1, "iat": now - 60}))?, "token_expired"),
        ("a device that is a number", json!({"token": good, "device": 1}), "unauthorized"),
        ("a device without a name", json!({"token": good, "device": ""}), "unauthorized"),
        ("a device with a long name", json!({"token": good, "device": "d".repeat(65)}), "unauthorized"),
        ("a cursor that is a number", json!({"token": good, "cursor": 7}), "unauthorized"),
        ("a cursor ahead", json!({"token": good, "cursor": "7.aa"}), "cursor_reset"),
    ];
    let mut clients = Vec::new();
    for (name, auth, code) in table {
        clients.push((name, Client::raw(&replica.url, auth).await?, code));
        // A few at a time: each is a process.
        if clients.len() == 5 {
            refused(std::mem::take(&mut clients)).await?;
        }
    }
    refused(clients).await?;

    // What the client says of itself beside the token means nothing.
    let claims =
        atlas.auth("fatima", json!({"company_id": "rif", "company": "rif", "room": "rif", "rooms": ["rif"]}))?;
    let client = Client::raw(&replica.url, claims).await?;
    assert_eq!(client.got(0, "welcome").await?["company_id"], "atlas");

    // Before any token: origin, transport, other namespaces.
    for (name, arguments) in [
        ("a foreign page", json!({"options": {"extraHeaders": {"Origin": "https://evil.example"}}})),
        ("polling", json!({"options": {"transports": ["polling"]}})),
    ] {
        let mut arguments = arguments;
        arguments["url"] = replica.url.clone().into();
        arguments["auth"] = atlas.auth("fatima", json!({}))?;
        let client = Client::raw_with(arguments).await?;
        let error = client.after(0, name, |v| v["event"] == "connect_error").await?;
        assert_eq!(error["data"]["code"], Value::Null, "{name}");
    }
    let admin = Client::raw(&format!("{}/admin", replica.url), atlas.auth("fatima", json!({}))?).await?;
    let error = admin.after(0, "another namespace", |v| v["event"] == "connect_error").await?;
    assert_eq!(error["message"], "Invalid namespace");
    let mut allowed = json!({"options": {"extraHeaders": {"Origin": "https://app.example.ma"}}});
    allowed["url"] = replica.url.clone().into();
    allowed["auth"] = atlas.auth("fatima", json!({}))?;
    Client::raw_with(allowed).await?.got(0, "welcome").await?;
    Ok(())
}

async fn refused(clients: Vec<(&str, Client, &str)>) -> Result<()> {
    for (name, client, code) in clients {
        let error = client.after(0, name, |v| v["event"] == "connect_error").await?;
        assert_eq!(error["message"], code, "{name}");
        assert_eq!(error["data"], json!({ "code": code }), "{name}");
        assert!(client.items().is_empty(), "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn a_recruiter_has_so_many_devices() -> Result<()> {
    let bed = Bed::start(&run_dir("delivery-devices")?).await?;
    let atlas = bed.company("atlas", 101).await?;
    let replica = bed.replica(|settings| settings.devices_per_recruiter = 2).await?;
    let connect = async |recruiter: &str, device: &str| {
        Client::raw(&replica.url, atlas.auth(recruiter, json!({ "device": device }))?).await
    };
    let (laptop, phone) = (connect("fatima", "laptop").await?, connect("fatima", "phone").await?);
    for device in [&laptop, &phone] {
        device.got(0, "welcome").await?;
    }
    let tablet = connect("fatima", "tablet").await?;
    let refused = tablet.after(0, "the refusal", |v| v["event"] == "connect_error").await?;
    assert_eq!(refused["data"]["code"], "retry_later");
    assert!(refused["data"]["retry_after_s"].as_u64().is_some_and(|s| (10..=120).contains(&s)), "{refused}");
    assert_eq!(replica.metric("router_auth_failures_total{reason=\"too_many_devices\"} ")?, 1.0);

    // Who takes a device's own place, and who is somebody else, is let in; and the tablet once another has left.
    let again = connect("fatima", "laptop").await?;
    again.got(0, "welcome").await?;
    laptop.after(0, "replaced", |v| v["args"][0]["reason"] == "replaced").await?;
    connect("omar", "tablet").await?.got(0, "welcome").await?;
    drop(phone);
    wait::until(Duration::from_secs(40), "the tablet to be let in", async || {
        let tablet = connect("fatima", "tablet").await?;
        let answers = |v: &Value| v["name"] == "welcome" || v["event"] == "connect_error";
        match tablet.after(0, "an answer", answers).await? {
            welcome if welcome["name"] == "welcome" => Ok(()),
            refused => Err(anyhow::anyhow!("{refused}")),
        }
    })
    .await
}

#[tokio::test]
async fn revoked_and_late_tokens() -> Result<()> {
    let bed = Bed::start(&run_dir("delivery-revoked")?).await?;
    let atlas = bed.company("atlas", 101).await?;
    let replica = bed.replica(|settings| settings.connects_per_second = 1.0).await?;
    // What somebody wrote by hand costs itself and no other.
    let by_hand = doc! {"_id": "by hand", "recruiter": 5, "expireAt": bson::DateTime::from_millis(4_000_000_000_000)};
    let platform = bed.mongo.client().await?.database("clientnumber");
    platform.collection::<bson::Document>("revocations").insert_one(by_hand).await?;
    let company = CompanyId::parse("atlas")?;
    let revoke = Revocation::new(Some(company), Some("gone".into()), None, Timestamp::now(), &mut rand::rng());
    bed.store.revocations().insert(&revoke.expect("it names somebody")).await?;

    let code = async |client: &Client| -> Result<Value> {
        Ok(client.after(0, "the refusal", |v| v["event"] == "connect_error").await?["data"].clone())
    };
    wait::until(Duration::from_secs(10), "the revocation to be known", async || {
        let client = Client::raw(&replica.url, atlas.auth("gone", json!({}))?).await?;
        match code(&client).await?["code"].as_str() {
            Some("revoked") => Ok(()),
            other => Err(anyhow::anyhow!("{other:?}")),
        }
    })
    .await?;

    // A storm: more at once than the door takes.
    let mut storm = Vec::new();
    for n in 0..5 {
        storm.push(Client::raw(&replica.url, atlas.auth(&format!("r{n}"), json!({}))?).await?);
    }
    let mut later = 0;
    for client in &storm {
        let first = client.after(0, "an answer", |v| v["event"] == "connect_error" || v["event"] == "connect").await?;
        if first["event"] == "connect_error" {
            assert_eq!(first["data"]["code"], "retry_later", "{first}");
            assert!(first["data"]["retry_after_s"].as_u64().is_some_and(|s| (1..=120).contains(&s)), "{first}");
            later += 1;
        }
    }
    assert!(later > 0, "the door took all of them");
    Ok(())
}
