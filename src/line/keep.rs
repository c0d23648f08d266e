//! Step 6, keep: a line that works is looked at once a round, from lists that all lines share; never a call per line.

use std::time::Duration;

use super::pass::Pass;
use super::plan::Step;
use super::status::Progress;
use super::verify::entry;
use super::{Outcome, StepResult};
use crate::domain::Usd;
use crate::money;
use crate::providers::meta::{NumberStatus, PhoneNumber};
use crate::resources::client_number::{CostStatus, LineStatus};
use crate::resources::conditions::seconds;
use crate::resources::reasons::Reason;

/// Runs the step.
pub async fn run(pass: &mut Pass<'_>) -> StepResult {
    let round = check_interval(pass);
    let entry = entry(pass, round.mul_f64(0.9)).await?;
    let activity = match super::route::phone_number_id(&pass.status().phone_number_id) {
        Some(id) => pass.ctx.store.line_activity().last(&id).await.ok().flatten(),
        None => None,
    };
    let mut line = match &entry {
        Some(entry) => line_status(entry, pass.status().line),
        None => pass.status().line.unwrap_or_default(),
    };
    line.last_webhook_at = activity.map(seconds).or(line.last_webhook_at);
    let cost = cost(pass);
    let progress = judge(entry.as_ref());
    pass.save(&progress, |status| {
        status.line = Some(line);
        status.cost = Some(cost);
    })
    .await?;
    Ok(Outcome::wait(progress, round))
}

/// How a registered line stands by Meta's list.
fn judge(entry: Option<&PhoneNumber>) -> Progress {
    let lost = |what: String| {
        Progress::stalled(
            Step::Keep,
            Reason::LineNotConnected,
            format!("{what}: look at the number in WhatsApp Manager; the line is read again by itself"),
        )
    };
    match entry {
        None => lost("the WhatsApp Business Account does not list the number any more".into()),
        Some(entry) => match &entry.status {
            Some(
                status @ (NumberStatus::Disconnected
                | NumberStatus::Banned
                | NumberStatus::Deleted
                | NumberStatus::Migrated
                | NumberStatus::Pending
                | NumberStatus::Unverified),
            ) => lost(format!("Meta says that the line is {status}")),
            _ => Progress::settled("the line sends and receives"),
        },
    }
}

/// What Meta says of the line, for status.
pub fn line_status(entry: &PhoneNumber, before: Option<LineStatus>) -> LineStatus {
    let before = before.unwrap_or_default();
    LineStatus {
        display_name_status: entry.name_status.as_ref().map(ToString::to_string),
        quality_rating: entry.quality_rating.as_ref().map(ToString::to_string),
        messaging_limit: entry.messaging_limit().map(str::to_owned),
        status: entry.status.as_ref().map(ToString::to_string),
        last_onboarded_at: entry.last_onboarded_time.map(|t| seconds(t).0.to_string()),
        last_webhook_at: before.last_webhook_at,
    }
}

/// The line's fixed cost by the rate card of today.
pub fn cost(pass: &Pass<'_>) -> CostStatus {
    let price = pass.status().purchase.and_then(|p| p.price).and_then(|p| Usd::parse(&p.monthly_usd).ok());
    let today = pass.ctx.clock.now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let unknown =
        CostStatus { monthly_usd: None, monthly_mad: None, rate_card: None, display: money::cost::UNKNOWN.into() };
    // What another operator charges for its number is not known here.
    if !pass.spec.source.at_carrier() {
        return unknown;
    }
    money::cost::cost(&pass.portfolio.spec.rate_cards, today, price).unwrap_or_else(|error| {
        tracing::warn!(portfolio = %pass.spec.portfolio, error = %error, "a rate card can't be read; the cost is shown as unknown");
        unknown
    })
}

fn check_interval(pass: &Pass<'_>) -> Duration {
    pass.ctx.policy.scaled(crate::portfolio::check_interval(&pass.portfolio))
}
