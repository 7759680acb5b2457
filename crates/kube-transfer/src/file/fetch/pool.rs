//! The ranges that are still to be fetched, shared by all streams.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rangemap::RangeSet;
use tokio::sync::Notify;

use super::BLOCK_BYTES;

/// Large enough that a request for each costs nothing, small enough that the streams end together.
const RANGE_BYTES: u64 = 4 << 20;
/// Small files are divided more finely, so that each stream gets several ranges.
const RANGES_PER_STREAM: u64 = 4;

/// What is to be fetched. Ranges are handed out from the beginning of the file on.
pub(super) struct Pool {
    ranges: Mutex<Ranges>,
    changed: Notify,
}

struct Ranges {
    /// From start to end.
    waiting: BTreeMap<u64, u64>,
    /// How many are with a stream.
    under_way: usize,
}

impl Pool {
    /// Everything of a file of `bytes` bytes that is not in `held`.
    pub(super) fn new(bytes: u64, held: &RangeSet<u64>, streams: usize) -> Self {
        let mut waiting = BTreeMap::new();
        if bytes > 0 {
            let missing: u64 = held.gaps(&(0..bytes)).map(|gap| gap.end - gap.start).sum();
            let share = missing.div_ceil(RANGES_PER_STREAM * streams.max(1) as u64);
            let size = share
                .next_multiple_of(BLOCK_BYTES)
                .clamp(BLOCK_BYTES, RANGE_BYTES);
            for gap in held.gaps(&(0..bytes)) {
                let mut start = gap.start;
                while start < gap.end {
                    let end = gap.end.min(start + size);
                    waiting.insert(start, end);
                    start = end;
                }
            }
        }
        Self {
            ranges: Mutex::new(Ranges {
                waiting,
                under_way: 0,
            }),
            changed: Notify::new(),
        }
    }

    pub(super) fn waiting(&self) -> usize {
        self.lock().waiting.len()
    }

    /// The first range that waits, if one does.
    pub(super) fn try_take(&self) -> Option<Range<u64>> {
        let mut ranges = self.lock();
        let (start, end) = ranges.waiting.pop_first()?;
        ranges.under_way += 1;
        Some(start..end)
    }

    /// The first range that waits. While all are with other streams, waits for one of those to fail; `None` once all
    /// are complete.
    pub(super) async fn take(&self) -> Option<Range<u64>> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(range) = self.try_take() {
                return Some(range);
            }
            if self.lock().under_way == 0 {
                return None;
            }
            changed.await;
        }
    }

    /// One range is here.
    pub(super) fn complete(&self) {
        self.lock().under_way -= 1;
        self.changed.notify_waiters();
    }

    /// A range that was taken is not here, or only in its first part: `rest` is to be fetched by whoever is free.
    pub(super) fn give_back(&self, rest: Range<u64>) {
        let mut ranges = self.lock();
        ranges.under_way -= 1;
        ranges.waiting.insert(rest.start, rest.end);
        drop(ranges);
        self.changed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, Ranges> {
        self.ranges.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn all(pool: &Pool) -> Vec<Range<u64>> {
        std::iter::from_fn(|| pool.try_take()).collect()
    }

    #[test]
    fn ranges_cover_what_is_missing_in_file_order() {
        let held = std::iter::once(2 * MIB..3 * MIB).collect();
        let pool = Pool::new(4 * MIB + 7, &held, 8);
        let expected = [0..MIB, MIB..2 * MIB, 3 * MIB..4 * MIB, 4 * MIB..4 * MIB + 7];
        assert_eq!(all(&pool), expected);
    }

    #[test]
    fn large_files_come_in_large_ranges_and_empty_ones_in_none() {
        let ranges = all(&Pool::new(1 << 30, &RangeSet::new(), 4));
        assert_eq!(ranges.len(), 256);
        assert_eq!(ranges[255], (1 << 30) - RANGE_BYTES..1 << 30);
        assert_eq!(all(&Pool::new(0, &RangeSet::new(), 4)), []);
    }

    #[tokio::test]
    async fn an_idle_stream_gets_what_another_gives_back_and_ends_when_all_is_here() {
        let pool = std::sync::Arc::new(Pool::new(MIB, &RangeSet::new(), 4));
        let range = pool.take().await.expect("a range");
        let idle = tokio::spawn({
            let pool = std::sync::Arc::clone(&pool);
            async move { (pool.take().await, pool.complete(), pool.take().await) }
        });
        tokio::task::yield_now().await;
        pool.give_back(range.clone());
        assert_eq!(idle.await.expect("no panic"), (Some(range), (), None));
        assert_eq!(pool.take().await, None);
    }
}
