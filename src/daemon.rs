//! The daemon: wires the stages, owns every task, orders start and stop.
//!
//! ```text
//!  capture (session after session) ──▶ log ──▶ one runner per subscription
//!     │ claims the epoch first              ▲
//!     └─ beside it: slot watch, new tables, retention, switchboard, HTTP, watchdog
//! ```
//!
//! Stopping: the stream is no longer read, what is complete is committed, requests in flight end
//! within a bound, cursors are saved. An unexpected end of any task stops the daemon.

mod runners;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::runners::{Dispatch, dispatch};
use crate::capture::backfill::{Backfiller, Handover};
use crate::capture::scheduler::{Scheduler, WAITING_GROUPS};
use crate::capture::{Capturer, Standing};
use crate::dispatch::recorder::{Recorder, Records};
use crate::dispatch::{Runner, Subscription, switchboard};
use crate::event_log::scheduled::{CHANNEL, Due};
use crate::event_log::{Link, Note, Tail, WAITING_NOTES};
use crate::fault::{Fault, Kind, Result};
use crate::ops::health::{Health, Stage};
use crate::ops::metrics::Metrics;
use crate::ops::pulse::Pulse;
use crate::ops::settings::Settings;
use crate::ops::{api, systemd, upkeep};

/// Pauses between capture sessions, doubled from one to the next.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A session that ran this long was a success: the next pause is the first one again.
const HEALTHY_SESSION: Duration = Duration::from_secs(30);
/// What the runners get to end in, beyond what they allow their requests.
const STOP_BOUND: Duration = Duration::from_secs(20);
/// All webhooks share a connection to the log: a flush that meets the lock of somebody else's session
/// is given up after this time, and made again a second later.
const LOCK_TIMEOUT: Duration = Duration::from_millis(250);

/// Runs until asked to stop by `stop`. New settings arrive on `settings`.
///
/// # Errors
/// The fault that stopped it.
pub async fn run(
    mut settings: watch::Receiver<Arc<Settings>>,
    stop: CancellationToken,
) -> Result<()> {
    let initial = Arc::clone(&settings.borrow_and_update());
    let shared = Shared::new(&initial);
    let mut tasks: JoinSet<Result<()>> = JoinSet::new();
    let (inlet, notes) = mpsc::channel(WAITING_NOTES);
    if let Some(listening) = &initial.api {
        let listener = api::bind(listening).await?;
        let parts = api::Parts {
            health: Arc::clone(&shared.health),
            metrics: Arc::clone(&shared.metrics),
            settings: settings.clone(),
            standing: shared.standing.subscribe(),
            tail: Arc::clone(&shared.tail),
            inlet: inlet.clone(),
        };
        tasks.spawn(api::serve(listener, parts, stop.clone()));
    }
    let (scheduled, due) = mpsc::channel(WAITING_GROUPS);
    let capturer = shared.capturer(&initial, notes, due);
    tasks.spawn(capture(capturer, stop.clone()));
    let scheduler = Scheduler {
        link: Link::relaxed(&initial.log.target, "rowhook schedule").listening(CHANNEL),
        inlet: scheduled,
        standing: shared.standing.subscribe(),
    };
    let link = scheduler.link.clone();
    tasks.spawn(scheduler.run(stop.clone()));
    tasks.spawn(upkeep::forget_done_events(
        link,
        shared.standing.subscribe(),
        stop.clone(),
    ));
    let link = Link::relaxed(&initial.log.target, "rowhook attempts");
    let (records, recorder) = Recorder::new(link, Arc::clone(&shared.metrics));
    // It ends when nobody has a record for it any more: after the dispatch.
    tasks.spawn(recorder.run());
    let runners = Dispatch::new(shared.clone(), records, settings.clone());
    tasks.spawn(dispatch(runners, stop.clone()));
    tasks.spawn(upkeep::follow_erasures(
        shared.link.clone(),
        inlet.clone(),
        Arc::clone(&shared.tail),
        shared.standing.subscribe(),
        stop.clone(),
    ));
    tasks.spawn(upkeep::watch_slot(
        initial.source.clone(),
        Arc::clone(&shared.metrics),
        shared.link.clone(),
        inlet,
        shared.standing.subscribe(),
        stop.clone(),
    ));
    tasks.spawn(upkeep::follow_tables(
        initial.source.clone(),
        initial.log.target.clone(),
        Arc::new(initial.capture.clone()),
        shared.standing.subscribe(),
        stop.clone(),
    ));
    let backfiller = Backfiller {
        source: initial.source.clone(),
        capture: Arc::new(initial.capture.clone()),
        log: initial.log.target.clone(),
        handover: Arc::clone(&shared.handover),
        standing: shared.standing.subscribe(),
    };
    tasks.spawn(backfiller.run(stop.clone()));
    tasks.spawn(upkeep::index_segments(
        initial.source.clone(),
        shared.link.clone(),
        shared.tail.head(),
        shared.standing.subscribe(),
        stop.clone(),
    ));
    tasks.spawn(upkeep::drop_old_attempts(
        initial.log.clone(),
        shared.standing.subscribe(),
        stop.clone(),
    ));
    tasks.spawn(upkeep::drop_old(
        settings,
        shared.standing.subscribe(),
        stop.clone(),
    ));
    tasks.spawn(systemd::notify(
        Arc::clone(&shared.health),
        shared.standing.subscribe(),
        stop.clone(),
    ));
    let outcome = first_end(&mut tasks, &stop).await;
    stop.cancel();
    systemd::stopping();
    let stopping = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_BOUND, stopping).await.is_err() {
        tracing::warn!("some tasks did not end in time and are cut off");
    }
    outcome
}

/// Waits for the first task that ends. Without having been asked to, that is a fault.
async fn first_end(tasks: &mut JoinSet<Result<()>>, stop: &CancellationToken) -> Result<()> {
    let ended = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        ended = tasks.join_next() => ended,
    };
    match ended {
        Some(Ok(Ok(()))) if stop.is_cancelled() => Ok(()),
        Some(Ok(Ok(()))) | None => Err(Fault::permanent("a part of the daemon ended by itself")),
        Some(Ok(Err(fault))) => Err(fault),
        Some(Err(error)) => Err(Fault::permanent("a part of the daemon broke").because(error)),
    }
}

/// What the tasks share.
#[derive(Clone)]
struct Shared {
    metrics: Arc<Metrics>,
    tail: Arc<Tail>,
    standing: watch::Sender<Standing>,
    health: Arc<Health>,
    /// The log, for everything but the writer.
    link: Link,
    /// Chunks of backfills, on their way to the capture session.
    handover: Arc<Handover>,
}

impl Shared {
    fn new(settings: &Settings) -> Self {
        let metrics = Arc::new(Metrics::default());
        let tail = Arc::new(Tail::new(0));
        let standing = watch::Sender::new(Standing::Connecting(None));
        let health = Arc::new(Health::new(Arc::clone(&metrics), standing.subscribe()));
        let link = Link::relaxed(&settings.log.target, "rowhook dispatch").impatient(LOCK_TIMEOUT);
        Self {
            metrics,
            tail,
            standing,
            health,
            link,
            handover: Arc::default(),
        }
    }

    fn runner(
        &self,
        settings: &Settings,
        subscription: &Arc<Subscription>,
        epoch: i64,
        states: &watch::Receiver<switchboard::States>,
        records: &Records,
        stage: Stage,
    ) -> Runner {
        Runner {
            subscription: Arc::clone(subscription),
            source: Arc::from(settings.source.target.database.as_str()),
            tail: Arc::clone(&self.tail),
            link: self.link.clone(),
            epoch,
            states: states.clone(),
            records: records.clone(),
            metrics: Arc::clone(&self.metrics),
            stage,
        }
    }

    fn capturer(
        &self,
        settings: &Settings,
        notes: mpsc::Receiver<Note>,
        due: mpsc::Receiver<Due>,
    ) -> Capturer {
        Capturer {
            source: settings.source.clone(),
            capture: Arc::new(settings.capture.clone()),
            log: settings.log.clone(),
            tail: Arc::clone(&self.tail),
            keep: !settings.webhooks.is_empty(),
            metrics: Arc::clone(&self.metrics),
            standing: self.standing.clone(),
            epoch: None,
            handover: Arc::clone(&self.handover),
            notes: Arc::new(Mutex::new(notes)),
            due: Arc::new(Mutex::new(due)),
        }
    }
}

/// Session after session, with growing pauses between those that fail.
async fn capture(mut capturer: Capturer, stop: CancellationToken) -> Result<()> {
    let mut pause = FIRST_PAUSE;
    loop {
        let began = tokio::time::Instant::now();
        let fault = match Box::pin(capturer.run(&stop)).await {
            Ok(_) => return Ok(()),
            Err(fault) if fault.kind() == Kind::Transient => fault,
            Err(fault) => return Err(fault),
        };
        capturer.metrics.reconnects.inc();
        capturer
            .standing
            .send_replace(Standing::Connecting(Some(fault.cause())));
        if began.elapsed() >= HEALTHY_SESSION {
            pause = FIRST_PAUSE;
        }
        tracing::warn!(error = %fault.cause(), next_try = ?pause, "capture is interrupted");
        if !wait(pause, &capturer.metrics.capture_pulse, &stop).await {
            return Ok(());
        }
        pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
    }
}

/// Waits with a beating pulse: waiting is progress, too. `false` if asked to stop.
async fn wait(pause: Duration, pulse: &Pulse, stop: &CancellationToken) -> bool {
    pulse.beat();
    tokio::select! {
        () = stop.cancelled() => false,
        () = tokio::time::sleep(pause) => {
            pulse.beat();
            true
        }
    }
}
