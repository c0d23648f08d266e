//! A transcript as tokens: numbers, words, and how strongly each is set off from the one before.
//!
//! Decides what is a number that could be part of a code. Times (`10:30`), `24/7`, amounts, digits mixed with letters
//! (`3rd`, `6Your`) and digits of other scripts are none, and make digits beside them unreadable; a phone number with a
//! plus sign binds what follows. Number words that grew together (`fourfive`) are taken apart; characters that nobody
//! sees (joiners, marks of direction, NUL) are no characters, so that none of them can hide half of a word.

use super::words::{Grown, Word, grown, meaning};

/// What separates a token from the one before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Gap {
    /// Nothing, a hyphen, a point between numerals.
    Tight,
    /// Spaces only.
    Space,
    /// A comma, a colon, a dash between spaces, brackets around numerals.
    Comma,
    /// The end of a sentence or of a line, or the start of the text.
    Strong,
}

/// One token and its gap.
pub(super) struct Token {
    /// What it is.
    pub kind: Kind,
    /// What stands before it.
    pub gap: Gap,
}

/// What a token is.
pub(super) enum Kind {
    /// Digits written as numerals, as values 0 to 9.
    Number(Vec<u8>),
    /// Digits written as words that grew together.
    Glued(Vec<u8>),
    /// A word and what it means.
    Word(Word),
}

impl Token {
    /// The meaning of a word; None for a number.
    pub(super) fn word(&self) -> Option<Word> {
        match self.kind {
            Kind::Word(word) => Some(word),
            Kind::Number(_) | Kind::Glued(_) => None,
        }
    }
}

fn in_word(c: char) -> bool {
    c.is_alphanumeric() || c == '\'' || c == '’'
}

/// Control and format characters, marks of direction, joiners, marks that are drawn over the character before.
fn unseen(c: char) -> bool {
    c.is_control() && !c.is_whitespace()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{feff}' | '\u{300}'..='\u{36f}' | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{20d0}'..='\u{20ff}' | '\u{fe00}'..='\u{fe0f}')
}

/// Splits a text into tokens; a last one without meaning stands for its end.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().filter(|c| !unseen(*c)).collect();
    let mut out: Vec<Token> = Vec::new();
    let mut i = 0;
    let mut separator = String::from("\n");
    while i < chars.len() {
        if !in_word(chars[i]) {
            separator.push(chars[i]);
            i += 1;
            continue;
        }
        let start = i;
        while i < chars.len() && in_word(chars[i]) {
            i += 1;
        }
        let raw: String = chars[start..i].iter().collect();
        let digits_before = start.checked_sub(separator.chars().count() + 1).is_some_and(|i| chars[i].is_ascii_digit());
        let gap = gap(&separator, digits_before, chars[start].is_ascii_digit());
        let kind = if raw.bytes().all(|c| c.is_ascii_digit()) {
            numeral(&raw, &separator, digits_before, &chars[i..])
        } else {
            word(&raw)
        };
        out.push(Token { kind, gap });
        separator.clear();
    }
    out.push(Token { kind: Kind::Word(Word::Other), gap: Gap::Strong });
    out
}

fn numeral(raw: &str, before: &str, digits_before: bool, after: &[char]) -> Kind {
    let amount = before.ends_with(['$', '€', '£']) || after.first() == Some(&'%');
    let part_of_time = matches!(after, [':' | '/', digit, ..] if digit.is_ascii_digit())
        || digits_before && matches!(before, ":" | "/");
    if before.ends_with('+') {
        Kind::Word(Word::Dialled) // a phone number; the rest of it may follow after a space
    } else if amount || part_of_time {
        Kind::Word(Word::Garbled)
    } else {
        Kind::Number(raw.bytes().map(|c| c - b'0').collect())
    }
}

fn word(raw: &str) -> Kind {
    let word = raw.to_lowercase().replace('’', "'");
    match meaning(&word) {
        Word::Other => match grown(&word) {
            Grown::Digits(digits) => Kind::Glued(digits),
            Grown::Unreadable => Kind::Word(Word::Unreadable),
            Grown::Garbled => Kind::Word(Word::Garbled),
            Grown::No => Kind::Word(Word::Other),
        },
        known => Kind::Word(known),
    }
}

fn gap(separator: &str, digit_before: bool, digit_after: bool) -> Gap {
    let spaced = separator.contains(char::is_whitespace);
    // "(650) 555": brackets that touch a numeral belong to it
    let opens = separator.ends_with(['(', '[']) && digit_after;
    let closes = separator.starts_with([')', ']']) && digit_before;
    let brackets = separator.contains(['(', ')', '[', ']']) && !opens && !closes;
    if brackets
        || separator.contains(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}', '!', '?', ';', '…', '"', '“', '”', '。'])
        || separator.contains("..")
    {
        Gap::Strong
    } else if separator.contains('.') {
        if !spaced && digit_before && digit_after { Gap::Tight } else { Gap::Strong }
    } else if spaced && separator.contains([',', ':', '-', '–', '—', '|', '/'])
        || separator.contains([':', '—', '|', '(', ')', '[', ']'])
        || separator.contains(',') && !(digit_before && digit_after)
    {
        Gap::Comma
    } else if spaced {
        Gap::Space
    } else {
        Gap::Tight
    }
}
