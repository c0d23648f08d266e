//! Very many texts looked for at once, plain and inside base64, in whatever bytes there are.
//!
//! Each form of a text is known by its last eight bytes; where these stand, the whole is compared. Must never miss a text
//! because of where it stands: base64 has three ways to write it.

use std::collections::{BTreeSet, HashMap};

use crate::support::leaks::inside_base64;

/// Shorter ones would be found by chance.
const LEAST: usize = 10;
const TAIL: usize = 8;
/// Bits that say whether some text ends so, before the map is asked.
const BITS: u32 = 22;

/// Whose it is, and its bytes.
type Form = (usize, Vec<u8>);

#[derive(Default)]
pub struct Finder {
    texts: usize,
    /// By their last eight bytes: whose form, and the whole form.
    forms: HashMap<u64, Vec<Form>>,
    hint: Vec<bool>,
}

fn slot(tail: u64) -> usize {
    usize::try_from(tail.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - BITS)).unwrap_or(0)
}

impl Finder {
    /// Looks for one text more; its number.
    pub fn add(&mut self, text: &str) -> usize {
        assert!(text.len() >= LEAST, "{text} would be found by chance");
        self.hint.resize(1 << BITS, false);
        let number = self.texts;
        self.texts += 1;
        for form in std::iter::once(text.to_owned()).chain(inside_base64(text)) {
            let tail = form.bytes().rev().take(TAIL).collect::<Vec<_>>();
            let tail = tail.iter().rev().fold(0, |tail, byte| (tail << 8) | u64::from(*byte));
            self.hint[slot(tail)] = true;
            self.forms.entry(tail).or_default().push((number, form.into_bytes()));
        }
        number
    }

    /// How many texts are looked for.
    pub fn texts(&self) -> usize {
        self.texts
    }

    /// The numbers of the texts that stand in these bytes.
    pub fn find(&self, bytes: &[u8], found: &mut BTreeSet<usize>) {
        let mut tail = 0u64;
        for (at, byte) in bytes.iter().enumerate() {
            tail = (tail << 8) | u64::from(*byte);
            if self.hint[slot(tail)]
                && let Some(forms) = self.forms.get(&tail)
            {
                let before = &bytes[..=at];
                found.extend(forms.iter().filter(|(_, form)| before.ends_with(form)).map(|(number, _)| *number));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn each_text_is_found_wherever_it_stands() {
        let texts = ["Salam 00112233aabbccdd", "212712345678", "Amina qwertzuiopas", "wamid.HRkYMjEyNw=="];
        let mut finder = Finder::default();
        for (n, text) in texts.iter().enumerate() {
            assert_eq!(finder.add(text), n);
        }
        let found = |bytes: &[u8]| {
            let mut found = BTreeSet::new();
            finder.find(bytes, &mut found);
            found.into_iter().collect::<Vec<_>>()
        };
        for (n, text) in texts.iter().enumerate() {
            for before in ["", "x", "xy", "xyz"] {
                for after in ["", "a", "ab"] {
                    let plain = format!("{before}{text}{after}");
                    assert_eq!(found(plain.as_bytes()), [n], "{plain}");
                    let inside = format!("id={}&", STANDARD.encode(&plain));
                    assert_eq!(found(inside.as_bytes()), [n], "{plain} as {inside}");
                }
            }
            assert_eq!(found(&text.as_bytes()[1..]), [0; 0], "without its first letter");
            assert_eq!(found(&text.as_bytes()[..text.len() - 1]), [0; 0], "without its last letter");
        }
        assert_eq!(found(texts.concat().as_bytes()), [0, 1, 2, 3]);
        assert_eq!(found(b"212712345679, and nothing else"), [0; 0]);
    }
}
