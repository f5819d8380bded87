//! The events between a subscription's cursor and the point it has read to. Pure: it is told what
//! happened and says what to do; it knows neither clock nor network nor database.
//!
//! Every event is *settled* (nothing of it has to be remembered but rows) or *held* (in memory, in
//! its lane). The cursor stands before the oldest event that is held:
//!
//! ```text
//!              ┌ not wanted ─────────────────────────────────▶ settled
//!  offered ────┤
//!              └ wanted ──▶ lane ──▶ in flight ──┬ 2xx ──────▶ settled
//!                            ▲                   ├ given up ─▶ settled, row: dead
//!                            └── quick retry ────┤
//!                                                └ retry ────▶ settled, row: waiting;
//!                                                              so is all that waits in its lane
//! ```
//!
//! A lane's rows are read back from the log when their turn comes.

#[cfg(test)]
mod bench;
mod gathering;
mod landing;
mod requests;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::lane::{Item, Lane, LaneKey, Progress, Retries};
use super::ordering::Ordering;
use super::retry::Step;
use super::{Choice, Order};
use crate::event::Event;
use crate::event_log::deliveries::{DeliveryRow, Settlement};

/// Events between cursor and reading point at the most: settled or not, each one is remembered.
const SPAN: usize = 10_000;
/// A window with more held events than this shows little that others would be waiting for.
const MOSTLY_HELD: usize = SPAN / 10 * 9;
/// Bytes of held events at the most.
const HELD_BYTES: usize = 16 << 20;
/// Tries in memory before an event becomes a row, as long as they do not take long.
const QUICK_TRIES: u32 = 3;
/// The longest wait for a quick try.
pub(super) const QUICK_DELAY: Duration = Duration::from_secs(5);

/// The window of one subscription.
#[derive(Debug)]
pub(super) struct Window {
    ordering: Ordering,
    cursor: i64,
    /// For each event after the cursor that was offered: whether it is settled.
    settled: VecDeque<bool>,
    /// How many of them are not.
    unsettled: usize,
    /// The newest event that the receiver has, or that is dead.
    done_to: i64,
    lanes: HashMap<LaneKey, Lane>,
    ready: VecDeque<LaneKey>,
    retries: Retries,
    /// Until then ready events wait for others to go with.
    gathers_at: Option<Instant>,
    in_flight: usize,
    held_bytes: usize,
    parked: usize,
    /// Events after the cursor that have a row from before a restart.
    known: HashSet<i64>,
    rows: HashMap<i64, Row>,
    /// Operators' requests that those rows answer, by when they were made.
    answered: HashMap<i64, Timestamp>,
    settled_since_flush: usize,
    /// Those that were not wanted.
    passed_since_flush: usize,
}

/// A row to write with the next flush.
#[derive(Debug)]
enum Row {
    Keep(DeliveryRow),
    Delete,
}

/// One attempt to make.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) lane: LaneKey,
    pub(super) sequence_id: i64,
    /// `None`: read it from the log.
    pub(super) event: Option<Arc<Event>>,
    /// Ask once more whether it is wanted.
    pub(super) doubtful: bool,
    /// Number of this attempt, from 1.
    pub(super) attempt: u32,
}

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// As the retry policy decided, with what was said at the attempt.
    Decided(Step, String),
    /// It does not count: the endpoint is down. Another lane's turn is next.
    NotCounted,
    /// It does not count: of the events that went together nobody knows which one it was. It goes
    /// alone next.
    Apart,
    /// It does not count, and is made again after this time: what it needs is not there.
    Postponed(Duration),
}

impl Window {
    /// The window of a subscription whose row says `cursor`, with the rows of its deliveries.
    /// `now` and `clock` are one instant.
    pub(super) fn new(
        ordering: Ordering,
        cursor: i64,
        rows: Vec<DeliveryRow>,
        now: Instant,
        clock: Timestamp,
    ) -> Self {
        let mut window = Self {
            ordering,
            cursor,
            settled: VecDeque::new(),
            unsettled: 0,
            done_to: cursor,
            lanes: HashMap::new(),
            ready: VecDeque::new(),
            retries: Retries::default(),
            gathers_at: None,
            in_flight: 0,
            held_bytes: 0,
            parked: 0,
            known: HashSet::new(),
            rows: HashMap::new(),
            answered: HashMap::new(),
            settled_since_flush: 0,
            passed_since_flush: 0,
        };
        for row in rows {
            if row.sequence_id > cursor {
                window.known.insert(row.sequence_id);
            }
            if !row.dead {
                window.restore(row, now, clock);
            }
        }
        window
    }

    fn restore(&mut self, row: DeliveryRow, now: Instant, clock: Timestamp) {
        let key = LaneKey::from(row.lane.as_str());
        let wait = row.due_at.map_or(Duration::ZERO, |due| {
            Duration::try_from(due - clock).unwrap_or_default()
        });
        let lane = self.lanes.entry(key.clone()).or_default();
        let waits = !lane.items.is_empty();
        if !waits {
            lane.progress = Progress::Parked;
            lane.due = Some(now + wait);
            self.retries.push(now + wait, key);
        }
        lane.items.push_back(Item {
            sequence_id: row.sequence_id,
            event_id: row.event_id,
            attempts: u32::try_from(row.attempts).unwrap_or(0),
            event: None,
            doubtful: true,
            alone: false,
            not_before: (waits && !wait.is_zero()).then(|| now + wait),
            has_row: true,
        });
        self.parked += 1;
    }

    /// The newest event that was offered.
    pub(super) fn read_to(&self) -> i64 {
        self.cursor
            .saturating_add(i64::try_from(self.settled.len()).unwrap_or(i64::MAX))
    }

    /// Every event up to it is settled.
    pub(super) fn cursor(&self) -> i64 {
        self.cursor
    }

    /// Deliveries that have a row and wait.
    pub(super) fn parked(&self) -> usize {
        self.parked
    }

    /// Requests in flight.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// How many more events may be offered.
    pub(super) fn room(&self) -> usize {
        if self.held_bytes >= HELD_BYTES {
            0
        } else {
            SPAN.saturating_sub(self.settled.len())
        }
    }

    /// Takes the next event of the log in. Events must come in order; ids that are skipped are
    /// gone from the log and count as settled. One of which nobody can tell whether it is wanted takes
    /// its place in its lane: its attempts fail until somebody can.
    pub(super) fn offer(&mut self, event: &Event, choice: &Choice) {
        if self.settled.is_empty() {
            self.cursor = self.cursor.max(event.sequence_id.saturating_sub(1));
        }
        while self.read_to() + 1 < event.sequence_id {
            self.settled.push_back(true);
        }
        let known = self.known.remove(&event.sequence_id);
        if event.sequence_id != self.read_to() + 1 {
            return;
        }
        let passed = matches!(choice, Choice::Filtered(_));
        self.settled.push_back(known || passed);
        if known {
            self.settled_since_flush += 1;
        } else if passed {
            self.passed_since_flush += 1;
        } else {
            self.unsettled += 1;
            self.admit(event.clone(), matches!(choice, Choice::Failed(_)));
        }
        self.advance();
    }

    /// What was not offered up to this sequence id is of no interest, or gone.
    pub(super) fn skip_to(&mut self, sequence_id: i64) {
        if sequence_id <= self.read_to() {
            return;
        }
        self.settled_since_flush += 1;
        if self.settled.is_empty() {
            self.cursor = sequence_id;
        }
        while self.read_to() < sequence_id {
            self.settled.push_back(true);
        }
        self.advance();
    }

    fn admit(&mut self, event: Event, doubtful: bool) {
        let key = self.ordering.lane(&event);
        let mut item = Item {
            sequence_id: event.sequence_id,
            event_id: event.event_id,
            attempts: 0,
            doubtful,
            alone: false,
            not_before: None,
            has_row: false,
            event: Some(Arc::new(event)),
        };
        let lane = self.lanes.entry(key.clone()).or_default();
        if lane.items.is_empty() {
            self.ready.push_back(key.clone());
        }
        if lane.progress == Progress::Parked && self.ordering.order != Order::Strict {
            // It waits behind a parked one, so it waits as a row, too.
            item.event = None;
            item.has_row = true;
            self.parked += 1;
            self.rows
                .insert(item.sequence_id, Row::Keep(item.row(&key, None, None)));
            self.settled_since_flush += 1;
        }
        self.held_bytes += item.bytes();
        let (sequence_id, has_row) = (item.sequence_id, item.has_row);
        lane.items.push_back(item);
        if has_row {
            self.mark(sequence_id);
        }
    }

    /// The next attempt to make, if fewer than `limit` are in flight.
    pub(super) fn next(&mut self, now: Instant, limit: usize) -> Option<Job> {
        self.wake_retries(now);
        if self.in_flight >= limit {
            return None;
        }
        loop {
            let key = self.ready.pop_front()?;
            if let Some(job) = self.depart(key, 1).pop() {
                self.in_flight += 1;
                return Some(job);
            }
        }
    }

    fn wake_retries(&mut self, now: Instant) {
        while let Some(key) = self.retries.pop_due(now) {
            self.make_ready(key, now);
        }
    }

    /// The first `count` events of a lane go.
    fn depart(&mut self, key: LaneKey, count: usize) -> Vec<Job> {
        let Some(lane) = self.lanes.get_mut(&key) else {
            return Vec::new();
        };
        // A lane that was emptied and filled again may stand there twice.
        if lane.progress != Progress::Ready {
            return Vec::new();
        }
        let items = lane.items.iter().take(count);
        let jobs: Vec<Job> = items
            .map(|item| Job {
                sequence_id: item.sequence_id,
                event: item.event.clone(),
                doubtful: item.doubtful,
                attempt: item.attempts + 1,
                lane: key.clone(),
            })
            .collect();
        if !jobs.is_empty() {
            lane.progress = Progress::InFlight;
            lane.sent = jobs.len();
        }
        jobs
    }

    fn make_ready(&mut self, key: LaneKey, now: Instant) {
        if let Some(lane) = self.lanes.get_mut(&key)
            // Since an operator had a hand in it, it may wait for another time.
            && lane.due.is_none_or(|due| due <= now)
            && matches!(lane.progress, Progress::Waiting | Progress::Parked)
        {
            lane.progress = Progress::Ready;
            self.ready.push_back(key);
        }
    }

    /// When the next retry is due.
    pub(super) fn wakes_at(&self) -> Option<Instant> {
        self.retries.next()
    }

    /// Gives rows to held events, oldest first, so that the cursor can pass them: a few slow ones
    /// must not keep thousands of others waiting. They stay in memory and in flight. Nothing is done
    /// while there is other work to do, or where little but held events was found: an ordinary
    /// backlog waits in the log and needs no rows.
    pub(super) fn relieve(&mut self, limit: usize) {
        if self.ordering.order == Order::Strict
            || self.settled.len() < SPAN
            || self.unsettled > MOSTLY_HELD
            || self.in_flight >= limit
            || !self.ready.is_empty()
        {
            return;
        }
        let half = i64::try_from(SPAN / 2).unwrap_or(0);
        self.give_rows(self.cursor.saturating_add(half));
    }

    /// Gives rows to the held events before the newest one that is done, so that a restart does not
    /// repeat what lies between them, unless that takes more rows than it saves repeats.
    pub(super) fn prepare_restart(&mut self) {
        let span = usize::try_from(self.done_to - self.cursor).unwrap_or(0);
        let open = self.settled.iter().take(span).filter(|done| !**done);
        let rows = open.count();
        if rows > 0 && rows <= span - rows {
            self.give_rows(self.done_to);
        }
    }

    fn give_rows(&mut self, horizon: i64) {
        let mut marked = Vec::new();
        // Rows come first in a lane: where the last event has one, all have.
        let lanes = self.lanes.iter_mut().filter(|(_, lane)| {
            let last = lane.items.back();
            lane.mixed || last.is_some_and(|item| !item.has_row)
        });
        for (key, lane) in lanes {
            for item in lane
                .items
                .iter_mut()
                .filter(|item| !item.has_row && item.sequence_id <= horizon)
            {
                item.has_row = true;
                self.parked += 1;
                self.settled_since_flush += 1;
                self.rows
                    .insert(item.sequence_id, Row::Keep(item.row(key, None, None)));
                marked.push(item.sequence_id);
            }
        }
        for sequence_id in marked {
            self.mark(sequence_id);
        }
        self.advance();
    }

    /// Forgets the events themselves: each one is read again when its turn comes.
    pub(super) fn forget_events(&mut self) {
        for item in self.lanes.values_mut().flat_map(|lane| &mut lane.items) {
            item.event = None;
        }
        self.held_bytes = 0;
    }

    /// How much was settled, or noted of a delivery, since the last flush, beside what was not wanted.
    pub(super) fn settled_unflushed(&self) -> usize {
        self.settled_since_flush
    }

    /// Whether a flush has something to say.
    pub(super) fn has_unflushed(&self) -> bool {
        self.settled_since_flush + self.passed_since_flush > 0
    }

    /// Takes what the next flush has to write.
    pub(super) fn settlement(&mut self) -> Settlement {
        self.settled_since_flush = 0;
        self.passed_since_flush = 0;
        let mut settlement = Settlement {
            cursor: self.cursor,
            answered: std::mem::take(&mut self.answered),
            ..Settlement::default()
        };
        for (sequence_id, row) in self.rows.drain() {
            match row {
                Row::Keep(row) => settlement.kept.push(row),
                Row::Delete => settlement.done.push(sequence_id),
            }
        }
        settlement
    }

    fn advance(&mut self) {
        while self.settled.front() == Some(&true) {
            self.settled.pop_front();
            self.cursor += 1;
        }
    }

    /// Notes that an event is settled, if it lies after the cursor.
    fn mark(&mut self, sequence_id: i64) {
        let place = usize::try_from(sequence_id - self.cursor - 1).ok();
        if let Some(flag) = place.and_then(|place| self.settled.get_mut(place))
            && !*flag
        {
            *flag = true;
            self.unsettled -= 1;
        }
    }
}

#[cfg(test)]
#[path = "window_tests.rs"]
mod tests;
