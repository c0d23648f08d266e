//! The reader of transcripts against the sandbox's caller, which was written without knowing it: what is heard of a
//! verification call between any two moments is read rightly or not at all.

use anyhow::Result;
use clientnumber::code::transcript::{Reading, read};
use clientnumber::sandbox::dice::Dice;
use clientnumber::sandbox::speech::Speech;

fn code_in(text: &str) -> Option<String> {
    match read(text) {
        Reading::Code { code, .. } => Some(code.expose().to_owned()),
        Reading::None(_) => None,
    }
}

#[test]
fn what_the_sandbox_says_is_read_or_refused() -> Result<()> {
    let dice = Dice::new(3);
    let (mut whole_calls, mut parts_read, mut parts) = (0, 0, 0);
    for call in 0..600_u64 {
        let code = format!("{:06}", dice.below(1_000_000, "code", &call.to_string()));
        let speech = Speech::verification(&code, &dice, &call.to_string());
        let whole = speech.heard(0, u64::MAX);
        assert_eq!(code_in(&whole).as_deref(), Some(code.as_str()), "{whole}");
        whole_calls += 1;
        for part in 0..10 {
            let from = dice.below(speech.ends_ms, "from", &format!("{call}/{part}"));
            let to = from + dice.below(speech.ends_ms - from + 1, "to", &format!("{call}/{part}"));
            let heard = speech.heard(from, to);
            if let Some(read) = code_in(&heard) {
                assert_eq!(read, code, "{heard}");
                parts_read += 1;
            }
            parts += 1;
        }
    }
    assert_eq!(whole_calls, 600);
    assert!(parts_read > parts / 10, "of {parts} cut recordings only {parts_read} were read");
    Ok(())
}
