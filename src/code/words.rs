//! What single English words mean to the reader of a transcript.
//!
//! Decides which words are digits, which are commonly heard instead of digits, which announce a code, and which bind a
//! number to something else ("10 minutes", "press 1"). A word that is not listed means nothing and ends a run of digits.
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
    /// Before a number: all of it means something else. `phone`.
    BindsAll,
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
        "phone" | "call" | "calling" | "dial" | "from" | "contact" | "extension" | "ext" | "ticket" | "reference"
        | "order" | "case" | "telephone" | "reach" | "ref" | "amount" | "balance" | "postcode" | "zip" => {
            Word::BindsAll
        }
        _ => Word::Other,
    }
}
