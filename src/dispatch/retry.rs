//! What follows a failed attempt. Pure.

use std::num::NonZeroU32;
use std::time::Duration;

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
}
