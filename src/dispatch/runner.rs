//! One subscription at work: reads events into its window, sends what is ready, flushes what is
//! settled.

mod asking;
mod feeding;
mod hands;
mod pacing;
mod reordering;
mod replaying;
mod saving;
mod sending;
mod telling;
mod together;
mod witness;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use self::asking::Asking;
use self::feeding::PAGE;
use self::hands::Hands;
use self::replaying::Replaying;
use self::saving::Flushing;
use self::sending::{Attempt, Desk};
use self::telling::Telling;
use self::witness::Witness;
use super::breaker::Breaker;
use super::deaths::Deaths;
use super::lag::Lag;
use super::rate::Bucket;
use super::recorder::Records;
use super::switchboard::States;
use super::window::{Job, Window};
use super::{Start, Subscription};
use crate::beat::next_beat;
use crate::event_log::deliveries;
use crate::event_log::{Link, Section, Tail, by_time, retention};
use crate::fault::{Fault, Kind, Result};
use crate::ops::health::Stage;
use crate::ops::metrics::{Metrics, OutcomeLabel, WebhookLabel, age};
use crate::wal::Connection;
use crate::webhook::{Renderer, Sender};

/// Pause after the log could not be asked.
const LOG_PAUSE: Duration = Duration::from_secs(1);
/// Time between two updates of the metrics.
const SHOW_INTERVAL: Duration = Duration::from_millis(50);
/// The loop turns at least this often: some of what it waits for tells nobody.
const TURN: Duration = Duration::from_secs(1);
/// And at least this often when there is nothing to wait for, so that its pulse can be felt.
const LONG_TURN: Duration = Duration::from_secs(5);

/// Everything that a subscription needs to run.
pub struct Runner {
    /// What it wants, and where it goes.
    pub subscription: Arc<Subscription>,
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
    /// Where attempts are recorded.
    pub records: Records,
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
        let endpoint = &self.subscription.endpoint;
        let desk = Arc::new(Desk {
            renderer: Renderer::new(Arc::clone(&self.source), endpoint),
            sender: Sender::new(endpoint)?,
            subscription: Arc::clone(&self.subscription),
            link: self.link.clone(),
            witness: Witness::new(
                &self.subscription,
                self.records.clone(),
                Arc::clone(&self.metrics),
            ),
        });
        let stage = self.stage.clone();
        let (metrics, name) = (Arc::clone(&self.metrics), self.subscription.name.clone());
        let outcome = self.serve(desk, &stop).await;
        metrics.not_served(&name);
        stage.pulse.rest();
        stage.cursor.rest();
        outcome
    }

    async fn serve(self, desk: Arc<Desk>, stop: &CancellationToken) -> Result<()> {
        let stage = self.stage.clone();
        let mut stopped = Box::pin(stop.clone().cancelled_owned());
        let (window, pausing, replaying) = loop {
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
        let (head, forgotten) = (self.tail.head(), self.tail.forgotten());
        let state = State {
            window,
            breaker: Breaker::default(),
            bucket: self.bucket(),
            hands: desk.hands(),
            reading: None,
            page: PAGE,
            flushing: None,
            flush_due: None,
            asking: Asking::default(),
            telling: Telling::default(),
            deaths: Deaths::default(),
            lag: Lag::default(),
            pausing,
            resting_until: None,
            desk,
            labels,
            head,
            forgotten,
            shown_cursor: 0,
            show_due: Instant::now(),
            replaying,
            runner: self,
        };
        state.run(stop).await
    }

    /// The window, since when the subscription is paused, if it is, and what it does as a replay.
    async fn load(&self) -> Result<(Window, Option<Timestamp>, Option<Replaying>)> {
        let name = &self.subscription.name;
        let connection = self.link.connection().await?;
        let row = match deliveries::look_up(&connection, name).await? {
            Some(row) => row,
            None if self.subscription.replay.is_some() => {
                return Err(Fault::permanent(format!("the cursor of {name} is gone")));
            }
            None => {
                let start = self.start(&connection).await?;
                deliveries::register(&connection, name, start).await?
            }
        };
        self.follow_ordering(&connection, row.cursor).await?;
        let rows = deliveries::unfinished(&connection, name).await?;
        let oldest = deliveries::before_oldest(&connection).await?;
        if self.subscription.replay.is_none() && row.cursor < oldest {
            let skipped = retention::note_skipped(&connection, &[name.as_str()], oldest).await?;
            skipped.iter().for_each(retention::Skipped::tell);
        }
        let paused = match &self.subscription.replay {
            Some(replay) => deliveries::look_up(&connection, &replay.webhook).await?,
            None => Some(row.clone()),
        };
        let pausing = paused.and_then(|row| row.paused.map(|_| row.since));
        let window = Window::new(
            self.subscription.ordering(),
            row.cursor,
            rows,
            Instant::now(),
            Timestamp::now(),
        );
        let replaying = Replaying::of(&connection, &self.subscription).await?;
        Ok((window, pausing, replaying))
    }

    /// Behind which event it starts when it is new.
    async fn start(&self, connection: &Connection) -> Result<i64> {
        let newest = *self.tail.head().borrow();
        match self.subscription.start {
            Start::Now => Ok(newest),
            Start::At(sequence_id) => Ok(sequence_id - 1),
            Start::Beginning => deliveries::before_oldest(connection).await,
            Start::Since(time) => {
                let oldest = deliveries::before_oldest(connection).await?;
                by_time::before_first(connection, oldest, newest.max(oldest), time).await
            }
        }
    }
}

/// The metrics of one webhook, looked up once.
struct Labels {
    label: WebhookLabel,
    delivered: Counter,
    commit_to_delivered: Histogram,
}

impl Labels {
    fn new(metrics: &Metrics, name: &str) -> Self {
        let label = WebhookLabel {
            webhook: name.to_owned(),
        };
        // Shown as zero from the start, not from the first failure on.
        for outcome in ["delivered", "retried", "held", "dead", "paused"] {
            let _ = metrics.deliveries.get_or_create(&OutcomeLabel {
                webhook: name.to_owned(),
                outcome,
            });
        }
        let _ = metrics.dead.get_or_create(&label);
        let delivered = metrics.deliveries.get_or_create(&OutcomeLabel {
            webhook: name.to_owned(),
            outcome: "delivered",
        });
        Self {
            delivered: delivered.clone(),
            commit_to_delivered: metrics.commit_to_delivered.get_or_create(&label).clone(),
            label,
        }
    }
}

type Reading = Pin<Box<dyn Future<Output = Result<Section>> + Send>>;

struct State {
    runner: Runner,
    window: Window,
    breaker: Breaker,
    /// How many requests the rate lets out, if there is one.
    bucket: Option<Bucket>,
    hands: Hands<Vec<Job>, Attempt>,
    reading: Option<Reading>,
    /// How many events to ask the log for, so that few are sent in vain where rows are large.
    page: i64,
    flushing: Option<Flushing>,
    flush_due: Option<Instant>,
    asking: Asking,
    telling: Telling,
    deaths: Deaths,
    lag: Lag,
    /// It is paused since this time, and the tables were not looked at after it.
    pausing: Option<Timestamp>,
    /// Nothing is asked of the log until then.
    resting_until: Option<Instant>,
    desk: Arc<Desk>,
    labels: Labels,
    head: watch::Receiver<i64>,
    forgotten: watch::Receiver<u64>,
    shown_cursor: i64,
    show_due: Instant,
    /// What it does otherwise where it is a replay.
    replaying: Option<Replaying>,
}

impl State {
    async fn run(mut self, stop: &CancellationToken) -> Result<()> {
        loop {
            self.runner.stage.pulse.beat();
            let now = Instant::now();
            self.read_more(now);
            self.send_ready(now);
            self.ask_if_due(now);
            self.tell_if_due(now);
            self.flush_if_due(now);
            self.show_if_due(now);
            if self.is_over() {
                let untold = self.deaths.rest();
                self.tell_deaths(untold);
                return Ok(());
            }
            let wake = self.wakes_at(now);
            tokio::select! {
                biased;
                // 1. Asked to stop.
                () = stop.cancelled() => return self.finish().await,
                // 2. Attempts that ended make room for others.
                Some(attempt) = self.hands.ended() => {
                    self.take_attempt(attempt?).await?;
                    // A turn of the loop costs more than an attempt that has ended.
                    while let Some(attempt) = self.hands.ended_too() {
                        self.take_attempt(attempt).await?;
                    }
                }
                // 3. A flush that ended.
                (settlement, outcome) = pending(&mut self.flushing) => self.flushed(settlement, outcome)?,
                // 4. What operators ask for, and what they are told.
                asked = pending(&mut self.asking.under_way) => self.take_requests(asked)?,
                (standing, noted) = pending(&mut self.telling.under_way) => self.take_told(standing, noted)?,
                // 5. Events from the log.
                events = pending(&mut self.reading) => self.take_events(events)?,
                // 6. New events, a pause or a resume.
                _ = self.head.changed(), if self.window.room() > 0 && self.reading.is_none() => {}
                Ok(()) = self.runner.states.changed() => self.take_states(),
                Ok(()) = self.forgotten.changed() => self.forget(),
                // 7. A retry, a probe or a flush is due.
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
                .is_paused(self.runner.subscription.webhook())
    }

    /// The tables were looked at: unless that was before it was paused, they say from here on
    /// whether it is.
    fn take_states(&mut self) {
        let states = self.runner.states.borrow_and_update();
        let looked = states.since(self.runner.subscription.webhook());
        if looked >= self.pausing {
            self.pausing = None;
        }
    }

    fn wakes_at(&self, now: Instant) -> Instant {
        let known = [
            self.window.wakes_at(),
            self.window.gathers_at(),
            self.bucket.and_then(|bucket| bucket.wakes_at(now)),
            self.breaker.wakes_at(),
            self.flush_due,
            self.resting_until,
            Some(self.show_due).filter(|_| self.shown_cursor != self.window.cursor()),
        ];
        let next = known.into_iter().flatten().filter(|wake| *wake > now).min();
        let turn = next_beat(now, if self.is_idle() { LONG_TURN } else { TURN });
        next.map_or(turn, |next| next.min(turn))
    }

    /// Nothing is to be sent, asked or told: whatever may change that wakes the loop.
    fn is_idle(&self) -> bool {
        let states = self.runner.states.borrow();
        self.replaying.is_none()
            && self.shown_cursor == self.end()
            && self.window.parked() == 0
            && self.deaths.is_quiet()
            && !states.has_requests(&self.runner.subscription.name)
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

    /// Shows how it stands, not at every turn.
    fn show_if_due(&mut self, now: Instant) {
        if now >= self.show_due {
            self.show_due = now + SHOW_INTERVAL;
            self.show();
            let untold = self.deaths.due(now);
            self.tell_deaths(untold);
        }
    }

    fn show(&mut self) {
        let lag = self.end() - self.window.cursor();
        if lag <= 0 || self.shown_cursor != self.window.cursor() || self.paused() {
            self.runner.stage.cursor.beat();
            self.shown_cursor = self.window.cursor();
        }
        let (metrics, label) = (&self.runner.metrics, &self.labels.label);
        metrics
            .subscription_lag
            .get_or_create(label)
            .set(lag.max(0));
        let oldest = if lag > 0 {
            self.lag.oldest(self.window.cursor())
        } else {
            self.lag.clear();
            None
        };
        metrics
            .subscription_lag_seconds
            .get_or_create(label)
            .set(oldest.map_or(0.0, |created_at| age(created_at).as_secs_f64()));
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
}

/// Waits for a future that may not be there.
async fn pending<T>(slot: &mut Option<Pin<Box<dyn Future<Output = T> + Send>>>) -> T {
    match slot {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
