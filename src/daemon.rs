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

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::capture::backfill::{Backfiller, Handover};
use crate::capture::scheduler::{Scheduler, WAITING_GROUPS};
use crate::capture::{Capturer, Standing};
use crate::dispatch::recorder::{Recorder, Records};
use crate::dispatch::replays::{Replays, RunnerOf};
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
    let for_dispatch = Dispatch {
        records,
        shared: shared.clone(),
        settings: settings.clone(),
        tasks: JoinSet::new(),
        running: HashMap::new(),
    };
    tasks.spawn(dispatch(for_dispatch, stop.clone()));
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

/// The subscriptions at work.
struct Dispatch {
    shared: Shared,
    records: Records,
    settings: watch::Receiver<Arc<Settings>>,
    tasks: JoinSet<Ended>,
    /// The runners of the settings that hold now, by name.
    running: HashMap<String, Running>,
}

/// A runner at work.
struct Running {
    /// What it serves.
    subscription: Arc<Subscription>,
    /// Asks it to stop.
    stop: CancellationToken,
    /// Says that it has.
    ended: CancellationToken,
}

impl Running {
    /// Whether it goes on as it is: nothing of its subscription has changed.
    fn serves(&self, subscription: &Subscription) -> bool {
        !self.stop.is_cancelled() && *self.subscription == *subscription
    }
}

/// What new settings changed: names of webhooks.
#[derive(Debug, Default)]
struct Change {
    added: Vec<String>,
    changed: Vec<String>,
    removed: Vec<String>,
}

/// A runner that ended.
struct Ended {
    asked: bool,
    outcome: Result<()>,
}

/// Starts the runners once the log is claimed, and again when the settings have changed.
async fn dispatch(mut dispatch: Dispatch, stop: CancellationToken) -> Result<()> {
    let Some(epoch) = claimed(dispatch.shared.standing.subscribe(), &stop).await else {
        return Ok(());
    };
    let (states, seen) = watch::channel(switchboard::States::default());
    let mut switchboard = JoinSet::new();
    let link = dispatch.shared.link.clone();
    let now = dispatch.settings.clone();
    switchboard.spawn(switchboard::follow(
        link,
        states,
        Arc::clone(&dispatch.shared.metrics),
        move || names(&now.borrow()),
        stop.clone(),
    ));
    let mut replays = JoinSet::new();
    replays.spawn(dispatch.replays(epoch, &seen).run(stop.clone()));
    let mut is_reload = false;
    loop {
        let settings = Arc::clone(&dispatch.settings.borrow_and_update());
        let change = dispatch.start(&settings, epoch, &seen, &stop);
        if std::mem::replace(&mut is_reload, true) {
            let [added, changed, removed] =
                [change.added, change.changed, change.removed].map(|names| names.join(", "));
            tracing::info!(%added, %changed, %removed, "webhooks reloaded");
        }
        let outcome = tokio::select! {
            ended = first_runner_end(&mut dispatch.tasks) => ended,
            _ = switchboard.join_next() => match stop.is_cancelled() {
                true => Ok(()),
                false => Err(Fault::permanent("nobody looks at the webhooks' states any more")),
            },
            ended = replays.join_next() => replays_ended(ended, &stop),
            changed = dispatch.settings.changed() => changed.map_err(|_| Fault::permanent("nobody holds the settings")),
            () = stop.cancelled() => Ok(()),
        };
        if outcome.is_err() || stop.is_cancelled() {
            dispatch.end().await;
            while replays.join_next().await.is_some() {}
            return outcome;
        }
    }
}

/// Without having been asked to, the end of the replays is a fault.
fn replays_ended(
    ended: Option<Result<Result<()>, tokio::task::JoinError>>,
    stop: &CancellationToken,
) -> Result<()> {
    match ended {
        Some(Ok(Err(fault))) => Err(fault),
        _ if stop.is_cancelled() => Ok(()),
        _ => Err(Fault::permanent("nobody looks at the replays any more")),
    }
}

fn names(settings: &Settings) -> Vec<String> {
    let webhooks = settings.webhooks.iter();
    webhooks.map(|webhook| webhook.name.clone()).collect()
}

/// Waits for the stream to run; gives the epoch.
async fn claimed(mut standing: watch::Receiver<Standing>, stop: &CancellationToken) -> Option<i64> {
    loop {
        if let Standing::Streaming { epoch } = *standing.borrow_and_update() {
            return Some(epoch);
        }
        tokio::select! {
            () = stop.cancelled() => return None,
            changed = standing.changed() => changed.ok()?,
        }
    }
}

impl Dispatch {
    /// Starts a runner for each webhook that is new or has changed, and ends those of the settings
    /// before. Each one waits for its own predecessor alone: a slow receiver does not hold up the
    /// others, and a webhook that is as it was goes on undisturbed.
    fn start(
        &mut self,
        settings: &Settings,
        epoch: i64,
        states: &watch::Receiver<switchboard::States>,
        stop: &CancellationToken,
    ) -> Change {
        let mut change = Change::default();
        let mut before = std::mem::take(&mut self.running);
        for subscription in &settings.webhooks {
            let name = subscription.name.clone();
            let predecessor = match before.remove(&name) {
                Some(running) if running.serves(subscription) => {
                    self.running.insert(name, running);
                    continue;
                }
                predecessor => predecessor,
            };
            match &predecessor {
                Some(running) if !running.stop.is_cancelled() => {
                    running.stop.cancel();
                    change.changed.push(name);
                }
                _ => change.added.push(name),
            }
            let subscription = Arc::new(subscription.clone());
            let stage = self.shared.health.stage(&subscription.name);
            let runner =
                self.shared
                    .runner(settings, &subscription, epoch, states, &self.records, stage);
            let name = subscription.name.clone();
            let running = Running {
                subscription,
                stop: stop.child_token(),
                ended: CancellationToken::new(),
            };
            let (stop, ended) = (running.stop.clone(), running.ended.clone().drop_guard());
            self.tasks.spawn(async move {
                if let Some(predecessor) = predecessor {
                    predecessor.ended.cancelled().await;
                }
                let outcome = runner.run(stop.clone()).await;
                drop(ended);
                Ended {
                    asked: stop.is_cancelled(),
                    outcome,
                }
            });
            self.running.insert(name, running);
        }
        for (name, running) in &before {
            if !running.stop.is_cancelled() {
                running.stop.cancel();
                change.removed.push(name.clone());
            }
        }
        change.removed.sort_unstable();
        // One that was removed and comes back has to wait for its end, too.
        before.retain(|_, running| !running.ended.is_cancelled());
        self.running.extend(before);
        change
    }

    /// What looks after the replays. Their stages are no matter of health: they wait for others. A
    /// statement looks through a large part of the log: that must not hold up live flushes.
    fn replays(&self, epoch: i64, states: &watch::Receiver<switchboard::States>) -> Replays {
        let (mut shared, seen) = (self.shared.clone(), states.clone());
        shared.link = self.shared.link.beside("rowhook replays");
        let link = shared.link.clone();
        let (settings, records) = (self.settings.clone(), self.records.clone());
        let runner_of: RunnerOf = Box::new(move |name| {
            let now = Arc::clone(&settings.borrow());
            let named = now.webhooks.iter().find(|webhook| webhook.name == name)?;
            let subscription = Arc::new(named.clone());
            let stage = Stage::default();
            Some(shared.runner(&now, &subscription, epoch, &seen, &records, stage))
        });
        Replays::new(
            link,
            Arc::clone(&self.shared.metrics),
            states.clone(),
            runner_of,
        )
    }

    /// Ends all runners.
    async fn end(&mut self) {
        for running in self.running.values() {
            running.stop.cancel();
        }
        while let Some(ended) = self.tasks.join_next().await {
            if let Ok(Ended {
                outcome: Err(fault),
                ..
            }) = ended
            {
                ended_badly(&fault);
            }
        }
    }
}

fn ended_badly(fault: &Fault) {
    tracing::warn!(error = %fault.cause(), "a webhook's runner did not end well");
}

/// Waits for a runner that ends without having been asked to; for ever, if there are none.
async fn first_runner_end(tasks: &mut JoinSet<Ended>) -> Result<()> {
    loop {
        match tasks.join_next().await {
            None => std::future::pending().await,
            Some(Ok(Ended {
                asked: true,
                outcome,
            })) => match outcome {
                Err(fault) if fault.is_transient() => ended_badly(&fault),
                outcome => outcome?,
            },
            Some(Ok(Ended {
                asked: false,
                outcome,
            })) => {
                outcome?;
                return Err(Fault::permanent("a webhook's runner ended by itself"));
            }
            Some(Err(error)) => {
                return Err(Fault::permanent("a webhook's runner broke").because(error));
            }
        }
    }
}
