//! How old is the oldest event that is not settled? Pure.

use std::collections::VecDeque;

/// One event of so many is remembered: more would cost memory and tell nothing.
const STEP: i64 = 64;

/// Commit times of some of the events between a cursor and the point it has read to.
#[derive(Debug, Default)]
pub(super) struct Lag {
    /// Sequence ids and commit times (microseconds since 1970), in order.
    seen: VecDeque<(i64, i64)>,
}

impl Lag {
    /// An event was read.
    pub(super) fn read(&mut self, sequence_id: i64, created_at: i64) {
        let newest = self.seen.back().map(|(newest, _)| *newest);
        if newest.is_none_or(|newest| sequence_id >= newest.saturating_add(STEP)) {
            self.seen.push_back((sequence_id, created_at));
        }
    }

    /// The commit time of the oldest event after the cursor, as far as it was read, or of one that is
    /// at most a step before it.
    pub(super) fn oldest(&mut self, cursor: i64) -> Option<i64> {
        while self
            .seen
            .get(1)
            .is_some_and(|(next, _)| *next <= cursor.saturating_add(1))
        {
            self.seen.pop_front();
        }
        self.seen.front().map(|(_, created_at)| *created_at)
    }

    /// Nothing is behind the cursor.
    pub(super) fn clear(&mut self) {
        self.seen.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_one_is_never_younger_than_the_truth_and_at_most_a_step_older() {
        let mut lag = Lag::default();
        assert_eq!(lag.oldest(0), None);
        for id in 1..=1_000 {
            lag.read(id, id * 10);
        }
        assert!(lag.seen.len() <= 16);
        for cursor in 0..1_000 {
            let oldest = lag.oldest(cursor).unwrap() / 10;
            assert!(
                oldest <= cursor + 1 && oldest > cursor + 1 - STEP,
                "{oldest} at {cursor}"
            );
        }
        lag.clear();
        assert_eq!(lag.oldest(1_000), None);
    }
}
