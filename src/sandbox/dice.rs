//! Chance with a seed: the same seed and the same question give the same answer.
//!
//! Each draw is a hash of the seed and of what it is for (`code`, number, how manieth), never the next value of one
//! stream. What is drawn more than once is counted for each object by itself (a number, an application, a method and
//! path), so the numbers on sale, codes, words, ids and delays of a line do not depend on what other lines do meanwhile.

use sha2::{Digest, Sha256};

/// The seeded source of everything that looks random in the sandbox.
#[derive(Debug, Clone, Copy)]
pub struct Dice {
    seed: u64,
}

impl Dice {
    /// A source for this seed.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    fn hash(&self, what: &str, key: &str) -> [u8; 32] {
        let mut hasher = Sha256::new();
        hasher.update(self.seed.to_be_bytes());
        hasher.update(what.as_bytes());
        hasher.update([0]);
        hasher.update(key.as_bytes());
        hasher.finalize().into()
    }

    /// A whole number for this question.
    pub fn number(&self, what: &str, key: &str) -> u64 {
        let hash = self.hash(what, key);
        hash.iter().take(8).fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
    }

    /// A whole number below `limit`; 0 for a limit of 0.
    pub fn below(&self, limit: u64, what: &str, key: &str) -> u64 {
        if limit == 0 { 0 } else { self.number(what, key) % limit }
    }

    /// A UUID (version 4 by its looks).
    pub fn uuid(&self, what: &str, key: &str) -> String {
        let mut hash = self.hash(what, key);
        hash[6] = (hash[6] & 0x0f) | 0x40;
        hash[8] = (hash[8] & 0x3f) | 0x80;
        let text = hex::encode(&hash[..16]);
        format!("{}-{}-{}-{}-{}", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..32])
    }

    /// A numeric string of exactly `digits` digits that does not begin with 0.
    pub fn numeric(&self, digits: usize, what: &str, key: &str) -> String {
        let hash = self.hash(what, key);
        hash.iter()
            .cycle()
            .take(digits)
            .enumerate()
            .map(|(place, byte)| char::from(b'0' + if place == 0 { 1 + byte % 9 } else { byte % 10 }))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_same_answer_and_another_seed_another() {
        let (one, two) = (Dice::new(1), Dice::new(2));
        assert_eq!(one.uuid("order", "1"), Dice::new(1).uuid("order", "1"));
        assert_ne!(one.uuid("order", "1"), two.uuid("order", "1"));
        assert_ne!(one.uuid("order", "1"), one.uuid("order", "2"));
        assert_eq!(one.uuid("order", "1").len(), 36);
    }

    #[test]
    fn numeric_ids_have_their_length_and_no_leading_zero() {
        let dice = Dice::new(7);
        for key in 0..200 {
            let id = dice.numeric(19, "number", &key.to_string());
            assert!(id.len() == 19 && !id.starts_with('0') && id.bytes().all(|c| c.is_ascii_digit()), "{id}");
        }
    }
}
