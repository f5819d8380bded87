//! Signs of life: each stage's loop beats, the watchdog listens.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The pulse of one stage.
#[derive(Debug, Clone)]
pub struct Pulse {
    started: Instant,
    /// Milliseconds after `started`; `u64::MAX` once the stage has ended as it should.
    last: Arc<AtomicU64>,
}

impl Default for Pulse {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            last: Arc::new(AtomicU64::new(0)),
        }
    }
}

impl Pulse {
    /// The loop has turned.
    pub fn beat(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.last.store(now, Ordering::Relaxed);
    }

    /// The stage is over; it will not beat again and need not.
    pub fn rest(&self) {
        self.last.store(u64::MAX, Ordering::Relaxed);
    }

    /// How long ago it last beat.
    #[must_use]
    pub fn silence(&self) -> Duration {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        self.started.elapsed().saturating_sub(last)
    }
}
