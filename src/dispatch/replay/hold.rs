//! Live traffic goes first: how much a replay may take, and when it has to wait. Pure.

use std::fmt;
use std::num::NonZeroUsize;

/// A webhook that is more events than this behind needs its receiver for itself.
const BEHIND: i64 = 1_000;

/// How many of the requests that a webhook may have in flight its replay gets beside them.
pub(in crate::dispatch) fn share(concurrency: NonZeroUsize) -> NonZeroUsize {
    NonZeroUsize::new(concurrency.get() / 4).unwrap_or(NonZeroUsize::MIN)
}

/// Why a replay has to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dispatch) enum Hold {
    /// The webhook is paused.
    Paused,
    /// Its endpoint counts as down.
    Down,
    /// It is behind itself.
    Behind,
}

/// Whether a replay has to wait for its webhook.
pub(in crate::dispatch) fn hold(is_paused: bool, is_down: bool, lag: i64) -> Option<Hold> {
    if is_paused {
        Some(Hold::Paused)
    } else if is_down {
        Some(Hold::Down)
    } else {
        (lag > BEHIND).then_some(Hold::Behind)
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Paused => f.write_str("waits: the webhook is paused"),
            Self::Down => f.write_str("waits: the webhook's endpoint counts as down"),
            Self::Behind => write!(
                f,
                "waits: the webhook is more than {BEHIND} events behind, and goes first"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_gets_a_quarter_and_at_least_one() {
        for (concurrency, expected) in [(1, 1), (3, 1), (4, 1), (16, 4), (1024, 256)] {
            let concurrency = NonZeroUsize::new(concurrency).unwrap();
            assert_eq!(share(concurrency).get(), expected);
        }
    }

    #[test]
    fn a_replay_waits_for_a_webhook_in_trouble() {
        assert_eq!(hold(false, false, 0), None);
        assert_eq!(hold(false, false, 1_000), None);
        assert_eq!(hold(false, false, 1_001), Some(Hold::Behind));
        assert_eq!(hold(false, true, 0), Some(Hold::Down));
        assert_eq!(hold(true, true, 5_000), Some(Hold::Paused));
    }
}
