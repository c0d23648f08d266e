//! Bad tokens, each with the code that the client sees and the label that the operator sees.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;

use super::*;

const NOW: i64 = 1_790_000_000;
const SECRET: &[u8] = b"an hs256 secret of thirty-two byt";

fn now() -> Timestamp {
    Timestamp::from_second(NOW).unwrap()
}

fn policy() -> TokenPolicy {
    TokenPolicy { audience: "clientnumber".into(), issuer: Some("https://login.example.ma".into()) }
}

fn keys() -> Vec<VerifyKey> {
    vec![VerifyKey { id: None, algorithm: Algorithm::HS256, key: DecodingKey::from_secret(SECRET) }]
}

fn good() -> Value {
    json!({
        "sub": "fatima", "company_id": "atlas", "exp": NOW + 900, "iat": NOW - 5,
        "aud": "clientnumber", "iss": "https://login.example.ma", "jti": "t-1",
    })
}

fn sign(claims: &Value) -> String {
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(SECRET)).unwrap()
}

fn with(changes: Value) -> String {
    let mut claims = good();
    for (name, value) in changes.as_object().unwrap() {
        if value == "REMOVED" {
            claims.as_object_mut().unwrap().shift_remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    sign(&claims)
}

#[test]
fn good_tokens() {
    let recruiter = verify(&sign(&good()), &keys(), &policy(), now()).unwrap();
    assert_eq!(recruiter.company.as_str(), "atlas");
    assert_eq!((recruiter.recruiter.as_str(), recruiter.jti.as_deref()), ("fatima", Some("t-1")));
    assert_eq!((recruiter.iat, recruiter.exp), (NOW - 5, NOW + 900));
    for fine in [
        json!({"aud": ["other", "clientnumber"]}),
        json!({"jti": "REMOVED"}),
        json!({"jti": null}),
        json!({"exp": NOW + 3600}),
        json!({"exp": NOW + 1}),
        json!({"nbf": NOW}),
        json!({"iat": NOW + 30}),
        json!({"iat": NOW - 3600, "exp": NOW + 60}),
        json!({"exp": (NOW + 900) as f64 + 0.5}),
    ] {
        assert!(verify(&with(fine.clone()), &keys(), &policy(), now()).is_ok(), "{fine}");
    }
    let no_issuer = TokenPolicy { issuer: None, ..policy() };
    assert!(verify(&with(json!({"iss": "REMOVED"})), &keys(), &no_issuer, now()).is_ok());
}

#[test]
fn bad_tokens() {
    let raw = |header: Value, signature: &str| {
        let part = |v: &Value| URL_SAFE_NO_PAD.encode(v.to_string());
        format!("{}.{}.{signature}", part(&header), part(&good()))
    };
    let signed = sign(&good());
    let cut = &signed[..signed.len() - 2];
    let (rest, signature) = signed.rsplit_once('.').unwrap();
    let (header, _) = rest.split_once('.').unwrap();
    let other_letter = if signature.starts_with('A') { "B" } else { "A" };
    let changed = format!("{rest}.{other_letter}{}", &signature[1..]);
    let other_company = URL_SAFE_NO_PAD.encode(with(json!({"company_id": "bahia"})));
    let foreign =
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &good(), &EncodingKey::from_secret(b"another")).unwrap();
    let hs512 =
        jsonwebtoken::encode(&Header::new(Algorithm::HS512), &good(), &EncodingKey::from_secret(SECRET)).unwrap();
    let unauthorized = Refusal::Unauthorized;
    let table: Vec<(&str, String, Refusal)> = vec![
        ("empty", String::new(), unauthorized("missing")),
        ("words", "let me in".into(), unauthorized("malformed")),
        ("two parts", "a.b".into(), unauthorized("malformed")),
        ("four parts", format!("{signed}.x"), unauthorized("malformed")),
        ("huge", "x".repeat(MAX_TOKEN + 1), unauthorized("too_long")),
        ("alg none", raw(json!({"alg": "none", "typ": "JWT"}), ""), unauthorized("malformed")),
        ("alg none with our signature", raw(json!({"alg": "none"}), signature), unauthorized("malformed")),
        ("alg RS256 on a secret", raw(json!({"alg": "RS256"}), signature), unauthorized("algorithm")),
        ("HS512 with our secret", hs512, unauthorized("algorithm")),
        ("cut signature", cut.into(), unauthorized("malformed")),
        ("changed signature", changed, unauthorized("bad_signature")),
        ("no signature", format!("{rest}."), unauthorized("bad_signature")),
        ("another secret", foreign, unauthorized("bad_signature")),
        ("payload exchanged", format!("{header}.{other_company}.{signature}"), unauthorized("bad_signature")),
        ("no sub", with(json!({"sub": "REMOVED"})), unauthorized("sub")),
        ("empty sub", with(json!({"sub": ""})), unauthorized("sub")),
        ("sub a number", with(json!({"sub": 7})), unauthorized("sub")),
        ("sub with a line break", with(json!({"sub": "a\nb"})), unauthorized("sub")),
        ("sub too long", with(json!({"sub": "a".repeat(129)})), unauthorized("sub")),
        ("no company", with(json!({"company_id": "REMOVED"})), unauthorized("company")),
        ("company not a slug", with(json!({"company_id": "Atlas/../bahia"})), unauthorized("company")),
        ("two companies", with(json!({"company_id": ["atlas", "bahia"]})), unauthorized("company")),
        ("no exp", with(json!({"exp": "REMOVED"})), unauthorized("exp")),
        ("exp a string", with(json!({"exp": "1790000900"})), unauthorized("exp")),
        ("exp negative", with(json!({"exp": -1})), unauthorized("exp")),
        ("exp beyond time", with(json!({"exp": 1e300})), unauthorized("exp")),
        ("exp two hours ahead", with(json!({"exp": NOW + 7200})), unauthorized("lifetime")),
        ("exp an hour and a second ahead", with(json!({"exp": NOW + 3601})), unauthorized("lifetime")),
        ("a day long, near its end", with(json!({"iat": NOW - 86_000, "exp": NOW + 400})), unauthorized("lifetime")),
        ("a little longer than an hour", with(json!({"iat": NOW - 3600, "exp": NOW + 61})), unauthorized("lifetime")),
        ("expired", with(json!({"exp": NOW - 1, "iat": NOW - 900})), Refusal::TokenExpired),
        ("expires now", with(json!({"exp": NOW})), Refusal::TokenExpired),
        ("expired within the usual leeway", with(json!({"exp": NOW - 3})), Refusal::TokenExpired),
        ("no iat", with(json!({"iat": "REMOVED"})), unauthorized("iat")),
        ("iat in the future", with(json!({"iat": NOW + 600})), unauthorized("iat")),
        ("iat after exp", with(json!({"iat": NOW + 30, "exp": NOW + 20})), unauthorized("iat")),
        ("not yet", with(json!({"nbf": NOW + 1})), unauthorized("nbf")),
        ("nbf a string", with(json!({"nbf": "now"})), unauthorized("nbf")),
        ("no aud", with(json!({"aud": "REMOVED"})), unauthorized("audience")),
        ("another aud", with(json!({"aud": "crm"})), unauthorized("audience")),
        ("several others", with(json!({"aud": ["crm", "erp"]})), unauthorized("audience")),
        ("aud an object", with(json!({"aud": {"clientnumber": true}})), unauthorized("audience")),
        ("no iss", with(json!({"iss": "REMOVED"})), unauthorized("issuer")),
        ("another iss", with(json!({"iss": "https://login.example.com"})), unauthorized("issuer")),
        ("jti a number", with(json!({"jti": 5})), unauthorized("jti")),
        ("claims not an object", sign(&json!(["atlas"])), unauthorized("malformed")),
    ];
    for (name, token, want) in &table {
        let got = verify(token, &keys(), &policy(), now()).expect_err(name);
        assert_eq!(&got, want, "{name}");
    }
    assert!(table.len() >= 25);
}

#[test]
fn key_is_chosen_by_kid_and_never_guessed() {
    let key = |id: Option<&str>| VerifyKey { id: id.map(str::to_owned), ..keys().remove(0) };
    let two = [key(Some("a")), key(Some("b"))];
    assert_eq!(choose(&two, Some("b")).and_then(|k| k.id.clone()).as_deref(), Some("b"));
    assert!(choose(&two, Some("c")).is_none());
    assert!(choose(&two, None).is_none());
    assert!(choose(&two[..1], None).is_some());
    assert!(choose(&two[..1], Some("x")).is_none());
    assert!(choose(&[key(None)], Some("x")).is_some());
    assert!(choose(&[], None).is_none());
}
