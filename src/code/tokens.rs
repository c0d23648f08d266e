//! A transcript as tokens: numbers, words, and how strongly each is set off from the one before.
//!
//! Decides what is a number that could be part of a code. Times (`10:30`), `24/7`, amounts, phone numbers with a plus
//! sign and digits mixed with letters (`3rd`) are words without meaning here: they end a run and are never read.

use super::words::{Word, meaning};

/// What separates a token from the one before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Gap {
    /// Nothing, a hyphen, a point without a space.
    Tight,
    /// Spaces only.
    Space,
    /// A comma, a colon, a dash between spaces.
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
    /// ASCII digits, as values 0 to 9.
    Number(Vec<u8>),
    /// A word and what it means.
    Word(Word),
}

impl Token {
    /// The meaning of a word; None for a number.
    pub(super) fn word(&self) -> Option<Word> {
        match self.kind {
            Kind::Word(word) => Some(word),
            Kind::Number(_) => None,
        }
    }
}

fn in_word(c: char) -> bool {
    c.is_alphanumeric() || c == '\'' || c == '’'
}

/// Splits a text into tokens; a last one without meaning stands for its end.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
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
        let after = chars.get(i).copied();
        let gap = gap(&separator);
        let kind = if raw.bytes().all(|c| c.is_ascii_digit()) {
            let amount = separator.ends_with(['$', '€', '£']) || after == Some('%');
            let part_of_time = matches!(after, Some(':' | '/')) && chars.get(i + 1).is_some_and(char::is_ascii_digit)
                || separator == ":"
                || separator == "/";
            if separator.ends_with('+') {
                Kind::Word(Word::BindsAll) // a phone number; the rest of it may follow after a space
            } else if amount || part_of_time {
                Kind::Word(Word::Other)
            } else {
                Kind::Number(raw.bytes().map(|c| c - b'0').collect())
            }
        } else {
            Kind::Word(meaning(&raw.to_lowercase().replace('’', "'")))
        };
        out.push(Token { kind, gap });
        separator.clear();
    }
    out.push(Token { kind: Kind::Word(Word::Other), gap: Gap::Strong });
    out
}

fn gap(separator: &str) -> Gap {
    let spaced = separator.contains(char::is_whitespace);
    if separator.contains(['\n', '!', '?', ';', '…', '"', '(', ')', '[', ']']) || separator.contains("..") {
        Gap::Strong
    } else if separator.contains('.') {
        if spaced { Gap::Strong } else { Gap::Tight }
    } else if spaced && separator.contains([',', ':', '-', '–', '—', '|', '/']) || separator.contains([':', '—', '|'])
    {
        Gap::Comma
    } else if spaced {
        Gap::Space
    } else {
        Gap::Tight
    }
}
