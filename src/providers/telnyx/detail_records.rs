//! The call log that billing is made from: one detail record for each call that reached a number.
//!
//! Telnyx: `record_type` must be one of its words, anything else is 400; records of voice are not described in the
//! official file and are read as live answers show them; at most 50 a page; they lag by minutes, so an empty answer proves
//! nothing. A record says that a call came and how long it was, never what was said.

use jiff::Timestamp;
use serde_json::Value;

use super::words::{Direction, RecordKind};
use super::{Client, ProviderError};
use crate::domain::{E164, Pii, Usd};
use crate::providers::lenient;
use crate::providers::request::Operation;

/// Largest page of this list.
const PAGE_SIZE: usize = 50;

/// One call (or message) as it was charged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetailRecord {
    /// Its id.
    pub id: Option<String>,
    /// What it is a record of.
    pub kind: RecordKind,
    /// Incoming or outgoing.
    pub direction: Option<Direction>,
    /// Called number.
    pub to: Option<E164>,
    /// Calling number, as it came.
    pub from: Option<Pii<String>>,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it was answered; None if it was not.
    pub answered_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// How long it was, seconds.
    pub call_secs: Option<u64>,
    /// How much of that is charged, seconds.
    pub billed_secs: Option<u64>,
    /// What it cost; None if it is in another currency than USD.
    pub cost: Option<Usd>,
    /// Whether it was connected.
    pub connected: Option<bool>,
    /// Why it ended.
    pub hangup_cause: Option<String>,
    /// The call, as the recording names it.
    pub call_session_id: Option<String>,
}

impl Client {
    /// `GET /detail_records` of this kind, incoming, begun at or after `since`, to `called` if it is given. Everything is
    /// compared again here: filters that Telnyx does not know are ignored or give nothing.
    pub async fn detail_records(
        &self,
        kind: &RecordKind,
        since: Timestamp,
        called: Option<&E164>,
    ) -> Result<Vec<DetailRecord>, ProviderError> {
        let mut filters = vec![
            ("filter[record_type]", kind.as_str().to_owned()),
            ("filter[direction]", Direction::Inbound.as_str().to_owned()),
            ("filter[started_at][gte]", since.to_string()),
        ];
        if let Some(number) = called {
            filters.push(("filter[cld]", number.as_str().to_owned()));
        }
        const CALL: Operation = Operation::list("list_detail_records");
        let found: Vec<Value> = self.pages(CALL, &["detail_records"], &filters, PAGE_SIZE).await?;
        let fits = |record: &DetailRecord| {
            record.started_at.is_none_or(|at| at >= since)
                && record.direction.as_ref().is_none_or(|direction| *direction == Direction::Inbound)
                && called.is_none_or(|number| record.to.as_ref() == Some(number))
        };
        Ok(found.iter().map(|item| record(item, kind)).filter(fits).collect())
    }
}

/// Fields by the names that live answers use for voice and messages; what is missing is None.
fn record(item: &Value, asked: &RecordKind) -> DetailRecord {
    let field = |names: &[&str]| names.iter().find_map(|name| item.get(name).filter(|value| !value.is_null())).cloned();
    let text = |names: &[&str]| lenient::text(field(names)?).ok().flatten();
    let time = |names: &[&str]| lenient::time(field(names)?).ok().flatten();
    let count = |names: &[&str]| lenient::count(field(names)?).ok().flatten();
    let dollars = text(&["currency"]).is_none_or(|currency| currency.eq_ignore_ascii_case("USD"));
    DetailRecord {
        id: text(&["id", "uuid"]),
        kind: text(&["record_type"]).map_or_else(|| asked.clone(), |word| RecordKind::from_word(&word)),
        direction: text(&["direction"]).map(|word| Direction::from_word(&word)),
        to: text(&["cld", "destination_number", "to"]).and_then(|to| E164::parse_loose(&to).ok()),
        from: text(&["cli", "originating_number", "from"]).map(Pii),
        started_at: time(&["started_at", "sent_at", "created_at"]),
        answered_at: time(&["answered_at"]),
        finished_at: time(&["finished_at", "ended_at", "completed_at"]),
        call_secs: count(&["call_sec"]),
        billed_secs: count(&["billed_sec"]),
        cost: text(&["cost"]).filter(|_| dollars).and_then(|cost| Usd::parse(&cost).ok()),
        connected: field(&["connected"]).and_then(|value| match value {
            Value::Bool(flag) => Some(flag),
            Value::String(word) => word.parse().ok(),
            _ => None,
        }),
        hangup_cause: text(&["hangup_cause"]),
        call_session_id: text(&["telnyx_session_id", "call_session_id"]),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn records_are_read_in_every_form_that_was_seen() {
        let live = json!({"id": "d1", "record_type": "call-control", "direction": "inbound", "cli": "+15550001111",
            "cld": "+212612345678", "started_at": "2026-11-24T10:00:00Z", "answered_at": "2026-11-24T10:00:02+00:00",
            "finished_at": "2026-11-24T10:00:40", "call_sec": 38, "billed_sec": "60", "cost": "0.0035",
            "rate": "0.0035", "currency": "USD", "connected": true, "hangup_cause": "normal_clearing",
            "telnyx_session_id": "s1"});
        let read = record(&live, &RecordKind::CallControl);
        assert_eq!((read.call_secs, read.billed_secs), (Some(38), Some(60)));
        assert_eq!((read.cost, read.connected), (Some(Usd::parse("0.0035").unwrap()), Some(true)));
        assert_eq!(read.to, Some(E164::parse("+212612345678").unwrap()));
        assert!(read.answered_at.is_some() && read.finished_at.is_some());
        assert!(!format!("{read:?}").contains("15550001111"));

        let odd = [
            (json!({}), None, None, None),
            (json!({"cld": 212612345678_u64, "cost": 0.5, "call_sec": "x"}), Some("+212612345678"), Some("0.5"), None),
            (json!({"cld": "212612345678", "cost": "0.5", "currency": "EUR"}), Some("+212612345678"), None, None),
            (
                json!({"destination_number": "+212612345678", "cost": "-1", "call_sec": 7}),
                Some("+212612345678"),
                None,
                Some(7),
            ),
            (
                json!({"cld": null, "to": "+212612345678", "cost": {}, "call_sec": -1}),
                Some("+212612345678"),
                None,
                None,
            ),
            (json!("nothing"), None, None, None),
        ];
        for (item, to, cost, secs) in odd {
            let read = record(&item, &RecordKind::SipTrunking);
            assert_eq!(read.to.as_ref().map(E164::as_str), to, "{item}");
            assert_eq!(read.cost, cost.map(|cost| Usd::parse(cost).unwrap()), "{item}");
            assert_eq!((read.call_secs, read.kind), (secs, RecordKind::SipTrunking), "{item}");
        }
        let new = json!({"record_type": "hologram", "direction": "sideways"});
        let read = record(&new, &RecordKind::CallControl);
        assert_eq!(read.kind, RecordKind::Unknown("hologram".to_owned()));
        assert_eq!(read.direction, Some(Direction::Unknown("sideways".to_owned())));
    }
}
