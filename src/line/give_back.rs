//! Giving a number back at the carrier, for a release and for a replacement: what may be done next is decided from what is
//! recorded and what Telnyx shows. The decision is pure.
//!
//! The number is gone when Telnyx, asked by its id and by the number, shows it neither way after it answered that it takes
//! it back, or shows it in a final state. Without that answer (it was never asked, the DELETE was refused, its answer was
//! lost), one look that finds nothing proves nothing: a refused key may answer "not found" too, and a list may lag. A second
//! one after the grace time does, if the key is of the account that had the number: another account shows it never, and it
//! would be paid for by nobody. The DELETE is recorded before it is sent, so that whoever comes later knows that it may have
//! gone out, and so is its answer, since an account that gave back its last number may show nothing that proves it. Must
//! never delete an id that belongs to another number, nor a number on which another line lives or which it names.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::error::StepError;
use super::owner::still_ours;
use super::pass::Pass;
use super::plan::plan;
use super::status::Progress;
use crate::domain::E164;
use crate::providers::Reason as Outcomes;
use crate::providers::telnyx::{OwnedNumber, OwnedStatus};
use crate::resources::client_number::GiveBackStatus;
use crate::resources::reasons::Reason;

/// Whether the number is given back.
pub enum State {
    /// Telnyx does not show it any more.
    Gone,
    /// It is there after all, although it was asked for; only where it is not asked for again.
    Kept,
    /// Not yet: what to show, and when to look again.
    Waits(Progress, Duration),
}

/// What may be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    /// Telnyx shows it neither by its id nor by the number, and that is believed.
    Gone,
    /// Telnyx shows it neither way, but never said that it takes it back: looked at again.
    Missing,
    /// The same for longer than a list may lag: believed if the account is the one that had the number.
    Absent,
    /// Locked in the portal: a person must unlock it.
    Locked,
    /// The id belongs to another number.
    NotOurs,
    /// Telnyx may be asked to take it back.
    Ask,
    /// It was asked, and its effect may still show.
    Wait,
}

/// What is recorded.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    /// When Telnyx was asked to take the number back.
    asked: Option<Timestamp>,
    /// Whether it answered that it does.
    answered: bool,
    /// When Telnyx was first seen to show it no more.
    missing: Option<Timestamp>,
}

fn decide(
    number: &E164,
    number_id: &str,
    by_id: Option<&OwnedNumber>,
    by_number: Option<&OwnedNumber>,
    known: Known,
    now: Timestamp,
    grace: Duration,
) -> Decision {
    use OwnedStatus::{Deleted, PortedOut};
    let there = |found: &&OwnedNumber| !matches!(found.status, Some(Deleted | PortedOut));
    let proven = known.answered || by_id.is_some_and(|found| !there(&found) && found.number == *number);
    let by_id = by_id.filter(there);
    // Bought again meanwhile, it has another id and is another purchase.
    let listed = by_number.filter(there).filter(|found| found.id == number_id);
    if by_id.is_some_and(|found| found.number != *number) {
        return Decision::NotOurs;
    }
    let locked = |found: Option<&OwnedNumber>| found.is_some_and(|found| found.deletion_lock_enabled == Some(true));
    match (by_id, listed) {
        (None, None) if proven => Decision::Gone,
        (None, None) if known.missing.is_some_and(|since| now >= since + grace) => Decision::Absent,
        (None, None) => Decision::Missing,
        _ if locked(by_id) || locked(listed) => Decision::Locked,
        _ if known.asked.is_some_and(|asked| now < asked + grace) => Decision::Wait,
        _ => Decision::Ask,
    }
}

/// Looks, and asks Telnyx to take the number back if that may be done. `reason` is what the line shows meanwhile.
pub async fn run(pass: &mut Pass<'_>, number: &E164, number_id: &str, reason: Reason) -> Result<State, StepError> {
    match look(pass, number, number_id).await? {
        Decision::Gone => Ok(State::Gone),
        Decision::Missing => missing(pass, number, reason).await,
        Decision::Absent => absent(pass, number, number_id, reason).await,
        Decision::Locked => Ok(locked(pass, number)),
        Decision::NotOurs => Ok(not_ours(pass, number)),
        Decision::Wait => Ok(asked(pass, number, reason)),
        Decision::Ask => ask(pass, number, number_id, reason).await,
    }
}

/// Looks what became of a number that is to be kept by now, although Telnyx was asked to take it back. Asks for nothing.
pub async fn undone(pass: &mut Pass<'_>, number: &E164, number_id: &str) -> Result<State, StepError> {
    match look(pass, number, number_id).await? {
        Decision::Gone => Ok(State::Gone),
        Decision::Wait => Ok(asked(pass, number, Reason::Releasing)),
        Decision::Missing => missing(pass, number, Reason::Releasing).await,
        Decision::Absent => absent(pass, number, number_id, Reason::Releasing).await,
        Decision::Locked | Decision::NotOurs | Decision::Ask => Ok(State::Kept),
    }
}

async fn look(pass: &mut Pass<'_>, number: &E164, number_id: &str) -> Result<Decision, StepError> {
    let telnyx = &pass.account.telnyx;
    let by_id = telnyx.number_by_id(number_id).await?;
    let by_number = telnyx.number(number).await?;
    let purchase = pass.status().purchase;
    let give_back = purchase.as_ref().and_then(|p| p.give_back.as_ref());
    let known = Known {
        asked: give_back.map(|g| g.asked_at.0),
        answered: give_back.is_some_and(|g| g.answered_at.is_some()),
        missing: purchase.as_ref().and_then(|p| p.missing_since.as_ref()).map(|at| at.0),
    };
    let (now, grace) = (pass.ctx.clock.now(), pass.ctx.policy.order_grace());
    let decision = decide(number, number_id, by_id.as_ref(), by_number.as_ref(), known, now, grace);
    if known.missing.is_some() && !matches!(decision, Decision::Gone | Decision::Missing | Decision::Absent) {
        let progress = Progress::working(plan(&pass.status()), Reason::Releasing, format!("{number} is shown again"));
        pass.intend(&progress, |status| status.purchase.iter_mut().for_each(|p| p.missing_since = None)).await?;
    }
    Ok(decision)
}

/// Telnyx never said that it takes it back, and does not show it: noted, and looked at again.
async fn missing(pass: &mut Pass<'_>, number: &E164, reason: Reason) -> Result<State, StepError> {
    let now = Time(pass.ctx.clock.now());
    let message =
        format!("Telnyx does not show {number}, without having said that it takes it back; looked at again by itself");
    let progress = Progress::working(plan(&pass.status()), reason, message);
    pass.intend(&progress, |status| {
        status.purchase.iter_mut().for_each(|p| _ = p.missing_since.get_or_insert_with(|| now.clone()));
    })
    .await?;
    Ok(State::Waits(progress, pass.ctx.policy.link_poll()))
}

/// Gone for good, unless the account is another one. The proof that it is ours comes before the look that is believed:
/// the other way round, a number that was not shown until just before the proof would count as gone.
async fn absent(pass: &mut Pass<'_>, number: &E164, number_id: &str, reason: Reason) -> Result<State, StepError> {
    if of_this_account(pass).await? {
        return match look(pass, number, number_id).await? {
            Decision::Gone | Decision::Absent => Ok(State::Gone),
            _ => {
                let message = format!("Telnyx shows {number} again; the release goes on by itself");
                let progress = Progress::working(plan(&pass.status()), reason, message);
                Ok(State::Waits(progress, Duration::ZERO))
            }
        };
    }
    let message = format!(
        "Telnyx shows neither {number} nor anything that tells that this is the account which had it, and did not say that it takes it back: if telnyx.apiKeySecretRef holds another account's key, restore the right one and the release goes on by itself; if the number is gone for certain, set clientnumber.dev/abandon to it"
    );
    let progress = Progress::stalled(plan(&pass.status()), Reason::NumberLost, message);
    Ok(State::Waits(progress, pass.ctx.policy.backoff(5)))
}

/// Whether the key is of the account that had the number: it shows the order that bought it, or, where none did, any number
/// or order of this owner.
async fn of_this_account(pass: &Pass<'_>) -> Result<bool, StepError> {
    let account = &pass.account;
    if let Some(order) = pass.status().purchase.and_then(|p| p.order_id) {
        return Ok(account.telnyx.order(&order).await?.is_some());
    }
    let shows_numbers = !account.owned_numbers(pass.ctx.policy.name_poll()).await?.is_empty();
    Ok(shows_numbers || !account.telnyx.orders_since(&account.reference_prefix(), None).await?.is_empty())
}

async fn ask(pass: &mut Pass<'_>, number: &E164, number_id: &str, reason: Reason) -> Result<State, StepError> {
    let uid = &pass.spec.uid;
    if let Some(other) = pass.ctx.other_line_with(number, uid).or_else(|| pass.ctx.other_line_naming(number, uid)) {
        let message = format!(
            "the line {other} has or names {number} too, so it is not given back: delete that line first, or set deletionPolicy of this one to Retain"
        );
        let progress = Progress::stalled(plan(&pass.status()), Reason::DuplicateNumber, message);
        return Ok(State::Waits(progress, pass.ctx.policy.backoff(5)));
    }
    let started = pass.ctx.clock.monotonic();
    still_ours(pass).await?;
    let before = pass.status().purchase;
    let asked_at = Time(pass.ctx.clock.now());
    let progress = Progress::working(plan(&pass.status()), reason, format!("{number} is given back at Telnyx"));
    // Lost before this: nothing was deleted. Lost after it: whether the number is gone is read first.
    pass.intend(&progress, |status| {
        status.purchase.iter_mut().for_each(|p| {
            p.give_back = Some(GiveBackStatus { asked_at: asked_at.clone(), answered_at: None });
            p.missing_since = None;
        });
    })
    .await?;
    if pass.too_late(started) {
        return Ok(asked(pass, number, reason));
    }
    let telnyx = pass.account.telnyx.not_after(pass.good_until(started));
    let result = telnyx.release_number(number_id).await;
    pass.account.forget_owned_numbers();
    match result {
        // Given back is what Telnyx shows no longer, not what it said that it would do; but what it said tells whose
        // account it was. Lost before this: that is proven by what else the account shows.
        Ok(()) => {
            let now = Time(pass.ctx.clock.now());
            let answered = |given: &mut GiveBackStatus| given.answered_at = Some(now.clone());
            pass.intend(&progress, |status| {
                status.purchase.iter_mut().filter_map(|p| p.give_back.as_mut()).for_each(answered);
            })
            .await?;
            Ok(match look(pass, number, number_id).await? {
                Decision::Gone => State::Gone,
                _ => asked(pass, number, reason),
            })
        }
        Err(error) if error.was_not_sent() => {
            pass.intend(&progress, |status| status.purchase = before).await?;
            Err(error.into())
        }
        // A clear no: nothing was deleted.
        Err(error) if error.is(Outcomes::DeletionLocked) => {
            pass.intend(&progress, |status| status.purchase = before).await?;
            Ok(locked(pass, number))
        }
        Err(error) => Err(error.into()),
    }
}

fn asked(pass: &Pass<'_>, number: &E164, reason: Reason) -> State {
    let message = format!("Telnyx was asked to take {number} back and still shows it; read again by itself");
    State::Waits(Progress::working(plan(&pass.status()), reason, message), pass.ctx.policy.order_poll())
}

fn locked(pass: &Pass<'_>, number: &E164) -> State {
    let message = format!(
        "{number} has its deletion lock on at Telnyx: switch it off in the Telnyx portal (Numbers: My Numbers); goes on by itself"
    );
    let progress = Progress::stalled(plan(&pass.status()), Reason::DeletionLocked, message);
    State::Waits(progress, pass.ctx.policy.backoff(5))
}

fn not_ours(pass: &Pass<'_>, number: &E164) -> State {
    let message = format!(
        "the id that is recorded for {number} belongs to another number at Telnyx, so nothing is deleted: give {number} back in the Telnyx portal yourself and set clientnumber.dev/abandon to it"
    );
    let progress = Progress::stalled(plan(&pass.status()), Reason::RefusedByProvider, message);
    State::Waits(progress, pass.ctx.policy.backoff(8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        use Decision::{Absent, Ask, Gone, Locked, Missing, NotOurs, Wait};
        let number = E164::parse("+212612345678").unwrap();
        let found = |id: &str, number: &str, status: &str, lock: bool| -> OwnedNumber {
            serde_json::from_value(serde_json::json!({"id": id, "phone_number": number, "status": status,
                "deletion_lock_enabled": lock}))
            .unwrap()
        };
        let ours = |status: &str, lock: bool| Some(found("7", "+212612345678", status, lock));
        let again = || Some(found("8", "+212612345678", "active", true));
        let other = || Some(found("7", "+212612345679", "active", false));
        let now: Timestamp = "2026-11-01T10:00:00Z".parse().unwrap();
        let ago = |seconds: i64| Some(now - jiff::SignedDuration::from_secs(seconds));
        for (name, by_id, by_number, asked, expected) in [
            ("gone both ways", None, None, ago(1), Gone),
            ("not shown, and never asked to go", None, None, None, Missing),
            ("shown in its final state", ours("deleted", false), None, ago(1), Gone),
            ("ported out", ours("ported-out", false), ours("ported-out", false), None, Gone),
            ("gone by id only: a refused key says that too", None, ours("active", false), None, Ask),
            ("gone by id, the list lags", None, ours("active", false), ago(119), Wait),
            ("not listed yet", ours("active", false), None, None, Ask),
            ("there", ours("active", false), ours("active", false), None, Ask),
            ("asked a moment ago", ours("active", false), ours("active", false), ago(119), Wait),
            ("asked, and nothing came of it", ours("active", false), ours("active", false), ago(120), Ask),
            ("locked", ours("active", true), ours("active", true), None, Locked),
            ("locked by the list", ours("active", false), ours("active", true), None, Locked),
            ("locked after it was asked", ours("active", true), None, ago(1), Locked),
            ("locked, but gone", ours("deleted", true), None, None, Gone),
            ("bought again by somebody: not this purchase", None, again(), ago(1), Gone),
            ("another one of that number, and this one never asked to go", None, again(), None, Missing),
            ("the id is another number's", other(), None, None, NotOurs),
        ] {
            let grace = Duration::from_secs(120);
            let known = Known { asked, answered: asked.is_some(), missing: None };
            let got = decide(&number, "7", by_id.as_ref(), by_number.as_ref(), known, now, grace);
            assert_eq!(got, expected, "{name}");
        }
        // Never asked to take it back, or without an answer: a second look must come after the grace time, and alone it
        // proves nothing.
        for (name, missing, expected) in
            [("first look", None, Missing), ("too soon", ago(119), Missing), ("a second one", ago(120), Absent)]
        {
            for asked in [None, ago(1), ago(9999)] {
                let known = Known { asked, answered: false, missing };
                let got = decide(&number, "7", None, None, known, now, Duration::from_secs(120));
                assert_eq!(got, expected, "{name}, asked at {asked:?}");
            }
        }
    }
}
