//! Who is let in, as far as it needs no store.

use secrecy::SecretString;

use jiff::Timestamp;

use super::*;
use crate::delivery::AllowedOrigins;
use crate::delivery::auth::TokenPolicy;
use crate::delivery::keys::KeySource;
use crate::delivery::settings::Settings;
use crate::domain::SystemClock;
use crate::store::{Route, StoreOptions};

struct NoLines;

impl Lines for NoLines {
    fn of(&self, _: &CompanyId) -> Vec<Route> {
        Vec::new()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        watch::channel(0).1
    }
}

async fn hub(keys: KeySource) -> Hub {
    crate::install_crypto_provider();
    let nowhere = SecretString::from("mongodb://127.0.0.1:9/?directConnection=true");
    let store = Store::connect(&nowhere, StoreOptions::default()).await.unwrap();
    let policy = TokenPolicy { audience: "clientnumber".into(), issuer: None };
    let settings = Settings::new(policy, AllowedOrigins::default());
    let metrics = Metrics::register(&mut prometheus_client::registry::Registry::default());
    let keys = Keys::load(keys).await.unwrap();
    Hub::new(store, keys, Arc::new(NoLines), settings, metrics, Arc::new(SystemClock), watch::channel(false).1)
}

#[tokio::test]
async fn without_keys_or_revocations_nobody_is_judged() {
    let later = |answer: Result<Recruiter, Refusal>| matches!(answer, Err(Refusal::RetryLater(1..=120)));
    let token = jsonwebtoken::encode(
        &jsonwebtoken::Header::default(),
        &serde_json::json!({"sub": "fatima", "company_id": "atlas", "aud": "clientnumber",
            "iat": Timestamp::now().as_second(), "exp": Timestamp::now().as_second() + 60}),
        &jsonwebtoken::EncodingKey::from_secret(&[b'k'; 32]),
    )
    .unwrap();
    let away = hub(KeySource::JwksUrl("http://127.0.0.1:9/jwks.json".into())).await;
    away.set_revocations(Vec::new());
    for token in [token.as_str(), "words", ""] {
        assert!(later(away.authenticate(token).await), "{token}");
    }
    let there = hub(KeySource::Hs256("k".repeat(32).into())).await;
    assert!(later(there.authenticate(&token).await));
    there.set_revocations(Vec::new());
    assert!(there.authenticate(&token).await.is_ok());
    assert_eq!(there.authenticate("words").await, Err(Refusal::Unauthorized("malformed")));
}

#[tokio::test]
async fn a_token_that_was_revoked_amid_its_exchange_is_found() {
    let hub = hub(KeySource::Hs256("k".repeat(32).into())).await;
    let company = CompanyId::parse("atlas").unwrap();
    let of = |jti: &str| Recruiter {
        company: company.clone(),
        recruiter: "fatima".into(),
        jti: Some(jti.into()),
        iat: 0,
        exp: i64::MAX,
    };
    let token = watch::Sender::new(of("old"));
    let mut revoked = std::pin::pin!(hub.revoked(token.subscribe()));
    assert!(futures::poll!(&mut revoked).is_pending());
    // The new one was checked before this came, and is the session's after it.
    let at = Timestamp::now();
    hub.set_revocations(Revocation::new(None, None, Some("new".into()), at, &mut rand::rng()).into_iter().collect());
    assert!(futures::poll!(&mut revoked).is_pending(), "the session's is another one");
    token.send_replace(of("new"));
    let found = tokio::time::timeout(Duration::from_secs(10), revoked).await;
    assert_eq!(found, Ok(()));
}
