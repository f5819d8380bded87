//! Recurring chores beside the data's way: measure the slot, take in new tables, drop what is old.

mod attempts;
mod erasures;
mod indexing;
mod scheduled;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytesize::ByteSize;
use tokio::sync::oneshot::{self, error::TryRecvError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use self::attempts::drop_old_attempts;
pub use self::erasures::follow_erasures;
pub use self::indexing::index_segments;
pub use self::scheduled::forget_done_events;
use super::metrics::{Metrics, age};
use super::settings::Settings;
use super::wal_budget::{Forecast, Growth, Level};
use crate::beat::beat;
use crate::capture::Standing;
use crate::capture::tables::{self, Look};
use crate::event::Capture;
use crate::event_log::{Inlet, Link, Note, keys, retention};
use crate::failpoint::between_looks;
use crate::fault::Result;
use crate::wal::{Source, Target, server_error::sql_fault, slot};

/// How often the slot is measured.
const SLOT_INTERVAL: Duration = Duration::from_secs(5);
/// How long a partition is left alone after a lock on it could not be had: whoever waits for one
/// holds up everyone behind.
const LOCK_REST: Duration = Duration::from_secs(60);
/// How often old segments are looked for.
const RETENTION_INTERVAL: Duration = Duration::from_secs(60);

/// Less WAL than this behind the newest is no lag: positions with nothing to log are confirmed in
/// steps of this size.
pub const QUIET: u64 = 1 << 20;

/// Waits; `false` if asked to stop.
async fn pause(interval: Duration, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = stop.cancelled() => false,
        () = beat(interval) => true,
    }
}

/// Measures what the slot holds back, and says so at half of the WAL budget and at all of it: in the
/// log, in the metrics, and as an event.
///
/// # Errors
/// None; what cannot be measured is measured again later.
pub async fn watch_slot(
    source: Source,
    metrics: Arc<Metrics>,
    log: Link,
    inlet: Inlet,
    standing: watch::Receiver<Standing>,
    stop: CancellationToken,
) -> Result<()> {
    let link = Link::new(&source.target, "rowhook watch");
    let began = Instant::now();
    let mut growth = Growth::default();
    let mut level = Level::Fine;
    let mut news = News::default();
    while pause(between_looks(SLOT_INTERVAL), &stop).await {
        let measured = async { slot::retained(&link.connection().await?, &source.slot).await };
        let Ok(Some(retained)) = measured.await else {
            continue;
        };
        growth.add(began.elapsed(), retained.held_bytes);
        let forecast = Forecast {
            held: retained.held_bytes,
            budget: source.wal_budget,
            bytes_per_second: growth.bytes_per_second(),
        };
        metrics.slot_holds(&forecast);
        metrics.source_lag_bytes.set(retained.lag_bytes);
        metrics
            .source_lag_seconds
            .set(lag_seconds(&metrics, retained.lag_bytes));
        let now = Level::of(forecast.held, forecast.budget, level);
        if now != level {
            tell_level(now, &source.slot, &forecast);
            level = now;
        }
        // Only the one instance that writes the log has something to say in it.
        if !matches!(*standing.borrow(), Standing::StandBy { .. }) {
            news.follow(level, &forecast, &source.slot, &log, &inlet)
                .await;
        }
    }
    Ok(())
}

/// What the log's readers know of the level.
#[derive(Default)]
struct News {
    /// The level of the last event; `None` until the log was asked.
    noted: Option<Level>,
    /// An event that is on its way.
    under_way: Option<(Level, oneshot::Receiver<()>)>,
}

impl News {
    /// Hands in an event where the level is not what the last one said. One that is lost on its way
    /// is handed in again.
    async fn follow(
        &mut self,
        level: Level,
        forecast: &Forecast,
        slot: &str,
        log: &Link,
        inlet: &Inlet,
    ) {
        if let Some((sent, mut outcome)) = self.under_way.take() {
            match outcome.try_recv() {
                Ok(()) => self.noted = Some(sent),
                Err(TryRecvError::Empty) => {
                    self.under_way = Some((sent, outcome));
                    return;
                }
                Err(TryRecvError::Closed) => {}
            }
        }
        // A log that is away is no reason to wait: what it said last is asked for another time.
        let noted = match self.noted {
            Some(noted) => noted,
            None => noted_level(log).await.unwrap_or(Level::Fine),
        };
        if noted == level {
            self.noted = Some(noted);
            return;
        }
        let (note, outcome) = Note::new("rowhook.wal_budget", forecast.record(slot, level));
        if inlet.try_send(note).is_ok() {
            self.under_way = Some((level, outcome));
        }
    }
}

/// The level of the last event about it.
async fn noted_level(log: &Link) -> Result<Level> {
    let fault = |error| sql_fault("cannot read the last event about the WAL budget", error);
    let row = log
        .connection()
        .await?
        .query_opt(include_str!("../../sql/noted_wal_budget.sql"), &[])
        .await
        .map_err(fault)?;
    let word = row.map(|row| row.try_get::<_, Option<String>>(0));
    let word = word.transpose().map_err(fault)?.flatten();
    Ok(word.map_or(Level::Fine, |word| Level::parse(&word)))
}

fn tell_level(level: Level, slot: &str, forecast: &Forecast) {
    let (held, budget) = (ByteSize(forecast.held), ByteSize(forecast.budget));
    match level {
        Level::Fine => {
            tracing::info!(%slot, %held, %budget, "the slot holds back less than half of its WAL budget again")
        }
        Level::Half => {
            tracing::warn!(%slot, %held, %budget, left = %forecast, "the slot holds back more than half of its WAL budget")
        }
        Level::Over => {
            tracing::error!(%slot, %held, %budget, left = %forecast, "the slot holds back more than its WAL budget: the source's disk is at risk")
        }
    }
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

/// Looks for new tables that match, adds them to the publication, notes the keys of all, and sees
/// whether anybody took something out of the publication. Only while this instance streams: a
/// standby changes nothing.
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
    let mut troubles = Troubles::default();
    let mut noted = HashMap::new();
    while streaming(&mut standing, &stop).await {
        let look = async {
            let (source_side, log_side) = (link.connection().await?, log.connection().await?);
            let may_touch = |table: &str| troubles.may_touch(table, Instant::now());
            tables::refresh(&source_side, &log_side, &source, &capture, may_touch).await
        };
        // A database that does not answer must not hold up the stop.
        let look = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            look = look => look,
        };
        let done = match look {
            Ok(Look::Whole(refreshed)) => {
                tell_refreshed(&refreshed, &mut troubles);
                note_keys(&log, refreshed.keys, &mut noted).await
            }
            Ok(Look::Broken(broken)) => return Err(broken.fault()),
            Err(fault) => Err(fault),
        };
        match done {
            Ok(()) => told = None,
            Err(fault) => once(&mut told, fault.cause()),
        }
        if !pause(source.table_refresh, &stop).await {
            break;
        }
    }
    Ok(())
}

/// Notes the keys that are new since the last time.
async fn note_keys(
    log: &Link,
    keys: Vec<(u32, Vec<String>)>,
    noted: &mut HashMap<u32, Vec<String>>,
) -> Result<()> {
    for (relation, key) in keys {
        if noted.get(&relation) != Some(&key) {
            keys::note(&log.connection().await?, relation, &key).await?;
            noted.insert(relation, key);
        }
    }
    Ok(())
}

/// Tables with which something could not be done: what was told, and when to try again.
#[derive(Default)]
struct Troubles(HashMap<String, (String, Instant)>);

impl Troubles {
    fn may_touch(&self, table: &str, now: Instant) -> bool {
        self.0.get(table).is_none_or(|(_, again)| now >= *again)
    }

    /// Remembers a problem; `true` if it is news.
    fn note(&mut self, problem: &tables::Problem, now: Instant) -> bool {
        let again = if problem.can_wait {
            now + LOCK_REST
        } else {
            now
        };
        let entry = (problem.says.clone(), again);
        let before = self.0.insert(problem.table.clone(), entry);
        before.is_none_or(|(told, _)| told != problem.says)
    }
}

fn tell_refreshed(refreshed: &tables::Refreshed, troubles: &mut Troubles) {
    for table in &refreshed.joined {
        tracing::info!(%table, "a new table matches and is captured from now on");
    }
    for table in &refreshed.identified {
        tracing::info!(%table, "a new partition's old rows are carried whole from now on");
    }
    for done in refreshed.joined.iter().chain(&refreshed.identified) {
        troubles.0.remove(done);
    }
    for problem in &refreshed.problems {
        if troubles.note(problem, Instant::now()) {
            tracing::warn!(table = %problem.table, error = %problem.says, "cannot take in a table");
        }
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
        let max_lag = now.log.retention_max_lag;
        let dropping = async {
            let log = link.connection().await?;
            retention::drop_old_segments(&log, retention, max_lag, &subscriptions).await
        };
        let dropped = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            dropped = dropping => dropped,
        };
        match dropped {
            Ok(dropped) if dropped.segments.is_empty() => {}
            Ok(dropped) => {
                tracing::info!(segments = ?dropped.segments, "dropped old segments of the log");
                dropped.skipped.iter().for_each(retention::Skipped::tell);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_in_trouble_is_told_once_and_left_alone_if_it_can_wait() {
        let mut troubles = Troubles::default();
        let problem = |says: &str, can_wait| tables::Problem {
            table: "public.t".into(),
            says: says.into(),
            can_wait,
        };
        let now = Instant::now();
        assert!(troubles.may_touch("public.t", now));
        assert!(troubles.note(&problem("busy", true), now));
        assert!(!troubles.note(&problem("busy", true), now));
        assert!(!troubles.may_touch("public.t", now));
        assert!(troubles.may_touch("public.other", now));
        assert!(troubles.may_touch("public.t", now + LOCK_REST));
        assert!(troubles.note(&problem("not ours", false), now));
        assert!(troubles.may_touch("public.t", now));
    }
}
