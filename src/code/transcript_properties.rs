//! What holds for every text: an answer, nothing that was not said, and no difference by what nobody hears.

use rand::RngExt;

use super::*;
use crate::code::noise::{self, Seeded};
use crate::code::said::said;

fn code(text: &str) -> Option<String> {
    match read(text) {
        Reading::Code { code, .. } => Some(code.expose().to_owned()),
        Reading::None(_) => None,
    }
}

/// Words, numbers and characters without a plan.
fn soup(rng: &mut Seeded) -> String {
    const WORDS: &str = "one two three four five six seven eight nine zero oh to for ate won free double triple ten twelve \
        twenty thirty sixty code verification is again your the and uh press in minutes times last call phone from + - . , \
        : / 1 2 3 4 5 6 7 8 9 0 12 34 56 123 456 123456 654321 111111 2026 10:30 $5 100% 3rd +1 fourfive sixyour hundred \
        ٣ ３ ③ banana … ! ( ) \" WhatsApp help hear";
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let mut text = String::new();
    for _ in 0..rng.random_range(0..30) {
        text.push_str(words[rng.random_range(0..words.len())]);
        text.push_str([" ", " ", " ", ". ", ", ", "", "-", "\n", "\u{200b}"][rng.random_range(0..9)]);
    }
    text
}

/// Half soup, half noise.
fn texts(count: u64) -> impl Iterator<Item = (Seeded, String)> {
    (0..count).map(|seed| {
        let mut rng = Seeded(seed);
        let text = if seed % 2 == 0 { soup(&mut rng) } else { noise::transcript(seed / 2).text };
        (rng, text)
    })
}

#[test]
fn what_is_read_was_said() {
    let mut read = 0;
    for (_, text) in texts(8_000) {
        if let Some(code) = code(&text) {
            assert!(said(&text, &code), "{text:?} does not say {code}");
            read += 1;
        }
    }
    assert!(read > 500, "only {read} were read, which shows little");
}

/// Whatever was said before it: an announced code is read, or nothing is.
#[test]
fn another_code_is_never_read_beside_an_announced_one() {
    for (mut rng, text) in texts(8_000) {
        let other = format!("{:06}", rng.random_range(0..1_000_000));
        let before = code(&text);
        for both in [format!("{text}\nVerification code is {other}."), format!("Verification code is {other}.\n{text}")]
        {
            let after = code(&both);
            assert!(after.as_ref().is_none_or(|c| *c == other), "{both:?}: {after:?}");
            if before.as_ref().is_some_and(|c| *c != other) {
                assert_eq!(after, None, "two codes, and one was read: {both:?}");
            }
        }
    }
}

#[test]
fn what_nobody_hears_changes_nothing() {
    for (mut rng, text) in texts(4_000) {
        let want = read(&text);
        let same = |other: String, what: &str| assert!(read(&other) == want, "{what}: {text:?}");
        same(text.to_ascii_uppercase(), "upper case");
        same(text.to_ascii_lowercase(), "lower case");
        same(text.replace(' ', "  "), "two spaces");
        same(text.replace(' ', "\u{a0}"), "hard spaces");
        same(text.replace(' ', " \t"), "tabulators");
        same(format!("  {text} \n\n"), "spaces around");
        let unseen = ["\u{0}", "\u{200b}", "\u{202e}", "\u{feff}", "\u{ad}", "\u{301}"][rng.random_range(0..6)];
        let places: Vec<usize> = text.char_indices().map(|(i, _)| i).chain([text.len()]).collect();
        let (before, after) = text.split_at(places[rng.random_range(0..places.len())]);
        same(format!("{before}{unseen}{after}"), "a character that nobody sees");
    }
}

#[test]
fn the_order_of_readings_does_not_matter() {
    const FORMS: [&str; 6] =
        ["123456", "123-456", "1 2 3 4 5 6", "one two three four five six", "1, 2, 3, 4, 5, 6", "12 34 56"];
    const OTHER: [&str; 4] = ["Do not share this code.", "It expires in 10 minutes.", "Thank you.", "Hello?"];
    for seed in 0..3_000 {
        let mut rng = Seeded(seed);
        let mut pick = |from: &[&'static str]| from[rng.random_range(0..from.len())];
        let forms: Vec<_> = (0..1 + seed % 4).map(|_| format!("Verification code is {}.", pick(&FORMS))).collect();
        let mut sentences: Vec<_> = forms.into_iter().chain((0..seed % 3).map(|_| pick(&OTHER).to_owned())).collect();
        for _ in 0..4 {
            let last = sentences.len() - 1;
            sentences.swap(rng.random_range(0..=last), rng.random_range(0..=last));
            let text = sentences.join(" ");
            assert_eq!(code(&text).as_deref(), Some("123456"), "{text}");
        }
    }
}

/// A loop of speech-to-text says nothing new.
#[test]
fn a_text_said_twice_says_no_other_code() {
    for (_, text) in texts(4_000) {
        if let Some(once) = code(&text) {
            let twice = code(&format!("{text}\n{text}"));
            assert!(twice.as_ref().is_none_or(|c| *c == once), "{text:?}: {once}, twice {twice:?}");
        }
    }
}

/// Whatever bytes a provider sends: an answer.
#[test]
fn any_text_gets_an_answer() {
    let mut rng = Seeded(7);
    let alphabet: Vec<char> = "0123456789 .,:-+/%$()\n'’éß١一\u{202a}\u{0}abcdefghonetwsixr".chars().collect();
    for _ in 0..10_000 {
        let length = rng.random_range(0..60);
        let text: String = (0..length).map(|_| alphabet[rng.random_range(0..alphabet.len())]).collect();
        let _ = read(&text);
        let bytes: Vec<u8> = (0..length).map(|_| rng.random_range(0..=255)).collect();
        let _ = read(&String::from_utf8_lossy(&bytes));
    }
    for long in [
        "1 ",
        "1. ",
        "double ",
        "for ",
        "code is 1 ",
        "is ",
        "uh ",
        "1 uh ",
        "to your ",
        ".",
        "one",
        "oh",
        "call 1 ",
        "٣",
    ] {
        let text = long.repeat(LONGEST / long.len());
        assert!(matches!(read(&text), Reading::None(_)), "{long}");
    }
}

#[test]
fn a_text_that_no_call_can_fill_is_refused_whole() {
    let reading = "Verification code is 123456. ";
    let fits = reading.repeat(LONGEST / reading.len());
    assert_eq!(code(&fits).as_deref(), Some("123456"));
    assert!(read(&fits.repeat(2)) == Reading::None(Refusal::TooLong));
}
