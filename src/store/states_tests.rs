use super::*;
use crate::domain::{E164, PhoneNumberId};
use crate::store::append_job::draft;
use crate::store::log_entry::{LineRef, NewEntry};

fn status(seq: Seq, wamid: &str, word: &str, time: i64) -> LogEntry {
    let line = LineRef {
        phone_number_id: PhoneNumberId::parse("1").unwrap(),
        phone_number: E164::parse("+212612345678").unwrap(),
    };
    let item = NewEntry {
        meta_id: Some(Pii(format!("{wamid} {word} MA.1"))),
        status: Some(word.to_owned()),
        timestamp: Some(time),
        ..NewEntry::new(Kind::Status, line, 1)
    };
    draft(&item, seq, Timestamp::UNIX_EPOCH)
}

/// All orders of these.
fn orders(words: &[&'static str]) -> Vec<Vec<&'static str>> {
    if words.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for at in 0..words.len() {
        let mut rest = words.to_vec();
        let first = rest.remove(at);
        all.extend(orders(&rest).into_iter().map(|rest| [vec![first], rest].concat()));
    }
    all
}

/// The state after these statuses, each with the time that its word always has.
fn after(words: &[&str]) -> Option<MessageState> {
    let time = |word: &str| {
        State::of(word).map_or(9, |state| 100 + State::ALL.iter().position(|s| *s == state).unwrap() as i64)
    };
    let entries = words.iter().enumerate().map(|(at, word)| status(at as Seq + 1, "w", word, time(word)));
    entries.fold(None, |state, entry| fold(state, &entry))
}

#[test]
fn the_same_in_all_orders() {
    let sets: [(&[&'static str], State); 9] = [
        (&["sent"], State::Sent),
        (&["sent", "delivered"], State::Delivered),
        (&["sent", "delivered", "read"], State::Read),
        (&["read"], State::Read),
        (&["delivered", "delivered", "sent"], State::Delivered),
        (&["sent", "failed"], State::Failed),
        (&["sent", "delivered", "read", "played"], State::Played),
        (&["sent", "delivered", "read", "played", "failed"], State::Failed),
        (&["sent", "warned about", "read", "deleted"], State::Read),
    ];
    let mut count = 0;
    for (words, want) in sets {
        let mut seen: Option<MessageState> = None;
        for order in orders(words) {
            let state = after(&order).unwrap();
            assert_eq!(state.state, want, "{order:?}");
            // Nothing but the seq may depend on the order.
            let state = MessageState { seq: 0, ..state };
            assert_eq!(*seen.get_or_insert(state.clone()), state, "{order:?}");
            count += 1;
        }
    }
    assert_eq!(count, 1 + 2 + 6 + 1 + 6 + 2 + 24 + 120 + 24);
}

#[test]
fn what_is_included_changes_nothing_again() {
    let (sent, read) = (status(4, "w", "sent", 50), status(9, "w", "read", 60));
    let both = fold(fold(None, &sent), &read).unwrap();
    assert_eq!((both.seq, both.state, both.times.len()), (9, State::Read, 2));
    for known in [&sent, &read] {
        assert_eq!(fold(Some(both.clone()), known).as_ref(), Some(&both));
    }
    // A word twice (a group's members): the first time counts.
    let earlier = fold(Some(both.clone()), &status(12, "w", "read", 55)).unwrap();
    assert_eq!((earlier.seq, earlier.times[&State::Read]), (12, 55));
}

#[test]
fn what_belongs_to_no_message() {
    let whole = status(1, "w", "read", 1);
    let hashed = LogEntry { meta_id: Some(Pii("statuses 00ff".into())), ..whole.clone() };
    let message = LogEntry { kind: Kind::Message, ..whole.clone() };
    let nameless = LogEntry { status: None, ..whole.clone() };
    let strange = status(1, "w", "rea", 1);
    for entry in [&hashed, &message, &nameless, &strange] {
        assert_eq!(fold(None, entry), None);
    }
    assert_eq!(about(&whole), Some("w"));
    // The word must end where the id's next part begins.
    let longer = LogEntry { meta_id: Some(Pii("w reading MA.1".into())), ..whole };
    assert_eq!(about(&longer), None);
}

#[test]
fn as_a_document_and_back() {
    let state = after(&["sent", "read"]).unwrap();
    let document = mongodb::bson::serialize_to_document(&state).unwrap();
    assert_eq!(document.get_document("times").unwrap(), &doc! { "sent": 100_i64, "read": 102_i64 });
    assert_eq!(document.get_str("state").unwrap(), "read");
    assert_eq!(mongodb::bson::deserialize_from_document::<MessageState>(document).unwrap(), state);
}
