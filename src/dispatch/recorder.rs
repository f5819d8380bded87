//! Attempts on their way into the attempt log: one bounded queue, one task that writes.
//!
//! Deliveries never wait for it. Where it cannot keep up, or the log is away, records are dropped and
//! counted.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::event_log::Link;
use crate::event_log::attempts::{AttemptRow, Days, append};
use crate::fault::{Fault, Result};
use crate::ops::metrics::Metrics;

/// Records that may wait. Each is less than a kilobyte.
const WAITING: usize = 20_000;
/// So many rows are worth a write at once …
const ROWS: usize = 1_000;
/// … fewer wait this long for others.
const INTERVAL: Duration = Duration::from_millis(100);
/// How long one write may take before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Takes records. Clones feed the same queue; the [`Recorder`] ends when the last one is gone.
#[derive(Clone)]
pub struct Records {
    inlet: mpsc::Sender<AttemptRow>,
    metrics: Arc<Metrics>,
}

impl Records {
    /// Hands a record over, or drops it where there is no room.
    pub fn put(&self, row: AttemptRow) {
        if self.inlet.try_send(row).is_err() {
            self.metrics.attempts_dropped.inc();
        }
    }
}

/// Writes records.
pub struct Recorder {
    outlet: mpsc::Receiver<AttemptRow>,
    link: Link,
    metrics: Arc<Metrics>,
    days: Days,
    /// Whether the last write failed, and was told of.
    failing: bool,
}

impl Recorder {
    /// A recorder with a connection of its own, and the way to it.
    #[must_use]
    pub fn new(link: Link, metrics: Arc<Metrics>) -> (Records, Self) {
        let (inlet, outlet) = mpsc::channel(WAITING);
        let records = Records {
            inlet,
            metrics: Arc::clone(&metrics),
        };
        let recorder = Self {
            outlet,
            link,
            metrics,
            days: Days::default(),
            failing: false,
        };
        (records, recorder)
    }

    /// Writes until nobody has anything to hand over any more.
    ///
    /// # Errors
    /// None: what cannot be written is dropped.
    pub async fn run(mut self) -> Result<()> {
        let mut rows = Vec::with_capacity(ROWS);
        while self.gather(&mut rows).await {
            self.write(&mut rows).await;
        }
        Ok(())
    }

    /// Waits for the next rows to write; `false` if there will be no more.
    async fn gather(&mut self, rows: &mut Vec<AttemptRow>) -> bool {
        if self.outlet.recv_many(rows, ROWS).await == 0 {
            return false;
        }
        // Woken for each row it would cost more than the rows.
        if rows.len() < ROWS && !self.outlet.is_closed() {
            sleep(INTERVAL).await;
        }
        while rows.len() < WAITING
            && let Ok(row) = self.outlet.try_recv()
        {
            rows.push(row);
        }
        true
    }

    async fn write(&mut self, rows: &mut Vec<AttemptRow>) {
        let mut written = self.try_write(rows).await;
        // A connection that was lost is noticed at its first use.
        if written.is_err() && !self.failing {
            written = self.try_write(rows).await;
        }
        match written {
            Ok(()) => self.failing = false,
            Err(fault) => {
                let count = u64::try_from(rows.len()).unwrap_or(u64::MAX);
                self.metrics.attempts_dropped.inc_by(count);
                if !self.failing {
                    tracing::warn!(error = %fault.cause(), "attempts are not recorded; deliveries go on");
                }
                self.failing = true;
            }
        }
        rows.clear();
    }

    async fn try_write(&mut self, rows: &[AttemptRow]) -> Result<()> {
        let writing = async {
            let connection = self.link.connection().await?;
            append(&connection, rows, &mut self.days).await
        };
        match timeout(PATIENCE, writing).await {
            Ok(written) => written,
            Err(_) => Err(Fault::transient("the attempt log does not answer")),
        }
    }
}
