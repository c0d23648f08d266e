//! What a caller says, and when: the text of a verification call, and what of it is heard between two moments.
//!
//! Decides the wording (Meta: "Verification code is 123456", said three times; public reports) and how the digits sound:
//! one by one, in groups, or as words, drawn per call. Never knows whether it is recorded: that is voice.rs.

use super::dice::Dice;
use super::said::Part;

/// How the digits come out of the machine that hears them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `1 2 3 4 5 6`
    Digits,
    /// `123456`
    Whole,
    /// `123-456`
    Hyphen,
    /// `123 456`
    Groups,
    /// `one two three four five six`
    Words,
    /// `one, oh, three`: zero as "oh".
    WordsOh,
}

const STYLES: [Style; 6] = [Style::Digits, Style::Whole, Style::Hyphen, Style::Groups, Style::Words, Style::WordsOh];

const OPENINGS: [&str; 3] = ["Verification code is", "Your WhatsApp verification code is", "Your verification code is"];

/// Silence before the first word.
const LEAD_MS: u64 = 300;
/// Silence between two readings.
pub const GAP_MS: u64 = 1_500;
const WORD_MS: u64 = 400;
const DIGIT_MS: u64 = 550;

/// Words with their moments, in milliseconds after the call was answered.
#[derive(Clone)]
pub struct Speech {
    readings: Vec<Reading>,
    /// When the caller hangs up.
    pub ends_ms: u64,
}

#[derive(Clone)]
struct Reading {
    words: Vec<(u64, String)>,
    digits: Vec<(u64, char)>,
    style: Style,
    ends_ms: u64,
}

impl Speech {
    /// Meta's call: the code three times, in a manner drawn for `key`.
    pub fn verification(code: &str, dice: &Dice, key: &str) -> Self {
        let style = STYLES[dice.below(STYLES.len() as u64, "speech.style", key) as usize];
        let opening = OPENINGS[dice.below(OPENINGS.len() as u64, "speech.opening", key) as usize];
        Self::readings(opening, code, style, 3)
    }

    /// `opening` and the digits, `times` times.
    pub fn readings(opening: &str, code: &str, style: Style, times: usize) -> Self {
        let mut at = LEAD_MS;
        let mut readings = Vec::new();
        for _ in 0..times {
            let words = timed(opening.split_whitespace().map(str::to_owned), &mut at, WORD_MS);
            let digits = timed(code.chars(), &mut at, DIGIT_MS);
            readings.push(Reading { words, digits, style, ends_ms: at });
            at += GAP_MS;
        }
        Self { readings, ends_ms: at }
    }

    /// What a document of the caller says; digits sound in a manner drawn for `key`, as Meta's do.
    pub fn said(parts: &[Part], dice: &Dice, key: &str) -> Self {
        let style = STYLES[dice.below(STYLES.len() as u64, "speech.style", key) as usize];
        let (mut at, mut readings) = (LEAD_MS, Vec::new());
        for part in parts {
            match part {
                Part::Pause(ms) => at += ms,
                Part::Say(text) => {
                    for (words, code) in runs(text) {
                        let words = timed(words.into_iter(), &mut at, WORD_MS);
                        let digits = timed(code.into_iter(), &mut at, DIGIT_MS);
                        readings.push(Reading { words, digits, style, ends_ms: at });
                    }
                }
            }
        }
        Self { readings, ends_ms: at }
    }

    /// An ordinary caller's sentence.
    pub fn sentence(text: &str) -> Self {
        let mut at = LEAD_MS;
        let words = timed(text.split_whitespace().map(str::to_owned), &mut at, WORD_MS);
        Self {
            readings: vec![Reading { words, digits: Vec::new(), style: Style::Words, ends_ms: at }],
            ends_ms: at + GAP_MS,
        }
    }

    /// When the first reading is over: a recording that stops at silence ends there.
    pub fn first_silence_ms(&self) -> u64 {
        self.readings.first().map_or(0, |reading| reading.ends_ms)
    }

    /// What a machine that listens from `from_ms` to `to_ms` writes down.
    pub fn heard(&self, from_ms: u64, to_ms: u64) -> String {
        let within = |at: u64| at >= from_ms && at < to_ms;
        let sentences: Vec<String> = self
            .readings
            .iter()
            .filter_map(|reading| {
                let mut parts: Vec<String> =
                    reading.words.iter().filter(|(at, _)| within(*at)).map(|(_, word)| word.clone()).collect();
                let heard: Vec<char> =
                    reading.digits.iter().filter(|(at, _)| within(*at)).map(|(_, digit)| *digit).collect();
                if !heard.is_empty() {
                    parts.push(write_digits(&heard, reading.style));
                }
                (!parts.is_empty()).then(|| format!("{}.", parts.join(" ")))
            })
            .collect();
        sentences.join(" ")
    }
}

/// Words and the single digits that follow them, again and again.
fn runs(text: &str) -> Vec<(Vec<String>, Vec<char>)> {
    let mut runs: Vec<(Vec<String>, Vec<char>)> = Vec::new();
    for word in text.split_whitespace() {
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
        let digit = bare.chars().next().filter(|c| c.is_ascii_digit() && bare.len() == 1);
        if runs.last().is_none_or(|(_, digits)| digit.is_none() && !digits.is_empty()) {
            runs.push((Vec::new(), Vec::new()));
        }
        let Some((words, digits)) = runs.last_mut() else { continue };
        match digit {
            Some(digit) => digits.push(digit),
            None => words.push(word.to_owned()),
        }
    }
    runs
}

fn timed<T>(items: impl Iterator<Item = T>, at: &mut u64, each_ms: u64) -> Vec<(u64, T)> {
    items
        .map(|item| {
            let moment = *at;
            *at += each_ms;
            (moment, item)
        })
        .collect()
}

fn write_digits(digits: &[char], style: Style) -> String {
    let spaced = |word: fn(char) -> String| digits.iter().map(|digit| word(*digit)).collect::<Vec<_>>().join(" ");
    // A reading whose beginning was lost is never written in groups: the machine hears single digits.
    match style {
        Style::Words => spaced(|digit| name(digit, "zero")),
        Style::WordsOh => spaced(|digit| name(digit, "oh")),
        Style::Whole if digits.len() == 6 => digits.iter().collect(),
        Style::Hyphen | Style::Groups if digits.len() == 6 => {
            let joint = if style == Style::Hyphen { "-" } else { " " };
            format!("{}{joint}{}", digits[..3].iter().collect::<String>(), digits[3..].iter().collect::<String>())
        }
        _ => spaced(|digit| digit.to_string()),
    }
}

fn name(digit: char, zero: &str) -> String {
    match digit {
        '0' => zero,
        '1' => "one",
        '2' => "two",
        '3' => "three",
        '4' => "four",
        '5' => "five",
        '6' => "six",
        '7' => "seven",
        '8' => "eight",
        _ => "nine",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_the_code_in_every_style_three_times() {
        let cases = [
            (Style::Digits, "Code is 1 2 0 4 5 6."),
            (Style::Whole, "Code is 120456."),
            (Style::Hyphen, "Code is 120-456."),
            (Style::Groups, "Code is 120 456."),
            (Style::Words, "Code is one two zero four five six."),
            (Style::WordsOh, "Code is one two oh four five six."),
        ];
        for (style, once) in cases {
            let speech = Speech::readings("Code is", "120456", style, 3);
            assert_eq!(speech.heard(0, u64::MAX), [once; 3].join(" "), "{style:?}");
        }
    }

    #[test]
    fn a_late_start_loses_the_beginning_and_an_early_end_the_rest() {
        let speech = Speech::readings("Code is", "123456", Style::Hyphen, 2);
        // Words at 300 and 700, digits from 1100 on, one every 550 ms.
        let cases = [
            (500, u64::MAX, "is 123-456. Code is 123-456."),
            (2_000, u64::MAX, "3 4 5 6. Code is 123-456."),
            (0, 2_300, "Code is 1 2 3."),
            (60_000, u64::MAX, ""),
        ];
        for (from, to, expected) in cases {
            let heard = speech.heard(from, to);
            assert_eq!(heard, expected, "{from}..{to}");
        }
    }

    #[test]
    fn a_document_is_said_in_its_order_and_time() {
        let parts = [
            Part::Say("Code is 1, 2, 0, 4, 5, 6.".to_owned()),
            Part::Pause(2_000),
            Part::Say("Code is 1, 2, 0, 4, 5, 6. Good bye.".to_owned()),
        ];
        let speech = Speech::said(&parts, &Dice::new(1), "a");
        assert_eq!(speech.heard(0, u64::MAX).matches("Code is").count(), 2);
        assert!(speech.heard(0, u64::MAX).ends_with("Good bye.."), "{}", speech.heard(0, u64::MAX));
        // 300 ms, two words, six digits, the silence.
        assert_eq!(speech.heard(4_400, 6_400), "", "silence");
        assert!(Speech::said(&[], &Dice::new(1), "a").heard(0, u64::MAX).is_empty());
    }

    #[test]
    fn a_call_lasts_about_twenty_seconds_and_all_styles_occur() {
        let dice = Dice::new(3);
        let mut seen = std::collections::BTreeSet::new();
        for key in 0..60 {
            let speech = Speech::verification("000000", &dice, &key.to_string());
            assert!((15_000..25_000).contains(&speech.ends_ms), "{}", speech.ends_ms);
            seen.insert(speech.heard(0, u64::MAX));
        }
        assert!(seen.len() > 8, "{seen:?}");
    }
}
