//! How many readings a run of digits holds, and which.
//!
//! Decides by pauses and by how the digits are grouped: people and machines say a code in an even rhythm, and
//! speech-to-text that loses, repeats or makes up a digit breaks it. Never takes six digits for a reading because they
//! are six: what is uneven needs a second reading that says the same.

use super::runs::{Element, LENGTH, Piece, joined};
use super::tokens::Gap;

fn code(digits: &[u8]) -> Option<[u8; LENGTH]> {
    digits.try_into().ok()
}

/// What the elements of one run are, and whether their start is known to be that of a reading.
pub(super) fn read(elements: &[Element], anchored: bool) -> (Piece, bool) {
    let all = joined(elements);
    let sentences = || elements.chunk_by(|_, next| next.gap < Gap::Strong);
    if sentences().any(|s| s.iter().any(|e| e.loose) && !paired(s)) {
        return (Piece::Broken(all), anchored);
    }
    if all.len() < LENGTH {
        return (Piece::Partial(all), anchored);
    }
    if all.len() == LENGTH {
        // "4 5 6. 1 2 3." may be the end of one reading and the start of the next
        let split = sentences().count() > 1 && sentences().count() < elements.len();
        return match code(&all) {
            Some(code) if !split => (Piece::Complete { code, times: 1, even: even(elements) }, anchored),
            _ => (Piece::Broken(all), anchored),
        };
    }
    for level in [Gap::Strong, Gap::Comma] {
        if let Some(Split { code, times, whole_first }) = split(elements, level, anchored) {
            // a comma may as well stand inside a reading: with a piece beside one reading it proves nothing
            if level == Gap::Comma && times < 2 {
                break;
            }
            let sure = times >= 2 && (level == Gap::Strong || whole_first);
            // What a full stop in the wrong place left of seven digits looks like one reading and a piece: it confirms nothing.
            let times = if times < 2 { 0 } else { times };
            return (Piece::Complete { code, times, even: false }, anchored || sure);
        }
    }
    // No pause tells where a reading ends: only whole repeats from a known start, said in the same rhythm, are read.
    let known_start = anchored || all.len() == 3 * LENGTH;
    let repeats = all.len().is_multiple_of(LENGTH) && all.chunks(LENGTH).all(|c| *c == all[..LENGTH]);
    match code(&all[..LENGTH]) {
        Some(code) if known_start && repeats && same_rhythm(elements) => {
            (Piece::Complete { code, times: all.len() / LENGTH, even: false }, anchored)
        }
        _ => (Piece::Broken(all), anchored),
    }
}

/// Whether six digits are grouped as a code is said: one by one, in pairs, in halves, as one number, or as one and two
/// in turn ("one twenty-three"). A digit that was lost and another that was heard twice leave six digits, but rarely
/// such groups.
fn even(elements: &[Element]) -> bool {
    let lengths: Vec<usize> =
        elements.iter().flat_map(|e| if e.ones { vec![1; e.digits.len()] } else { vec![e.digits.len()] }).collect();
    let same = lengths.windows(2).all(|w| w[0] == w[1]);
    (same || lengths == [1, 2, 1, 2] || paired(elements)) && regular(elements)
}

/// Whether numerals said one by one are set off from each other alike, but for pauses after each half or pair: `1.8` is
/// no part of "6 2 1.8 6 3".
fn regular(elements: &[Element]) -> bool {
    if elements.len() != LENGTH {
        return true;
    }
    let apart: Vec<bool> = elements[1..].iter().map(|e| e.gap > Gap::Tight).collect();
    matches!(
        apart[..],
        [true, true, true, true, true] | [false, false, _, false, false] | [false, true, false, true, false]
    )
}

/// Whether the elements are said by twos: `twelve`, `oh five`, or `one twenty` by threes.
fn paired(elements: &[Element]) -> bool {
    let mut rest = elements;
    while let [first, after @ ..] = rest {
        rest = match (&first.digits[..], after) {
            ([_, _], _) if !first.ones => after,
            ([0], [second, after @ ..]) if second.digits.len() == 1 => after,
            _ => return threes(elements),
        };
    }
    true
}

fn threes(elements: &[Element]) -> bool {
    let lengths = |e: &[Element]| e.iter().map(|e| e.digits.len()).collect::<Vec<_>>();
    elements.len().is_multiple_of(2) && elements.chunks(2).all(|c| lengths(c) == [1, 2])
}

/// Whether each six digits are set off from each other as the first six are, no reading ends inside a number, and no
/// sentence ends inside them: a full stop is rather the end of a reading, so that six digits around it are the end of one
/// and the start of the next.
fn same_rhythm(elements: &[Element]) -> bool {
    let (mut gaps, mut inside) = (Vec::new(), false);
    for element in elements {
        let (start, length) = (gaps.len(), element.digits.len());
        inside |= start / LENGTH != (start + length - 1) / LENGTH
            && !(start.is_multiple_of(LENGTH) && length.is_multiple_of(LENGTH));
        gaps.push(element.gap);
        gaps.extend(std::iter::repeat_n(Gap::Tight, length - 1));
    }
    let all_stops = gaps[1..].iter().all(|g| *g == Gap::Strong);
    !inside
        && gaps.chunks(LENGTH).all(|c| {
            let alike = c[1..].iter().zip(&gaps[1..LENGTH]).all(|(a, b)| (*a >= Gap::Comma) == (*b >= Gap::Comma));
            alike && (all_stops || !c[1..].contains(&Gap::Strong))
        })
}

struct Split {
    code: [u8; LENGTH],
    times: usize,
    whole_first: bool,
}

/// Reads a run whose readings are set off by gaps of at least `level`: all equal, the first may lack its beginning and
/// the last its end.
fn split(elements: &[Element], level: Gap, anchored: bool) -> Option<Split> {
    let alone = |e: &Element| level == Gap::Comma && e.digits.len() == LENGTH; // written as one number
    let parts: Vec<&[Element]> = elements.chunk_by(|a, b| b.gap < level && !alone(a) && !alone(b)).collect();
    let pieces: Vec<Vec<u8>> = parts.iter().map(|p| joined(p)).collect();
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
    let times = pieces.iter().filter(|p| p.len() == LENGTH).count();
    Some(Split { code, times, whole_first: pieces[0].len() == LENGTH })
}
