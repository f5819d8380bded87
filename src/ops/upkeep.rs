//! Recurring chores beside the data's way: measure the slot, take in new tables, drop what is old.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytesize::ByteSize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::metrics::{Metrics, age};
use super::settings::Settings;
use crate::capture::Standing;
use crate::capture::tables::{self, Look};
use crate::event::Capture;
use crate::event_log::{Link, retention};
use crate::fault::Result;
use crate::wal::{Source, Target, slot};

/// How often the slot is measured.
const SLOT_INTERVAL: Duration = Duration::from_secs(5);
/// How often old segments are looked for.
const RETENTION_INTERVAL: Duration = Duration::from_secs(60);

/// Less WAL than this behind the newest is no lag: positions with nothing to log are confirmed in
/// steps of this size.
pub const QUIET: u64 = 1 << 20;

/// Waits; `false` if asked to stop.
async fn pause(interval: Duration, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = stop.cancelled() => false,
        () = tokio::time::sleep(interval) => true,
    }
}

/// Measures what the slot holds back, and warns at half of the WAL budget and at all of it.
///
/// # Errors
/// None; what cannot be measured is measured again later.
pub async fn watch_slot(
    source: Source,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) -> Result<()> {
    let link = Link::new(&source.target, "rowhook watch");
    let mut level = Level::Fine;
    while pause(SLOT_INTERVAL, &stop).await {
        let measured = async { slot::retained(&link.connection().await?, &source.slot).await };
        let Ok(Some(retained)) = measured.await else {
            continue;
        };
        metrics.slot_wal_bytes.set(retained.held_bytes);
        metrics.source_lag_bytes.set(retained.lag_bytes);
        metrics
            .source_lag_seconds
            .set(lag_seconds(&metrics, retained.lag_bytes));
        let now = Level::of(retained.held_bytes, source.wal_budget);
        if now != level {
            now.tell(&source, retained.held_bytes);
            level = now;
        }
    }
    Ok(())
}

/// Age of the newest logged transaction, if there is more to read than a quiet server writes.
fn lag_seconds(metrics: &Metrics, lag_bytes: u64) -> f64 {
    let newest = metrics.newest_commit.load(Ordering::Relaxed);
    if lag_bytes <= QUIET || newest == 0 {
        0.0
    } else {
        age(newest).as_secs_f64()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Fine,
    Half,
    Over,
}

impl Level {
    fn of(held: u64, budget: u64) -> Self {
        match held {
            held if held >= budget => Self::Over,
            held if held >= budget / 2 => Self::Half,
            _ => Self::Fine,
        }
    }

    fn tell(self, source: &Source, held: u64) {
        let (slot, held, budget) = (&source.slot, ByteSize(held), ByteSize(source.wal_budget));
        match self {
            Self::Fine => {
                tracing::info!(%slot, %held, %budget, "the slot holds back less than half of its WAL budget again")
            }
            Self::Half => {
                tracing::warn!(%slot, %held, %budget, "the slot holds back more than half of its WAL budget")
            }
            Self::Over => {
                tracing::error!(%slot, %held, %budget, "the slot holds back more than its WAL budget: the source's disk is at risk")
            }
        }
    }
}

/// Looks for new tables that match, adds them to the publication, and sees whether anybody took
/// something out of it. Only while this instance streams: a standby changes nothing.
///
/// # Errors
/// Permanent, if the publication has not carried every change. Anything else is told and tried
/// again.
pub async fn follow_tables(
    source: Source,
    log: Target,
    capture: Arc<Capture>,
    mut standing: watch::Receiver<Standing>,
    stop: CancellationToken,
) -> Result<()> {
    let link = Link::new(&source.target, "rowhook tables");
    let log = Link::new(&log, "rowhook tables");
    let mut told = None;
    while streaming(&mut standing, &stop).await {
        let look = async {
            let (source_side, log_side) = (link.connection().await?, log.connection().await?);
            tables::refresh(&source_side, &log_side, &source, &capture).await
        };
        // A database that does not answer must not hold up the stop.
        let look = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            look = look => look,
        };
        match look {
            Ok(Look::Whole(refreshed)) => tell_refreshed(&refreshed, &mut told),
            Ok(Look::Broken(broken)) => return Err(broken.fault()),
            Err(fault) => once(&mut told, fault.cause()),
        }
        if !pause(source.table_refresh, &stop).await {
            break;
        }
    }
    Ok(())
}

fn tell_refreshed(refreshed: &tables::Refreshed, told: &mut Option<String>) {
    for table in &refreshed.joined {
        tracing::info!(%table, "a new table matches and is captured from now on");
    }
    if refreshed.foreign.is_empty() {
        *told = None;
    } else {
        let tables = refreshed.foreign.join(", ");
        once(
            told,
            format!("{tables}: another role owns them; `rowhook check` prints what it has to run"),
        );
    }
}

/// A chore that fails again and again says so once.
fn once(told: &mut Option<String>, problem: String) {
    if told.as_deref() != Some(&problem) {
        tracing::warn!(error = %problem, "cannot take in new tables");
    }
    *told = Some(problem);
}

/// Drops segments that are older than the retention and settled everywhere. Has a connection of its
/// own: detaching a segment waits for everyone who reads the log, and nothing may wait behind it.
///
/// # Errors
/// None; what cannot be dropped is dropped later.
pub async fn drop_old(
    settings: watch::Receiver<Arc<Settings>>,
    mut standing: watch::Receiver<Standing>,
    stop: CancellationToken,
) -> Result<()> {
    let Some(retention) = settings.borrow().log.retention else {
        stop.cancelled().await;
        return Ok(());
    };
    let link = Link::new(&settings.borrow().log.target, "rowhook retention");
    while streaming(&mut standing, &stop).await {
        // Those of now: a reload may have added some.
        let now = Arc::clone(&settings.borrow());
        let subscriptions: Vec<&str> = now
            .webhooks
            .iter()
            .map(|webhook| webhook.name.as_str())
            .collect();
        let dropping = async {
            retention::drop_old_segments(&link.connection().await?, retention, &subscriptions).await
        };
        let dropped = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            dropped = dropping => dropped,
        };
        match dropped {
            Ok(dropped) if dropped.is_empty() => {}
            Ok(dropped) => {
                tracing::info!(segments = ?dropped, "dropped old segments of the log")
            }
            Err(fault) => {
                tracing::warn!(error = %fault.cause(), "cannot drop old segments of the log")
            }
        }
        if !pause(RETENTION_INTERVAL, &stop).await {
            return Ok(());
        }
    }
    Ok(())
}

/// Waits until this instance streams; `false` if asked to stop.
async fn streaming(standing: &mut watch::Receiver<Standing>, stop: &CancellationToken) -> bool {
    let streams = |standing: &Standing| matches!(standing, Standing::Streaming { .. });
    tokio::select! {
        () = stop.cancelled() => false,
        seen = standing.wait_for(streams) => seen.is_ok(),
    }
}
