//! Meta's rate limits: of an app on everything (code 4), and of an app on one WABA (80008, 80007).
//!
//! Meta: 200 calls an hour for each app and WABA, 5,000 once a number of the WABA is registered; x-app-usage and
//! x-business-use-case-usage tell how much is used in percent, the latter also the minutes until calls are taken again.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{errors, text};
use crate::sandbox::http::{Request, Response};
use crate::sandbox::limits::{Rule, Standing};
use crate::sandbox::world::World;

/// The WABA that a call counts for: the path's own, or that of the number in it.
pub fn waba_of(world: &World, path: &str, id: &str) -> Option<String> {
    match path.split('/').next()? {
        "{waba}" => Some(id.to_owned()),
        "{number}" => world.meta.line(id).map(|line| line.waba.clone()),
        _ => None,
    }
}

/// The app that calls: an app's own token names it.
fn app_of(world: &World, req: &Request) -> String {
    let token = req.bearer().map(str::to_owned).or_else(|| text(&req.params(), "access_token"));
    let named = token.as_deref().and_then(|token| token.split_once('|')).map(|(app, _)| app.to_owned());
    named.unwrap_or_else(|| world.settings.meta.app_id.clone())
}

/// Counts a call for its app and its WABA; `headers` are those of the answer, whatever it will be.
///
/// # Errors
/// Code 4, or the WABA's code as it is set.
pub fn admit(
    world: &mut World,
    req: &Request,
    waba: Option<String>,
    now: Timestamp,
    headers: &mut Vec<(String, String)>,
) -> Result<(), Response> {
    let settings = &world.settings.meta;
    let (code, status) = (settings.limit_code, settings.limit_status);
    let app = app_of(world, req);
    let hour_s = world.window(3_600).as_secs().max(1);
    let whole = Rule { per_second: settings.app_requests_per_second, per_hour: settings.app_requests_per_hour, hour_s };
    let mut accounts = vec![(format!("meta app {app}"), whole)];
    if let Some(waba) = &waba {
        let registered = || world.meta.lines.iter().any(|line| line.cloud && line.waba == *waba);
        let per_hour = match settings.requests_per_hour {
            0 => 0,
            _ if registered() => settings.requests_per_hour_registered,
            fresh => fresh,
        };
        let rule = Rule { per_second: settings.requests_per_second, per_hour, hour_s };
        accounts.push((format!("meta app {app} waba {waba}"), rule));
    }
    let admitted = world.limits.admit(&accounts, now);
    let (refused, standings) = match admitted {
        Ok(standings) => (None, standings),
        Err((place, standings)) => (Some(place), standings),
    };
    headers.extend(told(waba.as_deref(), &standings));
    match refused {
        None => Ok(()),
        Some(0) => Err(errors::too_many_of_app(status)),
        Some(_) => Err(errors::too_many_on_waba(code, status)),
    }
}

fn told(waba: Option<&str>, standings: &[Standing]) -> Vec<(String, String)> {
    let usage = |standing: &Standing| json!({"call_count": standing.percent, "total_cputime": 0, "total_time": 0});
    let mut headers = Vec::new();
    if let Some(app) = standings.first() {
        headers.push(("x-app-usage".to_owned(), usage(app).to_string()));
    }
    if let (Some(id), Some(standing)) = (waba, standings.get(1)) {
        let mut item = usage(standing);
        item["type"] = Value::from("whatsapp_business_management");
        item["estimated_time_to_regain_access"] = Value::from(standing.wait_minutes());
        headers.push(("x-business-use-case-usage".to_owned(), json!({ id: [item] }).to_string()));
    }
    headers
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::sandbox::http::Response;
    use crate::sandbox::testing::Asked;

    fn usage(answer: &Response) -> (u64, Value) {
        let read = |name| serde_json::from_str(answer.header(name).unwrap_or("{}")).unwrap_or_else(|_| json!({}));
        let app: Value = read("x-app-usage");
        let waba: Value = read("x-business-use-case-usage");
        (app["call_count"].as_u64().expect("a share"), waba["104"][0].clone())
    }

    #[test]
    fn a_fresh_waba_has_200_calls_an_hour_and_one_with_a_registered_number_5000() {
        let mut asked = Asked::new();
        asked.change(json!({"meta": {"requests_per_hour": 200}}));
        let id = asked.line("612345678");
        for n in 2..=200 {
            // Calls on the number count for its WABA.
            let path = if n % 2 == 0 { format!("/v25.0/{id}") } else { "/v25.0/104".to_owned() };
            let answer = asked.meta_whole("GET", &path, json!(null));
            let (app, waba) = usage(&answer);
            assert_eq!((answer.status, app, &waba["call_count"]), (200, 0, &json!(n / 2)), "{n}");
            assert_eq!(waba["type"], "whatsapp_business_management");
        }
        let refused = asked.meta_whole("GET", "/v25.0/104", json!(null));
        assert_eq!((refused.status, &usage(&refused).1["estimated_time_to_regain_access"]), (400, &json!(60)));
        assert_eq!(asked.meta_error("GET", "/v25.0/104", json!(null)), (80_008, 0));
        asked.change(json!({"meta": {"limit_code": 80_007, "limit_status": 429}}));
        assert_eq!(asked.meta("GET", "/v25.0/104", json!(null)).0, 429);
        assert_eq!(asked.meta_error("GET", "/v25.0/104", json!(null)), (80_007, 0));
        // Another WABA, and a call on no WABA, are not concerned.
        assert_eq!(asked.meta("GET", "/v25.0/105", json!(null)).0, 200);
        assert_eq!(asked.meta("GET", "/v25.0/debug_token?input_token=key", json!(null)).0, 200);
        asked.world.meta.lines[0].cloud = true;
        let answer = asked.meta_whole("GET", "/v25.0/104", json!(null));
        assert_eq!((answer.status, &usage(&answer).1["call_count"]), (200, &json!(4)));
    }

    #[test]
    fn the_apps_limit_is_code_4_and_the_wabas_a_second_returns_at_once() {
        let mut asked = Asked::new();
        asked.change(json!({"meta": {"app_requests_per_second": 2, "requests_per_second": 1}}));
        assert_eq!(
            usage(&asked.meta_whole("GET", "/v25.0/104", json!(null))),
            (
                50,
                json!({
            "call_count": 100, "total_cputime": 0, "total_time": 0, "type": "whatsapp_business_management",
            "estimated_time_to_regain_access": 0})
            )
        );
        assert_eq!(asked.meta_error("GET", "/v25.0/104", json!(null)), (80_008, 0));
        assert_eq!(asked.meta_error("GET", "/v25.0/105", json!(null)), (0, 0));
        assert_eq!(asked.meta_error("GET", "/v25.0/106", json!(null)), (4, 0));
        asked.later(1);
        assert_eq!(asked.meta_error("GET", "/v25.0/104", json!(null)), (0, 0));
        let list = asked.world.limits.list();
        assert_eq!(list["meta"], json!({"accepted": 3, "refused": 2}));
    }
}
