//! Drops the days of the attempt log that are old enough.

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{RETENTION_INTERVAL, pause, streaming};
use crate::capture::Standing;
use crate::event_log::{Link, LogSettings, attempts};
use crate::fault::Result;

/// Drops days that are over for longer than the attempt log's retention, while this instance streams.
/// Has a connection of its own: detaching a partition waits for everyone who reads the attempt log.
///
/// # Errors
/// None; what cannot be dropped is dropped later.
pub async fn drop_old_attempts(
    log: LogSettings,
    mut standing: watch::Receiver<Standing>,
    stop: CancellationToken,
) -> Result<()> {
    let Some(retention) = log.attempts_retention else {
        stop.cancelled().await;
        return Ok(());
    };
    let link = Link::new(&log.target, "rowhook retention");
    while streaming(&mut standing, &stop).await {
        // A database that does not answer must not hold up the stop.
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = drop_expired(&link, retention) => {}
        }
        if !pause(RETENTION_INTERVAL, &stop).await {
            return Ok(());
        }
    }
    Ok(())
}

async fn drop_expired(link: &Link, retention: Duration) {
    let dropping = async { attempts::drop_old_days(&link.connection().await?, retention).await };
    match dropping.await {
        Ok(dropped) if dropped.is_empty() => {}
        Ok(dropped) => tracing::info!(days = ?dropped, "dropped old days of the attempt log"),
        Err(fault) => {
            tracing::warn!(error = %fault.cause(), "cannot drop old days of the attempt log")
        }
    }
}
