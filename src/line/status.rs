//! From what a pass found to the conditions that people read. Pure; the one place that decides about conditions of a
//! line. Writing them is `pass.rs`'s.

use jiff::Timestamp;

use super::drift;
use super::plan::{Step, done};
use crate::resources::ClientNumberStatus;
use crate::resources::conditions::{ConditionType, Truth, Wanted, fold, get, is_true};
use crate::resources::reasons::Reason;

/// How the current step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Being worked on, or waiting for something that comes by itself.
    Working,
    /// A person must act.
    Stalled,
    /// Nothing to do.
    Settled,
}

/// What a pass found: where the line is and why, in words that end with what happens next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The current step.
    pub step: Step,
    /// How it stands.
    pub state: State,
    /// Why.
    pub reason: Reason,
    /// For people.
    pub message: String,
}

impl Progress {
    /// Work is under way.
    pub fn working(step: Step, reason: Reason, message: impl Into<String>) -> Self {
        Self { step, state: State::Working, reason, message: message.into() }
    }

    /// A person must act.
    pub fn stalled(step: Step, reason: Reason, message: impl Into<String>) -> Self {
        Self { step, state: State::Stalled, reason, message: message.into() }
    }

    /// The line is as it should be.
    pub fn settled(message: impl Into<String>) -> Self {
        Self { step: Step::Keep, state: State::Settled, reason: Reason::Ready, message: message.into() }
    }
}

/// A provider's refusal that a person must settle, as it stands in status: waiting for the time of the next attempt must
/// not hide it. What the controller itself found wrong is judged anew in each pass.
pub fn standing(status: &ClientNumberStatus, step: Step, overlay: &Overlay) -> Option<Progress> {
    const REFUSALS: [Reason; 7] = [
        Reason::LinkRefused,
        Reason::CapacityFull,
        Reason::CredentialsInvalid,
        Reason::InsufficientFunds,
        Reason::RequirementsMissing,
        Reason::RefusedByProvider,
        Reason::PinMismatch,
    ];
    let stalled = get(&status.conditions, ConditionType::Stalled).filter(|c| c.status == "True")?;
    let reason = REFUSALS.into_iter().find(|reason| reason.as_str() == stalled.reason)?;
    (status.step.as_deref() == Some(shown_step(step, overlay)))
        .then(|| Progress::stalled(step, reason, stalled.message.clone()))
}

/// What stands over the pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Overlay {
    /// Nothing.
    None,
    /// Stopped by suspend: the line's own or its Portfolio's.
    Suspended(Reason, String),
    /// Being released.
    Deleting,
}

impl Overlay {
    /// The step that a line shows that is being released.
    pub const RELEASE: &str = "release";
}

/// What of the spec conditions speak of.
#[derive(Debug, Clone, Copy)]
pub struct Declared<'a> {
    /// Generation of the spec.
    pub generation: i64,
    /// The name that candidates are to see.
    pub display_name: &'a str,
}

/// Sets conditions, step and observedGeneration from the facts in `status` and from what the pass found.
pub fn apply(
    status: &mut ClientNumberStatus,
    progress: &Progress,
    overlay: &Overlay,
    declared: Declared<'_>,
    now: Timestamp,
) {
    let was_ready = is_true(&status.conditions, ConditionType::Ready);
    // Whoever waits for something in the background knows nothing new of a line that works: the facts go on counting.
    let standing = (*overlay == Overlay::None && progress.state == State::Working && progress.step == Step::Keep)
        .then(|| drift::verdict(status.line.as_ref()));
    let progress = standing.as_ref().unwrap_or(progress);
    let mut wanted = vec![ready(progress, overlay, was_ready)];
    wanted.extend(Step::ALL.into_iter().filter_map(|step| step_condition(step, status, progress)));
    wanted.push(drift::display_name(status.line.as_ref(), declared.display_name));
    wanted.extend(extras(progress, overlay));
    if progress.step == Step::Keep && *overlay != Overlay::Deleting {
        wanted.extend(status.line.as_ref().and_then(drift::degraded));
    }
    status.conditions = fold(&status.conditions, wanted, declared.generation, now);
    status.observed_generation = declared.generation;
    status.step = Some(shown_step(progress.step, overlay).into());
}

fn shown_step(step: Step, overlay: &Overlay) -> &'static str {
    if *overlay == Overlay::Deleting { Overlay::RELEASE } else { step.as_str() }
}

fn ready(progress: &Progress, overlay: &Overlay, was_ready: bool) -> Wanted {
    let type_ = ConditionType::Ready;
    match (overlay, progress.state) {
        (Overlay::Deleting, _) => Wanted::new(type_, Truth::False, progress.reason, &progress.message),
        // Work stops; Ready stays what it was.
        (Overlay::Suspended(_, message), _) if was_ready => Wanted::new(type_, Truth::True, Reason::Ready, message),
        (Overlay::Suspended(reason, message), _) => Wanted::new(type_, Truth::False, *reason, message),
        (Overlay::None, State::Settled) => Wanted::new(type_, Truth::True, Reason::Ready, &progress.message),
        (Overlay::None, _) => Wanted::new(type_, Truth::False, progress.reason, &progress.message),
    }
}

fn step_condition(step: Step, status: &ClientNumberStatus, progress: &Progress) -> Option<Wanted> {
    let (type_, reason, message) = match step {
        Step::Acquire => {
            let bought = status.purchase.as_ref().is_some_and(|p| p.attempt > 0);
            let reason = if bought { Reason::Acquired } else { Reason::Adopted };
            (ConditionType::NumberAcquired, reason, "the number belongs to this line")
        }
        Step::Link => {
            (ConditionType::LinkedToWhatsApp, Reason::Linked, "the WhatsApp Business Account lists the number")
        }
        Step::Verify => (ConditionType::OwnershipVerified, Reason::Verified, "Meta accepted the code"),
        Step::Route => (ConditionType::Routed, Reason::Routed, "the routing table holds the line"),
        Step::Register => (ConditionType::Registered, Reason::Registered, "the line is registered at the Cloud API"),
        Step::Keep => return None,
    };
    Some(if done(step, status) {
        match status.line.as_ref().and_then(|line| drift::undone(step, line)) {
            Some((reason, message)) => Wanted::new(type_, Truth::False, reason, message),
            None => Wanted::new(type_, Truth::True, reason, message),
        }
    } else if step == progress.step {
        Wanted::new(type_, Truth::False, progress.reason, &progress.message)
    } else {
        Wanted::new(type_, Truth::Unknown, Reason::NotStarted, "waits for the steps before it")
    })
}

fn extras(progress: &Progress, overlay: &Overlay) -> Vec<Wanted> {
    let mut extras = Vec::new();
    let suspended = matches!(overlay, Overlay::Suspended(..));
    if let Overlay::Suspended(reason, message) = overlay {
        extras.push(Wanted::new(ConditionType::Suspended, Truth::True, *reason, message));
    }
    if *overlay == Overlay::Deleting {
        extras.push(Wanted::new(ConditionType::Deleting, Truth::True, progress.reason, &progress.message));
    }
    match progress.state {
        // Background checks of a line that works are not a change under way (kstatus would flap).
        State::Working if !suspended && progress.step != Step::Keep => {
            extras.push(Wanted::new(ConditionType::Reconciling, Truth::True, progress.reason, &progress.message));
        }
        State::Stalled if !suspended => {
            extras.push(Wanted::new(ConditionType::Stalled, Truth::True, progress.reason, &progress.message));
        }
        _ => {}
    }
    extras
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::client_number::LineStatus;

    fn run(status: &mut ClientNumberStatus, progress: &Progress, overlay: &Overlay) -> Vec<String> {
        let declared = Declared { generation: 3, display_name: "Atlas" };
        apply(status, progress, overlay, declared, "2026-11-01T10:00:00Z".parse().unwrap());
        status.conditions.iter().map(|c| format!("{}={}/{}", c.type_, c.status, c.reason)).collect()
    }

    #[test]
    fn a_refusal_stands_while_the_next_attempt_is_waited_for() {
        let mut status = ClientNumberStatus::default();
        let refused = Progress::stalled(Step::Link, Reason::LinkRefused, "Meta: no: do this");
        run(&mut status, &refused, &Overlay::None);
        assert_eq!(standing(&status, Step::Link, &Overlay::None), Some(refused.clone()));
        assert_eq!(standing(&status, Step::Verify, &Overlay::None), None);
        assert_eq!(standing(&status, Step::Link, &Overlay::Deleting), None, "of before the deletion");
        run(&mut status, &refused, &Overlay::Deleting);
        assert_eq!(standing(&status, Step::Link, &Overlay::Deleting), Some(refused));
        run(&mut status, &Progress::stalled(Step::Link, Reason::ReadOnly, "m"), &Overlay::None);
        assert_eq!(standing(&status, Step::Link, &Overlay::None), None, "not a provider's refusal");
        run(&mut status, &Progress::working(Step::Link, Reason::LinkPending, "m"), &Overlay::None);
        assert_eq!(standing(&status, Step::Link, &Overlay::None), None);
    }

    #[test]
    fn a_new_line() {
        let mut status = ClientNumberStatus::default();
        let progress = Progress::working(Step::Acquire, Reason::OrderPending, "m");
        assert_eq!(
            run(&mut status, &progress, &Overlay::None),
            [
                "Ready=False/OrderPending",
                "NumberAcquired=False/OrderPending",
                "LinkedToWhatsApp=Unknown/NotStarted",
                "OwnershipVerified=Unknown/NotStarted",
                "Routed=Unknown/NotStarted",
                "Registered=Unknown/NotStarted",
                "DisplayNameApproved=Unknown/NotRead",
                "Reconciling=True/OrderPending",
            ]
        );
        assert_eq!(status.observed_generation, 3);
        assert_eq!(status.step.as_deref(), Some("acquire"));
    }

    #[test]
    fn suspension_keeps_ready_and_never_stands_beside_reconciling() {
        let mut status = ClientNumberStatus::default();
        run(&mut status, &Progress::settled("m"), &Overlay::None);
        let overlay = Overlay::Suspended(Reason::PortfolioSuspended, "stopped".into());
        let got = run(&mut status, &Progress::working(Step::Keep, Reason::InProgress, "m"), &overlay);
        assert_eq!(got[0], "Ready=True/Ready");
        assert!(got.contains(&"Suspended=True/PortfolioSuspended".to_owned()), "{got:?}");
        assert!(!got.iter().any(|c| c.starts_with("Reconciling")), "{got:?}");
        let mut fresh = ClientNumberStatus::default();
        assert_eq!(
            run(&mut fresh, &Progress::working(Step::Acquire, Reason::InProgress, "m"), &overlay)[0],
            "Ready=False/PortfolioSuspended"
        );
    }

    #[test]
    fn trouble_in_the_background_takes_no_line_down() {
        let mut status = ClientNumberStatus::default();
        run(&mut status, &Progress::settled("m"), &Overlay::None);
        let got = run(&mut status, &Progress::working(Step::Keep, Reason::ProviderUnavailable, "m"), &Overlay::None);
        assert_eq!(got[0], "Ready=True/Ready");
        let got = run(&mut status, &Progress::stalled(Step::Keep, Reason::LineNotConnected, "m"), &Overlay::None);
        assert_eq!(got[0], "Ready=False/LineNotConnected");
        assert!(got.contains(&"Stalled=True/LineNotConnected".to_owned()));
    }

    #[test]
    fn what_was_found_stands_while_nothing_can_be_read() {
        let overridden = LineStatus { webhook_override: Some("https://other".into()), ..LineStatus::default() };
        let worse = LineStatus { quality_rating: Some("RED".into()), ..LineStatus::default() };
        let waits = Progress::working(Step::Keep, Reason::PortfolioNotReady, "m");
        for (line, expected) in [
            (overridden, ["Ready=False/WebhookOverridden", "Stalled=True/WebhookOverridden"]),
            (worse, ["Ready=True/Ready", "Degraded=True/QualityLow"]),
        ] {
            let mut status = ClientNumberStatus { line: Some(line), ..ClientNumberStatus::default() };
            let got = run(&mut status, &waits, &Overlay::None);
            assert!(expected.iter().all(|e| got.contains(&(*e).to_owned())), "{got:?}");
            let got = run(&mut status, &waits, &Overlay::Deleting);
            assert!(!got.iter().any(|c| c.starts_with("Degraded")), "{got:?}");
        }
    }
}
