//! request_code and verify_code: the code, its life, its budget.
//!
//! Public reports: about 10 requests per number in a moving 72 h, then 136024/2388367; 136024 also for a number that is
//! verified already; 136025 for a wrong or old code. A code lives 10 minutes, is good once, and a newer one voids it.

use jiff::{SignedDuration, Timestamp};

use super::errors::{self, Refusal};
use super::{changes, in_window, success, text};
use crate::sandbox::delays;
use crate::sandbox::speech::Speech;
use crate::sandbox::world::{Answer, Ctx, Effect, Ring, World};

/// A code under way.
#[derive(Clone)]
pub struct Code {
    /// Six digits.
    pub code: String,
    /// VOICE or SMS.
    pub method: String,
    /// Language asked for.
    pub language: String,
    /// As the person with the phone hears or reads it.
    pub spoken: String,
    /// When it was requested.
    pub at: Timestamp,
    /// When it is void.
    pub expires: Timestamp,
}

fn is_language(text: &str) -> bool {
    let bytes = text.as_bytes();
    let lower = |part: &[u8]| part.len() == 2 && part.iter().all(u8::is_ascii_lowercase);
    match bytes.len() {
        2 => lower(bytes),
        5 => lower(&bytes[..2]) && bytes[2] == b'_' && bytes[3..].iter().all(u8::is_ascii_uppercase),
        _ => false,
    }
}

fn life(world: &World) -> SignedDuration {
    match world.settings.meta.code_life_s {
        Some(seconds) => SignedDuration::from_secs(seconds),
        None if world.settings.policy_time_scale.is_some() => world.window(600),
        None if world.speed > 0.0 => SignedDuration::from_secs(600).mul_f64(world.speed),
        None => SignedDuration::from_secs(600),
    }
}

/// POST /{number}/request_code
pub fn request_code(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let place = world.meta.position(ctx.param(0))?;
    let params = ctx.req.params();
    let method = text(&params, "code_method").unwrap_or_default();
    if !["SMS", "VOICE"].contains(&method.as_str()) {
        return Err(errors::invalid("Param code_method must be one of {SMS, VOICE}"));
    }
    let language = text(&params, "language").unwrap_or_default();
    if !is_language(&language) {
        return Err(errors::invalid("Param language must be a language code such as en_US"));
    }
    let budget = world.settings.meta.code_budget;
    let window = world.window(world.settings.meta.budget_window_s);
    let line = &mut world.meta.lines[place];
    // Every request counts, also one that is refused, wherever it came from.
    let before = in_window(window, &mut line.requests, ctx.now);
    line.requests.push(ctx.now);
    if line.code_status == "VERIFIED" || line.status == "CONNECTED" {
        return Err(Refusal::new(136_024, "Request code error")
            .user("Couldn't send code", "Request code failed: this phone number is already verified.")
            .answer());
    }
    if before >= budget {
        return Err(Refusal::new(136_024, "Request code error")
            .subcode(2_388_367)
            .user(
                "Request code volume limit",
                "You have requested a verification code too many times. Try again later.",
            )
            .answer());
    }
    line.codes += 1;
    let to = line.digits.clone();
    let key = format!("{to}/{}", line.codes);
    let code = format!("{:06}", world.dice.below(1_000_000, "code", &key));
    let speech = Speech::verification(&code, &world.dice, &key);
    let spoken = match method.as_str() {
        "VOICE" => speech.heard(0, u64::MAX),
        _ => format!("WhatsApp code {}-{}", &code[..3], &code[3..]),
    };
    let expires = ctx.now.checked_add(life(world)).unwrap_or(Timestamp::MAX);
    world.meta.lines[place].code = Some(Code { code, method: method.clone(), language, spoken, at: ctx.now, expires });
    if method == "VOICE" && !world.settings.voice.no_call {
        let set = world.settings.voice.ring_delay_ms;
        let after = world.delay_of(set, delays::RING, &to);
        let from = format!("+1646{}", world.numeric_of(7, "voice.caller", &to));
        world.outbox.push(Effect::Ring(Ring { to, from, speech, after }));
    }
    success()
}

/// POST /{number}/verify_code
pub fn verify_code(world: &mut World, ctx: &Ctx<'_>) -> Answer {
    let place = world.meta.position(ctx.param(0))?;
    let given = text(&ctx.req.params(), "code").unwrap_or_default();
    if !changes::is_six_digits(&given) {
        return Err(errors::invalid("Param code must match ^[0-9]{6}$"));
    }
    let line = &mut world.meta.lines[place];
    let right = line.code.as_ref().is_some_and(|code| code.code == given && ctx.now < code.expires);
    if !right {
        return Err(Refusal::new(136_025, "Verify code error")
            .user("Couldn't verify code", "The code you entered is incorrect or has expired. Request a new code.")
            .answer());
    }
    line.code = None;
    line.code_status = "VERIFIED".to_owned();
    if line.status == "UNVERIFIED" {
        line.status = "PENDING".to_owned();
    }
    success()
}

#[cfg(test)]
mod tests {
    use super::is_language;

    #[test]
    fn languages_are_read_with_and_without_a_country() {
        for (text, good) in
            [("en_US", true), ("en", true), ("fr_FR", true), ("EN_us", false), ("", false), ("english", false)]
        {
            assert_eq!(is_language(text), good, "{text}");
        }
    }
}

#[cfg(test)]
mod rules {
    use serde_json::json;

    use crate::sandbox::testing::Asked;
    use crate::sandbox::world::Effect;

    fn request(asked: &mut Asked, id: &str) -> (u64, u64) {
        asked.meta_error(
            "POST",
            &format!("/v25.0/{id}/request_code"),
            json!({"code_method": "VOICE", "language": "en_US"}),
        )
    }

    fn verify(asked: &mut Asked, id: &str, code: &str) -> (u64, u64) {
        asked.meta_error("POST", &format!("/v25.0/{id}/verify_code/"), json!({ "code": code }))
    }

    #[test]
    fn a_code_is_good_once_for_ten_minutes_and_only_the_newest() {
        let mut asked = Asked::new();
        let id = asked.line("612345678");
        assert_eq!(verify(&mut asked, &id, "123456"), (136_025, 0));
        assert_eq!(request(&mut asked, &id), (0, 0));
        assert!(matches!(asked.world.outbox.last(), Some(Effect::Ring(ring)) if ring.to == "212612345678"));
        let first = asked.code(&id);
        assert_eq!(request(&mut asked, &id), (0, 0));
        let second = asked.code(&id);
        assert_ne!(first, second);
        assert_eq!(verify(&mut asked, &id, &first), (136_025, 0));
        assert_eq!(verify(&mut asked, &id, "12345"), (100, 0));
        asked.later(601);
        assert_eq!(verify(&mut asked, &id, &second), (136_025, 0));
        assert_eq!(request(&mut asked, &id), (0, 0));
        let third = asked.code(&id);
        assert_eq!(verify(&mut asked, &id, &third), (0, 0));
        assert_eq!(verify(&mut asked, &id, &third), (136_025, 0));
        let (_, answer) =
            asked.meta("GET", &format!("/v25.0/{id}?fields=status,code_verification_status"), json!(null));
        assert_eq!(answer, json!({"status": "PENDING", "code_verification_status": "VERIFIED", "id": id}));
        // Verified already: the same code as for the limit, without its subcode.
        assert_eq!(request(&mut asked, &id), (136_024, 0));
    }

    #[test]
    fn ten_requests_in_72_hours_and_no_more() {
        let mut asked = Asked::new();
        let id = asked.line("612345678");
        for _ in 0..10 {
            assert_eq!(request(&mut asked, &id), (0, 0));
            asked.later(60);
        }
        assert_eq!(request(&mut asked, &id), (136_024, 2_388_367));
        asked.later(72 * 3_600);
        assert_eq!(request(&mut asked, &id), (0, 0));
    }

    #[test]
    fn parameters_are_checked_and_sms_does_not_ring() {
        let mut asked = Asked::new();
        let id = asked.line("612345678");
        let path = format!("/v25.0/{id}/request_code");
        for body in [json!({"code_method": "PIGEON", "language": "en_US"}), json!({"code_method": "SMS"}), json!({})] {
            assert_eq!(asked.meta_error("POST", &path, body), (100, 0));
        }
        assert_eq!(asked.meta_error("POST", &format!("{path}?code_method=SMS&language=fr_FR"), json!(null)), (0, 0));
        assert!(asked.world.outbox.is_empty());
        let code = asked.code(&id);
        let line = asked.world.meta.line(&id).and_then(|line| line.code.clone()).expect("a code");
        assert_eq!(line.spoken, format!("WhatsApp code {}-{}", &code[..3], &code[3..]));
        assert_eq!(
            asked.meta_error("POST", "/v25.0/999/request_code", json!({"code_method": "SMS", "language": "en_US"})),
            (100, 33)
        );
    }
}
