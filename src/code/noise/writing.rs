//! The phrases around the digits, and how items become text.

use rand::RngExt;

use super::{Item, Seeded, Style, pick};

/// Before a whole reading: says that a code follows.
pub(super) const INTROS: [&str; 16] = [
    "Verification code is",
    "WhatsApp code",
    "Your WhatsApp verification code is",
    "Your verification code is:",
    "Hello, your WhatsApp code is",
    "Your code is",
    "your verification coat is",
    "What's up, verification code is",
    "Your six digit code is",
    "Your 6-digit code is",
    "The code for your business account is",
    "Your WhatsApp Business code is",
    "Your one-time passcode is",
    "Thank you. Your code is",
    "This is WhatsApp. Your verification code:",
    "WhatsApp verification code,",
];
/// Between readings; empty for a pause alone.
pub(super) const AGAIN: [&str; 9] = [
    "",
    "",
    "Again,",
    "I repeat,",
    "Verification code is",
    "Once again, your code is",
    "Your code is",
    "One last time,",
    "Don't share this code. Again,",
];
/// Sentences before the first reading.
pub(super) const BEFORE: [&str; 10] = [
    "For English press one.",
    "This message is repeated 3 times.",
    "Hello.",
    "Thank you for choosing WhatsApp.",
    "Please have a pen ready.",
    "Hello? Hello?",
    "This is an automated call from WhatsApp.",
    "You asked for a call at 10:30.",
    "This call is 1 of 3.",
    "[music]",
];
/// Sentences after the last reading.
pub(super) const AFTER: [&str; 18] = [
    "Goodbye.",
    "This code expires in 10 minutes.",
    "This code expires in ten minutes.",
    "Do not share this code with anyone.",
    "Don't share this code with any one.",
    "To hear the code again press 1.",
    "To hear this code again, press one.",
    "For help call +1 650 555 0100.",
    "For help, call 1-800-555-0199.",
    "Call us at (650) 555-0100.",
    "Thank you.",
    "It is valid for 24 hours.",
    "You have 5 attempts.",
    "We are here 24/7.",
    "Use it within 24 hours, or ask for a new one.",
    "It is good for one use.",
    "It costs $5.",
    "Please enter it to verify your number.",
];
/// What whisper is known to invent over silence.
pub(super) const TAILS: [&str; 9] = [
    "Thank you.",
    "Thank you for watching.",
    "Thanks for watching!",
    "you",
    "Bye.",
    "Subtitles by the Amara.org community",
    "Please subscribe to my channel.",
    "I'll see you in the next one.",
    "...",
];
/// What else sounds like digits, dropped in anywhere, with the digits that it sounds like; a bar where a word stands.
pub(super) const STRAY: [(&str, &str); 20] = [
    ("on November 29, 2026", "|292026"),
    ("29/11/2026", "|"),
    ("2026", "2026"),
    ("at 10:30", "|"),
    ("at 3 pm", "|3|"),
    ("1-800-555-0199", "18005550199"),
    ("+212 522 123 456", "|522123456"),
    ("0522 12 34 56", "0522123456"),
    ("ticket 482913", "|482913"),
    ("your reference is 48 29 13.", "|482913"),
    ("$12.50", "|50"),
    ("100%", "|"),
    ("3rd", "|"),
    ("one hundred", "1|"),
    ("number 7", "|7"),
    ("for free", "43"),
    ("to you too", "2|2"),
    ("1,234,567", "1234567"),
    ("oh no", "0|"),
    ("4G", "|"),
];
/// What a noise may be heard as.
pub(super) const UNRELATED: [&str; 13] =
    ["banana", "the", "line", "hello", "please", "what", "static", "code", "is", "again", "the code is", "phone", "a"];
const WORDS: [&str; 10] = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
const TEENS: [&str; 10] =
    ["ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"];
const TENS: [&str; 8] = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
const HEARD: [&[&str]; 10] = [
    &["oh", "o", "owe"],
    &["won", "wan", "wun"],
    &["to", "too", "tu"],
    &["tree", "free", "thee"],
    &["for", "fore"],
    &["fife", "hive"],
    &["sex", "sicks", "sick"],
    &["sven", "seben"],
    &["ate", "hate"],
    &["nein", "mine"],
];
const FOREIGN: [[char; 10]; 3] = [
    ['٠', '١', '٢', '٣', '٤', '٥', '٦', '٧', '٨', '٩'],
    ['０', '１', '２', '３', '４', '５', '６', '７', '８', '９'],
    ['⓪', '①', '②', '③', '④', '⑤', '⑥', '⑦', '⑧', '⑨'],
];
const UNSEEN: [char; 8] = ['\u{0}', '\u{200b}', '\u{200e}', '\u{202e}', '\u{2066}', '\u{feff}', '\u{ad}', '\u{7}'];

/// Writes the items down; a noisy text is also damaged by characters.
pub(super) fn written(rng: &mut Seeded, items: &[Item], clean: bool) -> String {
    let mut text = String::new();
    let misheard = pick(rng, &[0.0, 0.1, 0.3]);
    let mut rest = items;
    while let [item, after @ ..] = rest {
        rest = after;
        match item {
            Item::Digit(d, Style::Doubles) => {
                let same = |rest: &[Item]| matches!(rest, [Item::Separator(" "), Item::Digit(e, Style::Doubles), ..] if e == d);
                let mut times = 1;
                while times < 3 && same(rest) {
                    rest = &rest[2..];
                    times += 1;
                }
                word(&mut text, ["", "double", "triple"][times - 1]);
                word(&mut text, WORDS[usize::from(*d)]);
            }
            Item::Digit(d, Style::PairWords) => match (d, rest) {
                (1.., [Item::Digit(e, Style::PairWords), after @ ..]) => {
                    rest = after;
                    if *d == 1 {
                        word(&mut text, TEENS[usize::from(*e)]);
                    } else {
                        word(&mut text, TENS[usize::from(*d) - 2]);
                        if *e > 0 {
                            text.push(pick(rng, &['-', ' ']));
                            text.push_str(WORDS[usize::from(*e)]);
                        } else if !matches!(rest, [_, Item::Digit(..), Item::Digit(..), ..]) {
                            text.push(','); // "forty five" would sound like another number
                        }
                    }
                }
                (0, [Item::Digit(..), ..]) => word(&mut text, pick(rng, &["oh", "zero"])),
                _ => word(&mut text, WORDS[usize::from(*d)]),
            },
            Item::Digit(d, Style::Words | Style::WordsCommas | Style::WordsHyphens) => {
                // Never all digits at once: somebody must recognise a number
                let heard = rng.random_bool(misheard);
                word(&mut text, if heard { pick(rng, HEARD[usize::from(*d)]) } else { WORDS[usize::from(*d)] });
            }
            Item::Digit(d, Style::Mixed) if rng.random_bool(0.5) => word(&mut text, WORDS[usize::from(*d)]),
            Item::Digit(d, style) => {
                if text.ends_with(char::is_alphabetic)
                    || text.ends_with([':', ',']) && *style != Style::TightCommas && *style != Style::HalvesComma
                {
                    text.push(' ');
                }
                text.push(if *style == Style::Foreign {
                    pick(rng, &FOREIGN)[usize::from(*d)]
                } else {
                    char::from(b'0' + d)
                });
            }
            Item::Separator(s) => text.push_str(s),
            Item::Words(w) | Item::Stray(w, _) => {
                if !text.is_empty() && !text.ends_with(char::is_whitespace) {
                    text.push(' ');
                }
                text.push_str(w);
                text.push(' ');
            }
        }
    }
    let text = if clean { text } else { scratched(rng, &text) };
    match rng.random_range(0..4) {
        0 => text.to_lowercase(),
        1 => text.to_uppercase(),
        _ => text,
    }
}

fn word(text: &mut String, word: &str) {
    if text.ends_with(char::is_alphanumeric) && !word.is_empty() {
        text.push(' ');
    }
    text.push_str(word);
}

/// Damage by characters: spaces lost, line breaks, characters that nobody sees.
fn scratched(rng: &mut Seeded, text: &str) -> String {
    let harm = pick(rng, &[0.0, 0.0, 0.01, 0.05]);
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c != ' ' || harm == 0.0 || !rng.random_bool(harm) {
            out.push(c);
        } else {
            match rng.random_range(0..4) {
                0 => out.push('\n'),
                1 => out.push('\u{a0}'),
                _ => {} // grown together
            }
        }
        if harm > 0.0 && rng.random_bool(harm / 10.0) {
            out.push(pick(rng, &UNSEEN));
        }
    }
    out
}
