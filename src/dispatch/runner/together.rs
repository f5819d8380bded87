//! Attempts of several events in one request.

use std::collections::HashSet;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::sending::Desk;
use super::{LOG_PAUSE, State};
use crate::dispatch::Choice;
use crate::dispatch::lane::LaneKey;
use crate::dispatch::retry::{Step, next_step};
use crate::dispatch::window::{Fate, Job, QUICK_DELAY};
use crate::event::Event;
use crate::fault::Result;
use crate::webhook::{Batch, Delivery, Outcome, Verdict, delivery_id};

/// An attempt of several events that ended.
pub(super) struct Together {
    parts: Vec<Part>,
    /// What came of the request; `None` if there was nothing to send.
    outcome: Option<Outcome>,
}

/// One of the events.
struct Part {
    lane: LaneKey,
    sequence_id: i64,
    attempt: u32,
    created_at: i64,
    share: Share,
}

/// What an event had of the request.
enum Share {
    /// It was in it.
    Sent,
    /// It is not wanted any more.
    Unwanted,
    /// Nobody can tell whether it is wanted.
    Unclear(String),
    /// It stands behind one of its lane that was not sent.
    Held,
}

impl Desk {
    /// One attempt of several events: those that are wanted go, in their order.
    pub(super) async fn attempt_together(&self, jobs: Vec<Job>) -> Together {
        let mut blocked: HashSet<LaneKey> = HashSet::new();
        let (mut parts, mut sent) = (Vec::new(), Vec::new());
        for job in &jobs {
            // From the log it would be alone.
            let Some(event) = &job.event else { continue };
            let share = self.share(job, event, &blocked);
            match share {
                Share::Sent => sent.push((&**event, self.delivery(job, event))),
                Share::Unclear(_) => {
                    blocked.insert(job.lane.clone());
                }
                Share::Unwanted | Share::Held => {}
            }
            parts.push(Part {
                lane: job.lane.clone(),
                sequence_id: job.sequence_id,
                attempt: job.attempt,
                created_at: event.created_at,
                share,
            });
        }
        let began = Instant::now();
        let outcome = if sent.is_empty() {
            None
        } else {
            Some(self.send_together(&sent).await)
        };
        self.remember_all(&jobs, &parts, outcome.as_ref(), began.into_std());
        Together { parts, outcome }
    }

    /// One request was an attempt of each event in it.
    fn remember_all(
        &self,
        jobs: &[Job],
        parts: &[Part],
        outcome: Option<&Outcome>,
        began: std::time::Instant,
    ) {
        let took = outcome.map(|outcome| self.witness.timed(outcome, began));
        let events = jobs.iter().filter_map(|job| job.event.as_ref());
        for (event, part) in events.zip(parts) {
            match (&part.share, outcome.zip(took)) {
                (Share::Sent, Some((outcome, took))) => {
                    self.witness
                        .saw(event, part.attempt, outcome, took, self.replay());
                }
                (Share::Unclear(reason), _) => {
                    let outcome = Outcome::NotRendered {
                        reason: reason.clone(),
                    };
                    let took = self.witness.timed(&outcome, std::time::Instant::now());
                    self.witness
                        .saw(event, part.attempt, &outcome, took, self.replay());
                }
                _ => {}
            }
        }
    }

    fn share(&self, job: &Job, event: &Event, blocked: &HashSet<LaneKey>) -> Share {
        if blocked.contains(&job.lane) {
            return Share::Held;
        }
        if !job.doubtful {
            return Share::Sent;
        }
        match self.subscription.choose(event) {
            Choice::Wanted => Share::Sent,
            Choice::Filtered(_) => Share::Unwanted,
            Choice::Failed(reason) => Share::Unclear(reason),
        }
    }

    fn delivery(&self, job: &Job, event: &Event) -> Delivery {
        Delivery {
            id: delivery_id(event.event_id, &self.subscription.name),
            attempt: job.attempt,
            replay: self.replay(),
        }
    }

    /// Sends events as a list, be it of one.
    pub(super) async fn send_together(&self, events: &[(&Event, Delivery)]) -> Outcome {
        let Some(batch) = Batch::of(events, &self.subscription.name) else {
            let reason = "a batch without events".to_owned();
            return Outcome::NotRendered { reason };
        };
        match self.renderer.render_batch(events) {
            Ok(body) => self.sender.send_batch(&batch, body).await,
            Err(reason) => Outcome::NotRendered { reason },
        }
    }
}

impl State {
    pub(super) async fn take_together(&mut self, ended: Together) -> Result<()> {
        let (now, clock) = (Instant::now(), Timestamp::now());
        let Together { parts, outcome } = ended;
        let sent = parts
            .iter()
            .filter(|part| matches!(part.share, Share::Sent));
        let several = sent.count() > 1;
        let fate = match &outcome {
            Some(outcome) => self.common_fate(&parts, several, outcome, now).await?,
            None => Common::Nothing,
        };
        if !outcome.is_some_and(|outcome| outcome.is_of_the_endpoint()) {
            self.refund();
        }
        let mut fates = Vec::with_capacity(parts.len());
        for part in parts {
            let fate = self.fate_of(&part, &fate);
            if !matches!(part.share, Share::Unwanted) {
                self.count(&fate, part.created_at);
            }
            if matches!(
                (&part.share, &fate),
                (Share::Sent, Fate::Decided(Step::Settle, _))
            ) {
                self.count_replayed();
            }
            fates.push((part.lane, fate));
        }
        self.window.finished_together(fates, now, clock);
        Ok(())
    }

    /// What the request's outcome means for those that were in it. The breaker counts it once.
    async fn common_fate(
        &mut self,
        parts: &[Part],
        several: bool,
        outcome: &Outcome,
        now: Instant,
    ) -> Result<Common> {
        let verdict = self.runner.subscription.retry.statuses.verdict(outcome);
        let first = parts.iter().find(|part| matches!(part.share, Share::Sent));
        let sequence_id = first.map_or(0, |part| part.sequence_id);
        let rest = rest(several, &verdict, outcome);
        if !self.consult_breaker(sequence_id, outcome, &verdict, rest, now) {
            return Ok(Common::All(Fate::NotCounted));
        }
        Ok(match verdict {
            _ if several && is_of_one(&verdict, outcome, rest) => Common::All(Fate::Apart),
            verdict if several && !outcome.is_of_the_event() => {
                self.again_together(verdict, outcome)
            }
            Verdict::PauseSubscription { reason } if !self.pause(&reason).await? => {
                Common::All(Fate::Postponed(LOG_PAUSE))
            }
            verdict => Common::Each(verdict, outcome.to_string()),
        })
    }

    /// There was nobody to send it to, which is no event's fault: they go together once more.
    fn again_together(&self, verdict: Verdict, outcome: &Outcome) -> Common {
        let policy = &self.runner.subscription.retry;
        match next_step(policy, 1, &verdict, rand::random()) {
            Step::Retry { after } => Common::All(Fate::Postponed(after)),
            _ => Common::Each(verdict, outcome.to_string()),
        }
    }

    fn fate_of(&self, part: &Part, common: &Common) -> Fate {
        match (&part.share, common) {
            (Share::Unwanted, _) => Fate::Decided(Step::Settle, String::new()),
            (Share::Unclear(reason), _) => {
                let outcome = Outcome::NotRendered {
                    reason: reason.clone(),
                };
                let verdict = Verdict::Retry { retry_after: None };
                Fate::Decided(self.step(part, &verdict), outcome.to_string())
            }
            (Share::Sent, Common::All(fate)) => fate.clone(),
            (Share::Sent, Common::Each(verdict, said)) => {
                Fate::Decided(self.step(part, verdict), said.clone())
            }
            (Share::Held, _) | (Share::Sent, Common::Nothing) => Fate::NotCounted,
        }
    }

    fn step(&self, part: &Part, verdict: &Verdict) -> Step {
        let policy = &self.runner.subscription.retry;
        next_step(policy, part.attempt, verdict, rand::random())
    }
}

/// How long no request is wanted. What several events are refused with for longer than a quick retry
/// waits is said of all of them, whatever its status: with a row for each, one answer would cost many.
fn rest(several: bool, verdict: &Verdict, outcome: &Outcome) -> Option<Duration> {
    match verdict {
        Verdict::Retry {
            retry_after: Some(wait),
        } if several && *wait > QUICK_DELAY => Some(*wait),
        _ => outcome.asks_for_rest(),
    }
}

/// Whether what was said holds for one event, and nobody knows for which: none is given up, or passed
/// over, for another one's sake. Where a rest is asked for, the breaker sees to it: one answer must not
/// make a row of each event.
fn is_of_one(verdict: &Verdict, outcome: &Outcome, rest: Option<Duration>) -> bool {
    match (verdict, outcome) {
        (Verdict::Retry { .. }, _) if rest.is_some() => true,
        (Verdict::Dead { .. }, _) | (_, Outcome::NotRendered { .. }) => true,
        (Verdict::Settled, outcome) => !matches!(outcome, Outcome::Delivered { .. }),
        _ => false,
    }
}

/// What a request means for all that were in it.
enum Common {
    /// The same fate.
    All(Fate),
    /// Each one's next step, and what was said.
    Each(Verdict, String),
    /// There was no request.
    Nothing,
}
