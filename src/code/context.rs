//! What stands around a run of digits, and what that makes of it.
//!
//! Decides whether a reading begins there, whether the number belongs to something else, whether a word at its edge is one
//! of its digits, and whether digits are hidden beside it. Looks no further than the sentence, except back to "code" and
//! "again", and never at the digits themselves.

use super::runs::{Element, element};
use super::tokens::{Gap, Token};
use super::words::Word;

/// Whether the token at `start` begins a reading: "code is ...", "code: ...", "again, ...".
pub(super) fn anchored(tokens: &[Token], start: usize) -> bool {
    let mut linked = false;
    for (distance, token) in tokens[..start].iter().rev().enumerate() {
        match token.word() {
            Some(Word::Announces | Word::Repeats) => return true,
            Some(Word::Links | Word::Filler) => linked |= token.word() == Some(Word::Links),
            // "your code for Atlas is": other words may stand between the announcement and `is`
            Some(
                Word::Other | Word::Object | Word::Asks | Word::Weak(_) | Word::Common(_) | Word::BindsOne | Word::Unit,
            ) if linked && distance < 8 => {}
            _ => return false,
        }
        if tokens[start - distance - 1].gap == Gap::Strong && linked {
            return false;
        }
    }
    false
}

/// Whether the run at `start` is bound as a whole: "call 1-800", "call us at (650)". What is bound in the middle of
/// digits is no phone number.
pub(super) fn bound(tokens: &[Token], start: usize) -> bool {
    for back in 1..=4.min(start) {
        let (at, token) = (start - back, &tokens[start - back]);
        if tokens[at + 1].gap == Gap::Strong {
            return false;
        }
        match token.word() {
            Some(Word::BindsAll | Word::Dialled) => {
                return token.gap == Gap::Strong
                    || at.checked_sub(1).is_some_and(|i| element(tokens, i, Gap::Tight).is_none());
            }
            Some(Word::Other | Word::Object | Word::Asks) => {}
            _ => return false,
        }
    }
    false
}

/// Whether the last word, before `end`, is a preposition for certain: `for your`, set off from the digits by no comma, and
/// in the rest of the sentence neither a digit nor an announcement, which would speak for two sentences that ran
/// together; `to hear` in any.
pub(super) fn preposition(tokens: &[Token], end: usize, last: Option<&Element>) -> bool {
    let mut rest = tokens[end + 1..].iter().take_while(|t| t.gap < Gap::Strong).take(20).peekable();
    let mut said_on = || {
        rest.peek().is_some()
            && rest.all(|t| {
                matches!(t.word(), Some(Word::Other | Word::Object | Word::Asks | Word::BindsOne | Word::BindsAll))
            })
    };
    match tokens[end].word() {
        Some(Word::Asks) => true,
        Some(Word::Object) => last.is_some_and(|e| e.gap != Gap::Comma) && said_on(),
        _ => false,
    }
}

/// Whether a word beside the run, in the same sentence and over fillers, holds digits that can't be told: the run is then
/// not all that was said.
pub(super) fn digits_hidden_beside(tokens: &[Token], start: usize, end: usize) -> bool {
    let hidden = |word: Option<Word>| matches!(word, Some(Word::Garbled | Word::Unreadable | Word::Times(_)));
    // The gap of a token lies before it.
    let mut after = tokens[end..].iter().take_while(|t| t.gap < Gap::Strong).map(Token::word).peekable();
    if after.peek() == Some(&Some(Word::Dialled)) || after.find(|word| *word != Some(Word::Filler)).is_some_and(hidden)
    {
        return true;
    }
    let before = (1..=start).rev().take_while(|i| tokens[*i].gap < Gap::Strong).map(|i| tokens[i - 1].word());
    before.into_iter().find(|word| *word != Some(Word::Filler)).is_some_and(hidden)
}
