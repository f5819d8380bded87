//! How fast a replay may send: a bucket of tokens that fills with time. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// One second's worth may go at once, and at least one.
#[derive(Debug)]
pub(in crate::dispatch) struct Pace {
    per_second: f64,
    tokens: f64,
    filled_at: Instant,
}

impl Pace {
    /// A full bucket.
    pub(in crate::dispatch) fn new(per_second: f64, now: Instant) -> Self {
        Self {
            per_second,
            tokens: per_second.max(1.0),
            filled_at: now,
        }
    }

    /// When the next request may go, if not now.
    pub(in crate::dispatch) fn rests_until(&mut self, now: Instant) -> Option<Instant> {
        let since = now.saturating_duration_since(self.filled_at).as_secs_f64();
        self.tokens = (self.tokens + since * self.per_second).min(self.per_second.max(1.0));
        self.filled_at = now;
        let missing = 1.0 - self.tokens;
        if missing <= 0.0 {
            return None;
        }
        // A little more than needed, so that it is there when it is asked for.
        let wait = Duration::try_from_secs_f64(missing / self.per_second);
        Some(now + wait.unwrap_or(Duration::MAX / 4) + Duration::from_micros(1))
    }

    /// A request goes out.
    pub(in crate::dispatch) fn take(&mut self) {
        self.tokens -= 1.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many requests go out within this time.
    fn sent(per_second: f64, within: Duration) -> u32 {
        let start = Instant::now();
        let mut pace = Pace::new(per_second, start);
        let (mut now, mut sent) = (start, 0);
        while now < start + within {
            match pace.rests_until(now) {
                Some(until) => now = until,
                None => {
                    pace.take();
                    sent += 1;
                }
            }
        }
        sent
    }

    #[tokio::test]
    async fn a_rate_is_held_after_a_second_s_worth() {
        let sent_fast = sent(50.0, Duration::from_secs(10));
        assert!((545..=550).contains(&sent_fast), "{sent_fast}");
        assert_eq!(sent(0.25, Duration::from_secs(41)), 1 + 10);
        assert_eq!(sent(1.0, Duration::from_millis(10)), 1);
    }
}
