//! One subscription at work: reads events into its window, sends what is ready, flushes what is
//! settled.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::breaker::Breaker;
use super::retry::{Step, next_step};
use super::switchboard::States;
use super::window::{Fate, Job, Window};
use super::{Start, Subscription};
use crate::event::Event;
use crate::event_log::deliveries::{self, Settlement};
use crate::event_log::{Link, Tail, read};
use crate::fault::{Fault, Kind, Result};
use crate::ops::health::Stage;
use crate::ops::metrics::{Metrics, OutcomeLabel, WebhookLabel, age};
use crate::webhook::{Delivery, Outcome, Sender, Verdict, delivery_id, render, verdict};

/// A flush follows the settling of this many events …
const FLUSH_EVENTS: usize = 500;
/// … or this time.
const FLUSH_INTERVAL: Duration = Duration::from_millis(100);
/// Events that are read from the log at once, at the most …
const PAGE: i64 = 500;
/// … as long as they are not more bytes than this.
const PAGE_BYTES: usize = 4 << 20;
/// Pause after the log could not be asked.
const LOG_PAUSE: Duration = Duration::from_secs(1);
/// How long requests in flight may take to end when the daemon stops.
const STOP_GRACE: Duration = Duration::from_secs(10);
/// The loop turns at least this often, so that its pulse can be felt.
const TURN: Duration = Duration::from_secs(1);

/// Everything that a subscription needs to run.
pub struct Runner {
    /// What it wants, and where it goes.
    pub subscription: Subscription,
    /// Name of the source database, for payloads.
    pub source: Arc<str>,
    /// The newest events.
    pub tail: Arc<Tail>,
    /// The log.
    pub link: Link,
    /// The epoch under which this daemon may move cursors.
    pub epoch: i64,
    /// Which subscriptions are paused.
    pub states: watch::Receiver<States>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Shows that the loop turns and the cursor moves.
    pub stage: Stage,
}

impl Runner {
    /// Runs until asked to stop.
    ///
    /// # Errors
    /// Settings, if no request can be made with them; fenced, if another instance serves the log.
    pub async fn run(self, stop: CancellationToken) -> Result<()> {
        let sender = Arc::new(Sender::new(&self.subscription.endpoint)?);
        let stage = self.stage.clone();
        let outcome = self.serve(sender, &stop).await;
        stage.pulse.rest();
        stage.cursor.rest();
        outcome
    }

    async fn serve(self, sender: Arc<Sender>, stop: &CancellationToken) -> Result<()> {
        let stage = self.stage.clone();
        let mut stopped = Box::pin(stop.clone().cancelled_owned());
        let (window, pausing) = loop {
            stage.pulse.beat();
            stage.cursor.beat();
            match self.load().await {
                Ok(loaded) => break loaded,
                Err(fault) if fault.is_transient() => {
                    tracing::warn!(webhook = %self.subscription.name, error = %fault.cause(), "waiting for the log");
                }
                Err(fault) => return Err(fault),
            }
            tokio::select! {
                () = &mut stopped => return Ok(()),
                () = tokio::time::sleep(LOG_PAUSE) => {}
            }
        };
        let labels = Labels::new(&self.metrics, &self.subscription.name);
        let head = self.tail.head();
        let state = State {
            window,
            breaker: Breaker::default(),
            jobs: JoinSet::new(),
            reading: None,
            page: PAGE,
            flushing: None,
            flush_due: None,
            pausing,
            resting_until: None,
            sender,
            labels,
            head,
            shown_cursor: 0,
            runner: self,
        };
        state.run(stop).await
    }

    /// The window, and since when the subscription is paused, if it is.
    async fn load(&self) -> Result<(Window, Option<Timestamp>)> {
        let name = &self.subscription.name;
        let connection = self.link.connection().await?;
        let start = match self.subscription.start {
            Start::Now => *self.tail.head().borrow(),
            Start::At(sequence_id) => sequence_id - 1,
            Start::Beginning => deliveries::before_oldest(&connection).await?,
        };
        let row = deliveries::register(&connection, name, start).await?;
        let rows = deliveries::unfinished(&connection, name).await?;
        let window = Window::new(
            self.subscription.order,
            row.cursor,
            rows,
            Instant::now(),
            Timestamp::now(),
        );
        Ok((window, row.paused.map(|_| row.since)))
    }
}

/// The metrics of one webhook, looked up once.
struct Labels {
    label: WebhookLabel,
}

impl Labels {
    fn new(metrics: &Metrics, name: &str) -> Self {
        let label = WebhookLabel {
            webhook: name.to_owned(),
        };
        // Shown as zero from the start, not from the first failure on.
        for outcome in ["delivered", "retried", "parked", "dead"] {
            let _ = metrics.deliveries.get_or_create(&OutcomeLabel {
                webhook: name.to_owned(),
                outcome,
            });
        }
        let _ = metrics.dead.get_or_create(&label);
        Self { label }
    }
}

type Reading = Pin<Box<dyn Future<Output = Result<Vec<Event>>> + Send>>;
type Flushing = Pin<Box<dyn Future<Output = (Settlement, Result<()>)> + Send>>;

/// An attempt that ended.
struct Attempt {
    job: Job,
    /// What came of it, and when the event was committed. `None`: the event is no longer in the
    /// log. `Err`: the log could not be asked. In both cases nothing was sent.
    outcome: Result<Option<(Outcome, i64)>>,
}

struct State {
    runner: Runner,
    window: Window,
    breaker: Breaker,
    jobs: JoinSet<Attempt>,
    reading: Option<Reading>,
    /// How many events to ask the log for, so that few are sent in vain where rows are large.
    page: i64,
    flushing: Option<Flushing>,
    flush_due: Option<Instant>,
    /// It is paused since this time, and the tables were not looked at after it.
    pausing: Option<Timestamp>,
    /// Nothing is asked of the log until then.
    resting_until: Option<Instant>,
    sender: Arc<Sender>,
    labels: Labels,
    head: watch::Receiver<i64>,
    shown_cursor: i64,
}

impl State {
    async fn run(mut self, stop: &CancellationToken) -> Result<()> {
        loop {
            self.runner.stage.pulse.beat();
            let now = Instant::now();
            self.read_more(now);
            self.send_ready(now);
            self.flush_if_due(now);
            self.show();
            let wake = self.wakes_at(now);
            tokio::select! {
                biased;
                // 1. Asked to stop.
                () = stop.cancelled() => return self.finish().await,
                // 2. Attempts that ended make room for others.
                Some(attempt) = self.jobs.join_next() => self.take_attempt(attempt).await?,
                // 3. A flush that ended.
                (settlement, outcome) = pending(&mut self.flushing) => self.flushed(settlement, outcome)?,
                // 4. Events from the log.
                events = pending(&mut self.reading) => self.take_events(events)?,
                // 5. New events, a pause or a resume.
                _ = self.head.changed(), if self.window.room() > 0 && self.reading.is_none() => {}
                Ok(()) = self.runner.states.changed() => self.take_states(),
                // 6. A retry, a probe or a flush is due.
                () = sleep_until(wake) => {}
            }
        }
    }

    fn paused(&self) -> bool {
        self.pausing.is_some()
            || self
                .runner
                .states
                .borrow()
                .is_paused(&self.runner.subscription.name)
    }

    /// The tables were looked at: unless that was before it was paused, they say from here on
    /// whether it is.
    fn take_states(&mut self) {
        let states = self.runner.states.borrow_and_update();
        let looked = states.since(&self.runner.subscription.name);
        if looked >= self.pausing {
            self.pausing = None;
        }
    }

    fn wakes_at(&self, now: Instant) -> Instant {
        let known = [
            self.window.wakes_at(),
            self.breaker.wakes_at(),
            self.flush_due,
            self.resting_until,
        ];
        let next = known.into_iter().flatten().filter(|wake| *wake > now).min();
        next.unwrap_or(now + TURN).min(now + TURN)
    }

    /// Offers the newest events from memory, or begins to read older ones from the log.
    fn read_more(&mut self, now: Instant) {
        if self.window.room() == 0 && !self.breaker.is_open() && !self.paused() {
            let concurrency = self.runner.subscription.concurrency.get();
            self.window.relieve(self.breaker.limit(now, concurrency));
        }
        while self.reading.is_none() && self.window.room() > 0 {
            let read_to = self.window.read_to();
            if *self.head.borrow_and_update() <= read_to {
                return;
            }
            let limit = self
                .window
                .room()
                .min(PAGE.unsigned_abs().try_into().unwrap_or(usize::MAX));
            match self.runner.tail.after(read_to, limit) {
                Some(events) => self.offer(events),
                None if self.resting_until.is_some_and(|until| until > now) => return,
                None => self.read_from_log(read_to),
            }
        }
    }

    fn read_from_log(&mut self, after: i64) {
        let (link, limit) = (self.runner.link.clone(), self.page);
        self.reading = Some(Box::pin(async move {
            let connection = link.connection().await?;
            let filter = read::Filter {
                after: Some(after),
                limit,
                bytes: Some(PAGE_BYTES),
                ..read::Filter::default()
            };
            read::page(&connection, &filter).await
        }));
    }

    fn take_events(&mut self, events: Result<Vec<Event>>) -> Result<()> {
        self.reading = None;
        match events {
            Ok(events) => {
                if events.is_empty() {
                    // The head was seen and its events are not there yet: ask again a little later.
                    self.rest();
                }
                self.page = next_page(self.page, events.len());
                self.offer(events);
                Ok(())
            }
            Err(fault) => self.survive(fault),
        }
    }

    fn offer(&mut self, events: Vec<Event>) {
        for event in events {
            let wanted = self.runner.subscription.events.matches(&event.event_type);
            self.window.offer(event, wanted);
        }
    }

    fn send_ready(&mut self, now: Instant) {
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

    async fn take_attempt(&mut self, ended: Result<Attempt, tokio::task::JoinError>) -> Result<()> {
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

    fn flush_if_due(&mut self, now: Instant) {
        if self.flushing.is_some() || self.window.unflushed() == 0 {
            return;
        }
        let due = *self.flush_due.get_or_insert(now + FLUSH_INTERVAL);
        if now >= due || self.window.unflushed() >= FLUSH_EVENTS {
            let settlement = self.window.settlement();
            self.flush(settlement, None);
        }
    }

    fn flush(&mut self, settlement: Settlement, after: Option<Duration>) {
        self.flush_due = None;
        let (link, epoch) = (self.runner.link.clone(), self.runner.epoch);
        let name = self.runner.subscription.name.clone();
        self.flushing = Some(Box::pin(async move {
            if let Some(pause) = after {
                tokio::time::sleep(pause).await;
            }
            let outcome = async {
                let connection = link.connection().await?;
                deliveries::settle(&connection, &name, epoch, &settlement).await
            };
            let outcome = outcome.await;
            (settlement, outcome)
        }));
    }

    /// A flush that failed is made again as it was; what was settled since goes with the next one.
    fn flushed(&mut self, settlement: Settlement, outcome: Result<()>) -> Result<()> {
        self.flushing = None;
        let Err(fault) = outcome else { return Ok(()) };
        self.survive(fault)?;
        self.flush(settlement, Some(LOG_PAUSE));
        Ok(())
    }

    /// The log cannot be asked: a pause, if that may help.
    fn survive(&mut self, fault: Fault) -> Result<()> {
        if fault.kind() != Kind::Transient {
            return Err(fault);
        }
        if self
            .resting_until
            .is_none_or(|until| until <= Instant::now())
        {
            tracing::warn!(webhook = %self.runner.subscription.name, error = %fault.cause(), "the log cannot be asked");
        }
        self.rest();
        Ok(())
    }

    fn rest(&mut self) {
        self.resting_until = Some(Instant::now() + LOG_PAUSE);
    }

    fn show(&mut self) {
        let lag = *self.head.borrow() - self.window.cursor();
        if lag <= 0 || self.shown_cursor != self.window.cursor() || self.paused() {
            self.runner.stage.cursor.beat();
            self.shown_cursor = self.window.cursor();
        }
        let (metrics, label) = (&self.runner.metrics, &self.labels.label);
        metrics
            .subscription_lag
            .get_or_create(label)
            .set(lag.max(0));
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        metrics
            .parked
            .get_or_create(label)
            .set(count(self.window.parked()));
        metrics
            .in_flight
            .get_or_create(label)
            .set(count(self.window.in_flight()));
        metrics
            .breaker_open
            .get_or_create(label)
            .set(i64::from(self.breaker.is_open()));
    }

    /// Lets requests in flight end within a bound, and saves what is settled.
    async fn finish(mut self) -> Result<()> {
        let deadline = Instant::now() + STOP_GRACE;
        while let Ok(Some(attempt)) = tokio::time::timeout_at(deadline, self.jobs.join_next()).await
        {
            self.take_attempt(attempt).await?;
        }
        if let Some(flushing) = self.flushing.take() {
            let (settlement, outcome) = flushing.await;
            if let Err(fault) = outcome {
                tracing::warn!(error = %fault.cause(), cursor = settlement.cursor, "a last flush failed; its deliveries will be repeated");
                return Ok(());
            }
        }
        self.window.prepare_restart();
        let settlement = self.window.settlement();
        let connection = self.runner.link.connection().await?;
        deliveries::settle(
            &connection,
            &self.runner.subscription.name,
            self.runner.epoch,
            &settlement,
        )
        .await
    }
}

/// How many events to ask for after `asked` gave `got`: as many, if their bytes were too many, and
/// more, if not.
fn next_page(asked: i64, got: usize) -> i64 {
    let got = i64::try_from(got).unwrap_or(PAGE);
    match got < asked {
        true => got.max(1),
        false => asked.saturating_mul(2).min(PAGE),
    }
}

/// One attempt: reads the event if it is not in memory, renders it, sends it.
async fn attempt(
    sender: &Sender,
    link: &Link,
    source: &str,
    name: &str,
    format: crate::webhook::Format,
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

/// Waits for a future that may not be there.
async fn pending<T>(slot: &mut Option<Pin<Box<dyn Future<Output = T> + Send>>>) -> T {
    match slot {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
