//! Events for what the audit found and for what was put right: one each, when it appears and when it goes, whether status
//! has a place for it or not. Of very many at once the last are told together. The choice is pure.
//!
//! Kubernetes joins events of the same reason and action and keeps the first note, so the action names the number.

use super::audit::SHOWN;
use crate::controller::events::Draft;
use crate::resources::finding::{Finding, FindingKind};
use crate::resources::reasons::Reason;

/// Events of their own for one write, at most, and as many again for what was put right.
const AT_ONCE: usize = 20;

/// The events that the change of all findings calls for, with those that status does not show. `remembered`: false after a
/// restart, when of what status had no place for nothing is known: where it was full, only what it shows anew is told.
pub fn drafts(before: &[Finding], after: &[Finding], remembered: bool) -> Vec<Draft> {
    let full = before.iter().filter(|f| f.kind != FindingKind::Abandoned).count() >= SHOWN;
    let lacks = |all: &[Finding], one: &Finding| {
        !all.iter().any(|other| other.kind == one.kind && other.phone_number == one.phone_number)
    };
    let told_before = |finding: &Finding| !remembered && full && finding.kind != FindingKind::Abandoned;
    let appeared: Vec<&Finding> = after.iter().filter(|f| lacks(before, f) && !told_before(f)).collect();
    let settled: Vec<&Finding> = before.iter().filter(|finding| lacks(after, finding)).collect();
    let mut drafts: Vec<Draft> = appeared.iter().take(AT_ONCE).map(|finding| self::appeared(finding)).collect();
    drafts.extend(appeared.get(AT_ONCE).map(|first| together(true, first.kind.as_str(), appeared.len() - AT_ONCE)));
    drafts.extend(settled.iter().take(AT_ONCE).map(|finding| self::settled(finding)));
    let reason = Reason::FindingSettled.as_str();
    drafts.extend(settled.get(AT_ONCE).map(|_| together(false, reason, settled.len() - AT_ONCE)));
    drafts
}

/// One event for those that get none of their own.
fn together(warning: bool, reason: &str, count: usize) -> Draft {
    let what = if warning { "more findings appeared" } else { "more findings are settled" };
    Draft {
        warning,
        reason: reason.into(),
        action: format!("Audit {what}"),
        note: format!(
            "{count} {what} at once: status.findings and the metric clientnumber_audit_findings tell of them"
        ),
    }
}

/// The event of a finding that is new.
pub fn appeared(finding: &Finding) -> Draft {
    Draft {
        warning: true,
        reason: finding.kind.as_str().into(),
        action: format!("Audit {}", finding.phone_number),
        note: format!("{}: {}", finding.phone_number, finding.message),
    }
}

fn settled(finding: &Finding) -> Draft {
    Draft {
        warning: false,
        reason: Reason::FindingSettled.as_str().into(),
        action: format!("Audit {} {}", finding.phone_number, finding.kind.as_str()),
        note: format!("{}: {} is settled", finding.phone_number, finding.kind.as_str()),
    }
}

/// The event of a Portfolio that goes: what stays paid for. None: nothing.
pub fn still_paid<'a>(findings: &'a [Finding], retained: impl Iterator<Item = &'a str>) -> Option<Draft> {
    const NAMED: usize = 30;
    let orphans = findings.iter().filter(|f| f.kind.is_orphan()).map(|f| f.phone_number.as_str());
    let mut numbers: Vec<&str> = retained.chain(orphans).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let more = if numbers.len() > NAMED { " and others" } else { "" };
    numbers.truncate(NAMED);
    let note = format!(
        "the Portfolio is gone, and these numbers stay paid for at Telnyx: {}{more}; release them in the Telnyx portal, or make a Portfolio with the same ownerId to use them again",
        numbers.join(", ")
    );
    let draft = Draft { warning: true, reason: Reason::StillPaid.as_str().into(), action: "Delete".into(), note };
    (!numbers.is_empty()).then_some(draft)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::finding::FindingKind;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    fn finding(kind: FindingKind, number: &str) -> Finding {
        Finding {
            kind,
            phone_number: number.into(),
            phone_number_id: None,
            company_id: None,
            reference: None,
            since: Time("2026-11-01T10:00:00Z".parse().unwrap()),
            message: "do something".into(),
        }
    }

    #[test]
    fn one_event_when_it_appears_and_one_when_it_goes() {
        let (a, b) = ([finding(FindingKind::Orphaned, "+1")], [finding(FindingKind::NotRouted, "+1")]);
        let told = |before: &[Finding], after: &[Finding]| -> Vec<(String, bool)> {
            drafts(before, after, true).into_iter().map(|d| (d.reason, d.warning)).collect()
        };
        assert_eq!(told(&[], &a), [("Orphaned".to_owned(), true)]);
        assert_eq!(told(&a, &a), []);
        let both = [("NotRouted".to_owned(), true), ("FindingSettled".to_owned(), false)];
        assert_eq!(told(&a, &b), both, "another kind of the same number is another finding");
        let action = |number: &str| drafts(&[], &[finding(FindingKind::Orphaned, number)], true)[0].action.clone();
        assert_ne!(action("+1"), action("+2"));
    }

    #[test]
    fn very_many_at_once_are_told_together_and_none_is_left_out() {
        let many: Vec<Finding> = (0..150).map(|n| finding(FindingKind::Orphaned, &format!("+{n}"))).collect();
        for (before, after, says) in
            [(&[][..], &many[..], "130 more findings appeared"), (&many, &[], "130 more findings are")]
        {
            let told = drafts(before, after, true);
            assert_eq!(told.len(), AT_ONCE + 1);
            assert!(told[AT_ONCE].note.starts_with(says), "{:?}", told[AT_ONCE]);
        }
        // Of one more than a hundred only that one is news, and none that only lost its place is settled.
        assert_eq!(drafts(&many[..149], &many, true).len(), 1);
        // A restart knows what status showed.
        assert_eq!(drafts(&many[..SHOWN], &many, false), []);
        assert_eq!(drafts(&many[..SHOWN - 1], &many[..SHOWN], false).len(), 1);
        assert_eq!(drafts(&many[..SHOWN], &many[1..], false).len(), 1, "what was shown and is gone");
    }

    #[test]
    fn a_portfolio_that_goes_names_what_stays_paid() {
        assert_eq!(still_paid(&[finding(FindingKind::NotRouted, "+1")], [].into_iter()), None);
        let findings = [finding(FindingKind::Abandoned, "+3"), finding(FindingKind::NotRouted, "+1")];
        let note = still_paid(&findings, ["+2"].into_iter()).unwrap().note;
        assert!(note.contains("Telnyx: +2, +3; "), "{note}");
    }
}
