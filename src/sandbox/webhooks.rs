//! Meta's webhooks: signed over the very bytes that are sent, repeated until they are answered with 200.
//!
//! Meta: `X-Hub-Signature-256: sha256=<hex of HMAC-SHA256(app secret, raw body)>`, non-ASCII characters escaped; not 200
//! is repeated at once and then ever more rarely. The number's override wins over the WABA's, that over the app's URL.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use secrecy::ExposeSecret;
use serde_json::Value;
use tokio::sync::oneshot;

use super::faults::{Strike, When};
use super::journal;
use super::meta::tokens::hmac_hex;
use super::server::Shared;
use super::strike::{Carried, carry_out};
use super::world::World;

/// How the body is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Signature {
    /// As Meta does.
    #[default]
    Good,
    /// With a wrong digest.
    Bad,
    /// Not at all.
    None,
}

/// A webhook to send.
#[derive(Clone)]
pub struct Post {
    /// URL; None: the app's.
    pub url: Option<String>,
    /// Parsed body, encoded when sent.
    pub body: Value,
    /// Sent as it is instead of `body`.
    pub raw: Option<(String, Bytes)>,
    /// How it is signed.
    pub signature: Signature,
    /// Repeated until 200.
    pub repeats: bool,
}

impl Post {
    /// An ordinary webhook to the app's URL.
    pub fn of(body: &Value) -> Self {
        Self { url: None, body: body.clone(), raw: None, signature: Signature::Good, repeats: true }
    }
}

/// What one attempt came to.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// HTTP status; None without an answer.
    pub status: Option<u16>,
    /// The answer's first characters.
    pub answer: String,
}

impl Outcome {
    /// Taken.
    pub fn delivered(&self) -> bool {
        self.status == Some(200)
    }
}

/// The body's bytes: JSON with non-ASCII characters escaped, as Meta signs it.
pub fn encode(body: &Value, escape: bool) -> Vec<u8> {
    let text = body.to_string();
    if !escape || text.is_ascii() {
        return text.into_bytes();
    }
    let mut out = String::with_capacity(text.len() * 2);
    for c in text.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    out.into_bytes()
}

/// The signature header's value.
pub fn sign(secret: &str, body: &[u8]) -> String {
    format!("sha256={}", hmac_hex(secret, body))
}

/// Where the webhooks of a number go.
pub fn url_of(world: &World, line_id: &str) -> Option<String> {
    let line = world.meta.line(line_id)?;
    let of_waba = world.meta.wabas.get(&line.waba).and_then(|waba| waba.override_uri.clone());
    line.override_uri.clone().or(of_waba).or_else(|| world.webhook_url.clone())
}

/// The pause before the next attempt: as Meta's, scaled; never none, so that a dead router does not keep us busy.
pub fn pause(attempt: u32, speed: f64) -> Duration {
    let real = Duration::from_secs(5).saturating_mul(2u32.saturating_pow(attempt.saturating_sub(1).min(12)));
    let least =
        Duration::from_millis(200).saturating_mul(2u32.saturating_pow(attempt.min(4))).min(Duration::from_secs(2));
    real.min(Duration::from_secs(6 * 3_600)).mul_f64(speed).max(least)
}

/// Sends until it is taken; tells `first` what the first attempt came to.
pub async fn send(shared: &Arc<Shared>, post: &Post, first: Option<oneshot::Sender<Outcome>>) {
    let mut first = first;
    let mut attempt = 0;
    loop {
        attempt += 1;
        let outcome = attempt_once(shared, post, attempt).await;
        let (done, speed, attempts) = {
            let (world, _) = shared.world();
            (outcome.delivered(), world.speed, world.settings.webhooks.attempts)
        };
        if let Some(first) = first.take() {
            // The control request may be gone; the webhook goes on all the same.
            let _ = first.send(outcome);
        }
        if done || !post.repeats || attempt >= attempts {
            return;
        }
        tokio::time::sleep(pause(attempt, speed)).await;
    }
}

async fn attempt_once(shared: &Shared, post: &Post, attempt: u32) -> Outcome {
    let (url, kind, body, signature, timeout, n, strike) = {
        let (mut world, now) = shared.world();
        let Some(url) = post.url.clone().or_else(|| world.webhook_url.clone()) else {
            return Outcome { status: None, answer: "no --webhook-url is set".to_owned() };
        };
        let (kind, body) = match &post.raw {
            Some((kind, bytes)) => (kind.clone(), bytes.clone()),
            None => ("application/json".to_owned(), Bytes::from(encode(&post.body, world.settings.webhooks.escape))),
        };
        let secret = world.app_secret.as_ref().map_or("", |secret| secret.expose_secret());
        let signature = match post.signature {
            Signature::Good => Some(sign(secret, &body)),
            Signature::Bad => Some(sign("not the app secret", &body)),
            Signature::None => None,
        };
        let strike = world.faults.arrive("sandbox.webhook", |_| false);
        let n = world.journal.begin(journal::Entry {
            n: 0,
            time: now,
            provider: "sandbox",
            operation: "sandbox.webhook".to_owned(),
            method: "POST".to_owned(),
            path: url.clone(),
            query: None,
            headers: std::collections::BTreeMap::new(),
            status: None,
            fault: strike.as_ref().map(Strike::label),
            body: serde_json::json!({"attempt": attempt, "bytes": body.len()}),
            ended: journal::Ended::default(),
        });
        (url, kind, body, signature, world.settings.webhooks.timeout_ms, n, strike)
    };
    let outcome = match before(shared, strike.as_ref()).await {
        false => Outcome { status: None, answer: "dropped by a fault".to_owned() },
        true => {
            let mut request = shared
                .http
                .post(url)
                .header("content-type", kind)
                .header("user-agent", "facebookexternalua")
                .body(body);
            if let Some(signature) = signature {
                request = request.header("x-hub-signature-256", signature);
            }
            let outcome = answer_of(request.timeout(Duration::from_millis(timeout)).send().await).await;
            match strike.as_ref().filter(|strike| strike.plan.side() == When::After) {
                // The answer is lost on its way: Meta repeats, and the receiver sees a duplicate.
                Some(strike) if !matches!(carry_out(shared, strike, None).await, Carried::GoOn) => {
                    Outcome { status: None, answer: "dropped by a fault".to_owned() }
                }
                _ => outcome,
            }
        }
    };
    shared.world().0.journal.end(n, outcome.status, journal::Ended::default());
    outcome
}

async fn before(shared: &Shared, strike: Option<&Strike>) -> bool {
    match strike.filter(|strike| strike.plan.side() == When::Before) {
        Some(strike) => matches!(carry_out(shared, strike, None).await, Carried::GoOn),
        None => true,
    }
}

async fn answer_of(answer: reqwest::Result<reqwest::Response>) -> Outcome {
    match answer {
        Ok(answer) => {
            let status = Some(answer.status().as_u16());
            let text = answer.text().await.unwrap_or_default();
            Outcome { status, answer: text.chars().take(300).collect() }
        }
        Err(error) => Outcome { status: None, answer: error.without_url().to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_signature_is_the_one_of_the_published_vectors() {
        let cases: [(&[u8], &str); 2] = [
            (
                br#"{"object":"whatsapp_business_account","entry":[]}"#,
                "sha256=dec6a680679a968e7e0319355b23599cbfc54502c0784668e9618baa0c633756",
            ),
            (
                br#"{"object": "whatsapp_business_account", "entry": []}"#,
                "sha256=56cbbaf4961c6cfdae48b7f116c047e5eb513d2c931baae63a2bc1afd26f803a",
            ),
        ];
        for (body, expected) in cases {
            assert_eq!(sign("test_app_secret", body), expected);
        }
    }

    #[test]
    fn non_ascii_is_escaped_as_utf16_and_reads_back_the_same() {
        let body = json!({"text": "äöå مرحبا 👋"});
        let bytes = encode(&body, true);
        assert!(bytes.is_ascii() && String::from_utf8_lossy(&bytes).contains("\\u00e4\\u00f6\\u00e5"));
        assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap(), body);
        assert!(!encode(&body, false).is_ascii());
    }

    #[test]
    fn attempts_become_rarer_and_are_never_without_a_pause() {
        assert_eq!(pause(1, 1.0), Duration::from_secs(5));
        assert_eq!(pause(3, 1.0), Duration::from_secs(20));
        for attempt in 1..50 {
            assert!((Duration::from_millis(200)..=Duration::from_secs(2)).contains(&pause(attempt, 0.0)));
        }
    }
}
