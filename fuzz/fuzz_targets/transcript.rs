//! Any text through the transcript reader (src/code).
//!
//! Must hold: no panic; the digits that are read are said in the text, in that order; kinds of spaces, case and characters
//! that nobody sees change nothing; beside an announced code no other is read; a text said twice says no other code.
//! Prints the text that broke one of them: the input is made up, so no code leaks.
#![no_main]
#![allow(dead_code)]

use libfuzzer_sys::fuzz_target;

#[path = "../../src/domain"]
mod domain {
    //! What secret.rs needs of the domain.
    mod secret;
    pub use secret::OtpCode;

    pub struct Invalid;

    impl Invalid {
        pub fn new(_: &'static str, _: &str, _: &'static str) -> Self {
            Self
        }
    }
}

#[path = "../../src/code"]
mod code {
    mod context;
    mod readings;
    mod runs;
    pub mod said;
    mod tokens;
    pub mod transcript;
    mod words;
}

use code::said::said;
use code::transcript::{LONGEST, Reading, read};

fn read_code(text: &str) -> Option<String> {
    match read(text) {
        Reading::Code { code, .. } => Some(code.expose().to_owned()),
        Reading::None(_) => None,
    }
}

fuzz_target!(|data: &[u8]| {
    // The first bytes choose another code and a place in the text.
    let [a, b, place, rest @ ..] = data else { return };
    let text = String::from_utf8_lossy(rest);
    let code = read_code(&text);
    let _ = domain::OtpCode::parse(&text);
    if let Some(code) = &code {
        assert!(said(&text, code), "{text:?} does not say {code}");
    }
    if text.len() > LONGEST / 4 {
        return; // what is made of it below would be refused for its length
    }
    let same = |other: String, what: &str| assert!(read(&other) == read(&text), "{what} changed {text:?}");
    same(text.to_ascii_uppercase(), "upper case");
    same(text.to_ascii_lowercase(), "lower case");
    same(text.replace(' ', "  "), "two spaces");
    same(text.replace(' ', "\u{a0}"), "hard spaces");
    same(format!(" {text}\n"), "spaces around");
    let places = text.char_indices().map(|(i, _)| i).chain([text.len()]);
    let at = places.take(usize::from(*place) + 1).last().unwrap_or(0);
    same(format!("{}\u{200b}{}", &text[..at], &text[at..]), "a character that nobody sees");

    let other = format!("{:06}", (u32::from(*a) * 256 + u32::from(*b)) * 15);
    for both in [format!("{text}\nVerification code is {other}."), format!("Verification code is {other}.\n{text}")] {
        let after = read_code(&both);
        assert!(after.as_ref().is_none_or(|c| *c == other), "beside an announced code another was read: {both:?}");
        if code.as_ref().is_some_and(|c| *c != other) {
            assert!(after.is_none(), "two codes, and one was read: {both:?}");
        }
    }
    if let Some(code) = &code {
        let twice = read_code(&format!("{text}\n{text}"));
        assert!(twice.is_none_or(|c| c == *code), "said twice, it says another code: {text:?}");
    }
});
