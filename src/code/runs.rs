//! Runs of digits in a transcript, and what each of them alone can be.
//!
//! Decides where a run of spoken digits begins and ends, which numbers belong to something else ("10 minutes"), and
//! whether a run is the code said once or several times, a piece of it, or neither. Never puts digits together across a
//! word, and never guesses where a reading starts: a run that could be read from two places is `Broken`, since a code
//! that was cut off at both ends would come out rotated.

use super::tokens::{Gap, Kind, Token};
use super::words::Word;

/// How many digits the code has (Meta: `^[0-9]{6}$`).
pub(super) const LENGTH: usize = 6;

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
    /// The code, said `times` times.
    Complete { code: [u8; LENGTH], times: usize },
    /// Fewer than six digits.
    Partial(Vec<u8>),
    /// More than six digits, or a start that can't be told.
    Broken(Vec<u8>),
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

struct Element {
    digits: Vec<u8>,
    gap: Gap,
    weak: bool,
    common: bool,
    word: bool,
}

/// All runs of a text, without those that mean something else.
pub(super) fn runs(tokens: &[Token]) -> Vec<Run> {
    let mut found = Vec::new();
    let mut i = 0;
    while i < tokens.len() {
        let (elements, next) = collect(tokens, i);
        if elements.is_empty() {
            i += 1;
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

fn element(tokens: &[Token], i: usize, gap: Gap) -> Option<(Element, usize)> {
    let made = |digits: Vec<u8>, weak, word, used| Some((Element { digits, gap, weak, common: false, word }, used));
    let digit_at = |i: usize| match &tokens.get(i)?.kind {
        Kind::Number(digits) if digits.len() == 1 => Some((digits[0], false)),
        Kind::Word(Word::Digit(d) | Word::Weak(d) | Word::Common(d)) => Some((*d, true)),
        _ => None,
    };
    match &tokens.get(i)?.kind {
        Kind::Number(digits) => made(digits.clone(), false, false, 1),
        Kind::Word(Word::Digit(d)) => made(vec![*d], false, true, 1),
        Kind::Word(Word::Weak(d)) => made(vec![*d], true, true, 1),
        Kind::Word(Word::Common(d)) => {
            Some((Element { digits: vec![*d], gap, weak: true, common: true, word: true }, 1))
        }
        Kind::Word(Word::Teen(n)) => made(vec![n / 10, n % 10], false, true, 1),
        Kind::Word(Word::Tens(t)) => match tokens.get(i + 1) {
            // "twenty one" is 21; "twenty zero" can't be one number
            Some(Token { kind: Kind::Word(Word::Digit(d)), gap }) if *d > 0 && *gap <= Gap::Space => {
                made(vec![*t, *d], false, true, 2)
            }
            _ => made(vec![*t, 0], false, true, 1),
        },
        Kind::Word(Word::Times(n)) => {
            let (digit, word) = digit_at(i + 1)?;
            made(vec![digit; usize::from(*n)], false, word, 2)
        }
        Kind::Word(_) => None,
    }
}

fn classify(mut elements: Vec<Element>, tokens: &[Token], start: usize, end: usize) -> Option<Run> {
    let before = start.checked_sub(1).and_then(|i| tokens[i].word());
    let after = tokens.get(end);
    let follows = after.filter(|t| t.gap < Gap::Strong).and_then(Token::word);
    let set_off_after = after.is_none_or(|t| t.gap >= Gap::Comma);
    let start_gap = tokens[start].gap;
    let (mut anchored, mut broken) = (anchored(tokens, start), false);
    if before == Some(Word::BindsAll) && start_gap < Gap::Strong {
        return None;
    }
    if before == Some(Word::BindsOne) && start_gap < Gap::Strong {
        elements.remove(0);
        anchored = false;
    }
    match follows {
        // "valid for 10 minutes", "press one for", "one of three": that number counts something
        Some(Word::Unit) => {
            elements.pop();
        }
        Some(Word::Scale) => broken = true,
        _ => {}
    }
    // `to` or `for` at an edge is a digit only where it can't be the preposition: right after the announcement, and right
    // before a pause.
    if !anchored && start_gap < Gap::Comma && elements.first().is_some_and(|e| e.common) {
        elements.remove(0);
        broken |= elements.first().is_some_and(|e| e.common && e.gap < Gap::Comma);
    }
    if !set_off_after && elements.last().is_some_and(|e| e.common) {
        let set_off = elements.pop().is_some_and(|e| e.gap >= Gap::Comma);
        broken |= !set_off && elements.last().is_some_and(|e| e.common);
    }
    let sure = elements.iter().filter(|e| !e.weak).count();
    if elements.len() < 4 && (sure == 0 || sure < 2 && !anchored && elements.iter().all(|e| e.digits.len() < 3)) {
        return None; // a single number, or prepositions, somewhere in the text
    }
    // Four words in a row that are heard for digits are evidence; "to too for ate" alone announces nothing.
    let doubtful = sure == 0 && elements.iter().filter(|e| !e.common).count() < 3;
    anchored &= !doubtful;
    let script = Script { numerals: elements.iter().any(|e| !e.word), words: elements.iter().any(|e| e.word) };
    if broken {
        return Some(Run { piece: Piece::Broken(joined(&elements)), anchored, sure: sure > 0, script });
    }
    let (piece, anchored) = read(&elements, anchored);
    Some(Run { piece, anchored, sure: sure > 0, script })
}

/// Whether the token at `start` begins a reading: "code is ...", "code: ...", "again, ...".
fn anchored(tokens: &[Token], start: usize) -> bool {
    let mut linked = false;
    for (distance, token) in tokens[..start].iter().rev().enumerate() {
        match token.word() {
            Some(Word::Announces | Word::Repeats) => return true,
            Some(Word::Links | Word::Filler) => linked |= token.word() == Some(Word::Links),
            // "your code for Atlas is": other words may stand between the announcement and `is`
            Some(Word::Other | Word::Weak(_) | Word::Common(_) | Word::BindsOne | Word::Unit)
                if linked && distance < 8 => {}
            _ => return false,
        }
        if tokens[start - distance - 1].gap == Gap::Strong && linked {
            return false;
        }
    }
    false
}

fn joined(elements: &[Element]) -> Vec<u8> {
    elements.iter().flat_map(|e| e.digits.iter().copied()).collect()
}

fn code(digits: &[u8]) -> Option<[u8; LENGTH]> {
    digits.try_into().ok()
}

fn read(elements: &[Element], anchored: bool) -> (Piece, bool) {
    let all = joined(elements);
    if all.len() < LENGTH {
        return (Piece::Partial(all), anchored);
    }
    let sentences = elements.iter().skip(1).filter(|e| e.gap == Gap::Strong).count();
    if all.len() == LENGTH {
        // "4 5 6. 1 2 3." may be the end of one reading and the start of the next
        let split = sentences > 0 && sentences + 1 < elements.len();
        return match code(&all) {
            Some(code) if !split => (Piece::Complete { code, times: 1 }, anchored),
            _ => (Piece::Broken(all), anchored),
        };
    }
    for level in [Gap::Strong, Gap::Comma] {
        if let Some((code, times, whole_first)) = split(elements, level, anchored) {
            // a comma may as well stand inside a reading: with a piece beside one reading it proves nothing
            if level == Gap::Comma && times < 2 {
                break;
            }
            let sure = times >= 2 && (level == Gap::Strong || whole_first);
            return (Piece::Complete { code, times }, anchored || sure);
        }
    }
    // No pause tells where a reading ends: only whole repeats from a known start, said in the same rhythm, are read.
    let known_start = anchored || all.len() == 3 * LENGTH;
    let repeats = all.len().is_multiple_of(LENGTH) && all.chunks(LENGTH).all(|c| *c == all[..LENGTH]);
    match code(&all[..LENGTH]) {
        Some(code) if known_start && repeats && same_rhythm(elements) => {
            (Piece::Complete { code, times: all.len() / LENGTH }, anchored)
        }
        _ => (Piece::Broken(all), anchored),
    }
}

/// Whether each six digits are set off from each other as the first six are, and no sentence ends inside them: a full
/// stop is rather the end of a reading, so that six digits around it are the end of one and the start of the next.
fn same_rhythm(elements: &[Element]) -> bool {
    let mut gaps = Vec::new();
    for element in elements {
        gaps.push(element.gap);
        gaps.extend(std::iter::repeat_n(Gap::Tight, element.digits.len() - 1));
    }
    let all_stops = gaps[1..].iter().all(|g| *g == Gap::Strong);
    gaps.chunks(LENGTH).all(|c| {
        let same = c[1..].iter().zip(&gaps[1..LENGTH]).all(|(a, b)| (*a >= Gap::Comma) == (*b >= Gap::Comma));
        same && (all_stops || !c[1..].contains(&Gap::Strong))
    })
}

/// Reads a run whose readings are set off by gaps of at least `level`: all equal, the first may lack its beginning and
/// the last its end. Answers code, number of whole readings, and whether the first one is whole.
fn split(elements: &[Element], level: Gap, anchored: bool) -> Option<([u8; LENGTH], usize, bool)> {
    let mut pieces: Vec<Vec<u8>> = Vec::new();
    let mut before_whole = false;
    for element in elements {
        let whole = level == Gap::Comma && element.digits.len() == LENGTH; // written as one number
        match pieces.last_mut() {
            Some(piece) if element.gap < level && !whole && !before_whole => piece.extend(&element.digits),
            _ => pieces.push(element.digits.clone()),
        }
        before_whole = whole;
    }
    let code = code(pieces.iter().find(|p| p.len() == LENGTH)?)?;
    let last = pieces.len() - 1;
    let fits = |(i, piece): (usize, &Vec<u8>)| {
        piece[..] == code
            || i == 0
                && i < last
                && piece.len() < LENGTH
                && if anchored { code.starts_with(piece) } else { code.ends_with(piece) }
            || i > 0 && i == last && piece.len() < LENGTH && code.starts_with(piece)
    };
    if last == 0 || !pieces.iter().enumerate().all(fits) {
        return None;
    }
    Some((code, pieces.iter().filter(|p| p.len() == LENGTH).count(), pieces[0].len() == LENGTH))
}
