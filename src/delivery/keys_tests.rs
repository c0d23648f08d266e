//! Key sets and tokens that were signed by another implementation (Node's crypto); only public keys are kept.

use jiff::Timestamp;
use serde_json::Value;

use super::*;
use crate::delivery::auth::{TokenPolicy, verify};
use crate::delivery::refusal::Refusal;

fn data() -> Value {
    serde_json::from_str(include_str!("testdata/jwks_tokens.json")).unwrap()
}

fn keys() -> Vec<VerifyKey> {
    parse_jwks(data()["jwks"].to_string().as_bytes()).unwrap()
}

#[test]
fn a_key_set_keeps_what_can_verify() {
    let ids: Vec<_> = keys().iter().map(|k| (k.id.clone().unwrap(), k.algorithm)).collect();
    let want =
        [("rsa", Algorithm::RS256), ("ec", Algorithm::ES256), ("ed", Algorithm::EdDSA)].map(|(k, a)| (k.to_owned(), a));
    assert_eq!(ids, want);
}

#[test]
fn tokens_of_another_implementation() {
    let policy = TokenPolicy { audience: "clientnumber".into(), issuer: None };
    let now = Timestamp::from_second(1_790_000_000).unwrap();
    let data = data();
    let judge = |name: &str| verify(data["tokens"][name].as_str().unwrap(), &keys(), &policy, now);
    for good in ["rs256", "es256", "eddsa"] {
        assert_eq!(judge(good).map(|r| r.company.to_string()), Ok("atlas".into()), "{good}");
    }
    for (bad, why) in [
        ("hs256_with_public_key", "algorithm"),
        ("hs256_with_oct", "unknown_key"),
        ("kid_of_another_key", "algorithm"),
        ("signed_by_another_key", "bad_signature"),
        ("p384", "unknown_key"),
        ("for_encryption", "unknown_key"),
        ("no_kid", "unknown_key"),
        ("unknown_kid", "unknown_key"),
    ] {
        assert_eq!(judge(bad), Err(Refusal::Unauthorized(why)), "{bad}");
    }
}

#[test]
fn what_is_not_a_key_set() {
    for bad in ["", "{}", "[]", r#"{"keys": 1}"#, r#"{"keys": []}"#, r#"{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}"#] {
        assert!(matches!(parse_jwks(bad.as_bytes()), Err(KeyError::NotAKeySet(_))), "{bad}");
    }
}

#[tokio::test]
async fn sources() {
    let load = |source| async { Keys::load(source).await };
    let secret = |text: &str| KeySource::Hs256(text.to_owned().into());
    assert!(matches!(load(secret("short")).await, Err(KeyError::ShortSecret(5))));
    assert_eq!(load(secret(&"x".repeat(32))).await.unwrap().current().len(), 1);

    let path = std::env::temp_dir().join(format!("jwks-{}.json", std::process::id()));
    assert!(matches!(load(KeySource::JwksFile(path.clone())).await, Err(KeyError::File(_))));
    std::fs::write(&path, data()["jwks"].to_string()).unwrap();
    let keys = load(KeySource::JwksFile(path.clone())).await.unwrap();
    assert_eq!(keys.current().len(), 3);
    // A set that became unreadable leaves the last good one in place.
    std::fs::write(&path, "{}").unwrap();
    *keys.fetched.lock().await = None;
    keys.refresh(true).await;
    assert_eq!(keys.current().len(), 3);
    let mut one = data()["jwks"].clone();
    one["keys"].as_array_mut().unwrap().truncate(1);
    std::fs::write(&path, one.to_string()).unwrap();
    keys.refresh(true).await;
    assert_eq!(keys.current().len(), 3, "not again within the gap");
    *keys.fetched.lock().await = None;
    keys.refresh(true).await;
    assert_eq!(keys.current().len(), 1);
    std::fs::remove_file(&path).unwrap();

    // A URL that is away at the start: no keys, no failure.
    crate::install_crypto_provider();
    let away = load(KeySource::JwksUrl("http://127.0.0.1:9/jwks.json".into())).await.unwrap();
    assert!(away.current().is_empty());
}
