//! Whether calls that Meta counts came too often, by the times at which the sandbox saw them arrive. Pure.
//!
//! Calls count whose answer was lost, and those that never took effect: the controller had sent them.

use std::time::Duration;

use jiff::Timestamp;

/// So many calls within so many hours.
pub struct Limit {
    pub calls: usize,
    pub hours: u32,
}

/// A Portfolio's limits by default.
pub const CODES: [Limit; 3] =
    [Limit { calls: 1, hours: 1 }, Limit { calls: 3, hours: 24 }, Limit { calls: 8, hours: 72 }];
pub const REGISTERS: [Limit; 1] = [Limit { calls: 8, hours: 72 }];

/// Between counting an attempt in status and its call's arrival: the controller sends nothing later.
const ON_ITS_WAY: Duration = Duration::from_secs(10);

/// What is wrong with the times of one number's calls, where policy times have this scale.
pub fn too_soon(what: &str, times: &[Timestamp], limits: &[Limit], scale: f64) -> Vec<String> {
    let mut times = times.to_vec();
    times.sort();
    let mut wrong = Vec::new();
    for Limit { calls, hours } in limits {
        let window = Duration::from_secs(3600).mul_f64(scale * f64::from(*hours)).saturating_sub(ON_ITS_WAY);
        if let Some(all) = times.windows(calls + 1).find(|all| all[0] + window > all[*calls]) {
            wrong.push(format!("{} {what} within {hours} h: {all:?}", all.len()));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes_too_soon(times: &[Timestamp]) -> Vec<String> {
        too_soon("code requests", times, &CODES, 0.005)
    }

    fn registers_too_soon(times: &[Timestamp]) -> Vec<String> {
        too_soon("registrations", times, &REGISTERS, 0.005)
    }

    fn at(seconds: &[i64]) -> Vec<Timestamp> {
        seconds.iter().map(|s| Timestamp::from_second(1_793_000_000 + s).unwrap()).collect()
    }

    #[test]
    fn each_limit_has_its_window() {
        // An hour is 18 s, a day 432 s, three days 1296 s; each less the 10 s that a call may be on its way.
        assert_eq!(codes_too_soon(&at(&[0, 8])), [""; 0]);
        assert_eq!(codes_too_soon(&at(&[7, 0])).len(), 1, "in whatever order");
        assert!(codes_too_soon(&at(&[0, 20, 40, 421]))[0].starts_with("4 code requests within 24 h"));
        assert_eq!(codes_too_soon(&at(&[0, 20, 40, 422])), [""; 0]);
        assert_eq!(registers_too_soon(&at(&[0, 1, 2, 3, 4, 5, 6, 7])), [""; 0]);
        assert_eq!(registers_too_soon(&at(&[0, 1, 2, 3, 4, 5, 6, 7, 1285])).len(), 1);
    }
}
