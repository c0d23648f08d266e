//! Which digits a text says, as bluntly as can be: every digit, every word that is ever a digit, in the order of the text.
//! For tests and for the fuzz target only: what the reader reads must be in here, whatever it was read from. Shares
//! nothing with the reader.

const NAMES: [&[&str]; 10] = [
    &["zero", "nought", "naught", "aught", "owe", "oh", "o"],
    &["one", "won", "wan", "wun"],
    &["two", "too", "tew", "to", "tu"],
    &["three", "tree", "free", "thee", "threw"],
    &["four", "fore", "for", "foe"],
    &["five", "fife", "hive"],
    &["six", "sicks", "sick", "sics", "sects", "sex"],
    &["seven", "sven", "seben"],
    &["eight", "hate", "ate", "ait"],
    &["niner", "nine", "nein", "nigh", "mine"],
];
const PAIRS: [(&str, [u8; 2]); 19] = [
    ("ten", [1, 0]),
    ("eleven", [1, 1]),
    ("twelve", [1, 2]),
    ("thirteen", [1, 3]),
    ("fourteen", [1, 4]),
    ("fifteen", [1, 5]),
    ("sixteen", [1, 6]),
    ("seventeen", [1, 7]),
    ("eighteen", [1, 8]),
    ("nineteen", [1, 9]),
    ("twenty", [2, 0]),
    ("thirty", [3, 0]),
    ("forty", [4, 0]),
    ("fourty", [4, 0]),
    ("fifty", [5, 0]),
    ("sixty", [6, 0]),
    ("seventy", [7, 0]),
    ("eighty", [8, 0]),
    ("ninety", [9, 0]),
];

/// Whether the digits are said in the text in this order, others between or not.
pub fn said(text: &str, digits: &str) -> bool {
    let lower: Vec<char> = text
        .to_lowercase()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || c.is_ascii_punctuation() || c.is_whitespace())
        .collect();
    let (mut heard, mut times) = (Vec::new(), 1);
    let mut at = 0;
    while at < lower.len() {
        let rest: String = lower[at..lower.len().min(at + 10)].iter().collect();
        let word = |name: &&str| rest.starts_with(*name);
        let one = rest.chars().next().and_then(|c| c.to_digit(10)).map(|d| (d as u8, 1));
        let one = one.or_else(|| {
            let names = (0u8..).zip(NAMES).flat_map(|(d, names)| names.iter().map(move |name| (d, *name)));
            names.filter(|(_, name)| word(name)).max_by_key(|(_, name)| name.len()).map(|(d, n)| (d, n.len()))
        });
        if ["double", "triple", "treble"].iter().any(word) {
            (times, at) = (3, at + 6);
        } else if let Some((name, pair)) =
            PAIRS.iter().filter(|(name, _)| word(name)).max_by_key(|(name, _)| name.len())
        {
            heard.extend(pair);
            at += name.len();
        } else if let Some((digit, length)) = one {
            heard.extend(std::iter::repeat_n(digit, times));
            (times, at) = (1, at + length);
        } else {
            at += 1;
        }
    }
    let mut heard = heard.into_iter();
    digits.bytes().all(|d| heard.any(|h| h == d - b'0'))
}
