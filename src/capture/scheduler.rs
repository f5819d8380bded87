//! Hands scheduled events that are due to the capture session, one group after the other.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Standing;
use crate::beat::next_beat;
use crate::event_log::Link;
use crate::event_log::scheduled::{self, Due};
use crate::fault::Result;

/// How often it looks for what is due, if nobody says that there is something new: a look that finds
/// nothing writes nothing.
const INTERVAL: Duration = Duration::from_secs(1);
/// How soon it looks again after what was due was lost on its way: the session has to come back first.
const SOON: Duration = Duration::from_millis(200);
/// How long it leaves a log alone that cannot be asked.
const REST: Duration = Duration::from_secs(2);
/// Events of one group at the most. All their objects are in memory at once.
const GROUP: i64 = 100;
/// Groups that may wait: the next one is not claimed before this one is logged.
pub const WAITING_GROUPS: usize = 1;

/// Follows the table of scheduled events.
pub struct Scheduler {
    /// The log.
    pub link: Link,
    /// The capture session.
    pub inlet: mpsc::Sender<Due>,
    /// Whether this instance streams. Another one's events are not its to log.
    pub standing: watch::Receiver<Standing>,
}

impl Scheduler {
    /// Runs until asked to stop.
    ///
    /// # Errors
    /// None; what cannot be read now is read later.
    pub async fn run(mut self, stop: CancellationToken) -> Result<()> {
        let mut told = None;
        loop {
            let streams = |standing: &Standing| matches!(standing, Standing::Streaming { .. });
            let turn = async {
                // Without a sender of standings the daemon is at its end.
                if self.standing.wait_for(streams).await.is_err() {
                    std::future::pending::<()>().await;
                }
                self.turn().await
            };
            let pause = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                turned = turn => turned.unwrap_or_else(|fault| {
                    once(&mut told, fault.cause());
                    REST
                }),
            };
            let now = Instant::now();
            let wake = (now + pause).min(next_beat(now, INTERVAL.max(pause)));
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = self.link.notified() => {}
                () = tokio::time::sleep_until(wake) => {}
            }
        }
    }

    /// Hands in what is due, and waits until it is logged. Gives how long there is nothing to do.
    async fn turn(&self) -> Result<Duration> {
        let log = self.link.connection().await?;
        let due = scheduled::until_due(&log).await?;
        let pause = due.map_or(INTERVAL, |due| due.min(INTERVAL));
        if !pause.is_zero() {
            return Ok(pause);
        }
        let events = scheduled::claim(&log, GROUP).await?;
        if events.is_empty() {
            return Ok(SOON);
        }
        let (done, outcome) = oneshot::channel();
        if self.inlet.send(Due { events, done }).await.is_err() {
            return Ok(SOON);
        }
        Ok(outcome.await.map_or(SOON, |()| Duration::ZERO))
    }
}

/// A table that cannot be read again and again is told of once.
fn once(told: &mut Option<String>, problem: String) {
    if told.as_deref() != Some(&problem) {
        tracing::warn!(error = %problem, "cannot look for scheduled events that are due");
    }
    *told = Some(problem);
}
