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
        form: Form,
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
    /// For the log: `digits`, `words`, `digits and words`.
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
    /// The text is longer than any call of ours.
    #[error("the transcript is longer than a call of two minutes can be")]
    TooLong,
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

/// The longest transcript that is read, in bytes. A recording lasts at most two minutes: some 400 words, 2,500 bytes, and
/// what speech-to-text makes up over silence several times as much. A longer text is refused whole: what would be cut
/// off may contradict the rest.
pub const LONGEST: usize = 16 * 1024;

/// Reads a transcript, in time that grows with its length and no faster.
pub fn read(text: &str) -> Reading {
    if text.len() > LONGEST {
        return Reading::None(Refusal::TooLong);
    }
    let tokens = tokens(text);
    let runs = runs(&tokens);
    match decide(&tokens, &runs) {
        Ok((digits, script)) => {
            let text: String = digits.iter().map(|d| char::from(b'0' + d)).collect();
            match OtpCode::parse(&text) {
                Ok(code) => Reading::Code { code, form: Form::of(script) },
                Err(_) => Reading::None(Refusal::NoDigits), // six digits always parse
            }
        }
        Err(refusal) => Reading::None(refusal),
    }
}

fn decide(tokens: &[Token], runs: &[Run]) -> Result<([u8; LENGTH], Script), Refusal> {
    let mut whole = runs.iter().filter_map(|run| match run.piece {
        Piece::Complete { code, times, even } => Some((code, times, even, run)),
        _ => None,
    });
    let Some((code, mut times, mut even, first)) = whole.next() else {
        return Err(match runs {
            _ if runs.iter().all(|r| matches!(&r.piece, Piece::Broken(digits) if digits.is_empty())) => {
                Refusal::NoDigits
            }
            _ if runs.iter().any(|r| matches!(r.piece, Piece::Broken(_))) => Refusal::TooManyDigits,
            _ if runs
                .iter()
                .any(|r| matches!(&r.piece, Piece::Unsure(ends) if ends.iter().any(|e| e.len() >= LENGTH))) =>
            {
                Refusal::Ambiguous
            }
            _ => Refusal::TooFewDigits,
        });
    };
    let mut anchored = first.anchored;
    for (other, more, also_even, run) in whole {
        if other != code {
            return Err(Refusal::Ambiguous);
        }
        times += more;
        even |= also_even;
        anchored |= run.anchored;
    }
    for run in runs {
        let part = |digits: &Vec<u8>| {
            code.starts_with(digits) || code.ends_with(digits) && (!run.anchored || digits.len() >= 3)
        };
        let fits = match &run.piece {
            Piece::Complete { .. } => true,
            Piece::Partial(digits) => part(digits),
            Piece::Unsure(ends) => match ends.iter().find(|digits| digits.len() == LENGTH) {
                Some(whole) => whole[..] == code,
                None => ends.iter().any(part),
            },
            Piece::Broken(digits) => times >= 2 && anchored && !digits.is_empty() && repeats(&code, digits),
        };
        if !fits {
            return Err(Refusal::Ambiguous);
        }
    }
    // Six digits in uneven groups may have lost one and made up another: a second reading must say the same.
    if !even && times < 2 {
        return Err(Refusal::Ambiguous);
    }
    // Without an announcement, a text is trusted only when it holds nothing but this one run.
    let bare = || {
        runs.len() == 1
            && runs[0].sure
            && tokens[..tokens.len() - 1].iter().all(|t| !matches!(t.word(), Some(w) if speaks(w)))
    };
    if anchored || bare() { Ok((code, first.script)) } else { Err(Refusal::NotAnnounced) }
}

fn speaks(word: Word) -> bool {
    !matches!(word, Word::Digit(_) | Word::Weak(_) | Word::Common(_) | Word::Teen(_) | Word::Tens(_) | Word::Times(_))
}

/// Whether the digits are the code said over and over, cut off at either end.
fn repeats(code: &[u8; LENGTH], digits: &[u8]) -> bool {
    (0..LENGTH).any(|skip| digits.iter().enumerate().all(|(i, d)| *d == code[(i + skip) % LENGTH]))
}

#[cfg(test)]
#[path = "transcript_forms.rs"]
mod forms;
#[cfg(test)]
#[path = "transcript_properties.rs"]
mod properties;
#[cfg(test)]
#[path = "transcript_tests.rs"]
mod tests;
