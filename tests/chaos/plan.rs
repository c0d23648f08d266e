//! What will be sent, all of it drawn from one number: companies, lines, candidates, messages, and the POSTs they come in.
//!
//! Pure. Each candidate and each message bears texts of its own, by which it is found again wherever it is.
//! Must never give two companies a text in common, but for candidates of the line that moves.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

/// How much.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub companies: usize,
    pub posts: usize,
    pub messages: usize,
}

/// A line, by its place among all.
pub type Line = usize;

pub struct Plan {
    pub size: Size,
    pub candidates: Vec<Candidate>,
    pub items: Vec<Item>,
    pub posts: Vec<Post>,
}

/// Which ids a webhook shows of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    Both,
    UserId,
    Phone,
    /// The BSUID always, the phone number now and then.
    PhoneSometimes,
}

pub struct Candidate {
    pub name: String,
    pub user_id: String,
    pub phone: String,
    pub shown: Shown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Image,
    /// A type that nobody knows yet.
    New,
    /// Of a message that was sent from elsewhere.
    Status,
}

/// A message or a status.
pub struct Item {
    pub line: Line,
    pub candidate: usize,
    pub kind: Kind,
    pub wamid: String,
    pub text: String,
    pub media_id: String,
    /// Whether the phone number is shown this time.
    pub with_phone: bool,
    /// An earlier message of the line that it answers.
    pub answers: Option<usize>,
}

/// One POST: changes of several lines, each with items.
pub struct Post {
    pub changes: Vec<(Line, Vec<usize>)>,
    /// Says something about the account too.
    pub account: bool,
    /// Comes once more although it was answered; at the same moment, or afterwards.
    pub repeated: Option<Repeat>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    AtOnce,
    Later,
}

/// Candidates of one line.
const CANDIDATES: usize = 25;

impl Plan {
    /// The line that moves from one company to another half-way.
    pub fn moved(&self) -> Line {
        self.size.companies
    }

    /// A line that nobody has.
    pub fn nobodys(&self) -> Line {
        self.size.companies + 1
    }

    pub fn draw(seed: u64, size: Size) -> Plan {
        let mut rng = StdRng::seed_from_u64(seed);
        let lines = size.companies + 2;
        let candidates = (0..lines * CANDIDATES).map(|n| candidate(n, &mut rng)).collect();
        let mut plan = Plan { size, candidates, items: Vec::new(), posts: Vec::new() };
        let changes = plan.changes(&mut rng);
        let mut last: Vec<Option<usize>> = vec![None; lines];
        for (n, lines) in changes.into_iter().enumerate() {
            let half = n * 2 >= size.posts;
            let mut post = Post { changes: Vec::new(), account: rng.random_bool(0.02), repeated: None };
            for (line, count) in lines {
                let mut items = Vec::new();
                for _ in 0..count {
                    let answers = last[line].filter(|_| line < size.companies && rng.random_bool(0.05));
                    let item = plan.item(line, half, answers, &mut rng);
                    last[line] = Some(plan.items.len());
                    items.push(plan.items.len());
                    plan.items.push(item);
                }
                // Beside the messages, where it can be told whose it is.
                if line < size.companies && rng.random_bool(0.1) {
                    let status = Item { kind: Kind::Status, answers: None, ..plan.item(line, half, None, &mut rng) };
                    items.push(plan.items.len());
                    plan.items.push(status);
                }
                post.changes.push((line, items));
            }
            plan.posts.push(post);
        }
        let mut order: Vec<usize> = (0..size.posts).collect();
        order.shuffle(&mut rng);
        for (n, post) in order.into_iter().take(size.posts.div_ceil(10)).enumerate() {
            plan.posts[post].repeated = Some(if n % 3 == 0 { Repeat::AtOnce } else { Repeat::Later });
        }
        plan
    }

    /// Of each POST its lines, and how many messages each of them has: a fifth of the POSTs mix three companies or more.
    fn changes(&self, rng: &mut StdRng) -> Vec<Vec<(Line, usize)>> {
        let Size { companies, posts, messages } = self.size;
        let mut order: Vec<usize> = (0..posts).collect();
        order.shuffle(rng);
        let mut all = vec![Vec::new(); posts];
        for (n, post) in order.into_iter().enumerate() {
            let mut lines: Vec<Line> = Vec::new();
            if n < posts.div_ceil(5) {
                let mut own: Vec<Line> = (0..companies).collect();
                own.shuffle(rng);
                lines.extend(own.iter().take(rng.random_range(3..=5)));
            }
            if lines.is_empty() || rng.random_bool(0.2) {
                // One company is busy, and so is the line that moves.
                lines.push(match rng.random_range(0..20) {
                    0..3 => self.moved(),
                    3..5 => 0,
                    5 if rng.random_bool(0.5) => self.nobodys(),
                    _ => rng.random_range(0..companies),
                });
            }
            all[post] = lines.into_iter().map(|line| (line, 1)).collect();
        }
        let dealt: usize = all.iter().map(Vec::len).sum();
        for _ in dealt..messages {
            let post: &mut Vec<(Line, usize)> = &mut all[rng.random_range(0..posts)];
            let change = rng.random_range(0..post.len());
            post[change].1 += 1;
        }
        all
    }

    fn item(&self, line: Line, half: bool, answers: Option<usize>, rng: &mut StdRng) -> Item {
        // Those of the line that moves write before or after, but for a few.
        let within = match (line == self.moved(), half) {
            (true, false) => rng.random_range(0..CANDIDATES * 6 / 10),
            (true, true) => rng.random_range(CANDIDATES * 4 / 10..CANDIDATES),
            (false, _) => rng.random_range(0..CANDIDATES),
        };
        let candidate = line * CANDIDATES + within;
        let Candidate { phone, shown, .. } = &self.candidates[candidate];
        let with_phone = match shown {
            Shown::Both | Shown::Phone => true,
            Shown::UserId => false,
            Shown::PhoneSometimes => rng.random_bool(0.5),
        };
        let kind = match rng.random_range(0..20) {
            0..3 => Kind::Image,
            3 => Kind::New,
            _ => Kind::Text,
        };
        // As Meta's: bytes that hold the phone number, where it is known, and something of its own.
        let before: &[u8] = if with_phone { phone.as_bytes() } else { b"" };
        let own: [u8; 16] = rng.random();
        let inside = [b"\x1d\x05\x18\x0c", before, b"\x15\x02\x00\x11\x18\x12", own.as_slice()].concat();
        Item {
            line,
            candidate,
            kind,
            wamid: format!("wamid.{}", STANDARD.encode(inside)),
            text: format!("Salam {:016x}", rng.random::<u64>()),
            media_id: format!("{}", rng.random_range(1_000_000_000_000_000_u64..9_999_999_999_999_999)),
            with_phone,
            answers,
        }
    }

    /// How many POSTs mix three lines or more.
    pub fn mixed(&self) -> usize {
        self.posts.iter().filter(|post| post.changes.len() >= 3).count()
    }

    pub fn messages(&self) -> usize {
        self.items.iter().filter(|item| item.kind != Kind::Status).count()
    }
}

fn candidate(n: usize, rng: &mut StdRng) -> Candidate {
    let letters: String = (0..12).map(|_| char::from(rng.random_range(b'a'..=b'z'))).collect();
    Candidate {
        name: format!("Amina {letters}"),
        user_id: format!("MA.{}", rng.random_range(1_000_000_000_000_000_u64..9_999_999_999_999_999)),
        phone: format!("2127{:04}{:05}", n % 10_000, rng.random_range(0..100_000)),
        shown: match n % 20 {
            0..3 => Shown::UserId,
            3..5 => Shown::Phone,
            5 => Shown::PhoneSometimes,
            _ => Shown::Both,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn one_number_draws_all_of_it_and_as_much_as_is_asked_for() {
        let size = Size { companies: 20, posts: 1000, messages: 2000 };
        let (plan, same, other) = (Plan::draw(7, size), Plan::draw(7, size), Plan::draw(8, size));
        assert_eq!((plan.posts.len(), plan.messages()), (1000, 2000));
        let repeated = plan.posts.iter().filter(|post| post.repeated.is_some()).count();
        assert!(plan.mixed() >= 200 && repeated == 100, "{} mixed, {repeated} repeated", plan.mixed());
        let texts = |plan: &Plan| plan.items.iter().map(|item| item.wamid.clone()).collect::<Vec<_>>();
        assert_eq!(texts(&plan), texts(&same));
        assert_ne!(texts(&plan), texts(&other));
        assert_eq!(texts(&plan).into_iter().collect::<HashSet<_>>().len(), plan.items.len());
        for line in 0..=plan.nobodys() {
            assert!(plan.items.iter().any(|item| item.line == line), "nothing for line {line}");
        }
    }
}
