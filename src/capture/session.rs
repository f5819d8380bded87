//! One session from connecting to its end.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use tokio::sync::{Mutex, OwnedMutexGuard, mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use super::backfill::Handover;
use super::histories::{KnownHistories, note_published};
use super::idle;
use super::inflow::Inflow;
use super::intake::{Intake, Question};
use super::pace::{Pace, Taken};
use super::start::prepare_log;
use super::timer::Timer;
use crate::beat::next_beat;
use crate::event::Capture;
use crate::event_log::history::LastEvent;
use crate::event_log::objects::Object;
use crate::event_log::scheduled::Due;
use crate::event_log::{Chunk, Durable, Link, LogSettings, Note, Tail, Writer, encoding};
use crate::fault::{Fault, Result};
use crate::ops::metrics::Metrics;
use crate::wal::{Connection, DurablePosition as _, Lsn, Received, Source, Streaming};

/// Bytes of log rows at which a batch is full: then the stream waits, and a transaction that is
/// still running is streamed on into the open COPY.
const BATCH_BYTES: usize = 3 << 20;

/// So many bytes of a batch wait for the end of the transaction that runs. It mostly comes within
/// microseconds, and then nothing needs to be taken apart.
const WAITS_FOR_BYTES: usize = 256 << 10;

/// Messages that are taken in a row before the loop looks at anything else.
const MESSAGES_PER_TURN: u32 = 256;

/// How often the loop looks at the clock.
const TICK: Duration = Duration::from_secs(1);

/// How a session ended without a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// As asked.
    Stopped,
}

/// What the capture has reached, for those who ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Connecting, or waiting for the next try; the fault that ended the last session.
    Connecting(Option<String>),
    /// Another instance serves the slot.
    StandBy {
        /// The server process that serves it.
        pid: i32,
    },
    /// The stream runs under this epoch.
    Streaming {
        /// The epoch.
        epoch: i64,
    },
}

/// Carries the source into the log, session after session.
pub struct Capturer {
    /// The source.
    pub source: Source,
    /// What is captured.
    pub capture: Arc<Capture>,
    /// The log.
    pub log: LogSettings,
    /// Where readers find the newest events.
    pub tail: Arc<Tail>,
    /// Whether there are such readers.
    pub keep: bool,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Where everyone can see how far it has come.
    pub standing: tokio::sync::watch::Sender<Standing>,
    /// The epoch, once the log was claimed.
    pub epoch: Option<i64>,
    /// Where chunks of backfills come from.
    pub handover: Arc<Handover>,
    /// Events that do not come from the stream; a session holds it while it runs.
    pub notes: Arc<Mutex<mpsc::Receiver<Note>>>,
    /// Scheduled events that are due, likewise.
    pub due: Arc<Mutex<mpsc::Receiver<Due>>>,
}

/// What the writer does now. It owns the writer and gives it back.
type Working = Pin<Box<dyn Future<Output = (Writer, Result<Done>)> + Send>>;

/// What the writer has done.
enum Done {
    /// A chunk is appended; durable, where it ended a transaction.
    Appended(Chunk, Option<Durable>),
    /// The records of these rows' last events.
    Found(Vec<LastEvent>, Vec<Option<ByteString>>),
    /// The records of these objects.
    FoundObjects(Vec<Object>, Vec<Option<ByteString>>),
}

impl Capturer {
    /// Runs one session: connects, checks, streams, until asked to stop or until something fails.
    ///
    /// # Errors
    /// Transient faults are worth another session; others are not.
    pub async fn run(&mut self, stop: &CancellationToken) -> Result<Ended> {
        let control = Connection::open(&self.source.target, "rowhook control").await?;
        // Each step is bounded, and a step that is done is progress.
        self.metrics.capture_pulse.beat();
        let log = Connection::open(&self.log.target, "rowhook writer").await?;
        self.metrics.capture_pulse.beat();
        encoding::fits(&control, &log).await?;
        prepare_log(&log).await?;
        let Some((stream, checkpoint, timelines)) = self.start_stream(&control, &log, stop).await?
        else {
            return Ok(Ended::Stopped);
        };
        let publication = &self.source.publication;
        let noted = note_published(&control, &log, publication, &self.capture).await?;
        let notes = Link::relaxed(&self.log.target, "rowhook notes");
        let histories = KnownHistories::new(noted, notes, publication);
        let writer = Writer::open(log, &checkpoint, &self.log).await?;
        let intake = Intake::new(
            Arc::clone(&self.capture),
            control.clone(),
            &checkpoint,
            &timelines,
            self.keep,
            histories,
            Arc::clone(&self.handover),
        );
        self.tail
            .publish(Vec::new(), 0, checkpoint.next_sequence_id - 1);
        self.metrics.streaming.set(1);
        self.standing.send_replace(Standing::Streaming {
            epoch: checkpoint.epoch,
        });
        tracing::info!(epoch = checkpoint.epoch, from = %checkpoint.acknowledged_lsn, "streaming");
        let stream = Inflow::new(stream);
        let session = Session {
            log: writer.connection(),
            writer: Some(writer),
            working: None,
            partial: false,
            acknowledged: checkpoint.acknowledged_lsn,
            acknowledged_at: Instant::now(),
            pace: Pace::new(Instant::now()),
            timer: Timer::new().map_err(no_timer)?,
            handed_over: Instant::now(),
            stream,
            control,
            intake,
            notes: Arc::clone(&self.notes).lock_owned().await,
            due: Arc::clone(&self.due).lock_owned().await,
            waiting: Vec::new(),
            capturer: self,
        };
        let (outcome, stream) = session.run(stop).await;
        self.metrics.streaming.set(0);
        self.metrics.staged_bytes.set(0);
        if let Some(end) = stream.whole_until() {
            self.source.streaming = Streaming::Behind(end);
        }
        stream.close().await;
        outcome
    }
}

/// A stream that runs.
struct Session<'a> {
    capturer: &'a Capturer,
    control: Connection,
    log: Connection,
    stream: Inflow,
    intake: Intake,
    notes: OwnedMutexGuard<mpsc::Receiver<Note>>,
    due: OwnedMutexGuard<mpsc::Receiver<Due>>,
    /// Who waits for what was appended to be durable.
    waiting: Vec<oneshot::Sender<()>>,
    /// `None` while it works.
    writer: Option<Writer>,
    working: Option<Working>,
    /// Whether a part of the running transaction is in the log's open COPY already.
    partial: bool,
    acknowledged: Lsn,
    acknowledged_at: Instant,
    pace: Pace,
    timer: Timer,
    /// When the last batch was given to the writer.
    handed_over: Instant,
}

impl Session<'_> {
    /// Runs to its end, and gives the stream back to be closed.
    async fn run(mut self, stop: &CancellationToken) -> (Result<Ended>, Inflow) {
        let outcome = self.carry(stop).await;
        (outcome, self.stream)
    }

    async fn carry(&mut self, stop: &CancellationToken) -> Result<Ended> {
        let mut tick = interval_at(next_beat(Instant::now(), TICK), TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            self.capturer.metrics.capture_pulse.beat();
            if let Some(bytes) = self.stream.staged_bytes() {
                self.capturer.metrics.staged_bytes.set(bytes);
            }
            // One time for all: what is not committed yet by it has a timer that ends behind it.
            let now = Instant::now();
            self.work_if_due(now)?;
            let has_room = self.intake.batch.bytes() < BATCH_BYTES && !self.intake.waits();
            let reads_at = self.pace.gathers_until(now);
            let commits_at = self.batch_gathers_until(now);
            let wakes_at = reads_at.into_iter().chain(commits_at).min();
            if !has_room {
                self.stream.not_listening().await?;
            }
            if !has_room || reads_at.is_some() {
                self.stream.rest()?;
            }
            tokio::select! {
                biased;
                // 1. Asked to stop: what is complete is still committed.
                () = stop.cancelled() => return self.finish().await,
                // 2. The writer is done and free for what is next.
                done = worked(&mut self.working) => self.settle(done).await?,
                // 3. The server or the log closes its ordinary connections first when it shuts
                //    down, and waits for this session: it must not be kept waiting.
                () = self.control.ended() => return Err(Fault::transient("the source closed the connection")),
                () = self.log.ended() => return Err(Fault::transient("the log database closed the connection")),
                // 4. A note, between two transactions: it is rare, and must not wait for a lull.
                Some(note) = self.notes.recv(), if self.intake.between_transactions() => self.intake.note(note)?,
                //    So are scheduled events that are due.
                Some(due) = self.due.recv(), if self.intake.between_transactions() => self.intake.schedule(due)?,
                // 5. The stream, as long as the batch has room and nothing is to gather.
                received = self.stream.receive(), if has_room && reads_at.is_none() => {
                    let received = received?;
                    self.take(received).await?;
                }
                timed = self.timer.reached(wakes_at) => timed.map_err(no_timer)?,
                // 6. The clock: positions with nothing to log in front of them.
                _ = tick.tick() => self.confirm_idle(),
            }
        }
    }

    /// Takes a message, and those that wait behind it: the other arms need no look for each one.
    async fn take(&mut self, first: Received) -> Result<()> {
        let mut next = Some(first);
        let mut taken = Taken::default();
        let began = Instant::now();
        while let Some(received) = next {
            if let Received::Data { message, .. } = &received {
                taken.bytes += message.len();
            }
            if self.intake.take(received).await? {
                taken.transactions += 1;
                self.capturer.metrics.transactions.inc();
                if let Ok(note) = self.notes.try_recv() {
                    self.intake.note(note)?;
                }
                if let Ok(due) = self.due.try_recv() {
                    self.intake.schedule(due)?;
                }
            }
            taken.messages += 1;
            let full =
                self.intake.batch.bytes() >= BATCH_BYTES || self.intake.held_bytes() >= BATCH_BYTES;
            if full || taken.messages == MESSAGES_PER_TURN {
                self.pace.took(taken, false, began, Instant::now());
                return Ok(());
            }
            next = self.stream.receive_read()?;
        }
        self.pace
            .took(taken, self.stream.is_drained(), began, Instant::now());
        Ok(())
    }

    /// Gives the writer its next work, if it is free. What waits for the log comes first: nothing
    /// more is read before it has gone on.
    fn work_if_due(&mut self, now: Instant) -> Result<()> {
        if self.intake.waits() && self.writer.is_some() {
            self.ask()?;
        }
        if self.batch_gathers_until(now).is_none() {
            self.append_if_due();
        }
        Ok(())
    }

    /// Asks the log for what the messages that wait need.
    fn ask(&mut self) -> Result<()> {
        if self.intake.hands_over_first() {
            let complete = self.intake.take_complete();
            let chunk = complete.unwrap_or_else(|| self.intake.take_batch());
            self.append(chunk);
            return Ok(());
        }
        let question = self.intake.question()?;
        let Some(mut writer) = self.writer.take() else {
            return Ok(());
        };
        self.working = Some(match question {
            Question::Rows(rows) => Box::pin(async move {
                let found = writer.last_events(&rows).await;
                (writer, found.map(|records| Done::Found(rows, records)))
            }),
            Question::Objects(objects) => Box::pin(async move {
                let found = writer.objects(&objects).await;
                let found = found.map(|records| Done::FoundObjects(objects, records));
                (writer, found)
            }),
        });
        Ok(())
    }

    /// Starts to append what has gathered, if the writer is free: at once where a transaction ends. One
    /// that is large keeps those in front of it no longer, and is appended in parts where it does not end
    /// within a batch.
    fn append_if_due(&mut self) {
        let batch = &self.intake.batch;
        if batch.at_boundary() || batch.bytes() >= WAITS_FOR_BYTES {
            self.append_complete();
        }
        if self.writer.is_some() && self.intake.batch.bytes() >= BATCH_BYTES {
            let part = self.intake.take_batch();
            self.append(part);
        }
    }

    /// Starts to append the transactions that are complete, if the writer is free.
    fn append_complete(&mut self) {
        if self.writer.is_some()
            && let Some(chunk) = self.intake.take_complete()
        {
            self.append(chunk);
        }
    }

    /// Until when the batch gathers, though the writer is free; `None` if it does not.
    fn batch_gathers_until(&self, now: Instant) -> Option<Instant> {
        let batch = &self.intake.batch;
        let committable = self.writer.is_some() && batch.has_complete();
        let until = self.pace.commits_at(self.handed_over, batch.bytes(), now);
        until.filter(|_| committable)
    }

    fn append(&mut self, chunk: Chunk) {
        let Some(mut writer) = self.writer.take() else {
            return;
        };
        self.handed_over = Instant::now();
        self.working = Some(Box::pin(async move {
            let outcome = writer.append(&chunk).await;
            (
                writer,
                outcome.map(|durable| Done::Appended(chunk, durable)),
            )
        }));
    }

    /// Takes the writer back, and what it has done.
    async fn settle(&mut self, (writer, outcome): (Writer, Result<Done>)) -> Result<()> {
        self.working = None;
        let done = outcome?;
        self.writer = Some(writer);
        match done {
            Done::Appended(chunk, durable) => {
                self.appended(chunk, durable);
                Ok(())
            }
            Done::Found(rows, records) => {
                let ended = self.intake.supply(rows, records).await?;
                self.capturer.metrics.transactions.inc_by(ended);
                Ok(())
            }
            Done::FoundObjects(objects, records) => {
                let ended = self.intake.supply_objects(objects, records).await?;
                self.capturer.metrics.transactions.inc_by(ended);
                Ok(())
            }
        }
    }

    /// Acknowledges what is durable and shows it to readers.
    fn appended(&mut self, mut chunk: Chunk, durable: Option<Durable>) {
        self.waiting.append(&mut chunk.waiting);
        if let Some(durable) = durable {
            self.acknowledge(durable);
            for waiting in self.waiting.drain(..) {
                // Whoever no longer wants to know need not.
                let _ = waiting.send(());
            }
        }
        if chunk.is_position() {
            return;
        }
        self.capturer.metrics.batch(chunk.count, chunk.bytes());
        if durable.is_none() {
            self.partial = true;
            self.intake.batch.reuse(chunk);
            return;
        }
        // What went in parts is not whole in memory; readers take it from the log.
        let whole = !std::mem::take(&mut self.partial);
        let events = if whole { chunk.events() } else { Vec::new() };
        if chunk.count > 0 || !whole {
            self.capturer
                .tail
                .publish(events, chunk.bytes(), chunk.last_sequence_id());
        }
        self.capturer.metrics.logged(chunk.commit_time());
        for progress in &chunk.progress {
            self.capturer.handover.logged(&progress.chunk);
        }
        self.intake.batch.reuse(chunk);
    }

    fn acknowledge(&mut self, durable: Durable) {
        self.stream.acknowledge(&durable);
        self.acknowledged = durable.position();
        self.acknowledged_at = Instant::now();
        self.capturer.metrics.acknowledged(self.acknowledged);
    }

    /// With nothing in flight, the stream's position may be confirmed as it is, once the
    /// checkpoint says that it will be: a slot beyond its checkpoint counts as moved by others.
    fn confirm_idle(&mut self) {
        let idle = self.intake.between_transactions()
            && self.intake.batch.is_empty()
            && self.writer.is_some();
        let position = self.intake.position;
        if idle && idle::is_due(position, self.acknowledged, self.acknowledged_at.elapsed()) {
            self.append(Chunk::position(position));
        }
    }

    /// Commits what is complete. What is not goes back with the connection: it was never
    /// acknowledged and comes again.
    async fn finish(&mut self) -> Result<Ended> {
        loop {
            self.append_complete();
            if self.working.is_none() {
                return Ok(Ended::Stopped);
            }
            let done = worked(&mut self.working).await;
            self.settle(done).await?;
        }
    }
}

/// Waits for what the writer does; for ever, if it does nothing.
async fn worked(working: &mut Option<Working>) -> (Writer, Result<Done>) {
    match working {
        Some(working) => working.await,
        None => std::future::pending().await,
    }
}

fn no_timer(error: std::io::Error) -> Fault {
    Fault::transient("cannot set a timer of the system").because(error)
}
