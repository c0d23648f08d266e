//! What single English words mean to the reader of a transcript.
//!
//! Decides which words are digits, which are commonly heard instead of digits, which announce a code, and which bind a
//! number to something else ("10 minutes", "press 1"). A word that is not listed means nothing and ends a run of digits;
//! where it looks like number words grown together it is taken apart, or known to hide digits.
//! Never add a word here that is ordinary English and also a digit without making it weak: `to` is a 2 only among digits.

/// The meaning of one lower-case word.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// A digit's own name.
    Digit(u8),
    /// Ordinary English that speech-to-text writes for a digit; a digit only inside a run.
    Weak(u8),
    /// Likewise, and so common before or after a number that at a run's edge it is rather the word itself.
    Common(u8),
    /// Ten to nineteen.
    Teen(u8),
    /// Twenty to ninety: the tens digit.
    Tens(u8),
    /// `double`, `triple`: the next digit so many times.
    Times(u8),
    /// Says nothing; may stand between digits.
    Filler,
    /// Announces a code: `code`, and what is heard for it.
    Announces,
    /// Says that what follows is said again from its start.
    Repeats,
    /// Stands between the announcement and the digits: `is`.
    Links,
    /// After a number: the number counts something. `minutes`.
    Unit,
    /// After or inside a number: it is no sequence of digits. `hundred`.
    Scale,
    /// Before a number: that one number means something else. `press`.
    BindsOne,
    /// Before a phone number. `call`.
    BindsAll,
    /// Before a number of another kind, which may be as long as a code. `ticket`.
    Names,
    /// The start of a phone number: `+1`.
    Dialled,
    /// As `Garbled`, with so many digits that it may be a reading.
    Unreadable,
    /// Holds digits that can't be told: digits beside it, without a pause, are not all of the digits.
    Garbled,
    /// What a preposition may stand before: `your`.
    Object,
    /// After which `to` or `for` is a preposition for certain: `help`, `hear`.
    Asks,
    /// Anything else.
    Other,
}

/// Looks a lower-case word up.
pub(super) fn meaning(word: &str) -> Word {
    match word {
        "zero" | "nought" | "naught" => Word::Digit(0),
        "one" => Word::Digit(1),
        "two" => Word::Digit(2),
        "three" => Word::Digit(3),
        "four" => Word::Digit(4),
        "five" => Word::Digit(5),
        "six" => Word::Digit(6),
        "seven" => Word::Digit(7),
        "eight" => Word::Digit(8),
        "nine" | "niner" => Word::Digit(9),
        "oh" => Word::Common(0),
        "o" | "owe" | "aught" => Word::Weak(0),
        "won" | "wan" | "wun" => Word::Weak(1),
        "to" => Word::Common(2),
        "too" | "tu" | "tew" => Word::Weak(2),
        "tree" | "free" | "thee" | "threw" => Word::Weak(3),
        "for" => Word::Common(4),
        "fore" | "foe" => Word::Weak(4),
        "fife" | "hive" => Word::Weak(5),
        "sex" | "sics" | "sicks" | "sick" | "sects" => Word::Weak(6),
        "sven" | "seben" => Word::Weak(7),
        "ate" | "ait" | "hate" => Word::Weak(8),
        "nein" | "nigh" | "mine" => Word::Weak(9),
        "ten" => Word::Teen(10),
        "eleven" => Word::Teen(11),
        "twelve" => Word::Teen(12),
        "thirteen" => Word::Teen(13),
        "fourteen" => Word::Teen(14),
        "fifteen" => Word::Teen(15),
        "sixteen" => Word::Teen(16),
        "seventeen" => Word::Teen(17),
        "eighteen" => Word::Teen(18),
        "nineteen" => Word::Teen(19),
        "twenty" => Word::Tens(2),
        "thirty" => Word::Tens(3),
        "forty" | "fourty" => Word::Tens(4),
        "fifty" => Word::Tens(5),
        "sixty" => Word::Tens(6),
        "seventy" => Word::Tens(7),
        "eighty" => Word::Tens(8),
        "ninety" => Word::Tens(9),
        "double" => Word::Times(2),
        "triple" | "treble" => Word::Times(3),
        "uh" | "um" | "er" | "erm" | "eh" | "ah" | "hm" | "hmm" | "mm" | "and" | "then" | "comma" | "dash"
        | "hyphen" | "space" | "pause" => Word::Filler,
        "code" | "codes" | "coat" | "cold" | "cote" | "quote" | "passcode" | "password" | "otp" | "verification"
        | "verifications" => Word::Announces,
        "again" | "repeat" | "repeating" | "repeated" => Word::Repeats,
        "is" | "are" | "it's" | "its" | "as" | "his" | "was" | "follows" | "reads" | "equals" => Word::Links,
        "minute" | "minutes" | "min" | "mins" | "hour" | "hours" | "second" | "seconds" | "sec" | "day" | "days"
        | "time" | "times" | "digit" | "digits" | "percent" | "dollars" | "dirhams" | "attempts" | "attempt"
        | "tries" | "more" | "moment" | "step" | "factor" | "of" | "months" | "years" | "last" | "numbers" => {
            Word::Unit
        }
        "hundred" | "thousand" | "million" | "billion" | "point" | "th" | "oclock" | "o'clock" | "am" | "pm"
        | "a.m" | "p.m" => Word::Scale,
        "press" | "option" | "key" | "than" | "no" | "any" | "this" | "every" | "each" | "in" | "within" | "after" => {
            Word::BindsOne
        }
        "phone" | "call" | "dial" | "from" | "contact" | "extension" | "ext" | "telephone" | "reach" => Word::BindsAll,
        "ticket" | "reference" | "order" | "case" | "ref" | "amount" | "balance" | "postcode" | "zip" => Word::Names,
        "your" | "whatsapp" | "business" | "account" | "verify" | "verifying" | "confirm" | "register"
        | "registration" | "complete" | "activate" | "use" => Word::Object,
        "hear" | "help" | "watching" | "listening" => Word::Asks,
        _ => Word::Other,
    }
}

/// What an unknown word is made of.
pub(super) enum Grown {
    /// Names of digits and numerals, nothing else: `fourfive`, `4five`.
    Digits(Vec<u8>),
    /// Digits and something else: `sixyour`, `3rd`, `tofore`.
    Garbled,
    /// Likewise, with digits enough for a reading, or with those of another script: `٣`.
    Unreadable,
    /// No digits.
    No,
}

const NAMES: [&str; 10] = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
const HEARD: [&str; 18] = [
    "is", "o", "oh", "owe", "won", "wan", "too", "to", "tree", "free", "for", "fore", "fife", "sicks", "ate", "nein",
    "ten", "mine",
];
const TWO_DIGITS: [&str; 11] =
    ["eleven", "twelve", "teen", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];

/// Looks into a lower-case word that has no meaning of its own. Speech-to-text that loses a space between two words
/// must not make a digit vanish.
pub(super) fn grown(word: &str) -> Grown {
    let bytes = word.as_bytes();
    let (mut digits, mut at) = (Vec::new(), 0);
    while at < word.len() {
        let rest = &bytes[at..];
        if rest[0].is_ascii_digit() {
            digits.push(rest[0] - b'0');
            at += 1;
        } else if let Some((d, name)) = (0u8..).zip(NAMES).find(|(_, name)| rest.starts_with(name.as_bytes())) {
            digits.push(d);
            at += name.len();
        } else {
            break;
        }
    }
    if at == word.len() {
        return Grown::Digits(digits);
    }
    let edge = |name: &&str| word.starts_with(*name) || word.ends_with(*name);
    let hidden = word.contains(char::is_numeric) || NAMES.iter().chain(&TWO_DIGITS).any(edge);
    let numerals = || word.chars().filter(|c| c.is_numeric());
    if numerals().count() > 2 || numerals().any(|c| !c.is_ascii()) {
        Grown::Unreadable
    } else if hidden || all_heard(bytes) {
        Grown::Garbled
    } else {
        Grown::No
    }
}

/// Whether a word is nothing but words that are names of digits or heard for them. A bit of `ends` for each place that
/// can be reached; words of 64 letters and more are none.
fn all_heard(word: &[u8]) -> bool {
    if word.len() > 63 {
        return false;
    }
    let mut ends = 1u64;
    for at in 0..word.len() {
        if ends >> at & 1 == 0 {
            continue;
        }
        for name in NAMES.iter().chain(&HEARD).filter(|name| word[at..].starts_with(name.as_bytes())) {
            ends |= 1 << (at + name.len());
        }
    }
    ends >> word.len() & 1 == 1
}
