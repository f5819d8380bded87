//! Is the endpoint down, or is it one event? Pure.
//!
//! ```text
//!      5 failures in a row, of 5 events;        probe fails: twice the pause
//!      or it asks for a rest
//!  Closed ──────────────────────────▶ Open ◀─────────────────────────────┐
//!     ▲                                │ pause is over: one probe ────────┤
//!     │ limit reaches concurrency      ▼ probe succeeds                   │
//!     └──────────────────────────── Ramping: 2 at once, one more with ────┘ failures in a row
//!                                    each success: twice as many with
//!                                    each round of answers
//! ```

use std::time::Duration;

use tokio::time::Instant;

/// Different events that fail in a row before the endpoint counts as down.
const FAILURES: usize = 5;
/// The first pause.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The longest rest that an endpoint can ask for: one that asks for more is asked again after it.
const LONGEST_REST: Duration = Duration::from_secs(60 * 60);
/// How many requests may be in flight after the first success.
const FIRST_LIMIT: usize = 2;

/// The state of one endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Breaker {
    /// It works, as far as is known.
    Closed {
        /// What failed since the last success.
        streak: Streak,
    },
    /// It counts as down: one probe at a time, after a pause.
    Open {
        /// When the next probe may go.
        until: Instant,
        /// The pause before it.
        pause: Duration,
        /// The endpoint itself asked for it: what it answers to older requests does not end it.
        asked: bool,
    },
    /// It is back: requests are let through in growing numbers.
    Ramping {
        /// How many at once.
        limit: usize,
        /// What failed since the last success.
        streak: Streak,
    },
}

/// Failures in a row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Streak {
    /// Different events that failed: trying one of them again says nothing new.
    events: Vec<i64>,
    /// Failures that were no event's, as there was no connection to send one over.
    unreachable: usize,
}

impl Streak {
    /// Counts a failure in; gives how many there are.
    fn add(&mut self, event: Option<i64>) -> usize {
        match event {
            Some(event) if self.events.contains(&event) => {}
            Some(event) => self.events.push(event),
            None => self.unreachable += 1,
        }
        self.events.len() + self.unreachable
    }
}

impl Default for Breaker {
    fn default() -> Self {
        Self::Closed {
            streak: Streak::default(),
        }
    }
}

impl Breaker {
    /// How many requests may be in flight now.
    pub(super) fn limit(&self, now: Instant, concurrency: usize) -> usize {
        match self {
            Self::Closed { .. } => concurrency,
            Self::Open { until, .. } => usize::from(now >= *until),
            Self::Ramping { limit, .. } => (*limit).min(concurrency),
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

    /// The endpoint took a request. While it comes back that lets one more through, so that their
    /// number doubles with each round of answers, and not with each answer.
    pub(super) fn success(&mut self, now: Instant, concurrency: usize) {
        let limit = match self {
            Self::Closed { .. } => concurrency,
            Self::Open { until, asked, .. } if *asked && now < *until => return,
            Self::Open { .. } => FIRST_LIMIT,
            Self::Ramping { limit, .. } => limit.saturating_add(1),
        };
        *self = if limit >= concurrency {
            Self::default()
        } else {
            Self::Ramping {
                limit,
                streak: Streak::default(),
            }
        };
    }

    /// The endpoint did not take an event, or (`None`) could not be reached at all. `jitter`, from 0
    /// to 1, keeps many senders apart. Says whether this tells something of the event: not if the
    /// endpoint counts as down, but again if it took another one a moment ago.
    pub(super) fn failure(&mut self, event: Option<i64>, now: Instant, jitter: f64) -> bool {
        match self {
            Self::Closed { streak } => {
                if streak.add(event) < FAILURES {
                    return true;
                }
                *self = Self::open(now, PAUSE, jitter);
                false
            }
            // Not at the first one: an endpoint that refuses every other request would never get
            // beyond a probe.
            Self::Ramping { limit, streak } => {
                if streak.add(event) < FAILURES.min(*limit) {
                    return true;
                }
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

    /// A failed probe was told when to come again.
    pub(super) fn rest_until(&mut self, now: Instant, wait: Duration) {
        if let Self::Open { until, .. } = self {
            *until = (*until).max(now + wait.min(LONGEST_REST));
        }
    }

    /// The endpoint did not take an event and asked for no request within `wait`. Says, as `failure`
    /// does, whether this tells something of the event.
    pub(super) fn rest(&mut self, now: Instant, wait: Duration, jitter: f64) -> bool {
        let was_open = self.is_open();
        if !was_open {
            *self = Self::open(now, PAUSE, jitter);
        } else {
            self.failure(None, now, jitter);
        }
        self.rest_until(now, wait);
        if let Self::Open { asked, .. } = self {
            *asked = true;
        }
        !was_open
    }

    fn open(now: Instant, pause: Duration, jitter: f64) -> Self {
        // Between half of the pause and all of it.
        Self::Open {
            until: now + pause.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0),
            pause,
            asked: false,
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
                breaker.success(now, 16);
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
    async fn a_rest_holds_everything_and_answers_to_older_requests_do_not_end_it() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        assert!(breaker.rest(now, Duration::from_secs(30), 1.0));
        let end = now + Duration::from_secs(30);
        assert_eq!(breaker.wakes_at(), Some(end));
        assert_eq!(breaker.limit(end - Duration::from_millis(1), 16), 0);
        // What was in flight comes back: some of it well, some asking for less, some for more.
        breaker.success(now, 16);
        assert!(!breaker.rest(now, Duration::from_secs(5), 1.0));
        assert!(!breaker.failure(Some(3), now, 1.0));
        assert_eq!(breaker.wakes_at(), Some(end));
        assert!(!breaker.rest(now, Duration::from_secs(40), 1.0));
        let end = now + Duration::from_secs(40);
        assert_eq!(breaker.wakes_at(), Some(end));
        // One probe, then slowly.
        assert_eq!(breaker.limit(end, 16), 1);
        breaker.success(end, 16);
        assert_eq!(breaker.limit(end, 16), 2);
        // Asked again while it comes back: it took another one before, so this one counts.
        assert!(breaker.rest(end, Duration::from_secs(2), 1.0));
        assert_eq!(breaker.wakes_at(), Some(end + Duration::from_secs(2)));
    }

    #[tokio::test]
    async fn a_rest_is_an_hour_at_the_most_and_a_pause_at_the_least() {
        let now = Instant::now();
        for (asked, seconds) in [(86_400, 3_600), (0, 1)] {
            let mut breaker = Breaker::default();
            breaker.rest(now, Duration::from_secs(asked), 1.0);
            assert_eq!(breaker.wakes_at(), Some(now + Duration::from_secs(seconds)));
        }
    }

    #[tokio::test]
    async fn a_late_success_closes_what_failures_opened() {
        let now = Instant::now();
        let mut breaker = opened(now);
        breaker.success(now, 16);
        assert_eq!(breaker.limit(now, 16), 2);
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
        breaker.success(now, 16);
        // As many successes as were let through double the number.
        for limit in [2, 4, 8] {
            assert_eq!(breaker.limit(now, 16), limit);
            for _ in 0..limit {
                breaker.success(now, 16);
            }
        }
        assert_eq!(breaker, Breaker::default());
    }

    #[tokio::test]
    async fn failures_in_a_row_while_it_ramps_up_open_it_again() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        for (limit, before) in [(2, 1), (3, 2), (8, 4)] {
            breaker = Breaker::Ramping {
                limit,
                streak: Streak::default(),
            };
            for event in 0..before {
                assert!(breaker.failure(Some(event), now, 0.0));
                assert!(!breaker.is_open(), "{limit}");
            }
            assert!(breaker.failure(Some(99), now, 0.0));
            assert_eq!(breaker.wakes_at(), Some(now + Duration::from_millis(500)));
        }
        assert!(breaker.is_open());
    }

    #[tokio::test]
    async fn an_endpoint_that_refuses_every_other_request_gets_all_the_way_back() {
        let now = Instant::now();
        let mut breaker = opened(now);
        breaker.success(now, 16);
        for event in 0..14 {
            assert!(breaker.failure(Some(event), now, 1.0));
            breaker.success(now, 16);
        }
        assert_eq!(breaker, Breaker::default());
    }
}
