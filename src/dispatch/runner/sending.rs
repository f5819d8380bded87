//! Attempts: what is ready goes out, and what came of it is decided.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::time::Instant;

use super::{LOG_PAUSE, State};
use crate::dispatch::retry::{Step, next_step};
use crate::dispatch::window::{Fate, Job};
use crate::event_log::{Link, deliveries, read};
use crate::fault::{Fault, Result};
use crate::ops::metrics::age;
use crate::webhook::{Delivery, Format, Outcome, Sender, Verdict, delivery_id, render, verdict};

/// An attempt that ended.
pub(super) struct Attempt {
    job: Job,
    /// What came of it, and when the event was committed. `None`: the event is no longer in the
    /// log. `Err`: the log could not be asked. In both cases nothing was sent.
    outcome: Result<Option<(Outcome, i64)>>,
}

impl State {
    pub(super) fn send_ready(&mut self, now: Instant) {
        if self.paused() {
            return;
        }
        let concurrency = self.runner.subscription.concurrency.get();
        let limit = self.breaker.limit(now, concurrency);
        while let Some(job) = self.window.next(now, limit) {
            let sender = Arc::clone(&self.sender);
            let link = self.runner.link.clone();
            let (source, name) = (
                Arc::clone(&self.runner.source),
                self.runner.subscription.name.clone(),
            );
            let format = self.runner.subscription.endpoint.format;
            self.jobs.spawn(async move {
                let outcome = attempt(&sender, &link, &source, &name, format, &job).await;
                Attempt { job, outcome }
            });
        }
    }

    pub(super) async fn take_attempt(
        &mut self,
        ended: Result<Attempt, tokio::task::JoinError>,
    ) -> Result<()> {
        let Attempt { job, outcome } = ended
            .map_err(|error| Fault::permanent("a delivery ended in the middle").because(error))?;
        let (now, clock) = (Instant::now(), Timestamp::now());
        let (outcome, created_at) = match outcome {
            Ok(Some(outcome)) => outcome,
            Ok(None) => {
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
        let verdict = verdict(&outcome);
        let mut fate = self.decide(&job, &outcome, &verdict, now);
        self.count(&fate, created_at);
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
        let was_open = self.breaker.is_open();
        let counts = match verdict {
            Verdict::Retry { retry_after } => {
                let event = outcome.is_of_the_event().then_some(job.sequence_id);
                let counts = self.breaker.failure(event, now, rand::random());
                if let Some(after) = retry_after {
                    self.breaker.rest_until(now + *after);
                }
                counts
            }
            Verdict::Settled | Verdict::Dead { .. } => {
                self.breaker
                    .success(self.runner.subscription.concurrency.get());
                true
            }
            Verdict::PauseSubscription { .. } => true,
        };
        self.tell_breaker(was_open, outcome);
        if !counts {
            return Fate::NotCounted;
        }
        let step = next_step(
            &self.runner.subscription.retry,
            job.attempt,
            verdict,
            rand::random(),
        );
        Fate::Decided(step, outcome.to_string())
    }

    fn tell_breaker(&self, was_open: bool, outcome: &Outcome) {
        let webhook = &self.runner.subscription.name;
        match (was_open, self.breaker.is_open()) {
            (false, true) => {
                tracing::warn!(%webhook, last = %outcome, "the endpoint counts as down: events wait in the log, one probe at a time goes out");
            }
            (true, false) => tracing::info!(%webhook, "the endpoint is back"),
            _ => {}
        }
    }

    fn count(&self, fate: &Fate, created_at: i64) {
        let outcome = match fate {
            Fate::Decided(Step::Settle, _) => {
                let latency = age(created_at).as_secs_f64();
                self.runner
                    .metrics
                    .commit_to_delivered
                    .get_or_create(&self.labels.label)
                    .observe(latency);
                "delivered"
            }
            Fate::Decided(Step::Retry { .. }, _) => "retried",
            Fate::Decided(Step::Dead { .. }, said) => {
                tracing::warn!(webhook = %self.runner.subscription.name, last = %said, "a delivery is dead");
                "dead"
            }
            Fate::Decided(Step::Pause { .. }, _) => "paused",
            Fate::NotCounted | Fate::Postponed(_) => "held",
        };
        self.runner
            .metrics
            .attempt(&self.runner.subscription.name, outcome);
    }

    /// `false` if it could not be noted: the next attempt has to ask again.
    async fn pause(&mut self, reason: &str) -> Result<bool> {
        let name = &self.runner.subscription.name;
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

/// One attempt: reads the event if it is not in memory, renders it, sends it.
async fn attempt(
    sender: &Sender,
    link: &Link,
    source: &str,
    name: &str,
    format: Format,
    job: &Job,
) -> Result<Option<(Outcome, i64)>> {
    let stored;
    let event = match &job.event {
        Some(event) => event,
        None => {
            let connection = link.connection().await?;
            let Some(found) = read::by_sequence_id(&connection, job.sequence_id).await? else {
                return Ok(None);
            };
            stored = found;
            &stored
        }
    };
    let delivery = Delivery {
        id: delivery_id(event.event_id, name),
        attempt: job.attempt,
    };
    let body = render(event, source, name, &delivery, format);
    Ok(Some((
        sender.send(event, &delivery, body).await,
        event.created_at,
    )))
}
