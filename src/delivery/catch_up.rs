//! Who comes back: their handshakes, and pages for sockets that are behind the ring. The log is read once for all who need
//! the same of it, and few times at once.
//!
//! A company's recruiters who come back together (a deployment, an outage) need the same items at the same moment. Items
//! are read in blocks that begin at multiples of a block's length, so that those who stopped at different places share
//! them too.
//! Must never take what live reads and appends need: they share the store with this, so the reads of one company wait for
//! each other first, and then for those of all companies. Those who come back must not wait for those who leaf through
//! what is old, as often as they like: `history` has turns of its own.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};

use super::item::{self, Item};
use super::page::{PAGE_BYTES, Page, RING_BYTES};
use crate::store::{CompanyDb, Seq, StoreError};

/// Handshakes, reads and stops of the whole replica at once; the store's connections are eight times as many.
const READS: usize = 8;
/// Reads and stops of one company at once, so that one with many recruiters leaves turns to the others.
const COMPANY_READS: usize = 2;
/// Items of a block, and about its bytes.
const BLOCK: Seq = 500;
const BLOCK_BYTES: usize = 4 * PAGE_BYTES;
/// Blocks kept for one company at most, and their bytes of JSON: as many as the ring may hold.
const KEPT: usize = 128;
const KEPT_BYTES: usize = RING_BYTES;
/// A block is kept so long: those who come back together are let in one after the other.
const KEEP: Duration = Duration::from_secs(15);

/// Reads of `history` of the whole replica at once, and of one company.
const HISTORIES: usize = 8;
const COMPANY_HISTORIES: usize = 2;

/// Stops of the whole replica that are written at once, and of one company. Apart from reads, or live devices, whose stops
/// all move at once, would keep out those who come back.
const STOPS: usize = 16;
const COMPANY_STOPS: usize = 4;

/// The turns of all companies of a replica. Cheap to clone.
#[derive(Clone)]
pub struct Turns {
    reads: Arc<Semaphore>,
    histories: Arc<Semaphore>,
    stops: Arc<Semaphore>,
}

impl Default for Turns {
    fn default() -> Self {
        let of = |turns| Arc::new(Semaphore::new(turns));
        Self { reads: of(READS), histories: of(HISTORIES), stops: of(STOPS) }
    }
}

/// May use the store while it lives.
pub struct Turn<'a> {
    _all: Option<SemaphorePermit<'a>>,
    _own: Option<SemaphorePermit<'a>>,
}

/// Consecutive items, at least one.
type Block = Vec<Arc<Item>>;
/// Filled by the first who needs it; the others wait for that.
type Slot = Arc<OnceCell<Block>>;

struct Kept {
    after: Seq,
    since: Instant,
    block: Slot,
}

impl Kept {
    fn bytes(&self) -> usize {
        self.block.get().map_or(0, |block| block.iter().map(|item| item.size()).sum())
    }
}

/// What one company's sockets read behind the ring.
pub struct CatchUp {
    all: Turns,
    own: Semaphore,
    own_histories: Semaphore,
    own_stops: Semaphore,
    kept: Mutex<VecDeque<Kept>>,
    /// The read of the newest seq that is going on.
    head: Mutex<Weak<OnceCell<Seq>>>,
}

impl CatchUp {
    /// With nothing read yet.
    pub fn new(all: Turns) -> Self {
        Self {
            all,
            own: Semaphore::new(COMPANY_READS),
            own_histories: Semaphore::new(COMPANY_HISTORIES),
            own_stops: Semaphore::new(COMPANY_STOPS),
            kept: Mutex::default(),
            head: Mutex::default(),
        }
    }

    /// Waits until this company may do one thing more.
    pub async fn turn(&self) -> Turn<'_> {
        // The semaphores are never closed. The own turn first: a company's queue must not stand in that of all.
        let own = self.own.acquire().await.ok();
        Turn { _all: self.all.reads.acquire().await.ok(), _own: own }
    }

    /// Waits until this company may read once more for a `history`.
    pub async fn history_turn(&self) -> Turn<'_> {
        let own = self.own_histories.acquire().await.ok();
        Turn { _all: self.all.histories.acquire().await.ok(), _own: own }
    }

    /// Waits until this company may write one stop more.
    pub async fn stop_turn(&self) -> Turn<'_> {
        let own = self.own_stops.acquire().await.ok();
        Turn { _all: self.all.stops.acquire().await.ok(), _own: own }
    }

    /// The newest seq of the log, at the moment or just before: who asks while it is being read gets the same answer.
    pub async fn head(&self, db: &CompanyDb) -> Result<Seq, StoreError> {
        let reading = {
            let mut head = self.head.lock().unwrap_or_else(PoisonError::into_inner);
            match head.upgrade().filter(|reading| !reading.initialized()) {
                Some(reading) => reading,
                None => {
                    let reading = Arc::default();
                    *head = Arc::downgrade(&reading);
                    reading
                }
            }
        };
        let read = async || {
            let _turn = self.turn().await;
            db.log().head().await
        };
        reading.get_or_try_init(read).await.copied()
    }

    /// The page that follows `after`; None when nothing does.
    pub async fn page(&self, db: &CompanyDb, after: Seq, now: Instant) -> Result<Option<Page>, StoreError> {
        let read = |from| async move {
            let _turn = self.turn().await;
            read(db, from).await
        };
        self.shared(after, now, read).await
    }

    async fn shared<F: Future<Output = Result<Block, StoreError>>>(
        &self,
        after: Seq,
        now: Instant,
        read: impl Fn(Seq) -> F,
    ) -> Result<Option<Page>, StoreError> {
        let start = after - after % BLOCK;
        let page = self.out_of_block(start, after, now, &read).await?;
        if page.is_some() || start == after {
            return Ok(page);
        }
        // The block ends before that: for its bytes, or because the log did when it was read.
        self.out_of_block(after, after, now, &read).await
    }

    async fn out_of_block<F: Future<Output = Result<Block, StoreError>>>(
        &self,
        start: Seq,
        after: Seq,
        now: Instant,
        read: &impl Fn(Seq) -> F,
    ) -> Result<Option<Page>, StoreError> {
        let slot = self.slot(start, now);
        let reading = read(start);
        let fill = || async move {
            let block = reading.await.map_err(Some)?;
            if block.is_empty() { Err(None) } else { Ok(block) }
        };
        // What failed or found nothing leaves the slot empty: the next one reads again.
        match slot.get_or_try_init(fill).await {
            Ok(block) => {
                let page = Page::of(block.iter().filter(|item| item.seq > after));
                self.keep_few();
                Ok(page)
            }
            Err(None) => Ok(None),
            Err(Some(error)) => Err(error),
        }
    }

    fn slot(&self, after: Seq, now: Instant) -> Slot {
        self.forget(now);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept.iter().find(|known| known.after == after) {
            return known.block.clone();
        }
        let block = Slot::default();
        kept.push_back(Kept { after, since: now, block: block.clone() });
        drop(kept);
        self.keep_few();
        block
    }

    /// Lets go of the oldest blocks beyond what may be kept; whoever waits for one still gets it.
    fn keep_few(&self) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes: usize = kept.iter().map(Kept::bytes).sum();
        while (bytes > KEPT_BYTES || kept.len() > KEPT)
            && let Some(oldest) = kept.pop_front()
        {
            bytes -= oldest.bytes();
        }
    }

    /// Lets go of all blocks: what is in them was erased.
    pub fn clear(&self) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Lets go of blocks that nobody has needed for a while.
    pub fn forget(&self, now: Instant) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        while kept.front().is_some_and(|oldest| now.saturating_duration_since(oldest.since) >= KEEP) {
            kept.pop_front();
        }
    }
}

async fn read(db: &CompanyDb, after: Seq) -> Result<Block, StoreError> {
    let limit = usize::try_from(BLOCK).unwrap_or(usize::MAX);
    let read = db.log().read_after(after, limit, BLOCK_BYTES).await?;
    Ok(read.entries.iter().filter_map(item::render).map(Arc::new).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

    use super::*;
    use crate::delivery::item::tests::item;

    /// A log of `head` items, and how often it was read.
    struct Log {
        head: AtomicI64,
        reads: AtomicUsize,
    }

    impl Log {
        async fn read(&self, after: Seq) -> Result<Block, StoreError> {
            self.reads.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            let last = (after + BLOCK).min(self.head.load(Ordering::Relaxed));
            Ok((after + 1..=last).map(|seq| item(seq, 10)).collect())
        }

        async fn page(&self, pages: &CatchUp, after: Seq, now: Instant) -> Option<(Seq, Seq)> {
            let page = pages.shared(after, now, |from| self.read(from)).await.unwrap()?;
            Some((page.items[0].seq, page.last()))
        }

        fn reads(&self) -> usize {
            self.reads.load(Ordering::Relaxed)
        }
    }

    #[tokio::test]
    async fn who_stands_in_the_same_block_shares_one_read() {
        let (pages, now) = (CatchUp::new(Turns::default()), Instant::now());
        let log = Log { head: 620.into(), reads: 0.into() };
        let all = futures::future::join_all([0, 0, 100, 433, 0, 450].map(|after| log.page(&pages, after, now))).await;
        let want = [(1, 100), (1, 100), (101, 200), (434, 500), (1, 100), (451, 500)].map(Some);
        assert_eq!((all, log.reads()), (want.to_vec(), 1));
        // The last block is not full: what was written since it was read follows, without a gap.
        assert_eq!(log.page(&pages, 500, now).await, Some((501, 600)));
        assert_eq!(log.page(&pages, 600, now).await, Some((601, 620)));
        assert_eq!((log.page(&pages, 620, now).await, log.reads()), (None, 3));
        log.head.store(630, Ordering::Relaxed);
        assert_eq!((log.page(&pages, 620, now).await, log.reads()), (Some((621, 630)), 4));
        assert_eq!((log.page(&pages, 0, now).await, log.reads()), (Some((1, 100)), 4));
        // Too old: read again.
        assert_eq!((log.page(&pages, 0, now + KEEP).await, log.reads()), (Some((1, 100)), 5));
        pages.forget(now + KEEP * 2);
        assert!(pages.kept.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn what_is_kept_is_bounded() {
        let (pages, now) = (CatchUp::new(Turns::default()), Instant::now());
        let read = |from: Seq| std::future::ready(Ok(vec![item(from + 1, 10)]));
        for block in 0..300 {
            pages.shared(block * BLOCK, now, read).await.unwrap();
        }
        assert_eq!(pages.kept.lock().unwrap().len(), KEPT);
        // Few but large.
        let large = |from: Seq| std::future::ready(Ok(vec![item(from + 1, KEPT_BYTES)]));
        for block in 1_000..1_003 {
            pages.shared(block * BLOCK, now, large).await.unwrap();
        }
        assert!(pages.kept.lock().unwrap().len() <= 2);
    }

    #[tokio::test]
    async fn what_failed_or_found_nothing_is_read_again() {
        let (pages, now) = (CatchUp::new(Turns::default()), Instant::now());
        assert!(pages.shared(0, now, |_| std::future::ready(Err(StoreError::TimedOut))).await.is_err());
        assert!(pages.shared(0, now, |_| std::future::ready(Ok(Vec::new()))).await.unwrap().is_none());
        assert_eq!(
            pages.shared(0, now, |_| std::future::ready(Ok(vec![item(1, 10)]))).await.unwrap().unwrap().last(),
            1
        );
    }

    #[tokio::test]
    async fn one_company_leaves_turns_to_the_others() {
        let all = Turns::default();
        let (busy, other) = (CatchUp::new(all.clone()), CatchUp::new(all.clone()));
        let many: Vec<_> = (COMPANY_READS..READS).map(|_| CatchUp::new(all.clone())).collect();
        let mut held = Vec::new();
        for _ in 0..COMPANY_READS {
            held.push(busy.turn().await);
        }
        assert!(futures::poll!(std::pin::pin!(busy.turn())).is_pending(), "it has all its turns");
        assert!(futures::poll!(std::pin::pin!(other.turn())).is_ready());
        for company in &many {
            held.push(company.turn().await);
        }
        assert!(futures::poll!(std::pin::pin!(other.turn())).is_pending(), "all turns are taken");
        // Whoever asks for what is old has turns of its own, and they have an end too.
        let mut leafing = Vec::new();
        for _ in 0..COMPANY_HISTORIES {
            leafing.push(busy.history_turn().await);
        }
        assert!(futures::poll!(std::pin::pin!(busy.history_turn())).is_pending());
        held.pop();
        assert!(futures::poll!(std::pin::pin!(other.turn())).is_ready());
    }
}
