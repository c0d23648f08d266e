//! What an answer's headers say of limits. Pure; a header that makes no sense says nothing.
//!
//! Telnyx: `x-ratelimit-limit`, `-remaining`, `-reset` (seconds until the reset). Meta: `x-app-usage` (percent, for the
//! app) and `x-business-use-case-usage` (percent for each WhatsApp account or number, by kind of call, and minutes until
//! access is regained).

use std::time::Duration;

use reqwest::header::HeaderMap;
use serde_json::Value;

use super::Endpoints;
use super::bucket::{LONGEST, Said};
use super::window::Told;
use crate::providers::error::Provider;

/// What was said, and of which endpoints; for Meta's accounts with the id that the header names.
pub(crate) type Hearing = Vec<(Endpoints, Option<String>, Said)>;

/// Reads an answer's headers.
pub(crate) fn read(provider: Provider, endpoints: Endpoints, headers: &HeaderMap) -> Hearing {
    match provider {
        Provider::Telnyx => telnyx(headers).map(|told| (endpoints, None, window(told))).into_iter().collect(),
        Provider::Meta => meta(headers),
        // It has no limit that is told beforehand.
        Provider::Transcriber => Vec::new(),
    }
}

fn window(told: Told) -> Said {
    Said { window: Some(told), ..Said::default() }
}

fn telnyx(headers: &HeaderMap) -> Option<Told> {
    // Other services write `25, 25;w=1`: the first number is the one meant.
    let number = |name: &str| {
        let text = headers.get(name)?.to_str().ok()?;
        let number = text.split([',', ';']).next()?.trim().parse::<f64>().ok()?;
        (number.is_finite() && number >= 0.0).then_some(number)
    };
    let limit = number("x-ratelimit-limit").filter(|limit| *limit >= 1.0)?;
    let remaining = number("x-ratelimit-remaining")?.min(limit);
    // Larger than a day is a date, not a duration.
    let reset = number("x-ratelimit-reset").filter(|seconds| *seconds <= 86_400.0).unwrap_or(1.0);
    let reset = reset.min(LONGEST.as_secs_f64());
    Some(Told { limit, remaining, reset: Duration::from_secs_f64(reset) })
}

fn meta(headers: &HeaderMap) -> Hearing {
    let json = |name: &str| serde_json::from_str::<Value>(headers.get(name)?.to_str().ok()?).ok();
    let mut hearing = Hearing::new();
    if let Some(percent) = json("x-app-usage").as_ref().and_then(percent) {
        hearing.push((Endpoints::App, None, Said { percent: Some(percent), ..Said::default() }));
    }
    let accounts = json("x-business-use-case-usage");
    for (id, entries) in accounts.as_ref().and_then(Value::as_object).into_iter().flatten() {
        for entry in entries.as_array().into_iter().flatten() {
            let messages = entry.get("type").and_then(Value::as_str) == Some("whatsapp");
            let minutes = entry.get("estimated_time_to_regain_access").and_then(Value::as_f64).unwrap_or(0.0);
            let pause = (minutes > 0.0).then(|| Duration::from_secs_f64((minutes * 60.0).min(86_400.0)));
            let said = Said { percent: percent(entry), pause, ..Said::default() };
            let endpoints = if messages { Endpoints::Messages } else { Endpoints::Common };
            hearing.push((endpoints, Some(id.clone()), said));
        }
    }
    hearing
}

/// The largest of the three counts decides.
fn percent(usage: &Value) -> Option<f64> {
    ["call_count", "total_cputime", "total_time"]
        .iter()
        .filter_map(|name| usage.get(name)?.as_f64())
        .filter(|percent| (0.0..=10_000.0).contains(percent))
        .reduce(f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn what_telnyx_says() {
        let told = |limit, remaining, seconds| Some(Told { limit, remaining, reset: Duration::from_secs(seconds) });
        for (limit, remaining, reset, want) in [
            ("25", "3", "1", told(25.0, 3.0, 1)),
            ("25, 25;w=1", "3", "7", told(25.0, 3.0, 7)),
            ("25", "30", "1", told(25.0, 25.0, 1)),
            ("25", "0", "1790000000", told(25.0, 0.0, 1)),
            ("25", "0", "soon", told(25.0, 0.0, 1)),
            ("25", "0", "86400", told(25.0, 0.0, 3600)),
            ("0", "0", "1", None),
            ("many", "3", "1", None),
            ("25", "-1", "1", None),
            ("NaN", "1", "1", None),
            ("25", "", "1", None),
        ] {
            let headers = headers(&[
                ("x-ratelimit-limit", limit),
                ("x-ratelimit-remaining", remaining),
                ("x-ratelimit-reset", reset),
            ]);
            let got = read(Provider::Telnyx, Endpoints::SpeechToText, &headers);
            let want: Hearing = want.map(|told| (Endpoints::SpeechToText, None, window(told))).into_iter().collect();
            assert_eq!(got, want, "{limit} {remaining} {reset}");
        }
        assert!(read(Provider::Telnyx, Endpoints::Common, &HeaderMap::new()).is_empty());
    }

    #[test]
    fn what_meta_says() {
        let usage =
            r#"{"104":[{"type":"whatsapp_business_management","call_count":81,"total_cputime":2,"total_time":90,
            "estimated_time_to_regain_access":0}],"777":[{"type":"whatsapp","call_count":5,
            "estimated_time_to_regain_access":7}]}"#
                .replace('\n', "");
        let headers = headers(&[
            ("x-app-usage", r#"{"call_count":28,"total_cputime":25,"total_time":9}"#),
            ("x-business-use-case-usage", &usage),
        ]);
        let percent = |percent| Said { percent: Some(percent), ..Said::default() };
        let blocked = Said { pause: Some(Duration::from_secs(420)), ..percent(5.0) };
        let want: Hearing = vec![
            (Endpoints::App, None, percent(28.0)),
            (Endpoints::Common, Some("104".into()), percent(90.0)),
            (Endpoints::Messages, Some("777".into()), blocked),
        ];
        assert_eq!(read(Provider::Meta, Endpoints::Common, &headers), want);
    }

    #[test]
    fn nonsense_says_nothing() {
        for text in ["", "[]", "{}", "7", r#"{"call_count":"x"}"#, r#"{"call_count":-5}"#, r#"{"call_count":1e300}"#] {
            let headers = headers(&[("x-app-usage", text), ("x-business-use-case-usage", text)]);
            assert!(read(Provider::Meta, Endpoints::Common, &headers).is_empty(), "{text}");
        }
    }
}
