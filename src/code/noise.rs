//! Transcripts of verification calls as speech-to-text might write them, made from a seed. For tests only.
//!
//! The clean half differs in form: script, separators, repeats, announcements, words heard for digits, other numbers, a
//! cut at the start or end. The noisy half is damaged on top: digits lost, said twice or heard wrongly, unrelated words,
//! holes, lost announcements, readings run together.
//!
//! One thing is left out, since nobody could tell: a transcript whose only whole readings say another code. Every wording
//! here is invented but for "Verification code is 123456" and `WhatsApp code 123-456`, which public reports quote.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// A made-up transcript with the code that was truly said.
pub(super) struct Transcript {
    /// What speech-to-text wrote.
    pub text: String,
    /// What was said.
    pub code: String,
}

enum Item {
    Digit(u8, Style),
    /// Between digits: punctuation, space, fillers. Digits on both sides may be read together.
    Separator(&'static str),
    Words(&'static str),
}

#[derive(Clone, Copy, PartialEq)]
enum Style {
    Joined,
    Halves,
    Spaced,
    Commas,
    Hyphens,
    Stops,
    Words,
    WordsCommas,
}

const STYLES: [Style; 8] = [
    Style::Joined,
    Style::Halves,
    Style::Spaced,
    Style::Commas,
    Style::Hyphens,
    Style::Stops,
    Style::Words,
    Style::WordsCommas,
];
const INTROS: [&str; 10] = [
    "Verification code is",
    "WhatsApp code",
    "Your WhatsApp verification code is",
    "Your verification code is:",
    "Hello, your WhatsApp code is",
    "Your code is",
    "your verification coat is",
    "What's up, verification code is",
    "Your six digit code is",
    "The code for your business account is",
];
const AGAIN: [&str; 7] =
    ["", "", "Again,", "I repeat,", "Verification code is", "Once again, your code is", "Your code is"];
const BEFORE: [&str; 5] = [
    "For English press one.",
    "This message is repeated 3 times.",
    "Hello.",
    "Thank you for choosing WhatsApp.",
    "Please have a pen ready.",
];
const AFTER: [&str; 6] = [
    "Goodbye.",
    "This code expires in 10 minutes.",
    "Do not share this code with anyone.",
    "To hear the code again press 1.",
    "For help call +1 650 555 0100.",
    "Thank you.",
];
const WORDS: [&str; 10] = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
const HEARD: [&[&str]; 10] = [
    &["oh", "o"],
    &["won", "wan"],
    &["to", "too", "tu"],
    &["tree", "free"],
    &["for", "fore"],
    &["fife"],
    &["sex", "sicks"],
    &["sven"],
    &["ate"],
    &["nein"],
];
const UNRELATED: [&str; 8] = ["banana", "the", "line", "hello", "please", "what", "static", "code"];

/// One transcript; every even seed is clean.
pub(super) fn transcript(seed: u64) -> Transcript {
    let mut rng = StdRng::seed_from_u64(seed);
    let clean = seed.is_multiple_of(2);
    loop {
        let code: Vec<u8> = if rng.random_bool(0.1) {
            (0..6).map(|_| rng.random_range(1..3)).collect() // many equal digits, where readings are easily mistaken
        } else {
            (0..6).map(|_| rng.random_range(0..10)).collect()
        };
        let items = if clean { said(&mut rng, &code) } else { damaged(&mut rng, &code) };
        if !forged(&items, &code) {
            let text = written(&mut rng, &items);
            return Transcript { text, code: code.iter().map(|d| char::from(b'0' + d)).collect() };
        }
    }
}

fn pick<T: Copy>(rng: &mut StdRng, from: &[T]) -> T {
    from[rng.random_range(0..from.len())]
}

fn said(rng: &mut StdRng, code: &[u8]) -> Vec<Item> {
    let mut items = Vec::new();
    let repeats = pick(rng, &[1, 2, 3, 3, 3, 3, 4]);
    let style = pick(rng, &STYLES);
    let cut_start = repeats > 1 && rng.random_bool(0.15);
    let cut_end = repeats > 2 && rng.random_bool(0.15);
    // Where readings follow each other with a full stop only, a style that also uses full stops says nothing.
    let style = if style == Style::Stops && (repeats > 1 || cut_start) { Style::Spaced } else { style };
    if cut_start {
        reading(&mut items, &code[rng.random_range(1..6)..], style);
    } else {
        if rng.random_bool(0.3) {
            items.push(Item::Words(pick(rng, &BEFORE)));
        }
        items.push(Item::Words(pick(rng, &INTROS)));
        reading(&mut items, code, style);
    }
    for n in 1..repeats {
        items.push(Item::Separator(". "));
        let again = if cut_start && n == 1 { pick(rng, &INTROS) } else { pick(rng, &AGAIN) };
        if !again.is_empty() {
            items.push(Item::Words(again));
        }
        let style = if rng.random_bool(0.2) && style != Style::Stops {
            pick(rng, &[Style::Joined, Style::Spaced, Style::Words])
        } else {
            style
        };
        let end = if cut_end && n + 1 == repeats { rng.random_range(1..6) } else { 6 };
        reading(&mut items, &code[..end], style);
    }
    if !cut_end {
        items.push(Item::Separator(". "));
        if rng.random_bool(0.5) {
            items.push(Item::Words(pick(rng, &AFTER)));
        }
    }
    items
}

fn reading(items: &mut Vec<Item>, digits: &[u8], style: Style) {
    for (i, digit) in digits.iter().enumerate() {
        if i > 0 {
            items.push(Item::Separator(match style {
                Style::Joined => "",
                Style::Halves => {
                    if digits.len() - i == 3 {
                        "-"
                    } else {
                        ""
                    }
                }
                Style::Spaced | Style::Words => " ",
                Style::Commas | Style::WordsCommas => ", ",
                Style::Hyphens => "-",
                Style::Stops => ". ",
            }));
        }
        items.push(Item::Digit(*digit, style));
    }
}

fn damaged(rng: &mut StdRng, code: &[u8]) -> Vec<Item> {
    let harm = pick(rng, &[0.01, 0.03, 0.1]);
    let mut out = Vec::new();
    let mut hole = 0;
    for item in said(rng, code) {
        if hole > 0 {
            hole -= 1;
            continue;
        }
        match item {
            Item::Digit(digit, style) => {
                let wrong = if rng.random_bool(harm / 2.0) { rng.random_range(0..10) } else { digit };
                if rng.random_bool(harm) {
                    continue; // lost
                }
                out.push(Item::Digit(wrong, style));
                if rng.random_bool(harm) {
                    out.push(Item::Separator(" "));
                    out.push(Item::Digit(wrong, style)); // said twice
                }
                if rng.random_bool(harm / 2.0) {
                    out.push(Item::Words(pick(rng, &UNRELATED)));
                }
                if rng.random_bool(harm / 3.0) {
                    hole = rng.random_range(2..20);
                }
            }
            Item::Separator(_) if rng.random_bool(harm) => {
                out.push(Item::Separator(pick(rng, &[" ", ", ", ". ", " uh ", " and ", "... ", " - "])));
            }
            Item::Words(_) if rng.random_bool(harm * 2.0) => out.push(Item::Separator(pick(rng, &[" ", ", ", ". "]))),
            other => out.push(other),
        }
    }
    if rng.random_bool(harm) {
        let kept = rng.random_range(0..=out.len());
        out.truncate(kept);
    }
    if rng.random_bool(harm) {
        let from = rng.random_range(0..=out.len());
        out.drain(..from);
    }
    out
}

/// Whether the whole readings that can be heard all say another code. Digits are put together over anything but words,
/// and once more over anything but words and full stops.
fn forged(items: &[Item], code: &[u8]) -> bool {
    let segments = |stops: bool| {
        let mut segments: Vec<Vec<u8>> = vec![Vec::new()];
        for item in items {
            match item {
                Item::Digit(d, _) => segments.last_mut().unwrap().push(*d),
                Item::Words(_) => segments.push(Vec::new()),
                Item::Separator(s) if stops && s.contains('.') => segments.push(Vec::new()),
                Item::Separator(_) => {}
            }
        }
        segments
    };
    let whole = |s: &Vec<u8>| !s.is_empty() && s.len().is_multiple_of(6) && s.chunks(6).all(|c| c == &s[..6]);
    let (joined, apart) = (segments(false), segments(true));
    let wrong = |s: &Vec<u8>| whole(s) && &s[..6] != code;
    joined.iter().chain(&apart).any(wrong) && !apart.iter().any(|s| s.windows(6).any(|w| w == code))
}

fn written(rng: &mut StdRng, items: &[Item]) -> String {
    let mut text = String::new();
    let misheard = pick(rng, &[0.0, 0.1, 0.3]);
    for item in items {
        match item {
            Item::Digit(d, Style::Words | Style::WordsCommas) => {
                // Never all digits at once: somebody must recognise a number
                let heard = rng.random_bool(misheard);
                if text.ends_with(char::is_alphanumeric) {
                    text.push(' ');
                }
                text.push_str(if heard { pick(rng, HEARD[usize::from(*d)]) } else { WORDS[usize::from(*d)] });
            }
            Item::Digit(d, _) => {
                if text.ends_with(char::is_alphabetic) || text.ends_with([':', ',']) {
                    text.push(' ');
                }
                text.push(char::from(b'0' + d));
            }
            Item::Separator(s) => text.push_str(s),
            Item::Words(w) => {
                if !text.is_empty() && !text.ends_with(char::is_whitespace) {
                    text.push(' ');
                }
                text.push_str(w);
                text.push(' ');
            }
        }
    }
    match rng.random_range(0..4) {
        0 => text.to_lowercase(),
        1 => text.to_uppercase(),
        _ => text,
    }
}
