//! What systemd is told: ready, alive, stopping, and one line of status.

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::health::Health;
use crate::beat::beat;
use crate::capture::Standing;
use crate::fault::Result;

/// How often health is looked at where systemd set no watchdog.
const INTERVAL: Duration = Duration::from_secs(5);

/// Tells systemd of readiness once the stream runs, and feeds its watchdog as long as every stage
/// moves. Without systemd nothing is sent.
///
/// # Errors
/// None; the signature is that of the daemon's tasks.
pub async fn notify(
    health: Arc<Health>,
    mut standing: watch::Receiver<Standing>,
    stop: CancellationToken,
) -> Result<()> {
    let watchdog = sd_notify::watchdog_enabled();
    let interval = watchdog
        .map_or(INTERVAL, |timeout| timeout / 3)
        .min(INTERVAL);
    loop {
        tell(&standing.borrow_and_update());
        match health.alive() {
            Ok(()) => send(&[NotifyState::Watchdog]),
            Err(reason) => tracing::error!(%reason, "a stage is stuck: the watchdog is not fed"),
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = standing.changed() => {}
            () = beat(interval) => {}
        }
    }
}

/// The daemon is about to end.
pub fn stopping() {
    send(&[NotifyState::Stopping]);
}

/// A reload begins; systemd wants to know since when.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!(%error, "systemd cannot be told"),
    }
}

/// The reload is done.
pub fn reloaded() {
    send(&[NotifyState::Ready]);
}

fn tell(standing: &Standing) {
    match standing {
        Standing::Streaming { .. } => send(&[NotifyState::Ready, NotifyState::Status("streaming")]),
        // A standby is as ready as it can be: systemd would end one that is not.
        Standing::StandBy { pid } => {
            let status = format!("standby: the slot is in use by server process {pid}");
            send(&[NotifyState::Ready, NotifyState::Status(&status)]);
        }
        Standing::Connecting(fault) => {
            let status = format!("connecting: {}", fault.as_deref().unwrap_or("first try"));
            send(&[NotifyState::Status(&status)]);
        }
    }
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd cannot be told");
    }
}
