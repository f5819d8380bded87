//! How many requests may go out. Pure.

use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::Instant;

/// So many requests in so much time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many requests.
    pub requests: NonZeroU32,
    /// In how much time.
    pub per: Duration,
}

impl Rate {
    /// So many requests a second; `None` if that is no rate.
    #[must_use]
    pub fn per_second(requests: f64) -> Option<Self> {
        let many = NonZeroU32::MIN.saturating_add(999);
        let per = Duration::try_from_secs_f64(f64::from(many.get()) / requests).ok()?;
        let requests = many;
        (!per.is_zero()).then_some(Self { requests, per })
    }

    /// A quarter of it.
    #[must_use]
    pub fn quarter(self) -> Self {
        Self {
            per: self.per.saturating_mul(4),
            ..self
        }
    }

    /// The slower one.
    #[must_use]
    pub fn slower(self, other: Self) -> Self {
        let interval = |rate: Self| rate.per / rate.requests.get();
        match interval(self) >= interval(other) {
            true => self,
            false => other,
        }
    }
}

/// A token bucket, kept as the time when it is full again (the generic cell rate algorithm): it
/// needs no refilling and does not drift. It holds the requests of one second, but at least one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bucket {
    /// The time that one token takes to come back.
    interval: Duration,
    /// The time that all tokens but one take.
    slack: Duration,
    full_at: Instant,
}

impl Bucket {
    /// A full one.
    pub(super) fn new(rate: Rate, now: Instant) -> Self {
        let interval = rate.per / rate.requests.get();
        let seconds = u32::try_from(rate.per.as_secs()).unwrap_or(u32::MAX).max(1);
        let burst = (rate.requests.get() / seconds).max(1);
        Self {
            interval,
            slack: interval * (burst - 1),
            full_at: now,
        }
    }

    /// Whether there is a token.
    pub(super) fn has_one(&self, now: Instant) -> bool {
        self.full_at <= now + self.slack
    }

    /// Takes a token for a request that goes out.
    pub(super) fn take(&mut self, now: Instant) {
        self.full_at = self.full_at.max(now) + self.interval;
    }

    /// Takes back what was taken for a request that was not made.
    pub(super) fn give_back(&mut self) {
        if let Some(full_at) = self.full_at.checked_sub(self.interval) {
            self.full_at = full_at;
        }
    }

    /// When there is a token again; `None` if there is one.
    pub(super) fn wakes_at(&self, now: Instant) -> Option<Instant> {
        match self.has_one(now) {
            true => None,
            false => self.full_at.checked_sub(self.slack),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bucket(requests: u32, seconds: u64, now: Instant) -> Bucket {
        let rate = Rate {
            requests: NonZeroU32::new(requests).unwrap(),
            per: Duration::from_secs(seconds),
        };
        Bucket::new(rate, now)
    }

    /// Takes all there is.
    fn drain(bucket: &mut Bucket, now: Instant) -> u32 {
        let mut taken = 0;
        while bucket.has_one(now) {
            bucket.take(now);
            taken += 1;
        }
        taken
    }

    #[test]
    fn a_burst_is_one_second_s_worth_and_comes_back_at_the_rate() {
        for (requests, seconds, burst, interval) in [
            (200, 1, 200, 5),
            (1, 1, 1, 1_000),
            (600, 60, 10, 100),
            (10, 60, 1, 6_000),
            (7_200, 3_600, 2, 500),
            (1, 3_600, 1, 3_600_000),
        ] {
            let now = Instant::now();
            let interval = Duration::from_millis(interval);
            let mut bucket = bucket(requests, seconds, now);
            assert_eq!(drain(&mut bucket, now), burst, "{requests} in {seconds} s");
            assert_eq!(bucket.wakes_at(now), Some(now + interval));
            assert_eq!(drain(&mut bucket, now + interval * 3), 3.min(burst));
        }
    }

    #[test]
    fn what_was_not_sent_does_not_count() {
        let now = Instant::now();
        let mut bucket = bucket(1, 1, now);
        bucket.take(now);
        assert!(!bucket.has_one(now));
        bucket.give_back();
        assert_eq!(bucket.wakes_at(now), None);
    }

    #[test]
    fn a_long_silence_saves_nothing_up() {
        let now = Instant::now();
        let mut bucket = bucket(5, 1, now);
        assert_eq!(drain(&mut bucket, now + Duration::from_secs(3_600)), 5);
    }

    proptest! {
        /// However the calls fall, no span of time sees more than its share and one burst.
        #[test]
        fn the_rate_holds_over_every_span(requests in 1..300_u32, waits in prop::collection::vec(0..200_u64, 1..100)) {
            let mut now = Instant::now();
            let mut bucket = bucket(requests, 1, now);
            let mut sent: Vec<Instant> = Vec::new();
            for wait in waits {
                now += Duration::from_millis(wait);
                for _ in 0..drain(&mut bucket, now) {
                    sent.push(now);
                }
            }
            for (from, first) in sent.iter().enumerate() {
                for (to, last) in sent.iter().enumerate().skip(from) {
                    let most = f64::from(requests) * (1.0 + (*last - *first).as_secs_f64()) + 0.01;
                    prop_assert!(f64::from(u32::try_from(to - from + 1).unwrap()) <= most);
                }
            }
        }
    }
}
