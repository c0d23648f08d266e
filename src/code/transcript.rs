//! What was said in Meta's verification call: the code, or why none can be told.
//!
//! English and digits only, since we choose the call's language. Decides by agreement: every complete reading in the
//! text must be the same, pieces must fit it, and its start must be known ("code is ...", "again ...", a pause between
//! repeats). Two different readings are no answer, and a refusal is always allowed: a wrong code costs one of the few
//! attempts that Meta grants. Must never log, print or return in an error what it reads.
//!
//! What no reader can notice: a recording whose only audible reading was transcribed as six other digits.

use super::runs::{LENGTH, Piece, Run, Script, runs};
use super::tokens::{Token, tokens};
use super::words::Word;
use crate::domain::OtpCode;

/// What a transcript says. No `Debug`, since it may hold the code.
#[derive(Clone, PartialEq)]
pub enum Reading {
    /// The code, and how it was written.
    Code {
        /// The six digits.
        code: OtpCode,
        /// How the transcript wrote them.
        source: Form,
    },
    /// No code can be told, and why.
    None(Refusal),
}

/// How a transcript wrote the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As numerals: `123456`, `123-456`, `1 2 3 4 5 6`.
    Digits,
    /// As words: `one two three`.
    Words,
    /// As both.
    Mixed,
}

impl Form {
    /// For the timeline: `digits`, `words`, `digits and words`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Digits => "digits",
            Self::Words => "words",
            Self::Mixed => "digits and words",
        }
    }

    fn of(script: Script) -> Self {
        match (script.numerals, script.words) {
            (_, false) => Self::Digits,
            (false, true) => Self::Words,
            (true, true) => Self::Mixed,
        }
    }
}

/// Why no code was read. Holds no digits, so it may be logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing in the text is a sequence of digits.
    #[error("no digits were heard")]
    NoDigits,
    /// Only pieces of fewer than six digits.
    #[error("fewer than six digits were heard in one go")]
    TooFewDigits,
    /// Digits run together, so that the start of the code can't be told.
    #[error("digits ran together, so that the code's start can't be told")]
    TooManyDigits,
    /// Two different readings, or pieces that contradict the code.
    #[error("what was heard can be read in more than one way")]
    Ambiguous,
    /// Six digits that nothing says are the code.
    #[error("six digits were heard, but nothing says that they are the code")]
    NotAnnounced,
}

/// Reads a transcript.
pub fn read(text: &str) -> Reading {
    let tokens = tokens(text);
    let runs = runs(&tokens);
    match decide(&tokens, &runs) {
        Ok((digits, script)) => {
            let text: String = digits.iter().map(|d| char::from(b'0' + d)).collect();
            match OtpCode::parse(&text) {
                Ok(code) => Reading::Code { code, source: Form::of(script) },
                Err(_) => Reading::None(Refusal::NoDigits), // six digits always parse
            }
        }
        Err(refusal) => Reading::None(refusal),
    }
}

fn decide(tokens: &[Token], runs: &[Run]) -> Result<([u8; LENGTH], Script), Refusal> {
    let mut whole = runs.iter().filter_map(|run| match run.piece {
        Piece::Complete { code, times } => Some((code, times, run.anchored, run.script)),
        _ => None,
    });
    let Some((code, mut times, mut anchored, script)) = whole.next() else {
        return Err(match runs {
            [] => Refusal::NoDigits,
            _ if runs.iter().any(|r| matches!(r.piece, Piece::Broken(_))) => Refusal::TooManyDigits,
            _ => Refusal::TooFewDigits,
        });
    };
    for (other, more, also_anchored, _) in whole {
        if other != code {
            return Err(Refusal::Ambiguous);
        }
        times += more;
        anchored |= also_anchored;
    }
    for run in runs {
        let fits = match &run.piece {
            Piece::Complete { .. } => true,
            Piece::Partial(digits) if run.anchored => {
                code.starts_with(digits) || digits.len() >= 3 && code.ends_with(digits)
            }
            Piece::Partial(digits) => code.starts_with(digits) || code.ends_with(digits),
            Piece::Broken(digits) => times >= 2 && anchored && repeats(&code, digits),
        };
        if !fits {
            return Err(Refusal::Ambiguous);
        }
    }
    // Without an announcement, a text is trusted only when it holds nothing but this one run.
    let bare = || {
        runs.len() == 1
            && runs[0].sure
            && tokens[..tokens.len() - 1].iter().all(|t| !matches!(t.word(), Some(w) if speaks(w)))
    };
    if anchored || bare() { Ok((code, script)) } else { Err(Refusal::NotAnnounced) }
}

fn speaks(word: Word) -> bool {
    !matches!(word, Word::Digit(_) | Word::Weak(_) | Word::Common(_) | Word::Teen(_) | Word::Tens(_) | Word::Times(_))
}

/// Whether the digits are the code said over and over, cut off at either end.
fn repeats(code: &[u8; LENGTH], digits: &[u8]) -> bool {
    (0..LENGTH).any(|skip| digits.iter().enumerate().all(|(i, d)| *d == code[(i + skip) % LENGTH]))
}

#[cfg(test)]
#[path = "transcript_tests.rs"]
mod tests;
