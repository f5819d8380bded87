//! Is the endpoint down, or is it one event? Pure.
//!
//! ```text
//!      5 failures in a row, of 5 events         probe fails: twice the pause
//!  Closed ──────────────────────────▶ Open ◀─────────────────────────────┐
//!     ▲                                │ pause is over: one probe ────────┤
//!     │ limit reaches concurrency      ▼ probe succeeds                   │
//!     └──────────────────────────── Ramping (2, 4, 8, … at once) ─────────┘ any failure
//! ```

use std::time::Duration;

use tokio::time::Instant;

/// Different events that fail in a row before the endpoint counts as down.
const FAILURES: usize = 5;
/// The first pause.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The state of one endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Breaker {
    /// It works, as far as is known.
    Closed {
        /// Different events that failed in a row: trying one of them again says nothing new.
        events: Vec<i64>,
        /// Failures in a row that were no event's, as there was no connection to send one over.
        unreachable: usize,
    },
    /// It counts as down: one probe at a time, after a pause.
    Open {
        /// When the next probe may go.
        until: Instant,
        /// The pause before it.
        pause: Duration,
    },
    /// It is back: requests are let through in growing numbers.
    Ramping {
        /// How many at once.
        limit: usize,
    },
}

impl Default for Breaker {
    fn default() -> Self {
        Self::Closed {
            events: Vec::new(),
            unreachable: 0,
        }
    }
}

impl Breaker {
    /// How many requests may be in flight now.
    pub(super) fn limit(&self, now: Instant, concurrency: usize) -> usize {
        match self {
            Self::Closed { .. } => concurrency,
            Self::Open { until, .. } => usize::from(now >= *until),
            Self::Ramping { limit } => (*limit).min(concurrency),
        }
    }

    /// When the limit changes by itself.
    pub(super) fn wakes_at(&self) -> Option<Instant> {
        match self {
            Self::Open { until, .. } => Some(*until),
            Self::Closed { .. } | Self::Ramping { .. } => None,
        }
    }

    /// Whether the endpoint counts as down.
    pub(super) fn is_open(&self) -> bool {
        matches!(self, Self::Open { .. })
    }

    /// The endpoint took an event.
    pub(super) fn success(&mut self, concurrency: usize) {
        *self = match self {
            Self::Closed { .. } => Self::default(),
            Self::Open { .. } => Self::Ramping { limit: 2 },
            Self::Ramping { limit } if limit.saturating_mul(2) >= concurrency => Self::default(),
            Self::Ramping { limit } => Self::Ramping {
                limit: limit.saturating_mul(2),
            },
        };
    }

    /// The endpoint did not take an event, or (`None`) could not be reached at all. `jitter`, from 0
    /// to 1, keeps many senders apart. Says whether this tells something of the event: not if the
    /// endpoint counts as down, but again if it took another one a moment ago.
    pub(super) fn failure(&mut self, event: Option<i64>, now: Instant, jitter: f64) -> bool {
        match self {
            Self::Closed {
                events,
                unreachable,
            } => {
                match event {
                    Some(event) if events.contains(&event) => {}
                    Some(event) => events.push(event),
                    None => *unreachable += 1,
                }
                if events.len() + *unreachable < FAILURES {
                    return true;
                }
                *self = Self::open(now, PAUSE, jitter);
                false
            }
            Self::Ramping { .. } => {
                *self = Self::open(now, PAUSE, jitter);
                event.is_some()
            }
            // Requests from before it opened come back late; they are no probes.
            Self::Open { until, .. } if now < *until => false,
            Self::Open { pause, .. } => {
                *self = Self::open(now, pause.saturating_mul(2).min(LONGEST_PAUSE), jitter);
                false
            }
        }
    }

    /// The endpoint asked for no request before `at`.
    pub(super) fn rest_until(&mut self, at: Instant) {
        if let Self::Open { until, .. } = self {
            *until = at.max(*until);
        }
    }

    fn open(now: Instant, pause: Duration, jitter: f64) -> Self {
        // Between half of the pause and all of it.
        Self::Open {
            until: now + pause.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0),
            pause,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::default();
        for sequence_id in 1..=5 {
            breaker.failure(Some(sequence_id), now, 1.0);
        }
        breaker
    }

    #[tokio::test]
    async fn one_event_that_keeps_failing_does_not_make_the_endpoint_down() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        for _ in 0..100 {
            breaker.failure(Some(7), now, 1.0);
        }
        assert_eq!(breaker.limit(now, 16), 16);
    }

    #[tokio::test]
    async fn five_events_in_a_row_open_it_and_a_success_between_does_not() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        for sequence_id in 1..=8 {
            breaker.failure(Some(sequence_id), now, 1.0);
            if sequence_id == 4 {
                breaker.success(16);
            }
        }
        assert!(!breaker.is_open());
        assert!(opened(now).is_open());
        assert_eq!(opened(now).limit(now, 16), 0);
    }

    #[tokio::test]
    async fn a_few_events_that_keep_failing_in_turn_do_not_open_it() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        for turn in 0..100 {
            assert!(breaker.failure(Some(turn % 4), now, 1.0));
        }
        assert!(!breaker.is_open());
    }

    #[tokio::test]
    async fn an_endpoint_that_cannot_be_reached_is_down_even_for_one_event() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        let counted: Vec<_> = (0..5).map(|_| breaker.failure(None, now, 1.0)).collect();
        assert_eq!(counted, [true, true, true, true, false]);
        assert!(breaker.is_open());
    }

    #[tokio::test]
    async fn a_probe_waits_as_long_as_the_endpoint_asked_for() {
        let now = Instant::now();
        let mut breaker = opened(now);
        breaker.rest_until(now + Duration::from_secs(30));
        assert_eq!(breaker.wakes_at(), Some(now + Duration::from_secs(30)));
        breaker.rest_until(now);
        assert_eq!(breaker.wakes_at(), Some(now + Duration::from_secs(30)));
    }

    #[tokio::test]
    async fn probes_come_at_growing_pauses_and_recovery_ramps_up() {
        let mut now = Instant::now();
        let mut breaker = opened(now);
        for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(breaker.wakes_at(), Some(now + Duration::from_secs(pause)));
            now += Duration::from_secs(pause);
            assert_eq!(breaker.limit(now, 16), 1);
            breaker.failure(Some(1), now, 1.0);
        }
        breaker.success(16);
        for limit in [2, 4, 8] {
            assert_eq!(breaker.limit(now, 16), limit);
            breaker.success(16);
        }
        assert_eq!(breaker, Breaker::default());
    }

    #[tokio::test]
    async fn a_failure_while_it_ramps_up_opens_it_again() {
        let now = Instant::now();
        let mut breaker = Breaker::Ramping { limit: 4 };
        assert!(breaker.failure(Some(9), now, 0.0));
        assert_eq!(breaker.wakes_at(), Some(now + Duration::from_millis(500)));
    }
}
