//! What a test call says: six digits, and the TeXML document that speaks them as Meta's call does. Pure.
//!
//! The digits follow from the line and from the moment that status records before the call. So they differ from call to
//! call, whoever listens after a restart knows them, and nothing that looks like a code need be kept anywhere. They open
//! nothing: whoever guesses them gains a test call that passes.

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::domain::OtpCode;

/// Which of a recording's digits were said, when the calls of a line began in this order; None: no call began. Never those
/// of the call before, so that what is left of that one can't pass for this one; and no digit twice in a row, which
/// transcriptions are known to write once.
pub fn digits(uid: &str, calls: &[Timestamp]) -> Option<OtpCode> {
    let (last, before) = calls.split_last()?;
    let before = before.last().map(|at| drawn(uid, *at, 0));
    let first = drawn(uid, *last, 0);
    // Two draws of one moment differ, so one of them is not what was said before.
    let text = if Some(&first) == before.as_ref() { drawn(uid, *last, 1) } else { first };
    OtpCode::parse(&text).ok()
}

/// Six digits of a hash. Status keeps whole seconds, so no more of the moment counts.
fn drawn(uid: &str, at: Timestamp, draw: u8) -> String {
    let mut hash = Sha256::new();
    hash.update(b"clientnumber rehearsal");
    hash.update(uid.as_bytes());
    hash.update(at.as_second().to_be_bytes());
    let mut text = String::with_capacity(6);
    let mut last = 10;
    for byte in hash.finalize().iter().take(6) {
        // Of those that are not the digit before. The second draw is one further in its first digit.
        let turn = if text.is_empty() { byte.wrapping_add(draw) } else { *byte };
        let digit = if last > 9 { turn % 10 } else { (last + 1 + turn % 9) % 10 };
        text.push(char::from(b'0' + digit));
        last = digit;
    }
    text
}

/// The document of the call: three times, digit by digit. `woman` is Telnyx's plain English voice.
pub fn document(digits: &OtpCode) -> String {
    let spoken: Vec<String> = digits.expose().chars().map(String::from).collect();
    let once = format!(r#"<Pause length="1"/><Say voice="woman">Verification code is {}.</Say>"#, spoken.join(", "));
    format!(r#"<?xml version="1.0" encoding="UTF-8"?><Response>{}<Pause length="1"/></Response>"#, once.repeat(3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::transcript::{Reading, read};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_795_500_000 + second).unwrap()
    }

    fn said(uid: &str, calls: &[i64]) -> String {
        let calls: Vec<Timestamp> = calls.iter().map(|second| at(*second)).collect();
        digits(uid, &calls).map(|digits| digits.expose().to_owned()).unwrap_or_default()
    }

    #[test]
    fn known_from_what_status_holds_and_new_for_each_call() {
        assert!(digits("u1", &[]).is_none());
        assert_eq!(said("u1", &[0]), said("u1", &[0]));
        let half = at(0).checked_add(std::time::Duration::from_millis(400)).unwrap();
        assert_eq!(digits("u1", &[half]).unwrap().expose(), said("u1", &[0]), "status keeps seconds");
        assert_ne!(said("u1", &[0]), said("u2", &[0]));
        let mut seen = std::collections::BTreeSet::new();
        for second in 0..20_000 {
            let now = said("u1", &[second, second + 1]);
            assert_ne!(now, said("u1", &[second]), "as before, at {second}");
            assert!(now.len() == 6 && now.bytes().zip(now.bytes().skip(1)).all(|(a, b)| a != b), "{now}");
            seen.insert(now);
        }
        assert!(seen.len() > 19_000, "{}", seen.len());
    }

    /// The same moment twice stands for any two that draw the same.
    #[test]
    fn equal_draws_differ_all_the_same() {
        for second in 0..200 {
            assert_ne!(said("u1", &[second, second]), said("u1", &[second]));
        }
    }

    #[test]
    fn what_is_said_can_be_read_and_is_nothing_else() {
        for second in 0..200 {
            let digits = digits("u1", &[at(second)]).unwrap();
            let document = document(&digits);
            let tree = roxmltree::Document::parse(&document).unwrap();
            let verbs: Vec<&str> = tree.root_element().children().map(|verb| verb.tag_name().name()).collect();
            assert_eq!(verbs, ["Pause", "Say", "Pause", "Say", "Pause", "Say", "Pause"]);
            let heard: Vec<&str> = tree.descendants().filter_map(|node| node.text()).collect();
            // Accounts of the lowest level have a notice spoken before their own words.
            for text in [heard.join(" "), format!("This is a call from a Telnyx customer. {}", heard.join(" "))] {
                let Reading::Code { code, .. } = read(&text) else { panic!("not read: {text}") };
                assert_eq!(code.expose(), digits.expose());
            }
        }
    }
}
