//! The indexes of the log that only its readers need.
//!
//! A log that catches up is written without them: growing them row by row is a quarter of what a row
//! costs. A segment gets them when it is full, and the last one when the log has caught up: then it holds
//! next to nothing, or as much as was caught up with.

use std::collections::HashSet;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{pause, streaming};
use crate::capture::Standing;
use crate::event_log::{Link, Unindexed};
use crate::fault::Result;
use crate::wal::{Lsn, Source, slot};

/// How soon a new segment is looked at, and one that is still being caught up with.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long a segment that could not be indexed is left alone.
const REST: Duration = Duration::from_secs(5);

/// With less WAL than this to read the log has caught up: about a second's worth of what one can log.
const CAUGHT_UP: u64 = 32 << 20;

/// What the sessions are called that are there while a segment waits.
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
    let mut indexing = Indexing {
        source,
        log,
        sessions: None,
        told: HashSet::new(),
    };
    while streaming(&mut standing, &stop).await {
        head.mark_unchanged();
        let looked = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            looked = indexing.look() => looked,
        };
        let wait = match looked {
            Ok(Some(wait)) => wait,
            // Where nothing is logged no segment comes.
            Ok(None) if changed(&mut head, &stop).await => INTERVAL,
            Ok(None) => return Ok(()),
            Err(fault) => {
                tracing::debug!(error = %fault.cause(), "cannot look for segments to index");
                REST
            }
        };
        if !pause(wait, &stop).await {
            return Ok(());
        }
    }
    Ok(())
}

struct Indexing {
    source: Source,
    log: Link,
    /// While a segment waits.
    sessions: Option<Sessions>,
    /// Segments that could not be indexed.
    told: HashSet<String>,
}

struct Sessions {
    log: Link,
    source: Link,
    /// How far the source had written at the first look.
    written: Option<Lsn>,
}

impl Indexing {
    /// Indexes what can be: what is full at once, the last segment when the log has caught up. How long
    /// what is left is to wait; `None` if nothing is.
    async fn look(&mut self) -> Result<Option<Duration>> {
        let unindexed = Unindexed::all(&self.log.connection().await?).await?;
        if unindexed.is_empty() {
            self.sessions = None;
            return Ok(None);
        }
        let sessions = self.sessions.get_or_insert_with(|| Sessions {
            log: self.log.beside(APPLICATION),
            source: Link::new(&self.source.target, APPLICATION),
            written: None,
        });
        let mut wait = Duration::ZERO;
        for segment in unindexed {
            if !segment.full && !sessions.have_caught_up(&self.source.slot).await? {
                wait = wait.max(INTERVAL);
                continue;
            }
            match segment.index(&sessions.log.connection().await?).await {
                Ok(true) => {}
                Ok(false) => wait = REST,
                Err(fault) => {
                    if self.told.insert(segment.table) {
                        tracing::warn!(error = %fault.cause(), "a segment of the log has no index of ids and types");
                    }
                    wait = REST;
                }
            }
        }
        Ok(Some(wait))
    }
}

impl Sessions {
    /// Whether there is little to read, or all that there was at the first look is read: what others
    /// write meanwhile may always be much.
    async fn have_caught_up(&mut self, slot: &str) -> Result<bool> {
        let retained = slot::retained(&self.source.connection().await?, slot).await?;
        Ok(retained.is_some_and(|retained| {
            let written = *self.written.get_or_insert(retained.current);
            retained.lag_bytes < CAUGHT_UP.max(retained.current.bytes_since(written))
        }))
    }
}

/// Waits for the next event; `false` if asked to stop.
async fn changed(head: &mut watch::Receiver<i64>, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = stop.cancelled() => false,
        changed = head.changed() => changed.is_ok(),
    }
}
