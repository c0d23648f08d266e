//! Pages and the ring of a company's newest items, as pure data.
//!
//! A page holds consecutive items, at most 100 and at most 1,000,000 bytes of JSON; a larger item goes alone. The ring
//! holds the newest items that the company's tail reader has seen, so that live sockets share one read.
//! Must never yield a page with a gap: whoever is behind the ring is told so and reads for itself, and what retention
//! removed lies between two pages.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::item::Item;
use crate::store::{Cursor, Seq};

/// Most items of a page.
pub const PAGE_ITEMS: usize = 100;
/// Most bytes of a page's JSON.
pub const PAGE_BYTES: usize = 1_000_000;
/// Most items that a ring keeps.
pub const RING_ITEMS: usize = 1_000;
/// Most bytes that a ring keeps, however few items that are.
pub const RING_BYTES: usize = 8 * 1_000_000;
/// So long a ring keeps an item: whoever is further behind than that reads the log. It bounds what the rings of many companies
/// take together by what comes in that time.
pub const RING_TIME: Duration = Duration::from_secs(120);
/// `{"items":[],"cursor":"..."}` and the event's name, generously.
const ENVELOPE: usize = 200;

/// What `messages` carries.
#[derive(Clone)]
pub struct Page {
    /// Consecutive items, at least one.
    pub items: Vec<Arc<Item>>,
    /// Where the client stands once it has stored them.
    pub cursor: Cursor,
}

impl Page {
    /// The longest page from the front of `items`; None when there is none. It ends before a jump: what retention
    /// removed, also while it was being read, is missing between pages and never within one.
    pub fn of<'a>(items: impl Iterator<Item = &'a Arc<Item>>) -> Option<Self> {
        let mut page: Vec<Arc<Item>> = Vec::new();
        let mut bytes = ENVELOPE;
        for item in items {
            bytes += item.size() + 1;
            let follows = page.last().is_none_or(|last| last.seq + 1 == item.seq);
            if !follows || page.len() == PAGE_ITEMS || (bytes > PAGE_BYTES && !page.is_empty()) {
                break;
            }
            page.push(item.clone());
        }
        let cursor = page.last()?.cursor();
        Some(Self { items: page, cursor })
    }

    /// The newest item's seq.
    pub fn last(&self) -> Seq {
        self.cursor.seq
    }
}

/// A list of items as JSON.
pub struct Items<'a>(pub &'a [Arc<Item>]);

impl Serialize for Items<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|item| &*item.json))
    }
}

impl Serialize for Page {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut page = serializer.serialize_struct("Page", 2)?;
        page.serialize_field("items", &Items(&self.items))?;
        page.serialize_field("cursor", &self.cursor.to_string())?;
        page.end()
    }
}

/// What the ring can say to a socket.
pub enum Next {
    /// The next page.
    Page(Page),
    /// Nothing newer than that.
    CaughtUp,
    /// The ring does not reach back that far: read from the log.
    Behind,
}

/// The newest items of a company's log, without gaps.
#[derive(Default)]
pub struct Ring {
    items: VecDeque<(Instant, Arc<Item>)>,
    bytes: usize,
    /// The newest seq that is known; the ring may be empty and yet stand somewhere.
    head: Seq,
}

impl Ring {
    /// An empty ring that stands at `head`.
    pub fn at(head: Seq) -> Self {
        Self { items: VecDeque::new(), bytes: 0, head }
    }

    /// Appends what was read after the newest one. A jump (retention, a restored log) empties the ring first.
    pub fn push(&mut self, item: Arc<Item>, now: Instant) {
        if item.seq <= self.head {
            return;
        }
        if item.seq != self.head + 1 {
            self.forget();
        }
        self.head = item.seq;
        self.bytes += item.size();
        self.items.push_back((now, item));
        while self.items.len() > RING_ITEMS || (self.bytes > RING_BYTES && self.items.len() > 1) {
            self.pop();
        }
    }

    fn pop(&mut self) {
        if let Some((_, oldest)) = self.items.pop_front() {
            self.bytes -= oldest.size();
        }
    }

    /// Lets go of what has been here for long.
    pub fn forget_old(&mut self, now: Instant) {
        while self.items.front().is_some_and(|(since, _)| now.saturating_duration_since(*since) >= RING_TIME) {
            self.pop();
        }
        // A busy hour is not kept room for.
        if self.items.capacity() > 4 * self.items.len().max(16) {
            self.items.shrink_to_fit();
        }
    }

    /// Forgets all items, and stands where it stood: whoever is behind reads the log, where some are stubs by now.
    pub fn forget(&mut self) {
        self.items.clear();
        self.bytes = 0;
    }

    /// What comes after `seq`.
    pub fn after(&self, seq: Seq) -> Next {
        if seq >= self.head {
            return Next::CaughtUp;
        }
        let Some(first) = self.items.front().map(|(_, item)| item.seq) else { return Next::Behind };
        match usize::try_from(seq + 1 - first) {
            Ok(skip) => Page::of(self.items.iter().skip(skip).map(|(_, item)| item)).map_or(Next::Behind, Next::Page),
            Err(_) => Next::Behind,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::item::tests::item;

    fn seqs(page: &Page) -> Vec<Seq> {
        page.items.iter().map(|i| i.seq).collect()
    }

    #[test]
    fn pages_are_bounded_by_items_and_bytes() {
        let small: Vec<_> = (1..=250).map(|seq| item(seq, 10)).collect();
        let page = Page::of(small.iter()).unwrap();
        assert_eq!((page.items.len(), page.last()), (100, 100));

        let large: Vec<_> = (1..=5).map(|seq| item(seq, 400_000)).collect();
        assert_eq!(seqs(&Page::of(large.iter()).unwrap()), [1, 2]);

        let huge = [item(1, 10), item(2, 3_000_000), item(3, 10)];
        assert_eq!(seqs(&Page::of(huge.iter()).unwrap()), [1]);
        assert_eq!(seqs(&Page::of(huge[1..].iter()).unwrap()), [2]);
        assert!(Page::of(huge[..0].iter()).is_none());
    }

    #[test]
    fn a_page_ends_before_a_jump() {
        let kept: Vec<_> = [1, 40, 41, 50].into_iter().map(|seq| item(seq, 10)).collect();
        let (mut pages, mut rest) = (Vec::new(), &kept[..]);
        while let Some(page) = Page::of(rest.iter()) {
            pages.push(seqs(&page));
            rest = &rest[page.items.len()..];
        }
        assert_eq!(pages, [vec![1], vec![40, 41], vec![50]]);
    }

    #[test]
    fn pages_stay_below_the_limit_as_text() {
        let items: Vec<_> = (1..=100).map(|seq| item(seq, 9_990)).collect();
        let page = Page::of(items.iter()).unwrap();
        let text = serde_json::to_string(&page).unwrap();
        assert!(text.len() <= PAGE_BYTES, "{}", text.len());
        assert!(page.items.len() > 90, "{}", page.items.len());
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["cursor"], page.cursor.to_string());
        assert_eq!(value["items"].as_array().unwrap().len(), page.items.len());
    }

    #[test]
    fn the_ring_serves_what_it_holds_and_says_when_it_can_not() {
        let mut ring = Ring::at(10);
        assert!(matches!(ring.after(10), Next::CaughtUp));
        assert!(matches!(ring.after(9), Next::Behind));
        (11..=2_000).for_each(|seq| ring.push(item(seq, 10), Instant::now()));
        assert_eq!(ring.head, 2_000);
        assert!(matches!(ring.after(2_000), Next::CaughtUp));
        assert!(matches!(ring.after(500), Next::Behind));
        let Next::Page(page) = ring.after(1_000) else { panic!("the ring holds 1001") };
        assert_eq!((page.items[0].seq, page.last()), (1_001, 1_100));
        let Next::Page(page) = ring.after(1_999) else { panic!("the ring holds 2000") };
        assert_eq!(seqs(&page), [2_000]);
        assert!(matches!(ring.after(999), Next::Behind));
    }

    #[test]
    fn a_jump_empties_the_ring_and_repeats_are_ignored() {
        let mut ring = Ring::at(0);
        let now = Instant::now();
        (1..=5).for_each(|seq| ring.push(item(seq, 10), now));
        ring.push(item(3, 10), now);
        ring.push(item(9, 10), now);
        assert!(matches!(ring.after(4), Next::Behind));
        let Next::Page(page) = ring.after(8) else { panic!("the ring holds 9") };
        assert_eq!(seqs(&page), [9]);
    }

    #[test]
    fn the_ring_is_bounded_by_bytes() {
        let mut ring = Ring::at(0);
        let now = Instant::now();
        (1..=50).for_each(|seq| ring.push(item(seq, 1_000_000), now));
        assert!(ring.items.len() <= 8 && ring.bytes <= RING_BYTES);
        ring.push(item(51, 20_000_000), now);
        assert!(matches!(ring.after(50), Next::Page(_)));
    }

    #[test]
    fn the_ring_is_bounded_by_time() {
        let (mut ring, start) = (Ring::at(0), Instant::now());
        (1..=1_000u32).for_each(|seq| ring.push(item(seq.into(), 10), start + Duration::from_secs(1) * seq));
        ring.forget_old(start + Duration::from_secs(1_001));
        assert!(matches!(ring.after(880), Next::Behind));
        let Next::Page(page) = ring.after(881) else { panic!("the ring holds 882") };
        assert_eq!((page.items[0].seq, ring.items.len()), (882, 119));
        assert!(ring.items.capacity() <= 4 * 119);
        ring.forget_old(start + Duration::from_secs(2_000));
        // It is empty, and stands where it stood.
        assert!(matches!(ring.after(1_000), Next::CaughtUp) && matches!(ring.after(999), Next::Behind));
        assert_eq!(ring.bytes, 0);
        ring.push(item(1_001, 10), start + Duration::from_secs(2_000));
        assert!(matches!(ring.after(1_000), Next::Page(_)));
    }
}
