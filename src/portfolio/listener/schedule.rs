//! Which of the carrier's lists is read next while codes are awaited. One list call per 3 s serves all numbers, so each
//! look at one list is a look less at another.
//!
//! The list of transcriptions is read most: what it shows is what is waited for, and it names the recording, which can be
//! read by its id. The list of recordings tells of recordings that nobody transcribes, the call log whether it rang: both
//! are read now and then. Must never name a list when nothing is awaited.

use std::time::Duration;

/// One of the three lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `GET /call_events`.
    Calls,
    /// `GET /recordings`.
    Recordings,
    /// `GET /recording_transcriptions`.
    Transcriptions,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Calls, Self::Recordings, Self::Transcriptions];

    /// Its place in tables.
    pub fn index(self) -> usize {
        self as usize
    }
}

/// What is known when the next list is chosen. Ages count from the beginning of the last call that succeeded; None: never.
#[derive(Debug, Clone, Copy, Default)]
pub struct Needs {
    /// Somebody waits for a list that begins from now on.
    pub wanted: [bool; 3],
    /// Ages of the lists.
    pub age: [Option<Duration>; 3],
    /// A code is awaited: for how long since the last request. None: none is.
    pub awaited: Option<Duration>,
    /// For how long a call has been awaited of which nothing is known; None: all that are awaited are known to have rung.
    pub silent: Option<Duration>,
    /// A transcription is being made, or due: a recording has none, and its time is not over.
    pub due: bool,
}

/// Meta's call rings for some seconds and speaks six digits: no transcription can be there before, so these looks are the
/// call log's.
const BEFORE: u32 = 3;
/// Every so many looks the recordings are read.
const RECORDINGS: u32 = 10;
/// The same while a transcription is due.
const RECORDINGS_DUE: u32 = 20;
/// The call log is read once a call has been silent for so many looks, and then every so many.
const CALLS: u32 = 20;

/// The list to read now; `poll` is the time of one look. None: nothing is awaited.
pub fn next(needs: &Needs, poll: Duration) -> Option<Kind> {
    let older = |kind: Kind, looks: u32| needs.age[kind.index()].is_none_or(|age| age >= poll * looks);
    let wanted = Kind::ALL.into_iter().filter(|kind| needs.wanted[kind.index()]);
    let wanted = wanted.max_by_key(|kind| needs.age[kind.index()].unwrap_or(Duration::MAX));
    let Some(awaited) = needs.awaited else { return wanted };
    if wanted.is_some() {
        // Those who arm and disarm must not keep a code waiting.
        let starved = needs.due && older(Kind::Transcriptions, 2);
        return if starved { Some(Kind::Transcriptions) } else { wanted };
    }
    if awaited < poll * BEFORE {
        return Some(Kind::Calls);
    }
    if older(Kind::Recordings, if needs.due { RECORDINGS_DUE } else { RECORDINGS }) {
        return Some(Kind::Recordings);
    }
    let silent = needs.silent.is_some_and(|silent| silent >= poll * BEFORE);
    if silent && !needs.due && older(Kind::Calls, CALLS) {
        return Some(Kind::Calls);
    }
    Some(Kind::Transcriptions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    const POLL: Duration = Duration::from_secs(3);

    fn secs(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn table() {
        let age = |seconds: [f64; 3]| seconds.map(|s| Some(secs(s)));
        let idle = Needs { age: age([90.0, 90.0, 90.0]), ..Needs::default() };
        let awaited = Needs { awaited: Some(secs(30.0)), ..idle };
        let fresh = Needs { age: age([3.0, 6.0, 9.0]), ..awaited };
        let want = |needs: Needs, kind: Kind| {
            let mut wanted = needs.wanted;
            wanted[kind.index()] = true;
            Needs { wanted, ..needs }
        };
        use Kind::{Calls, Recordings, Transcriptions};
        for (name, needs, expected) in [
            ("nothing is awaited", idle, None),
            ("somebody arms", want(idle, Recordings), Some(Recordings)),
            ("two lists are wanted: the older one", want(want(fresh, Calls), Recordings), Some(Recordings)),
            ("it can't have rung to its end yet", Needs { awaited: Some(secs(5.0)), ..awaited }, Some(Calls)),
            ("the recordings' turn", awaited, Some(Recordings)),
            ("usually", fresh, Some(Transcriptions)),
            ("it is silent", Needs { age: age([60.0, 6.0, 3.0]), silent: Some(secs(30.0)), ..fresh }, Some(Calls)),
            ("it has rung", Needs { age: age([60.0, 6.0, 3.0]), ..fresh }, Some(Transcriptions)),
            ("silent since a moment", Needs { silent: Some(secs(8.0)), ..fresh }, Some(Transcriptions)),
            ("others arm", want(fresh, Recordings), Some(Recordings)),
            (
                "others arm, and a transcription is due",
                want(Needs { due: true, ..fresh }, Recordings),
                Some(Transcriptions),
            ),
        ] {
            assert_eq!(next(&needs, POLL), expected, "{name}");
        }
    }

    /// One line's code, seen by looks at times that the schedule knows nothing of. Returns the wait from the end of the
    /// transcription to the look that shows it.
    fn wait(rng: &mut StdRng, recorded: f64, transcribed: f64) -> f64 {
        let mut at = rng.random_range(0.0..3.0);
        let mut read = [None::<f64>, Some(0.0), None];
        let (mut rang, mut due) = (false, false);
        loop {
            let needs = Needs {
                wanted: [false; 3],
                age: read.map(|read| read.map(|read| secs(at - read))),
                awaited: Some(secs(at)),
                silent: (!rang).then(|| secs(at)),
                due,
            };
            let kind = next(&needs, POLL).unwrap();
            read[kind.index()] = Some(at);
            match kind {
                Kind::Calls => rang |= at > 6.0,
                Kind::Recordings => due |= at >= recorded,
                Kind::Transcriptions if at >= transcribed => return at - transcribed,
                // Telnyx lists a transcription that is being made.
                Kind::Transcriptions => due |= at >= recorded + (transcribed - recorded) / 2.0,
            }
            at += 3.0;
        }
    }

    /// Whatever the delays are: at most one look in twenty comes later than 5 s after the transcription.
    #[test]
    fn a_transcription_is_seen_in_time() {
        let mut rng = StdRng::seed_from_u64(6);
        for (name, delay) in [
            ("at once", 0.0..0.1),
            ("soon", 0.5..4.0),
            ("as usual", 3.0..15.0),
            ("late", 15.0..45.0),
            ("very late", 150.0..210.0),
        ] {
            let mut waits: Vec<f64> = (0..2_000)
                .map(|_| {
                    let recorded = rng.random_range(20.0..90.0);
                    let delay = rng.random_range(delay.clone());
                    wait(&mut rng, recorded, recorded + delay)
                })
                .collect();
            waits.sort_by(f64::total_cmp);
            let p95 = waits[waits.len() * 95 / 100];
            println!(
                "{name}: p50 {:.1} s, p95 {p95:.1} s, max {:.1} s",
                waits[waits.len() / 2],
                waits[waits.len() - 1]
            );
            assert!(p95 <= 4.8, "{name}: {p95}");
        }
    }
}
