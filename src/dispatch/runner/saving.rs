//! What is settled is saved: with the flushes, and with the last one when the daemon stops.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::Instant;

use super::{LOG_PAUSE, Runner, State};
use crate::event_log::deliveries::{self, Settlement};
use crate::fault::Result;

/// A flush follows the settling of this many events …
const FLUSH_EVENTS: usize = 500;
/// … or this time.
const FLUSH_INTERVAL: Duration = Duration::from_millis(100);
/// Where nothing is settled but what was not wanted: to look at it again after a crash costs nobody a
/// delivery, and many webhooks want little of what comes.
const PASSED_INTERVAL: Duration = Duration::from_secs(1);
/// How long requests in flight may take to end when the daemon stops.
const STOP_GRACE: Duration = Duration::from_secs(10);
/// How long the last flush is tried again after that.
const SAVE_GRACE: Duration = Duration::from_secs(3);

pub(super) type Flushing = Pin<Box<dyn Future<Output = (Settlement, Result<()>)> + Send>>;

impl Runner {
    /// A flush that nobody makes again: a lock in the way, or a log that restarts, gets a moment.
    async fn save(&self, settlement: &Settlement) -> Result<()> {
        let (name, epoch) = (&self.subscription.name, self.epoch);
        let until = Instant::now() + SAVE_GRACE;
        loop {
            let saved = async {
                let connection = self.link.connection().await?;
                deliveries::settle(&connection, name, epoch, settlement).await
            };
            match saved.await {
                Err(fault) if fault.is_transient() && Instant::now() < until => {
                    tokio::time::sleep(FLUSH_INTERVAL).await;
                }
                saved => return saved,
            }
        }
    }
}

impl State {
    pub(super) fn flush_if_due(&mut self, now: Instant) {
        let busy = self.flushing.is_some() || self.asking.under_way.is_some();
        if busy || !self.window.has_unflushed() {
            return;
        }
        // A replay ends with its last flush.
        let interval = if self.window.settled_unflushed() > 0 || self.replaying.is_some() {
            FLUSH_INTERVAL
        } else {
            PASSED_INTERVAL
        };
        let due = now + interval;
        let due = self.flush_due.map_or(due, |earlier| earlier.min(due));
        self.flush_due = Some(due);
        if now >= due || self.window.settled_unflushed() >= FLUSH_EVENTS {
            let settlement = self.settlement();
            self.flush(settlement, None);
        }
    }

    fn flush(&mut self, settlement: Settlement, after: Option<Duration>) {
        self.flush_due = None;
        let (link, epoch) = (self.runner.link.clone(), self.runner.epoch);
        let name = self.runner.subscription.name.clone();
        self.flushing = Some(Box::pin(async move {
            if let Some(pause) = after {
                tokio::time::sleep(pause).await;
            }
            let outcome = async {
                let connection = link.connection().await?;
                deliveries::settle(&connection, &name, epoch, &settlement).await
            };
            let outcome = outcome.await;
            (settlement, outcome)
        }));
    }

    /// A flush that failed is made again as it was; what was settled since goes with the next one.
    pub(super) fn flushed(&mut self, settlement: Settlement, outcome: Result<()>) -> Result<()> {
        self.flushing = None;
        let Err(fault) = outcome else { return Ok(()) };
        self.survive(fault)?;
        self.flush(settlement, Some(LOG_PAUSE));
        Ok(())
    }

    /// Lets requests in flight end within a bound, and saves what is settled.
    pub(super) async fn finish(mut self) -> Result<()> {
        let deadline = Instant::now() + STOP_GRACE;
        while let Ok(Some(attempt)) = tokio::time::timeout_at(deadline, self.hands.ended()).await {
            self.take_attempt(attempt?).await?;
        }
        let untold = self.deaths.rest();
        self.tell_deaths(untold);
        if let Some(flushing) = self.flushing.take() {
            let (settlement, outcome) = flushing.await;
            if outcome.is_err()
                && let Err(fault) = self.runner.save(&settlement).await
            {
                tracing::warn!(error = %fault.cause(), cursor = settlement.cursor, "a last flush failed; its deliveries will be repeated");
                return Ok(());
            }
        }
        self.window.prepare_restart();
        let settlement = self.settlement();
        let saved = self.runner.save(&settlement).await;
        let name = &self.runner.subscription.name;
        let connection = self.runner.link.connection().await?;
        if saved.is_err() && deliveries::look_up(&connection, name).await?.is_none() {
            // Forgotten while its last requests ended: there is nothing to save, and nobody to blame.
            return Ok(());
        }
        saved
    }
}
