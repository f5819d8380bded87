//! Attempts: what is ready goes out, and what came of it is decided.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::hands::Hands;
use super::together::Together;
use super::witness::Witness;
use super::{LOG_PAUSE, State};
use crate::dispatch::retry::{Step, next_step};
use crate::dispatch::window::{Fate, Job};
use crate::dispatch::{Choice, Subscription};
use crate::event::Event;
use crate::event_log::{Link, deliveries, read};
use crate::fault::Result;
use crate::ops::metrics::age;
use crate::webhook::{Delivery, Outcome, Renderer, Sender, Verdict, delivery_id};

/// An attempt that ended.
#[allow(
    clippy::large_enum_variant,
    reason = "the large one is the ordinary one: a box would cost each attempt an allocation"
)]
pub(super) enum Attempt {
    /// Of one event.
    One {
        job: Job,
        /// What came of it. `Err`: the log could not be asked, and nothing was sent.
        tried: Result<Tried>,
    },
    /// Of several events together.
    Together(Together),
}

/// What came of an attempt.
pub(super) enum Tried {
    /// It was made.
    Made {
        outcome: Outcome,
        /// When the event was committed.
        created_at: i64,
    },
    /// The event is no longer in the log.
    Gone,
    /// The event is not wanted any more.
    Unwanted,
}

impl Tried {
    /// Whether a request was made.
    fn was_sent(&self) -> bool {
        matches!(self, Self::Made { outcome, .. } if outcome.is_of_the_endpoint())
    }
}

/// What the attempts of a subscription share.
pub(super) struct Desk {
    pub(super) subscription: Arc<Subscription>,
    pub(super) renderer: Renderer,
    pub(super) sender: Sender,
    pub(super) link: Link,
    pub(super) witness: Witness,
}

impl State {
    pub(super) fn send_ready(&mut self, now: Instant) {
        if self.paused() {
            return;
        }
        let limit = self.limit(now);
        while self.may_send(now)
            && let Some(jobs) = self.next_jobs(now, limit)
        {
            self.spend(now);
            self.hands.begin(jobs);
        }
    }

    pub(super) async fn take_attempt(&mut self, ended: Attempt) -> Result<()> {
        let (job, tried) = match ended {
            Attempt::One { job, tried } => (job, tried),
            Attempt::Together(together) => return self.take_together(together).await,
        };
        if !tried.as_ref().is_ok_and(Tried::was_sent) {
            self.refund();
        }
        let (now, clock) = (Instant::now(), Timestamp::now());
        let (outcome, created_at) = match tried {
            Ok(Tried::Made {
                outcome,
                created_at,
            }) => (outcome, created_at),
            Ok(Tried::Unwanted) => {
                let fate = Fate::Decided(Step::Settle, String::new());
                self.window.finished(&job.lane, fate, now, clock);
                return Ok(());
            }
            Ok(Tried::Gone) => {
                let gone = Step::Dead {
                    reason: "the event is no longer in the log".to_owned(),
                };
                self.window.finished(
                    &job.lane,
                    Fate::Decided(gone, "not sent".to_owned()),
                    now,
                    clock,
                );
                return Ok(());
            }
            Err(fault) => {
                self.window
                    .finished(&job.lane, Fate::Postponed(LOG_PAUSE), now, clock);
                return self.survive(fault);
            }
        };
        let verdict = self.runner.subscription.retry.statuses.verdict(&outcome);
        let mut fate = self.decide(&job, &outcome, &verdict, now);
        self.count(&fate, created_at);
        if matches!(fate, Fate::Decided(Step::Settle, _)) {
            self.count_replayed();
        }
        if let Fate::Decided(Step::Pause { reason }, _) = &fate
            && !self.pause(reason).await?
        {
            fate = Fate::Postponed(LOG_PAUSE);
        }
        self.window.finished(&job.lane, fate, now, clock);
        Ok(())
    }

    /// What follows: the breaker first, because an endpoint that is down says nothing of the event.
    fn decide(&mut self, job: &Job, outcome: &Outcome, verdict: &Verdict, now: Instant) -> Fate {
        let rest = outcome.asks_for_rest();
        if !self.consult_breaker(job.sequence_id, outcome, verdict, rest, now) {
            return Fate::NotCounted;
        }
        let step = next_step(
            &self.runner.subscription.retry,
            job.attempt,
            verdict,
            rand::random(),
        );
        // Nothing is said of what went well.
        let said = match &step {
            Step::Settle => String::new(),
            _ => outcome.to_string(),
        };
        Fate::Decided(step, said)
    }

    /// Tells the breaker of an attempt, and for how long (`rest`) no other is wanted; says whether it
    /// counts.
    pub(super) fn consult_breaker(
        &mut self,
        sequence_id: i64,
        outcome: &Outcome,
        verdict: &Verdict,
        rest: Option<Duration>,
        now: Instant,
    ) -> bool {
        let was_open = self.breaker.is_open();
        let counts = match (verdict, rest) {
            _ if !outcome.is_of_the_endpoint() => true,
            (Verdict::Retry { .. }, Some(wait)) => self.breaker.rest(now, wait, rand::random()),
            (Verdict::Retry { retry_after }, None) => {
                let event = outcome.is_of_the_event().then_some(sequence_id);
                let counts = self.breaker.failure(event, now, rand::random());
                if let Some(after) = retry_after {
                    self.breaker.rest_until(now, *after);
                }
                counts
            }
            (Verdict::Settled | Verdict::Dead { .. }, _) => {
                let concurrency = self.runner.subscription.concurrency.get();
                self.breaker.success(now, concurrency);
                true
            }
            (Verdict::PauseSubscription { .. }, _) => true,
        };
        self.tell_breaker(was_open, outcome, rest);
        self.note_breaker(outcome);
        counts
    }

    fn tell_breaker(&self, was_open: bool, outcome: &Outcome, rest: Option<Duration>) {
        let webhook = &self.runner.subscription.name;
        match (was_open, self.breaker.is_open(), rest) {
            (false, true, Some(rest)) => {
                tracing::warn!(%webhook, last = %outcome, ?rest, "the endpoint asks for a rest: events wait in the log until it is over");
            }
            (false, true, None) => {
                tracing::warn!(%webhook, last = %outcome, "the endpoint counts as down: events wait in the log, one probe at a time goes out");
            }
            (true, false, _) => tracing::info!(%webhook, "the endpoint is back"),
            _ => {}
        }
    }

    pub(super) fn count(&mut self, fate: &Fate, created_at: i64) {
        let outcome = match fate {
            Fate::Decided(Step::Settle, _) => {
                let latency = age(created_at).as_secs_f64();
                self.labels.commit_to_delivered.observe(latency);
                self.labels.delivered.inc();
                return;
            }
            Fate::Decided(Step::Retry { .. }, _) => "retried",
            Fate::Decided(Step::Dead { .. }, said) => {
                if self.deaths.count(Instant::now()) {
                    tracing::warn!(webhook = %self.runner.subscription.name, last = %said, "a delivery is dead");
                }
                "dead"
            }
            Fate::Decided(Step::Pause { .. }, _) => "paused",
            Fate::NotCounted | Fate::Apart | Fate::Postponed(_) => "held",
        };
        self.runner
            .metrics
            .attempt(&self.runner.subscription.name, outcome);
    }

    /// Dead deliveries that were not told one by one.
    pub(super) fn tell_deaths(&self, untold: Option<u64>) {
        let Some(deliveries) = untold else { return };
        tracing::warn!(webhook = %self.runner.subscription.name, deliveries, "more deliveries are dead; `rowhook deliveries list` shows them");
    }

    /// `false` if it could not be noted: the next attempt has to ask again.
    pub(super) async fn pause(&mut self, reason: &str) -> Result<bool> {
        let name = self.runner.subscription.webhook();
        tracing::error!(webhook = %name, %reason, "the webhook is paused; `rowhook webhooks resume` goes on");
        let paused = async {
            let connection = self.runner.link.connection().await?;
            deliveries::set_paused(&connection, name, Some(reason)).await
        };
        match paused.await {
            Ok(since) => {
                self.pausing = since;
                Ok(true)
            }
            Err(fault) => self.survive(fault).map(|()| false),
        }
    }
}

impl Desk {
    /// Those that make the attempts of the subscription.
    pub(super) fn hands(self: &Arc<Self>) -> Hands<Vec<Job>, Attempt> {
        let desk = Arc::clone(self);
        Hands::new(self.subscription.concurrency.get(), move |jobs| {
            let desk = Arc::clone(&desk);
            async move { desk.attempt_all(jobs).await }
        })
    }

    /// One attempt of one event, or of several together.
    async fn attempt_all(&self, mut jobs: Vec<Job>) -> Attempt {
        match jobs.pop() {
            Some(job) if jobs.is_empty() => {
                let tried = self.attempt(&job).await;
                Attempt::One { job, tried }
            }
            last => {
                jobs.extend(last);
                Attempt::Together(self.attempt_together(jobs).await)
            }
        }
    }

    /// One attempt: reads the event if it is not in memory, renders it, sends it.
    async fn attempt(&self, job: &Job) -> Result<Tried> {
        let stored;
        let event = match &job.event {
            Some(event) => event,
            None => {
                let connection = self.link.connection().await?;
                let Some(found) = read::by_sequence_id(&connection, job.sequence_id).await? else {
                    return Ok(Tried::Gone);
                };
                stored = found;
                &stored
            }
        };
        let made = |outcome| Tried::Made {
            outcome,
            created_at: event.created_at,
        };
        if job.doubtful {
            match self.subscription.choose(event) {
                Choice::Wanted => {}
                Choice::Filtered(_) => return Ok(Tried::Unwanted),
                Choice::Failed(reason) => {
                    let outcome = Outcome::NotRendered { reason };
                    self.remember(event, job, &outcome, std::time::Instant::now());
                    return Ok(made(outcome));
                }
            }
        }
        let delivery = Delivery {
            id: delivery_id(event.event_id, &self.subscription.name),
            attempt: job.attempt,
            replay: self.replay(),
        };
        let began = std::time::Instant::now();
        if self.subscription.batch.is_some() {
            let outcome = self.send_together(&[(event, delivery)]).await;
            self.remember(event, job, &outcome, began);
            return Ok(made(outcome));
        }
        let outcome = match self.renderer.render(event, &delivery) {
            Ok(body) => self.sender.send(event, &delivery, body).await,
            Err(reason) => Outcome::NotRendered { reason },
        };
        self.remember(event, job, &outcome, began);
        Ok(made(outcome))
    }

    fn remember(&self, event: &Event, job: &Job, outcome: &Outcome, began: std::time::Instant) {
        let took = self.witness.timed(outcome, began);
        self.witness
            .saw(event, job.attempt, outcome, took, self.replay());
    }

    /// The replay that its attempts are a part of.
    pub(super) fn replay(&self) -> Option<i64> {
        self.subscription.replay.as_ref().map(|replay| replay.id)
    }
}
