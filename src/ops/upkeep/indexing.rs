//! The indexes of the log that only its readers need.
//!
//! A log that catches up is written without them: growing them row by row is a third of what a row
//! costs. A segment gets them when it is full, and the last one when the log has caught up: then it holds
//! next to nothing, or as much as was caught up with.

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{pause, streaming};
use crate::capture::Standing;
use crate::event_log::{Link, Unindexed};
use crate::fault::Result;
use crate::wal::{Source, slot};

/// How soon a new segment is looked at, and one that has to wait again.
const INTERVAL: Duration = Duration::from_secs(1);

/// With less WAL than this to read the log has caught up: about a second's worth of what one can log.
const CAUGHT_UP: u64 = 32 << 20;

/// What their sessions are called. There are some only while a segment waits.
const APPLICATION: &str = "rowhook segments";

/// Gives segments of the log the indexes that they lack.
///
/// # Errors
/// None; what cannot be indexed is indexed later.
pub async fn index_segments(
    source: Source,
    log: Link,
    mut head: watch::Receiver<i64>,
    mut standing: watch::Receiver<Standing>,
    stop: CancellationToken,
) -> Result<()> {
    while streaming(&mut standing, &stop).await {
        head.mark_unchanged();
        let indexing = index_all(&source, &log, &standing, &stop);
        let indexed = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            indexed = indexing => indexed,
        };
        match indexed {
            // Where nothing is logged no segment comes.
            Ok(()) if !changed(&mut head, &stop).await => return Ok(()),
            Ok(()) => {}
            Err(fault) => {
                tracing::debug!(error = %fault.cause(), "a segment of the log is not indexed yet");
            }
        }
        if !pause(INTERVAL, &stop).await {
            return Ok(());
        }
    }
    Ok(())
}

/// Indexes what is full at once, and the last segment when the log has caught up.
async fn index_all(
    source: &Source,
    log: &Link,
    standing: &watch::Receiver<Standing>,
    stop: &CancellationToken,
) -> Result<()> {
    if Unindexed::oldest(&log.connection().await?).await?.is_none() {
        return Ok(());
    }
    let (log, source_side) = (
        log.beside(APPLICATION),
        Link::new(&source.target, APPLICATION),
    );
    while matches!(*standing.borrow(), Standing::Streaming { .. }) {
        let log = log.connection().await?;
        let Some(segment) = Unindexed::oldest(&log).await? else {
            break;
        };
        if segment.full || has_caught_up(&source_side, &source.slot).await? {
            segment.index(&log).await?;
        } else if !pause(INTERVAL, stop).await {
            break;
        }
    }
    Ok(())
}

async fn has_caught_up(source: &Link, slot: &str) -> Result<bool> {
    let retained = slot::retained(&source.connection().await?, slot).await?;
    Ok(retained.is_some_and(|retained| retained.lag_bytes < CAUGHT_UP))
}

/// Waits for the next event; `false` if asked to stop.
async fn changed(head: &mut watch::Receiver<i64>, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = stop.cancelled() => false,
        changed = head.changed() => changed.is_ok(),
    }
}
