//! What follows a failed attempt. Pure.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::webhook::{Statuses, Verdict};

/// When a failed attempt is tried again, and when it is given up.
#[derive(Debug, Clone, PartialEq)]
pub struct RetryPolicy {
    /// Attempts in all, the first one included.
    pub attempts: NonZeroU32,
    /// Upper bound of the delay before the second attempt.
    pub initial: Duration,
    /// What the bound is multiplied by from attempt to attempt.
    pub multiplier: f64,
    /// The bound never exceeds this.
    pub max: Duration,
    /// What the receiver's answers mean.
    pub statuses: Statuses,
}

impl RetryPolicy {
    /// Upper bound of the delay that follows attempt number `attempt`, from 1.
    fn bound(&self, attempt: u32) -> Duration {
        let exponent = f64::from(attempt.saturating_sub(1));
        // Infinity is cut down, so that an initial delay of zero stays zero; NaN goes the same way.
        let factor = self.multiplier.powf(exponent).min(f64::MAX);
        Duration::try_from_secs_f64(self.initial.as_secs_f64() * factor)
            .map_or(self.max, |bound| bound.min(self.max))
    }
}

/// What happens to an event after an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It is done.
    Settle,
    /// It is tried again.
    Retry {
        /// After this time.
        after: Duration,
    },
    /// It is given up, and kept for whoever looks after it.
    Dead {
        /// Why.
        reason: String,
    },
    /// The whole subscription stops; the event stays unsettled.
    Pause {
        /// Why.
        reason: String,
    },
}

/// Decides what follows attempt number `attempt`, from 1.
///
/// Delays have full jitter: `jitter`, drawn from 0 to 1, times the policy's bound, so that events
/// that failed together do not come back together. ("Exponential Backoff And Jitter", AWS
/// Architecture Blog.) For the same reason the delay is added to what the receiver asked for in
/// Retry-After, which it never falls below.
#[must_use]
pub fn next_step(policy: &RetryPolicy, attempt: u32, verdict: &Verdict, jitter: f64) -> Step {
    let retry_after = match verdict {
        Verdict::Settled => return Step::Settle,
        Verdict::Dead { reason } => {
            return Step::Dead {
                reason: reason.clone(),
            };
        }
        Verdict::PauseSubscription { reason } => {
            return Step::Pause {
                reason: reason.clone(),
            };
        }
        Verdict::Retry { retry_after } => retry_after.unwrap_or_default(),
    };
    if attempt >= policy.attempts.get() {
        return Step::Dead {
            reason: format!("no success within {attempt} attempts"),
        };
    }
    let bound = policy.bound(attempt);
    // Not a number between 0 and 1: the full bound, the careful end.
    let share = if (0.0..=1.0).contains(&jitter) {
        jitter
    } else {
        1.0
    };
    let delay = Duration::try_from_secs_f64(bound.as_secs_f64() * share)
        .map_or(bound, |delay| delay.min(bound));
    Step::Retry {
        after: retry_after.saturating_add(delay),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AGAIN: Verdict = Verdict::Retry { retry_after: None };

    fn policy() -> RetryPolicy {
        RetryPolicy {
            attempts: NonZeroU32::new(10).unwrap(),
            initial: Duration::from_secs(1),
            multiplier: 2.0,
            max: Duration::from_secs(60),
            statuses: Statuses::default(),
        }
    }

    fn delay(policy: &RetryPolicy, attempt: u32, verdict: &Verdict, jitter: f64) -> Duration {
        match next_step(policy, attempt, verdict, jitter) {
            Step::Retry { after } => after,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_bound_doubles_up_to_its_cap_and_jitter_takes_a_share() {
        for (attempt, jitter, millis) in [
            (1, 1.0, 1_000),
            (1, 0.5, 500),
            (1, 0.0, 0),
            (2, 1.0, 2_000),
            (3, 1.0, 4_000),
            (6, 1.0, 32_000),
            (7, 1.0, 60_000),
            (9, 0.25, 15_000),
            (0, 1.0, 1_000),
            (1, -1.0, 1_000),
            (1, f64::NAN, 1_000),
        ] {
            let after = delay(&policy(), attempt, &AGAIN, jitter);
            assert_eq!(after, Duration::from_millis(millis), "{attempt} {jitter}");
        }
    }

    #[test]
    fn retry_after_is_a_floor_that_jitter_spreads() {
        let verdict = Verdict::Retry {
            retry_after: Some(Duration::from_secs(30)),
        };
        assert_eq!(delay(&policy(), 1, &verdict, 0.0), Duration::from_secs(30));
        assert_eq!(
            delay(&policy(), 1, &verdict, 0.5),
            Duration::from_millis(30_500)
        );
    }

    #[test]
    fn the_last_attempt_is_followed_by_none() {
        for attempt in [10, 11, u32::MAX] {
            assert_eq!(
                next_step(&policy(), attempt, &AGAIN, 0.5),
                Step::Dead {
                    reason: format!("no success within {attempt} attempts")
                }
            );
        }
    }

    #[test]
    fn other_verdicts_do_not_ask_the_policy() {
        let reason = || "why".to_owned();
        for (verdict, step) in [
            (Verdict::Settled, Step::Settle),
            (
                Verdict::Dead { reason: reason() },
                Step::Dead { reason: reason() },
            ),
            (
                Verdict::PauseSubscription { reason: reason() },
                Step::Pause { reason: reason() },
            ),
        ] {
            for attempt in [1, 10, u32::MAX] {
                assert_eq!(next_step(&policy(), attempt, &verdict, 0.5), step);
            }
        }
    }

    #[test]
    fn no_delay_stays_no_delay() {
        let policy = RetryPolicy {
            initial: Duration::ZERO,
            attempts: NonZeroU32::MAX,
            ..policy()
        };
        assert_eq!(delay(&policy, u32::MAX - 1, &AGAIN, 1.0), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn a_delay_stays_within_its_bounds(
            initial in 0..=u64::MAX,
            max in 0..=u64::MAX,
            multiplier in proptest::num::f64::ANY,
            attempt in 0..u32::MAX,
            jitter in proptest::num::f64::ANY,
            asked in proptest::option::of(0..=86_400_u64),
        ) {
            let policy = RetryPolicy {
                attempts: NonZeroU32::MAX,
                initial: Duration::from_millis(initial),
                multiplier,
                max: Duration::from_millis(max),
                statuses: Statuses::default(),
            };
            let floor = Duration::from_secs(asked.unwrap_or(0));
            let verdict = Verdict::Retry { retry_after: asked.map(Duration::from_secs) };
            let after = delay(&policy, attempt, &verdict, jitter);
            prop_assert!(after >= floor);
            prop_assert!(after - floor <= policy.max);
        }
    }
}
