//! How long things take at the providers: a distribution for each kind, with a long tail where reports know of one.
//!
//! A draw follows from the seed, the kind, the object it is about and how many such draws that object had before, so it
//! does not depend on what happens to other objects meanwhile. All of it is multiplied by `--speed`.

use super::dice::Dice;

/// A kind of delay: its name and its 0th, 50th, 90th, 99th and 100th percentile in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delay {
    /// Name in draws and in the documentation.
    pub name: &'static str,
    /// Milliseconds at the percentiles of `AT`.
    pub ms: [u64; 5],
}

/// The percentiles, in thousandths.
const AT: [u64; 5] = [0, 500, 900, 990, 1_000];

/// Any answer.
pub const LATENCY: Delay = Delay { name: "latency", ms: [40, 120, 300, 900, 2_500] };
/// An order without documents; 1 to 10 seconds are usual.
pub const ORDER: Delay = Delay { name: "order", ms: [1_000, 3_000, 10_000, 30_000, 60_000] };
/// Until a bought number is in Telnyx's list.
pub const NUMBER_LIST: Delay = Delay { name: "number_list", ms: [0, 1_500, 5_000, 12_000, 20_000] };
/// Until an accepted order is in the list of orders: how long is not documented, a client must not take it for none.
pub const ORDER_LIST: Delay = Delay { name: "order_list", ms: [0, 500, 2_000, 8_000, 20_000] };
/// From request_code to the ring.
pub const RING: Delay = Delay { name: "ring", ms: [2_000, 5_000, 10_000, 15_000, 20_000] };
/// From the hang-up to the recording.
pub const RECORDING: Delay = Delay { name: "recording", ms: [2_000, 6_000, 12_000, 20_000, 30_000] };
/// From the recording to its transcription.
pub const TRANSCRIPTION: Delay = Delay { name: "transcription", ms: [3_000, 8_000, 15_000, 30_000, 45_000] };
/// From a call to its detail record.
pub const DETAIL_RECORD: Delay = Delay { name: "detail_record", ms: [10_000, 30_000, 60_000, 120_000, 180_000] };
/// Until a new number is in the WABA's list: at most 20 seconds.
pub const WABA_LIST: Delay = Delay { name: "waba_list", ms: [0, 1_500, 8_000, 15_000, 20_000] };
/// A register call; over 15 seconds were seen.
pub const REGISTER: Delay = Delay { name: "register", ms: [1_000, 3_000, 8_000, 16_000, 25_000] };
/// Until a display name is decided.
pub const NAME: Delay = Delay { name: "name", ms: [20_000, 60_000, 90_000, 150_000, 300_000] };

/// From the submission of a requirement group to its approval.
pub const APPROVAL: Delay = Delay { name: "approval", ms: [1_000, 3_000, 10_000, 30_000, 60_000] };

/// All of them.
pub const ALL: [Delay; 12] = [
    APPROVAL,
    LATENCY,
    ORDER,
    ORDER_LIST,
    NUMBER_LIST,
    RING,
    RECORDING,
    TRANSCRIPTION,
    DETAIL_RECORD,
    WABA_LIST,
    REGISTER,
    NAME,
];

impl Delay {
    /// The draw for this key, in milliseconds before `--speed`.
    pub fn draw(&self, dice: &Dice, key: &str) -> u64 {
        let place = dice.below(1_000, self.name, key);
        let next = AT.iter().position(|at| place < *at).unwrap_or(AT.len() - 1).max(1);
        let (from, to) = (AT[next - 1], AT[next]);
        let (low, high) = (self.ms[next - 1], self.ms[next]);
        low + (high - low) * (place - from) / (to - from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_follow_the_percentiles_of_their_kind() {
        for delay in ALL {
            let mut drawn: Vec<u64> = (0..4_000).map(|n| delay.draw(&Dice::new(3), &format!("o/{n}"))).collect();
            drawn.sort_unstable();
            assert!(drawn[0] >= delay.ms[0] && drawn[3_999] <= delay.ms[4], "{}", delay.name);
            let below = |ms: u64| drawn.iter().filter(|drawn| **drawn <= ms).count();
            assert!((1_850..2_150).contains(&below(delay.ms[1])), "{} {}", delay.name, below(delay.ms[1]));
            assert!((3_500..3_700).contains(&below(delay.ms[2])), "{} {}", delay.name, below(delay.ms[2]));
            assert!(below(delay.ms[3]) < 4_000, "{} has a tail", delay.name);
        }
    }

    #[test]
    fn the_page_about_the_sandbox_tells_every_distribution() {
        let page = include_str!("../../docs/sandbox.md");
        for delay in ALL {
            let told: Vec<String> = delay.ms.iter().map(|ms| format!("{}", *ms as f64 / 1_000.0)).collect();
            let line = format!("| `{}` | {} |", delay.name, told.join(" | "));
            assert!(page.contains(&line), "docs/sandbox.md does not contain: {line}");
        }
    }
}
