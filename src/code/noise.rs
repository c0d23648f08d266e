//! Transcripts of verification calls as speech-to-text might write them, made from a seed. For tests only.
//!
//! The clean half differs in form: script, separators, repeats, announcements, words heard for digits, other numbers,
//! invented tails and loops, a cut at the start or end. The noisy half is damaged on top: digits lost, said twice, made
//! up, heard wrongly or as a word, unrelated words, holes, lost announcements, readings run together, numbers that are
//! none, words grown together, characters that nobody sees.
//!
//! One thing is left out, since nobody could tell: a transcript whose only whole readings say another code. What of the
//! wordings was seen anywhere is said in the tables of transcript_forms.rs; the rest is invented.

mod writing;

use std::convert::Infallible;

use rand::{RngExt, TryRng};

use writing::{AFTER, AGAIN, BEFORE, INTROS, STRAY, TAILS, UNRELATED, written};

/// SplitMix64: `StdRng` would take longer than all the rest in a test without optimisation.
pub(super) struct Seeded(pub u64);

impl TryRng for Seeded {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok((self.try_next_u64()? >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        Ok(z ^ z >> 31)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.try_next_u64()?.to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

/// A made-up transcript with the code that was truly said.
pub(super) struct Transcript {
    /// What speech-to-text wrote.
    pub text: String,
    /// What was said.
    pub code: String,
}

#[derive(Clone, Copy)]
enum Item {
    Digit(u8, Style),
    /// Between digits: punctuation, space, fillers. Digits on both sides may be read together.
    Separator(&'static str),
    Words(&'static str),
    /// Something else that sounds like digits, and the digits that it sounds like; a bar for each word between.
    Stray(&'static str, &'static str),
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Style {
    Joined,
    Halves,
    HalvesSpace,
    HalvesComma,
    HalvesDash,
    Pairs,
    PairsHyphen,
    Spaced,
    Commas,
    TightCommas,
    Hyphens,
    Stops,
    Words,
    WordsCommas,
    WordsHyphens,
    /// `double five`
    Doubles,
    /// `twelve thirty-four fifty-six`; no separator within a pair.
    PairWords,
    /// Each digit as a numeral or a word.
    Mixed,
    /// A digit of another script. Only damage makes it.
    Foreign,
}

const STYLES: [Style; 18] = [
    Style::Joined,
    Style::Halves,
    Style::HalvesSpace,
    Style::HalvesComma,
    Style::HalvesDash,
    Style::Pairs,
    Style::PairsHyphen,
    Style::Spaced,
    Style::Commas,
    Style::TightCommas,
    Style::Hyphens,
    Style::Stops,
    Style::Words,
    Style::WordsCommas,
    Style::WordsHyphens,
    Style::Doubles,
    Style::PairWords,
    Style::Mixed,
];

/// One transcript; every even seed is clean.
pub(super) fn transcript(seed: u64) -> Transcript {
    let mut rng = Seeded(seed);
    let clean = seed.is_multiple_of(2);
    loop {
        let code: Vec<u8> = if rng.random_bool(0.1) {
            (0..6).map(|_| rng.random_range(1..3)).collect() // many equal digits, where readings are easily mistaken
        } else {
            (0..6).map(|_| rng.random_range(0..10)).collect()
        };
        let items = if clean { said(&mut rng, &code) } else { damaged(&mut rng, &code) };
        if !forged(&items, &code) {
            let text = written(&mut rng, &items, clean);
            return Transcript { text, code: code.iter().map(|d| char::from(b'0' + d)).collect() };
        }
    }
}

fn pick<T: Copy>(rng: &mut Seeded, from: &[T]) -> T {
    from[rng.random_range(0..from.len())]
}

fn said(rng: &mut Seeded, code: &[u8]) -> Vec<Item> {
    let mut items = Vec::new();
    let repeats = pick(rng, &[1, 2, 3, 3, 3, 3, 4, 6]);
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
            pick(rng, &[Style::Joined, Style::Spaced, Style::Words, Style::Halves, Style::HalvesComma])
        } else {
            style
        };
        let end = if cut_end && n + 1 == repeats { rng.random_range(1..6) } else { 6 };
        reading(&mut items, &code[..end], style);
    }
    if !cut_end {
        items.push(Item::Separator(". "));
        for _ in 0..pick(rng, &[0, 1, 1, 2]) {
            items.push(Item::Words(pick(rng, &AFTER)));
        }
        if rng.random_bool(0.2) {
            let tail = pick(rng, &TAILS);
            let times = pick(rng, &[1, 1, 2, 10]);
            items.extend(std::iter::repeat_n(Item::Words(tail), times));
        }
        if rng.random_bool(0.03) {
            // a loop: whisper says a passage over and over
            items.push(Item::Separator(". "));
            items = items.repeat(rng.random_range(2..8));
        }
    }
    items
}

fn reading(items: &mut Vec<Item>, digits: &[u8], style: Style) {
    let count = digits.len();
    for (i, digit) in digits.iter().enumerate() {
        let (half, pair) = (count - i == 3, (count - i).is_multiple_of(2));
        let separator = match style {
            Style::Joined | Style::Foreign => "",
            Style::Halves if half => "-",
            Style::HalvesSpace if half => " ",
            Style::HalvesComma if half => ",",
            Style::HalvesDash if half => " – ",
            Style::Pairs | Style::PairWords if pair => " ",
            Style::PairsHyphen if pair => "-",
            Style::Halves
            | Style::HalvesSpace
            | Style::HalvesComma
            | Style::HalvesDash
            | Style::Pairs
            | Style::PairWords
            | Style::PairsHyphen => "",
            Style::Spaced | Style::Words | Style::Doubles | Style::Mixed => " ",
            Style::Commas | Style::WordsCommas => ", ",
            Style::TightCommas => ",",
            Style::Hyphens | Style::WordsHyphens => "-",
            Style::Stops => ". ",
        };
        if i > 0 && !separator.is_empty() {
            items.push(Item::Separator(separator));
        }
        items.push(Item::Digit(*digit, style));
    }
}

fn damaged(rng: &mut Seeded, code: &[u8]) -> Vec<Item> {
    let harm = pick(rng, &[0.01, 0.03, 0.1, 0.2]);
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
                    if rng.random_bool(0.3) {
                        out.push(Item::Words(pick(rng, &UNRELATED))); // heard as a word
                    }
                    continue; // lost
                }
                let style = if rng.random_bool(harm / 10.0) { Style::Foreign } else { style };
                out.push(Item::Digit(wrong, style));
                if rng.random_bool(harm) {
                    out.push(Item::Separator(" "));
                    out.push(Item::Digit(wrong, style)); // said twice
                }
                if rng.random_bool(harm / 6.0) {
                    out.push(Item::Separator(" "));
                    out.push(Item::Digit(rng.random_range(0..10), style)); // made up
                }
                if rng.random_bool(harm / 2.0) {
                    out.push(Item::Words(pick(rng, &UNRELATED)));
                }
                if rng.random_bool(harm / 3.0) {
                    hole = rng.random_range(2..20);
                }
            }
            Item::Separator(_) if rng.random_bool(harm) => {
                out.push(Item::Separator(pick(rng, &["", " ", ", ", ". ", ".", " uh ", " and ", "... ", " - ", "\n"])));
            }
            Item::Words(_) if rng.random_bool(harm * 2.0) => out.push(Item::Separator(pick(rng, &[" ", ", ", ". "]))),
            other => out.push(other),
        }
        if rng.random_bool(harm / 20.0) {
            let (text, heard) = pick(rng, &STRAY);
            out.push(Item::Stray(text, heard));
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
/// and once more over anything but words and full stops; those of other numbers count where no word stands between.
fn forged(items: &[Item], code: &[u8]) -> bool {
    let segments = |stops: bool| {
        let mut segments: Vec<Vec<u8>> = vec![Vec::new()];
        for item in items {
            match item {
                Item::Digit(d, _) => segments.last_mut().unwrap().push(*d),
                Item::Words(_) => segments.push(Vec::new()),
                Item::Stray(_, heard) => {
                    for c in heard.chars() {
                        match c.to_digit(10) {
                            Some(d) => segments.last_mut().unwrap().push(d as u8),
                            None => segments.push(Vec::new()),
                        }
                    }
                }
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
