//! Telnyx's rate limit: one for each API key, told in the headers of every answer while there is one.
//!
//! Source: public answers with x-ratelimit-limit, -remaining and -reset (seconds); 429 comes with code 10011. Values are
//! not published, and Retry-After is not promised.

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::errors;
use crate::sandbox::http::{Request, Response};
use crate::sandbox::limits::{Rule, Standing};
use crate::sandbox::world::World;

/// Counts a call for its key; `headers` are those of the answer, whatever it will be.
///
/// # Errors
/// 429 with 10011.
pub fn admit(
    world: &mut World,
    req: &Request,
    now: Timestamp,
    headers: &mut Vec<(String, String)>,
) -> Result<(), Response> {
    let settings = &world.settings.telnyx;
    let (rule, retry_after) =
        (Rule { per_second: settings.requests_per_second, ..Rule::default() }, settings.retry_after);
    let key = hex::encode(&Sha256::digest(req.bearer().unwrap_or("").as_bytes())[..4]);
    let admitted = world.limits.admit(&[(format!("telnyx key {key}"), rule)], now);
    let (refused, standings) = match admitted {
        Ok(standings) => (false, standings),
        Err((_, standings)) => (true, standings),
    };
    headers.extend(standings.first().map(told).unwrap_or_default());
    if !refused {
        return Ok(());
    }
    if retry_after {
        headers.push(("retry-after".to_owned(), "1".to_owned()));
    }
    Err(errors::too_many())
}

fn told(standing: &Standing) -> Vec<(String, String)> {
    if standing.limit == 0 {
        return Vec::new();
    }
    vec![
        ("x-ratelimit-limit".to_owned(), standing.limit.to_string()),
        ("x-ratelimit-remaining".to_owned(), standing.remaining.to_string()),
        ("x-ratelimit-reset".to_owned(), standing.reset_s().to_string()),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::sandbox::testing::Asked;

    #[test]
    fn every_answer_tells_the_limit_and_the_first_one_over_it_is_429() {
        let mut asked = Asked::new();
        assert_eq!(asked.telnyx_whole("GET", "/balance", json!(null)).header("x-ratelimit-limit"), None);
        asked.change(json!({"telnyx": {"requests_per_second": 3}}));
        // A refusal counts and tells as well.
        for (path, status, remaining) in
            [("/balance", 200, "2"), ("/number_orders/x", 404, "1"), ("/balance", 200, "0")]
        {
            let answer = asked.telnyx_whole("GET", path, json!(null));
            assert_eq!((answer.status, answer.header("x-ratelimit-remaining")), (status, Some(remaining)), "{path}");
            assert_eq!(
                (answer.header("x-ratelimit-limit"), answer.header("x-ratelimit-reset")),
                (Some("3"), Some("1"))
            );
        }
        assert_eq!(asked.telnyx_error("GET", "/balance", json!(null)), (429, "10011".to_owned()));
        let refused = asked.telnyx_whole("GET", "/balance", json!(null));
        assert_eq!((refused.header("x-ratelimit-remaining"), refused.header("retry-after")), (Some("0"), None));
        asked.change(json!({"telnyx": {"retry_after": true}}));
        let refused = asked.telnyx_whole("GET", "/balance", json!(null));
        assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")));
        let list = asked.world.limits.list();
        assert_eq!(list["telnyx"], json!({"accepted": 4, "refused": 3}));
        assert!(!list.to_string().contains("\"key\""), "an account is not named by its key");
        // Another key has a limit of its own.
        asked.key = "other".to_owned();
        assert_eq!(asked.telnyx("GET", "/balance", json!(null)).0, 200);
        asked.later(1);
        asked.key = "key".to_owned();
        assert_eq!(asked.telnyx("GET", "/balance", json!(null)).0, 200);
    }
}
