//! Dead deliveries in the daemon's log: the first few one by one, then how many more there were. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// Told one by one …
const SINGLY: u32 = 5;
/// … in this time.
const INTERVAL: Duration = Duration::from_secs(10);

/// What was told of one webhook's dead deliveries.
#[derive(Debug, Default)]
pub(super) struct Deaths {
    /// Since the first one of this interval.
    since: Option<Instant>,
    singly: u32,
    untold: u64,
}

impl Deaths {
    /// Another one; `true` if it is to be told by itself.
    pub(super) fn count(&mut self, now: Instant) -> bool {
        self.since.get_or_insert(now);
        if self.singly < SINGLY {
            self.singly += 1;
            return true;
        }
        self.untold += 1;
        false
    }

    /// Whether there were none lately: nothing is to be told.
    pub(super) fn is_quiet(&self) -> bool {
        self.since.is_none()
    }

    /// How many were not told, once their interval is over.
    pub(super) fn due(&mut self, now: Instant) -> Option<u64> {
        self.since.filter(|since| *since + INTERVAL <= now)?;
        self.rest()
    }

    /// How many were not told so far. What comes next is told by itself again.
    pub(super) fn rest(&mut self) -> Option<u64> {
        let untold = std::mem::take(self).untold;
        (untold > 0).then_some(untold)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_few_are_told_one_by_one_and_the_others_as_a_number() {
        let (mut deaths, now) = (Deaths::default(), Instant::now());
        assert!(deaths.is_quiet());
        let told = (0..100).filter(|_| deaths.count(now)).count();
        assert_eq!(told, 5);
        assert_eq!(deaths.due(now + INTERVAL / 2), None);
        assert!(!deaths.is_quiet());
        assert_eq!(deaths.due(now + INTERVAL), Some(95));
        assert!(deaths.is_quiet());
        assert_eq!(deaths.due(now + 2 * INTERVAL), None);
    }

    #[tokio::test]
    async fn few_are_told_one_by_one_however_long_it_takes() {
        let (mut deaths, mut now) = (Deaths::default(), Instant::now());
        for _ in 0..20 {
            assert!(deaths.count(now));
            now += INTERVAL / 4;
            assert_eq!(deaths.due(now), None);
        }
    }

    #[tokio::test]
    async fn what_is_left_at_the_end_is_told() {
        let (mut deaths, now) = (Deaths::default(), Instant::now());
        assert_eq!(deaths.rest(), None);
        (0..7).for_each(|_| _ = deaths.count(now));
        assert_eq!(deaths.rest(), Some(2));
        assert_eq!(deaths.rest(), None);
    }
}
