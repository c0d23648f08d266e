//! `clientnumber token`: a recruiter's JWT for trying things, signed with the HS256 secret that the router checks with.
//! For development: in production the platform's own backend signs tokens after it has checked who is asking.

use std::time::Duration;

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rand::RngExt;
use secrecy::{ExposeSecret, SecretString};

use super::Failure;
use super::settings::JwtArgs;
use crate::delivery::{MAX_LIFETIME_S, TokenPolicy};
use crate::domain::CompanyId;

/// Prints a token for a recruiter of a company.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The company whose messages the token opens.
    #[arg(long)]
    company: CompanyId,
    /// The recruiter, as your platform names it.
    #[arg(long, value_parser = name)]
    recruiter: String,
    /// How long it is good for, at most 1h: a number and s, m or h.
    #[arg(long, default_value = "15m", value_parser = ttl)]
    ttl: Duration,
    #[command(flatten)]
    jwt: JwtArgs,
}

fn name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > 128 || text.chars().any(char::is_control) {
        return Err("give 1 to 128 characters without control characters".into());
    }
    Ok(text.to_owned())
}

fn ttl(text: &str) -> Result<Duration, String> {
    let bad = || format!("write a time from 1s to 1h, for example 15m; {text:?} is not one");
    let split = text.len().checked_sub(1).filter(|at| text.is_char_boundary(*at)).ok_or_else(bad)?;
    let (number, unit) = text.split_at(split);
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(bad()),
    };
    let seconds = number.parse::<u64>().ok().and_then(|n| n.checked_mul(factor)).ok_or_else(bad)?;
    if seconds == 0 || seconds > MAX_LIFETIME_S.unsigned_abs() {
        return Err(bad());
    }
    Ok(Duration::from_secs(seconds))
}

/// Prints the token on stdout.
pub fn run(args: &Args) -> Result<(), Failure> {
    let secret = args.jwt.hs256()?.ok_or_else(|| {
        Failure::Usage(
            "a token is signed with the HS256 secret: give --jwt-hs256-secret (JWT_HS256_SECRET) or its file".into(),
        )
    })?;
    let jti = format!("{:016x}", rand::rng().random::<u64>());
    let token = sign(&secret, &args.jwt.policy(), &args.company, &args.recruiter, &jti, Timestamp::now(), args.ttl)?;
    println!("{token}");
    Ok(())
}

fn sign(
    secret: &SecretString,
    policy: &TokenPolicy,
    company: &CompanyId,
    recruiter: &str,
    jti: &str,
    now: Timestamp,
    ttl: Duration,
) -> Result<String, Failure> {
    let lifetime = i64::try_from(ttl.as_secs()).unwrap_or(MAX_LIFETIME_S);
    let mut claims = serde_json::json!({
        "sub": recruiter,
        "company_id": company.as_str(),
        "aud": policy.audience,
        "iat": now.as_second(),
        "exp": now.as_second() + lifetime,
        "jti": jti,
    });
    if let Some(issuer) = &policy.issuer {
        claims["iss"] = issuer.as_str().into();
    }
    let key = EncodingKey::from_secret(secret.expose_secret().as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)
        .map_err(|_| Failure::Failed("the token could not be signed: is the secret usable for HS256?".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (text, seconds) in [("15m", 900), ("1s", 1), ("1h", 3600), ("60m", 3600)] {
            assert_eq!(ttl(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for bad in ["", "m", "15", "0s", "2h", "61m", "-1m", "1.5h", "15 m", "9999999999999999999m", "1d", "1é"] {
            assert!(ttl(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn signed_tokens_say_who_and_for_how_long() {
        let policy = TokenPolicy { audience: "clientnumber".into(), issuer: Some("me".into()) };
        let now = Timestamp::from_second(1_790_000_000).unwrap();
        let company = CompanyId::parse("atlas").unwrap();
        let secret = SecretString::from("s".repeat(32));
        let token = sign(&secret, &policy, &company, "fatima", "j", now, Duration::from_secs(60)).unwrap();
        let claims: serde_json::Value = jsonwebtoken::dangerous::insecure_decode(&token).unwrap().claims;
        assert_eq!(
            claims,
            serde_json::json!({"sub": "fatima", "company_id": "atlas", "aud": "clientnumber", "iat": 1_790_000_000_i64,
                "exp": 1_790_000_060_i64, "jti": "j", "iss": "me"})
        );
    }
}
