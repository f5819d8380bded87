//! Replays at work: one task looks for those that were asked for, and owns their runners.
//!
//! ```text
//!  asked for ─▶ waiting ─▶ running ─▶ done ◀─▶ running again, for dead ones that are requeued
//!                  └──────────┴─────▶ cancelled, failed
//! ```
//!
//! One replay of a webhook runs at a time; those behind it wait. The rows are the truth: after a
//! restart an open replay goes on from its cursor.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::replay::{Hold, Replay, hold};
use super::switchboard::States;
use super::{Runner, Subscription};
use crate::beat::beat;
use crate::event_log::Link;
use crate::event_log::replays::{self, ReplayRow, State};
use crate::failpoint::between_looks;
use crate::fault::{Fault, Kind, Result};
use crate::ops::metrics::{Metrics, WebhookLabel};
use crate::wal::Connection;

/// How often new requests, and changes of the settings, are looked for.
const INTERVAL: Duration = Duration::from_secs(2);

/// Makes the runner of a webhook as the settings are now; `None` if they have none of that name.
pub type RunnerOf = Box<dyn Fn(&str) -> Option<Runner> + Send + Sync>;

/// The replays of a daemon.
pub struct Replays {
    link: Link,
    metrics: Arc<Metrics>,
    states: watch::Receiver<States>,
    runner_of: RunnerOf,
    running: HashMap<i64, Running>,
    tasks: JoinSet<Ended>,
}

/// A replay at work.
struct Running {
    subscription: Arc<Subscription>,
    stop: CancellationToken,
}

/// A replay's runner that ended.
struct Ended {
    id: i64,
    outcome: Result<()>,
}

/// Why a replay waits for its webhook, as far as the webhook's own runner shows it.
pub(super) fn hold_of(metrics: &Metrics, webhook: &WebhookLabel, is_paused: bool) -> Option<Hold> {
    let is_down = metrics.breaker_open.get_or_create(webhook).get() != 0;
    let lag = metrics.subscription_lag.get_or_create(webhook).get();
    hold(is_paused, is_down, lag)
}

impl Replays {
    /// None, for now.
    #[must_use]
    pub fn new(
        link: Link,
        metrics: Arc<Metrics>,
        states: watch::Receiver<States>,
        runner_of: RunnerOf,
    ) -> Self {
        Self {
            link,
            metrics,
            states,
            runner_of,
            running: HashMap::new(),
            tasks: JoinSet::new(),
        }
    }

    /// Runs until asked to stop.
    ///
    /// # Errors
    /// Fenced, if another instance serves the log; permanent, if a runner broke.
    pub async fn run(mut self, stop: CancellationToken) -> Result<()> {
        let mut told = None;
        loop {
            let looked = tokio::select! {
                () = stop.cancelled() => break,
                looked = self.look(&stop) => looked,
            };
            tell_once(&mut told, looked.err());
            tokio::select! {
                () = stop.cancelled() => break,
                Some(ended) = self.tasks.join_next() => {
                    let ended = ended.map_err(|error| Fault::permanent("a replay's runner broke").because(error))?;
                    self.take_end(ended).await?;
                }
                () = beat(between_looks(INTERVAL)) => {}
            }
        }
        while let Some(ended) = self.tasks.join_next().await {
            if let Ok(Ended {
                id,
                outcome: Err(fault),
            }) = ended
            {
                tracing::warn!(replay = id, error = %fault.cause(), "a replay's runner did not end well");
            }
        }
        Ok(())
    }

    async fn look(&mut self, stop: &CancellationToken) -> Result<()> {
        let connection = self.link.connection().await?;
        let rows = replays::kept(&connection).await?;
        for (id, running) in &self.running {
            if !rows.iter().any(|row| row.id == *id) {
                running.stop.cancel();
            }
        }
        // One for each webhook: the one that runs, or else the oldest.
        let running = |row: &&ReplayRow| row.has_work() && self.running.contains_key(&row.id);
        let mut at_work: HashMap<String, i64> = rows
            .iter()
            .filter(running)
            .map(|row| (row.request.webhook.clone(), row.id))
            .collect();
        for row in &rows {
            if !row.has_work() {
                self.close(&connection, row).await?;
                continue;
            }
            let first = *at_work.entry(row.request.webhook.clone()).or_insert(row.id);
            let says = if first == row.id {
                match self.serve(row, stop) {
                    Ok(says) => says,
                    Err(reason) => {
                        self.fail(&connection, row.id, &reason).await?;
                        continue;
                    }
                }
            } else {
                (State::Waiting, Some(format!("waits behind replay {first}")))
            };
            note(&connection, row, says).await?;
        }
        Ok(())
    }

    /// Starts what has work and does not run, and ends what runs otherwise than the settings say;
    /// it is started anew at a later look. Gives what to note.
    fn serve(
        &mut self,
        row: &ReplayRow,
        stop: &CancellationToken,
    ) -> Result<(State, Option<String>), String> {
        let replay = Replay::of(row)?;
        let running = self.running.get(&row.id);
        let Some(mut runner) = (self.runner_of)(&row.request.webhook) else {
            if let Some(running) = running {
                running.stop.cancel();
            }
            return Ok((
                row.state,
                Some("waits: the webhook is not in the settings".to_owned()),
            ));
        };
        let subscription = Arc::new(runner.subscription.replaying(&row.name, replay));
        if let Some(running) = running {
            if running.subscription != subscription {
                running.stop.cancel();
            }
            return Ok((State::Running, self.held(&row.request.webhook)));
        }
        runner.subscription = subscription;
        self.start(row, runner, stop);
        Ok((State::Running, self.held(&row.request.webhook)))
    }

    fn start(&mut self, row: &ReplayRow, runner: Runner, stop: &CancellationToken) {
        tracing::info!(replay = row.id, webhook = %row.request.webhook, after = row.cursor, up_to = row.request.up_to, "a replay runs");
        let stop = stop.child_token();
        let running = Running {
            subscription: Arc::clone(&runner.subscription),
            stop: stop.clone(),
        };
        self.running.insert(row.id, running);
        let id = row.id;
        self.tasks.spawn(async move {
            let outcome = runner.run(stop).await;
            Ended { id, outcome }
        });
    }

    fn held(&self, webhook: &str) -> Option<String> {
        let label = WebhookLabel {
            webhook: webhook.to_owned(),
        };
        let is_paused = self.states.borrow().is_paused(webhook);
        hold_of(&self.metrics, &label, is_paused).map(|hold| hold.to_string())
    }

    /// One that was ended by somebody, or is done.
    async fn close(&mut self, connection: &Connection, row: &ReplayRow) -> Result<()> {
        if let Some(running) = self.running.get(&row.id) {
            running.stop.cancel();
            return Ok(());
        }
        let keeps_dead_alone = row.dead > 0 && row.waiting == 0;
        if !keeps_dead_alone && replays::tidy(connection, row).await? {
            self.metrics.forget(&row.name);
        }
        Ok(())
    }

    async fn take_end(&mut self, ended: Ended) -> Result<()> {
        let Ended { id, outcome } = ended;
        let was_asked = self
            .running
            .remove(&id)
            .is_none_or(|running| running.stop.is_cancelled());
        match outcome {
            Ok(()) if was_asked => Ok(()),
            Ok(()) => {
                tracing::info!(replay = id, "a replay is done");
                self.end(id, State::Done, None).await;
                Ok(())
            }
            Err(fault) if fault.kind() == Kind::Fenced => Err(fault),
            Err(fault) if fault.is_transient() => {
                tracing::warn!(replay = id, error = %fault.cause(), "a replay is interrupted");
                Ok(())
            }
            Err(fault) => {
                tracing::error!(replay = id, error = %fault.cause(), "a replay failed");
                self.end(id, State::Failed, Some(&fault.cause())).await;
                Ok(())
            }
        }
    }

    /// A log that cannot be asked leaves it open: it is taken up again and ends at once.
    async fn end(&self, id: i64, state: State, reason: Option<&str>) {
        let end = async {
            let connection = self.link.connection().await?;
            replays::end(&connection, id, state, reason).await
        };
        if let Err(fault) = end.await {
            tracing::warn!(replay = id, error = %fault.cause(), "the end of a replay cannot be noted");
        }
    }

    async fn fail(&self, connection: &Connection, id: i64, reason: &str) -> Result<()> {
        if replays::end(connection, id, State::Failed, Some(reason)).await? {
            tracing::error!(replay = id, %reason, "a replay failed");
        }
        Ok(())
    }
}

async fn note(
    connection: &Connection,
    row: &ReplayRow,
    (state, reason): (State, Option<String>),
) -> Result<()> {
    if (row.state, &row.reason) == (state, &reason) {
        return Ok(());
    }
    replays::note(connection, row.id, state, reason.as_deref()).await
}

/// A log that is away says so once.
fn tell_once(told: &mut Option<String>, fault: Option<Fault>) {
    let problem = fault.map(|fault| fault.cause());
    if let Some(problem) = problem
        .as_ref()
        .filter(|problem| told.as_ref() != Some(problem))
    {
        tracing::warn!(error = %problem, "cannot look for replays");
    }
    *told = problem;
}
