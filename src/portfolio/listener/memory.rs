//! What the lists showed last, who awaits a code, and for whom a list has news. No clock and no client: times come in.
//!
//! A recording is what its id says; the time at which this process first saw it is kept, since the carrier's clock may
//! differ. Must never hold a transcription longer than the list that showed it.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use super::schedule::{Kind, Needs};
use crate::domain::{E164, NamespacedName};
use crate::providers::telnyx::{CallEvent, Recording, Transcription};

/// A transcription is expected so many looks after its recording (30 s); then other sources are asked.
pub const DUE_FOR: u32 = 10;
/// A line that does not say again that it listens is forgotten after so many looks.
const FORGOTTEN_AFTER: u32 = 20;
/// A source that fails is asked so often for one recording, and not again before so many looks have passed.
const TRIES: u8 = 3;
const BETWEEN_TRIES: u32 = 3;
/// A transcription that did not come so many looks after its recording was deleted (20 min) does not come any more.
const CUT_OFF_FOR: u32 = 400;

/// A line that awaits a code.
#[derive(Debug, Clone)]
pub struct Ear {
    /// Who is woken.
    pub line: NamespacedName,
    /// The number that Meta calls.
    pub number: E164,
    /// Recordings that were there before.
    pub known: Vec<String>,
    /// When the code was asked for.
    pub asked: Instant,
    /// The end of the code's life.
    pub until: Instant,
}

/// Who reads a recording when the carrier's own transcription does not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// Telnyx's speech-to-text.
    SpeechToText,
    /// The Portfolio's `telnyx.transcriber`.
    Transcriber,
}

/// What the lists show of one number. No Debug: transcriptions hold codes.
#[derive(Clone, Default)]
pub struct Heard {
    /// The call log, oldest first.
    pub events: Vec<CallEvent>,
    /// Recordings, newest first.
    pub recordings: Vec<HeardRecording>,
}

/// A recording as the lists show it. No Debug: its transcription holds the code.
#[derive(Clone)]
pub struct HeardRecording {
    /// The recording.
    pub recording: Recording,
    /// Its transcriptions.
    pub transcriptions: Vec<Transcription>,
    /// How long ago this process saw it first.
    pub age: Duration,
    /// Sources that have said what they make of it, or failed too often.
    pub answered: Vec<Source>,
}

impl HeardRecording {
    /// The transcription that can be read.
    pub fn complete(&self) -> Option<&Transcription> {
        self.transcriptions.iter().find(|t| t.is_complete())
    }
}

/// What one look brought.
pub(super) enum News {
    Calls(Vec<CallEvent>),
    Recordings(Vec<Recording>),
    Transcriptions(Vec<Transcription>),
}

/// What this process remembers of a recording.
struct Entry {
    recording: Recording,
    first_seen: Instant,
    /// Whether the list of recordings has shown it; else it is known by its id, and the list lags.
    listed: bool,
}

#[derive(Default)]
struct Tries {
    count: u8,
    last: Option<Instant>,
    answered: bool,
}

/// What a line saw last: how many events, and which recordings with what of a transcription.
type Print = (usize, Vec<(String, usize, bool)>);

struct Listening {
    ear: Ear,
    said: Instant,
    print: Print,
}

pub(super) struct Memory {
    /// The time of one look.
    poll: Duration,
    ears: HashMap<String, Listening>,
    events: Vec<CallEvent>,
    recordings: HashMap<String, Entry>,
    transcriptions: Vec<Transcription>,
    /// Recordings that are named by a transcription and are not there.
    nowhere: HashSet<String>,
    tries: HashMap<(Source, String), Tries>,
    read: [Option<Instant>; 3],
    /// When each list was tried last.
    tried: [Option<Instant>; 3],
    wanted: [bool; 3],
    /// Recordings that were deleted before their transcriptions came.
    cut_off: HashMap<String, Option<Instant>>,
}

impl Memory {
    pub fn new(poll: Duration) -> Self {
        Self {
            poll,
            ears: HashMap::new(),
            events: Vec::new(),
            recordings: HashMap::new(),
            transcriptions: Vec::new(),
            nowhere: HashSet::new(),
            tries: HashMap::new(),
            read: [None; 3],
            tried: [None; 3],
            wanted: [false; 3],
            cut_off: HashMap::new(),
        }
    }

    pub fn listen(&mut self, uid: &str, ear: Ear, now: Instant) {
        let print = self.print(&ear);
        self.ears.insert(uid.to_owned(), Listening { ear, said: now, print });
    }

    pub fn stop(&mut self, uid: &str) {
        self.ears.remove(uid);
    }

    pub fn want(&mut self, kind: Kind) {
        self.wanted[kind.index()] = true;
    }

    /// A list could not be read, as those who wanted it are told: the others have their turn before it is tried again.
    pub fn could_not(&mut self, kind: Kind, began: Instant) {
        self.tried[kind.index()] = Some(began);
        self.wanted[kind.index()] = false;
    }

    pub fn read_since(&self, kind: Kind, entered: Instant) -> bool {
        self.read[kind.index()].is_some_and(|read| read >= entered)
    }

    /// Nobody listens any more: what was said is not kept for whoever does next.
    pub fn forget_said(&mut self) {
        self.transcriptions.clear();
    }

    /// All lines that listen.
    pub fn lines(&self) -> Vec<NamespacedName> {
        self.ears.values().map(|listening| listening.ear.line.clone()).collect()
    }

    /// What decides about the next list. Forgets those who don't listen any more.
    pub fn needs(&mut self, now: Instant) -> Needs {
        let forgotten = self.poll * FORGOTTEN_AFTER;
        self.ears.retain(|_, l| now < l.ear.until && now.saturating_duration_since(l.said) < forgotten);
        let since = |l: &Listening| now.saturating_duration_since(l.ear.asked);
        let silent = |l: &&Listening| !self.events.iter().any(|e| e.to.as_ref() == Some(&l.ear.number));
        Needs {
            wanted: self.wanted,
            age: self.tried.map(|tried| tried.map(|tried| now.saturating_duration_since(tried))),
            awaited: self.ears.values().map(since).max(),
            silent: self.ears.values().filter(silent).map(since).max(),
            due: self.ears.values().any(|l| self.due(&l.ear, now)),
        }
    }

    fn due(&self, ear: &Ear, now: Instant) -> bool {
        self.new_to(ear).any(|(id, entry)| {
            let mut its = self.transcriptions.iter().filter(|t| t.recording_id.as_deref() == Some(id)).peekable();
            match its.peek() {
                None => now.saturating_duration_since(entry.first_seen) < self.poll * DUE_FOR,
                Some(_) => !its.any(Transcription::is_complete),
            }
        })
    }

    fn new_to<'a>(&'a self, ear: &'a Ear) -> impl Iterator<Item = (&'a str, &'a Entry)> {
        let of_it = |(id, entry): &(&'a String, &'a Entry)| {
            entry.recording.to.as_ref() == Some(&ear.number) && !ear.known.contains(id)
        };
        self.recordings.iter().filter(of_it).map(|(id, entry)| (id.as_str(), entry))
    }

    /// Takes what a call that began at `began` has read.
    pub fn note(&mut self, kind: Kind, news: News, began: Instant) {
        self.read[kind.index()] = Some(began);
        self.tried[kind.index()] = Some(began);
        self.wanted[kind.index()] = false;
        match news {
            News::Calls(events) => self.events = events,
            News::Transcriptions(list) => self.transcriptions = list,
            News::Recordings(list) => {
                let mut before = std::mem::take(&mut self.recordings);
                for recording in list.into_iter().filter(|recording| !recording.id.is_empty()) {
                    let first_seen = before.remove(&recording.id).map_or(began, |entry| entry.first_seen);
                    self.recordings.insert(recording.id.clone(), Entry { recording, first_seen, listed: true });
                }
                self.recordings.extend(before.into_iter().filter(|(_, entry)| !entry.listed));
                let there = &self.recordings;
                self.tries.retain(|(_, id), _| there.contains_key(id));
            }
        }
        let over = self.poll * CUT_OFF_FOR;
        self.cut_off.retain(|_, at| at.is_none_or(|at| began.saturating_duration_since(at) < over));
        let named: HashSet<&str> = self.transcriptions.iter().filter_map(|t| t.recording_id.as_deref()).collect();
        self.nowhere.retain(|id| named.contains(id.as_str()));
    }

    /// Recordings that have a transcription and that no list has shown.
    pub fn unknown(&self, most: usize) -> Vec<String> {
        if self.ears.is_empty() {
            return Vec::new();
        }
        let named = self.transcriptions.iter().filter_map(|t| t.recording_id.as_ref());
        let gone = |id: &String| self.nowhere.contains(id) || self.cut_off.contains_key(id);
        let unknown = named.filter(|id| !self.recordings.contains_key(*id) && !gone(id));
        let unknown: HashSet<&String> = unknown.collect();
        unknown.into_iter().take(most).cloned().collect()
    }

    pub fn looked_up(&mut self, id: &str, recording: Option<Recording>, now: Instant) {
        match recording.filter(|recording| recording.id == id) {
            Some(recording) => {
                self.recordings.insert(id.to_owned(), Entry { recording, first_seen: now, listed: false });
            }
            None => _ = self.nowhere.insert(id.to_owned()),
        }
    }

    pub fn deleted(&mut self, recording: &str) {
        let mut its = self.transcriptions.iter().filter(|t| t.recording_id.as_deref() == Some(recording));
        if !its.any(Transcription::is_complete) {
            self.cut_off.insert(recording.to_owned(), self.tried.into_iter().flatten().max());
        }
        self.recordings.remove(recording);
        self.transcriptions.retain(|t| t.recording_id.as_deref() != Some(recording));
        self.tries.retain(|(_, id), _| id != recording);
    }

    /// Whether transcriptions of deleted recordings may still come.
    pub fn awaits_transcriptions(&self) -> bool {
        !self.cut_off.is_empty()
    }

    /// Transcriptions that came all the same.
    pub fn orphans(&self) -> Vec<String> {
        let of_it = |t: &&Transcription| t.recording_id.as_ref().is_some_and(|id| self.cut_off.contains_key(id));
        self.transcriptions.iter().filter(of_it).map(|t| t.id.clone()).collect()
    }

    pub fn orphan_deleted(&mut self, transcription: &str) {
        let of = self.transcriptions.iter().find(|t| t.id == transcription).and_then(|t| t.recording_id.clone());
        if let Some(recording) = of {
            self.cut_off.remove(&recording);
        }
        self.transcriptions.retain(|t| t.id != transcription);
    }

    /// The lines for which something changed since they were told.
    pub fn news(&mut self) -> Vec<NamespacedName> {
        let changed: Vec<(String, Print)> = self
            .ears
            .iter()
            .map(|(uid, l)| (uid.clone(), self.print(&l.ear)))
            .filter(|(uid, print)| self.ears.get(uid).is_some_and(|l| l.print != *print))
            .collect();
        let mut lines = Vec::new();
        for (uid, print) in changed {
            if let Some(listening) = self.ears.get_mut(&uid) {
                listening.print = print;
                lines.push(listening.ear.line.clone());
            }
        }
        lines
    }

    fn print(&self, ear: &Ear) -> Print {
        let events = self.events.iter().filter(|e| e.to.as_ref() == Some(&ear.number)).count();
        let mut recordings: Vec<(String, usize, bool)> = self
            .new_to(ear)
            .map(|(id, _)| {
                let its = self.transcriptions.iter().filter(|t| t.recording_id.as_deref() == Some(id));
                (id.to_owned(), its.clone().count(), its.clone().any(Transcription::is_complete))
            })
            .collect();
        recordings.sort();
        (events, recordings)
    }

    pub fn heard(&self, number: &E164, now: Instant) -> Heard {
        let mut events: Vec<CallEvent> =
            self.events.iter().filter(|e| e.to.as_ref() == Some(number)).cloned().collect();
        events.sort_by_key(|event| event.at);
        let of_it = |entry: &&Entry| entry.recording.to.as_ref() == Some(number);
        Heard { events, recordings: self.sorted(self.recordings.values().filter(of_it), now) }
    }

    pub fn all(&self, now: Instant) -> Vec<HeardRecording> {
        self.sorted(self.recordings.values(), now)
    }

    fn sorted<'a>(&self, entries: impl Iterator<Item = &'a Entry>, now: Instant) -> Vec<HeardRecording> {
        let mut all: Vec<HeardRecording> = entries
            .map(|entry| HeardRecording {
                recording: entry.recording.clone(),
                transcriptions: self.transcriptions_of(&entry.recording.id),
                age: now.saturating_duration_since(entry.first_seen),
                answered: [Source::SpeechToText, Source::Transcriber]
                    .into_iter()
                    .filter(|source| {
                        let tries = self.tries.get(&(*source, entry.recording.id.clone()));
                        tries.is_some_and(|tries| tries.answered || tries.count >= TRIES)
                    })
                    .collect(),
            })
            .collect();
        all.sort_by(|a, b| {
            let key = |r: &HeardRecording| r.recording.created_at;
            key(b).cmp(&key(a)).then_with(|| a.recording.id.cmp(&b.recording.id))
        });
        all
    }

    fn transcriptions_of(&self, recording: &str) -> Vec<Transcription> {
        self.transcriptions.iter().filter(|t| t.recording_id.as_deref() == Some(recording)).cloned().collect()
    }

    pub fn may_ask(&mut self, source: Source, recording: &str, now: Instant) -> bool {
        let between = self.poll * BETWEEN_TRIES;
        let tries = self.tries.entry((source, recording.to_owned())).or_default();
        let rested = tries.last.is_none_or(|last| now.saturating_duration_since(last) >= between);
        let may = !tries.answered && tries.count < TRIES && rested;
        if may {
            tries.count += 1;
            tries.last = Some(now);
        }
        may
    }

    pub fn has_answered(&mut self, source: Source, recording: &str) {
        self.tries.entry((source, recording.to_owned())).or_default().answered = true;
    }
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
