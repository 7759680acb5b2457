//! The ranges that are still to be fetched, shared by all streams.

use std::{
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rangemap::RangeSet;
use tokio::sync::Notify;

use super::{BLOCK_BYTES, LEAST_BYTES, total};

/// The largest range: in a pod each costs a process.
const MOST_BYTES: u64 = 16 << 20;
/// A stream gets this part of its share of what is left: ranges get smaller towards the end, so that the streams end
/// together.
const PART_OF_SHARE: u64 = 4;

/// What is to be fetched. Ranges are handed out from the beginning of the file on.
pub(super) struct Pool {
    ranges: Mutex<Ranges>,
    changed: Notify,
    streams: usize,
}

struct Ranges {
    waiting: RangeSet<u64>,
    /// How many ranges are with a stream.
    under_way: usize,
}

impl Pool {
    /// Everything of a file of `bytes` bytes that is not in `held`.
    pub(super) fn new(bytes: u64, held: &RangeSet<u64>, streams: usize) -> Self {
        let waiting = if bytes == 0 {
            RangeSet::new()
        } else {
            held.gaps(&(0..bytes)).collect()
        };
        Self {
            ranges: Mutex::new(Ranges {
                waiting,
                under_way: 0,
            }),
            changed: Notify::new(),
            streams: streams.max(1),
        }
    }

    /// How many streams have something to do.
    pub(super) fn streams(&self) -> usize {
        let ranges = total(&self.lock().waiting).div_ceil(LEAST_BYTES);
        usize::try_from(ranges).map_or(self.streams, |ranges| self.streams.min(ranges))
    }

    /// The first range that waits, if one does.
    pub(super) fn try_take(&self) -> Option<Range<u64>> {
        let mut ranges = self.lock();
        let size = total(&ranges.waiting) / PART_OF_SHARE.saturating_mul(self.streams as u64);
        let size = size
            .next_multiple_of(BLOCK_BYTES)
            .clamp(LEAST_BYTES, MOST_BYTES);
        let first = ranges.waiting.first()?;
        let taken = first.start..first.end.min(first.start.saturating_add(size));
        ranges.waiting.remove(taken.clone());
        ranges.under_way += 1;
        Some(taken)
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
        ranges.waiting.insert(rest);
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
        assert_eq!(pool.streams(), 4);
        let expected = [0..MIB, MIB..2 * MIB, 3 * MIB..4 * MIB, 4 * MIB..4 * MIB + 7];
        assert_eq!(all(&pool), expected);
    }

    #[test]
    fn ranges_are_large_at_first_and_small_at_the_end() {
        let pool = Pool::new(1 << 30, &RangeSet::new(), 4);
        assert_eq!(pool.streams(), 4);
        let ranges = all(&pool);
        let sizes: Vec<u64> = ranges.iter().map(|range| range.end - range.start).collect();
        assert!(sizes.is_sorted_by(|a, b| a >= b), "{sizes:?}");
        // The last one takes what the others have left.
        let last_but_one = sizes[sizes.len() - 2];
        assert_eq!((sizes[0], last_but_one), (MOST_BYTES, LEAST_BYTES));
        assert_eq!(ranges[ranges.len() - 1].end, 1 << 30);
        assert!(ranges.windows(2).all(|two| two[0].end == two[1].start));
        assert!(ranges.iter().all(|range| range.start % BLOCK_BYTES == 0));
    }

    #[test]
    fn an_empty_file_has_no_ranges() {
        let pool = Pool::new(0, &RangeSet::new(), 4);
        assert_eq!((pool.streams(), all(&pool)), (0, vec![]));
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
