//! Runs of digits in a transcript, and what each of them alone can be.
//!
//! Decides where a run of spoken digits begins and ends, which numbers belong to something else ("10 minutes"), and
//! whether a run is the code said once or several times, a piece of it, or neither. Never puts digits together across a
//! word, and never guesses: a run that could be read from two places is `Broken`, since a code that was cut off at both
//! ends would come out rotated, and one whose last word may be a digit or not (`to`, `for`) is `Unsure`.

use super::context::{anchored, bound, digits_hidden_beside, preposition};
use super::tokens::{Gap, Kind, Token};
use super::words::Word;

/// How many digits the code has (Meta: `^[0-9]{6}$`).
pub(super) const LENGTH: usize = 6;

/// How many digits a phone number has: more than a code, and at most what E.164 allows.
const PHONE_NUMBER: std::ops::RangeInclusive<usize> = LENGTH + 1..=15;

/// How the digits were written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Script {
    /// Some as numerals.
    pub numerals: bool,
    /// Some as words.
    pub words: bool,
}

/// What one run is.
pub(super) enum Piece {
    /// The code, said `times` times, 0 where that is no proof; whether its digits are grouped as somebody would say a code.
    Complete { code: [u8; LENGTH], times: usize, even: bool },
    /// Fewer than six digits.
    Partial(Vec<u8>),
    /// More than six digits, or a start that can't be told.
    Broken(Vec<u8>),
    /// It may end here or there.
    Unsure(Vec<Vec<u8>>),
}

/// A run in its context.
pub(super) struct Run {
    /// What it is.
    pub piece: Piece,
    /// Whether its first digit is known to be the first digit of a reading.
    pub anchored: bool,
    /// Whether a single digit or number was written as such, not only words that are heard for digits.
    pub sure: bool,
    /// How it was written.
    pub script: Script,
}

/// One number of a run, of one digit or more.
pub(super) struct Element {
    pub digits: Vec<u8>,
    pub gap: Gap,
    /// A word that is only heard for a digit.
    pub weak: bool,
    /// Likewise, and common.
    pub common: bool,
    /// Written as a word.
    pub word: bool,
    /// `thirty four`: may be 34, or 30 and 4.
    pub loose: bool,
    /// Each digit was said by itself: `double five`, `fourfive`.
    pub ones: bool,
    /// Can't be what it seems: `thirty-eightthree`.
    unclear: bool,
    /// Its first token.
    at: usize,
}

/// All runs of a text, without those that mean something else.
pub(super) fn runs(tokens: &[Token]) -> Vec<Run> {
    let mut found = Vec::new();
    let mut i = 0;
    while i < tokens.len() {
        let (elements, next) = collect(tokens, i);
        if elements.is_empty() {
            if tokens[i].word() == Some(Word::Unreadable) {
                let script = Script { numerals: true, words: false };
                found.push(Run { piece: Piece::Broken(Vec::new()), anchored: false, sure: false, script });
            }
            i += 1;
            continue;
        }
        // "call us at 1-800-555-0199": a phone number ends with its sentence, and is longer than a code
        let sentence = elements.iter().skip(1).position(|e| e.gap == Gap::Strong).map_or(elements.len(), |n| n + 1);
        if bound(tokens, i) && PHONE_NUMBER.contains(&joined(&elements[..sentence]).len()) {
            i = elements.get(sentence).map_or(next, |e| e.at);
            continue;
        }
        found.extend(classify(elements, tokens, i, next));
        i = next;
    }
    found
}

/// The numeric elements from `start` on; fillers may stand between them. Empty where there is none.
fn collect(tokens: &[Token], start: usize) -> (Vec<Element>, usize) {
    let (mut elements, mut i, mut end) = (Vec::new(), start, start);
    let mut gap = Gap::Tight;
    while let Some(token) = tokens.get(i) {
        gap = gap.max(token.gap);
        let word = token.word();
        if let Some((element, used)) = element(tokens, i, gap) {
            elements.push(element);
            i += used;
            end = i;
            gap = Gap::Tight;
        } else if !elements.is_empty() && word == Some(Word::Filler) {
            i += 1;
        } else {
            break;
        }
    }
    (elements, end)
}

/// The number that begins at a token, and of how many tokens it is.
pub(super) fn element(tokens: &[Token], i: usize, gap: Gap) -> Option<(Element, usize)> {
    let plain = |digits: Vec<u8>, word| Element {
        digits,
        gap,
        weak: false,
        common: false,
        word,
        loose: false,
        ones: false,
        unclear: false,
        at: i,
    };
    let digit_at = |i: usize| match &tokens.get(i)?.kind {
        Kind::Number(digits) if digits.len() == 1 => Some((digits[0], false)),
        Kind::Word(Word::Digit(d) | Word::Weak(d) | Word::Common(d)) => Some((*d, true)),
        _ => None,
    };
    Some(match &tokens.get(i)?.kind {
        Kind::Number(digits) => (plain(digits.clone(), false), 1),
        Kind::Glued(digits) => (Element { ones: true, ..plain(digits.clone(), true) }, 1),
        Kind::Word(Word::Digit(d)) => (plain(vec![*d], true), 1),
        Kind::Word(Word::Weak(d)) => (Element { weak: true, ..plain(vec![*d], true) }, 1),
        Kind::Word(Word::Common(d)) => (Element { weak: true, common: true, ..plain(vec![*d], true) }, 1),
        Kind::Word(Word::Teen(n)) => (plain(vec![n / 10, n % 10], true), 1),
        Kind::Word(Word::Tens(t)) => match tokens.get(i + 1) {
            // "twenty one" is 21; "twenty zero" can't be one number
            Some(Token { kind: Kind::Word(Word::Digit(d)), gap }) if *d > 0 && *gap <= Gap::Space => {
                (Element { loose: *gap == Gap::Space, ..plain(vec![*t, *d], true) }, 2)
            }
            Some(Token { kind: Kind::Glued(_), gap }) if *gap <= Gap::Space => {
                (Element { unclear: true, ..plain(vec![*t, 0], true) }, 1)
            }
            _ => (plain(vec![*t, 0], true), 1),
        },
        Kind::Word(Word::Times(n)) => {
            let (digit, word) = digit_at(i + 1)?;
            (Element { ones: true, ..plain(vec![digit; usize::from(*n)], word) }, 2)
        }
        Kind::Word(_) => return None,
    })
}

fn classify(mut elements: Vec<Element>, tokens: &[Token], start: usize, end: usize) -> Option<Run> {
    let start_gap = tokens[start].gap;
    let before = start.checked_sub(1).and_then(|i| tokens[i].word()).filter(|_| start_gap < Gap::Strong);
    let after = tokens.get(end).filter(|t| t.gap < Gap::Strong);
    let follows = after.and_then(Token::word);
    let mut end_gap = tokens.get(end).map_or(Gap::Strong, |t| t.gap);
    let mut anchored = anchored(tokens, start);
    let mut broken = false;
    if before == Some(Word::BindsOne) {
        // "press 1. 123456": but without a pause nobody can tell where the one number ends
        elements.remove(0);
        broken = elements.first().is_some_and(|e| e.gap < Gap::Strong);
        anchored = false;
    }
    // "valid for 10 minutes", "press one for", "one of three": that number counts something
    if follows == Some(Word::Unit)
        && let Some(counted) = elements.pop()
    {
        end_gap = counted.gap;
    }
    let unreadable = digits_hidden_beside(tokens, start, end) || elements.iter().any(|e| e.unclear);
    broken |= unreadable || follows == Some(Word::Scale);
    // `to` or `for` at an edge is a digit only where it can't be the preposition: right after the announcement, and right
    // before a pause.
    let mut whole = None;
    if !anchored && start_gap < Gap::Comma && elements.first().is_some_and(|e| e.common) {
        whole = Some(joined(&elements)).filter(|digits| digits.len() == LENGTH);
        elements.remove(0);
        broken |= elements.first().is_some_and(|e| e.common && e.gap < Gap::Comma);
    }
    if end_gap < Gap::Comma
        && elements.last().is_some_and(|e| e.common)
        && (preposition(tokens, end, elements.last()) || opens_sentence(&elements))
        && let Some(word) = elements.pop()
    {
        end_gap = word.gap;
    }
    // "... zero to\nhear": lines end anywhere
    let wrapped =
        tokens.get(end).and_then(Token::word) == Some(Word::Asks) && elements.last().is_some_and(|e| e.common);
    let doubted = elements.iter().rev().take_while(|e| e.weak && (end_gap < Gap::Comma || wrapped)).count();
    let sure = elements.iter().filter(|e| !e.weak).count();
    let few = sure < 2 && !anchored && !unreadable && elements.iter().all(|e| e.digits.len() < 3);
    if elements.len() < 4 && (sure == 0 || few) {
        return None; // a single number, or prepositions, somewhere in the text
    }
    // Four words in a row that are heard for digits are evidence; "to too for ate" alone announces nothing.
    let doubtful = sure == 0 && elements.iter().filter(|e| !e.common).count() < 3;
    anchored &= !doubtful;
    let script = Script { numerals: elements.iter().any(|e| !e.word), words: elements.iter().any(|e| e.word) };
    let (piece, anchored) = if broken {
        (Piece::Broken(joined(&elements)), anchored)
    } else if let Some(whole) = whole {
        (Piece::Unsure(vec![joined(&elements), whole]), anchored)
    } else if doubted > 0 {
        let ends = elements.len() - doubted..=elements.len();
        (Piece::Unsure(ends.map(|end| joined(&elements[..end])).collect()), anchored)
    } else {
        super::readings::read(&elements, anchored)
    };
    Some(Run { piece, anchored, sure: sure > 0, script })
}

/// Whether the last word stands after a full stop, as none stands between the others: "123456. For help".
fn opens_sentence(elements: &[Element]) -> bool {
    let [_, between @ .., last] = elements else { return false };
    let preposition = last.digits[..] != [0]; // not "oh"
    preposition && last.gap == Gap::Strong && (between.is_empty() || between.iter().any(|e| e.gap < Gap::Strong))
}

/// All digits of the elements.
pub(super) fn joined(elements: &[Element]) -> Vec<u8> {
    elements.iter().flat_map(|e| e.digits.iter().copied()).collect()
}
