//! Step 6, keep: a line that works is looked at once a round, in what the Portfolio's round saw of all lines; never a call
//! per line, and no write where nothing changed.
//!
//! The round wakes the lines for which it has news (`due`); the time that `run` names is a safety net only. What is drift
//! and what follows from it is `drift`'s to say.

use jiff::Timestamp;

use super::drift::{self, Ours, Sight};
use super::pass::{Pass, declared};
use super::plan::{Step, plan};
use super::spec::LineSpec;
use super::status::{Overlay, Progress, apply};
use super::{Outcome, StepResult};
use crate::controller::context::Context;
use crate::domain::{OwnerId, PolicyTime, Usd};
use crate::money;
use crate::portfolio::observed::{Observed, Presence};
use crate::resources::client_number::{CostStatus, LineStatus};
use crate::resources::conditions::{ConditionType, is_true, seconds};
use crate::resources::{ClientNumber, ClientNumberStatus, Portfolio, names};

/// Runs the step.
pub async fn run(pass: &mut Pass<'_>) -> StepResult {
    if super::asked_anew(&pass.line)
        && let Some(uid) = pass.portfolio.metadata.uid.as_deref()
    {
        // The round looks, for all lines; that the wish is noted wakes it.
        pass.ctx.rounds.not_after(uid, pass.ctx.clock.monotonic());
    }
    if pass.line.metadata.generation != Some(pass.status().observed_generation) && !pass.ctx.read_only {
        super::route::keep_retention(pass).await?;
    }
    let observed = pass.ctx.observations.get(&pass.portfolio);
    let (policy, now) = (pass.ctx.policy, pass.ctx.clock.now());
    let next = look(&pass.status(), &pass.spec, &pass.portfolio, observed.as_deref(), policy, now);
    let (progress, recording) = (next.progress(), next.recording);
    pass.save(&progress, |status| next.note(status, now)).await?;
    if let Some(observed) = observed.filter(|_| recording) {
        // What is seen once is undone once: each write of status begins another pass over the same observation.
        observed.acted_upon(&pass.spec.uid);
        super::verify::disarm(pass, &progress).await?;
    }
    let round = policy.scaled(crate::portfolio::check_interval(&pass.portfolio));
    Ok(Outcome::wait(progress, round.max(policy.hour())))
}

/// Whether the last round has news for a line that is settled: whether a pass would change what its status says.
pub fn due(line: &ClientNumber, portfolio: &Portfolio, observed: &Observed, ctx: &Context) -> bool {
    let Some(status) = line.status.as_ref().filter(|status| plan(status) == Step::Keep) else { return false };
    let stopped = line.spec.suspend || portfolio.spec.suspend || is_true(&status.conditions, ConditionType::Suspended);
    let Some(spec) = LineSpec::of(line).ok().filter(|_| !stopped && line.metadata.deletion_timestamp.is_none()) else {
        return false;
    };
    let next = look(status, &spec, portfolio, Some(observed), ctx.policy, ctx.clock.now());
    let mut then = status.clone();
    let progress = next.progress();
    next.note(&mut then, ctx.clock.now());
    apply(&mut then, &progress, &Overlay::None, declared(line), ctx.clock.now());
    then != *status
}

/// What a look comes to.
struct Next {
    line: Option<LineStatus>,
    /// The number records its calls although no code is awaited: a request to arm it that was long on its way, or a hand in
    /// the portal.
    recording: bool,
    cost: CostStatus,
}

impl Next {
    fn progress(&self) -> Progress {
        drift::verdict(self.line.as_ref())
    }

    fn note(self, status: &mut ClientNumberStatus, now: Timestamp) {
        if self.recording {
            // As if it had been armed and left so: whatever dies now, it is disarmed. What was recorded since the code was
            // accepted is nobody's to keep.
            let verification = status.verification.get_or_insert_default();
            let since = verification.verified_at.clone().unwrap_or(seconds(now));
            verification.armed_at.get_or_insert(since);
        }
        status.line = self.line;
        status.cost = Some(self.cost);
    }
}

fn look(
    status: &ClientNumberStatus,
    spec: &LineSpec,
    portfolio: &Portfolio,
    observed: Option<&Observed>,
    policy: PolicyTime,
    now: Timestamp,
) -> Next {
    let capture = portfolio.status.as_ref().and_then(|s| s.applications.as_ref()).map(|a| a.capture.as_str());
    let mut recording = false;
    let line = match observed.filter(|observed| observed.tells_of(&spec.uid)) {
        None => status.line.clone(),
        Some(observed) => {
            let (id, number) = (status.phone_number_id.as_deref(), status.phone_number.as_deref());
            let at_carrier = number.filter(|_| spec.source.at_carrier());
            let carrier = observed.carrier.as_ref().zip(at_carrier).map_or(Presence::Unknown, |(seen, n)| seen.of(n));
            recording =
                matches!(carrier, Presence::There(n) if capture.is_some() && n.connection_id.as_deref() == capture);
            let sight = Sight {
                meta: observed.meta.as_ref().zip(id).map_or(Presence::Unknown, |(seen, id)| seen.of(id)),
                tells_webhooks: observed.tells_webhooks,
                carrier,
                heard: id.and_then(|id| observed.heard.get(id).copied()),
                heard_gap: policy.hour(),
            };
            Some(drift::facts(status.line.clone().unwrap_or_default(), &sight, &ours(spec, portfolio), now))
        }
    };
    Next { line, recording, cost: cost(status, spec, portfolio, now) }
}

/// What the line's webhooks and its number should bear.
pub fn ours(spec: &LineSpec, portfolio: &Portfolio) -> Ours {
    let owner = OwnerId::parse(portfolio.spec.owner_id.clone()).ok();
    Ours {
        webhook_url: portfolio.spec.meta.webhook_url.clone(),
        tags: owner.iter().map(names::owner_tag).chain([names::company_tag(&spec.company)]).collect(),
    }
}

/// The line's fixed cost by the rate card of today.
pub fn cost(status: &ClientNumberStatus, spec: &LineSpec, portfolio: &Portfolio, now: Timestamp) -> CostStatus {
    let price = status.purchase.as_ref().and_then(|p| p.price.as_ref());
    let price = price.and_then(|p| Usd::parse(&p.monthly_usd).ok());
    let today = now.to_zoned(jiff::tz::TimeZone::UTC).date();
    let unknown =
        CostStatus { monthly_usd: None, monthly_mad: None, rate_card: None, display: money::cost::UNKNOWN.into() };
    // What another operator charges for its number is not known here.
    if !spec.source.at_carrier() {
        return unknown;
    }
    money::cost::cost(&portfolio.spec.rate_cards, today, price).unwrap_or_else(|error| {
        tracing::warn!(portfolio = %spec.portfolio, error = %error, "a rate card can't be read; the cost is shown as unknown");
        unknown
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::portfolio::observed::Seen;
    use crate::providers::meta::PhoneNumber;
    use crate::resources::client_number::VerificationStatus;
    use crate::resources::portfolio::ApplicationStatus;
    use crate::resources::reasons::Reason;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use serde_json::{Value, json};
    use std::collections::{HashMap, HashSet};

    fn object<T: serde::de::DeserializeOwned>(kind: &str, uid: &str, spec: &Value) -> T {
        let metadata = json!({"name": "main", "namespace": "platform", "uid": uid});
        let api = "clientnumber.dev/v1alpha1";
        serde_json::from_value(json!({"apiVersion": api, "kind": kind, "metadata": metadata, "spec": spec})).unwrap()
    }

    fn line_and_portfolio() -> (ClientNumber, Portfolio) {
        let line: ClientNumber = object(
            "ClientNumber",
            "line",
            &json!({"companyId": "atlas", "displayName": "Atlas", "portfolioRef": {"name": "main"},
                "number": {"acquire": {}}}),
        );
        let secret = |name| json!({"name": name, "key": "k"});
        let portfolio: Portfolio = object(
            "Portfolio",
            "portfolio",
            &json!({"ownerId": "prod", "telnyx": {"apiKeySecretRef": secret("t")},
                "meta": {"businessId": "1", "wabaId": "2", "appId": "3", "accessTokenSecretRef": secret("a"),
                    "appSecretSecretRef": secret("s")}}),
        );
        (line, portfolio)
    }

    /// An old request to arm the number arrived when the line worked.
    #[test]
    fn a_line_whose_calls_are_recorded_is_armed_until_that_is_undone() {
        let (line, mut portfolio) = line_and_portfolio();
        let (capture, reject) = ("11".to_owned(), "12".to_owned());
        portfolio.status.get_or_insert_default().applications = Some(ApplicationStatus { capture, reject });
        let at = |time: &str| Time(time.parse().unwrap());
        let verified = at("2026-11-01T09:00:00Z");
        let verification = VerificationStatus { verified_at: Some(verified.clone()), ..VerificationStatus::default() };
        let status = ClientNumberStatus {
            phone_number: Some("+212600000001".into()),
            verification: Some(verification),
            ..ClientNumberStatus::default()
        };
        let armed = |connection: Value, about: &str| {
            let number = json!({"id": "1", "phone_number": "+212600000001", "connection_id": connection});
            let there = HashMap::from([("+212600000001".to_owned(), serde_json::from_value(number).unwrap())]);
            let carrier = Some(Seen::new(there, HashSet::new(), Vec::new()));
            let observed = Observed { carrier, about: HashSet::from([about.to_owned()]), ..Observed::default() };
            let (spec, now) = (LineSpec::of(&line).unwrap(), at("2026-11-01T10:00:00Z").0);
            let mut then = status.clone();
            super::look(&status, &spec, &portfolio, Some(&observed), PolicyTime::default(), now).note(&mut then, now);
            then.verification.unwrap().armed_at
        };
        assert_eq!(armed(json!("11"), "line"), Some(verified), "what was recorded since goes too");
        assert_eq!(armed(json!("12"), "line"), None);
        assert_eq!(armed(Value::Null, "line"), None);
        assert_eq!(armed(json!("11"), "another"), None, "it was on its way when the list was asked for");
    }

    /// Meta listed the number while its line was on its way, or while another object held it.
    #[test]
    fn a_round_tells_nothing_of_lines_that_were_not_settled_when_it_asked() {
        let (line, portfolio) = line_and_portfolio();
        let entry = serde_json::from_value(json!({"id": "1", "status": "PENDING"})).unwrap();
        let status = ClientNumberStatus {
            phone_number_id: Some("1".into()),
            line: Some(LineStatus { status: Some("CONNECTED".into()), ..LineStatus::default() }),
            ..ClientNumberStatus::default()
        };
        let look = |about: &[&str]| {
            let there = HashMap::from([("1".to_owned(), PhoneNumber::clone(&entry))]);
            let about = about.iter().map(|uid| (*uid).to_owned()).collect();
            let meta = Some(Seen::new(there, HashSet::new(), Vec::new()));
            let observed = Observed { meta, about, ..Observed::default() };
            let (spec, now) = (LineSpec::of(&line).unwrap(), "2026-11-01T10:00:00Z".parse().unwrap());
            super::look(&status, &spec, &portfolio, Some(&observed), PolicyTime::default(), now).progress().reason
        };
        assert_eq!(look(&["another"]), Reason::Ready);
        assert_eq!(look(&["line"]), Reason::LineNotConnected);
    }
}
