//! What was erased from the log goes from memory, too, and is told in the log.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::pause;
use crate::capture::Standing;
use crate::event_log::{Inlet, Link, Note, Tail, erasures};
use crate::fault::Result;
use crate::wal::Connection;

/// How often the daemon looks for erasures: for so long a value may still go out from memory.
const INTERVAL: Duration = Duration::from_secs(1);

/// Follows erasures: has every reader in memory forget the events, and logs each erasure once.
///
/// # Errors
/// None; what cannot be done is done later.
pub async fn follow_erasures(
    link: Link,
    inlet: Inlet,
    tail: Arc<Tail>,
    standing: watch::Receiver<Standing>,
    stop: CancellationToken,
) -> Result<()> {
    let mut seen = HashSet::new();
    while pause(INTERVAL, &stop).await {
        tail.let_go();
        let writes = matches!(*standing.borrow(), Standing::Streaming { .. });
        let following = follow(&link, &inlet, &tail, writes, &mut seen);
        let followed = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            followed = following => followed,
        };
        if let Err(fault) = followed {
            tracing::debug!(error = %fault.cause(), "cannot follow what is erased");
        }
    }
    Ok(())
}

async fn follow(
    link: &Link,
    inlet: &Inlet,
    tail: &Tail,
    writes: bool,
    seen: &mut HashSet<i64>,
) -> Result<()> {
    let log = link.connection().await?;
    let unlogged = erasures::unlogged(&log).await?;
    // At once: the source may be away for longer than a webhook.
    let news = unlogged.iter().filter(|erasure| seen.insert(erasure.id));
    if news.count() > 0 {
        tail.forget();
    }
    for erasure in unlogged.into_iter().filter(|_| writes) {
        if !erasures::is_logged(&log, erasure.id).await? {
            let (note, outcome) = Note::new(erasures::ERASED, erasure.record.clone());
            if inlet.send(note).await.is_err() || !told(outcome, &log, tail, seen).await {
                return Ok(());
            }
        }
        // What was committed before the erasure, and shown to readers only since, is older than its
        // event: all of it has been shown now.
        tail.forget();
        seen.remove(&erasure.id);
        erasures::set_logged(&log, erasure.id).await?;
        tracing::info!(erasure = %erasure.record, "values were erased from the log");
    }
    Ok(())
}

/// Waits until a note is durable; `false` if it was lost on the way. It may stand behind a transaction
/// that takes hours: what others erase meanwhile goes from memory all the same.
async fn told(
    mut outcome: oneshot::Receiver<()>,
    log: &Connection,
    tail: &Tail,
    seen: &mut HashSet<i64>,
) -> bool {
    loop {
        if let Ok(told) = tokio::time::timeout(INTERVAL, &mut outcome).await {
            return told.is_ok();
        }
        // A log that is away is asked again.
        let unlogged = erasures::unlogged(log).await.unwrap_or_default();
        let news = unlogged.iter().filter(|erasure| seen.insert(erasure.id));
        if news.count() > 0 {
            tail.forget();
        }
    }
}
