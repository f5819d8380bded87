//! The webhooks' runners: one for each webhook of the settings that hold now, over every reload.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Shared;
use crate::capture::Standing;
use crate::dispatch::recorder::Records;
use crate::dispatch::replays::{Replays, RunnerOf};
use crate::dispatch::{Subscription, switchboard};
use crate::fault::{Fault, Result};
use crate::ops::health::Stage;
use crate::ops::settings::Settings;

/// The subscriptions at work.
pub(super) struct Dispatch {
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
pub(super) async fn dispatch(mut dispatch: Dispatch, stop: CancellationToken) -> Result<()> {
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
    pub(super) fn new(
        shared: Shared,
        records: Records,
        settings: watch::Receiver<Arc<Settings>>,
    ) -> Self {
        Self {
            shared,
            records,
            settings,
            tasks: JoinSet::new(),
            running: HashMap::new(),
        }
    }

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
