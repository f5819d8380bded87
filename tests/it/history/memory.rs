//! What is known of rows while the log is read in its order: how each stood by the truth, and what
//! the log itself has said of it. From the first follows what a backfill may say, from the second
//! what `previous = "log"` has to recall.

use std::collections::{BTreeMap, HashMap, HashSet};

use tokio_postgres::Client;

use super::schema::BACKFILLED;
use super::verdict::{Event, Truth, Values, facts, resource_id};

/// A backfill that was asked for and done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Backfilled {
    pub(crate) table: String,
    /// The log's last sequence id before it was asked for.
    pub(crate) after: i64,
    /// The same when it was done.
    pub(crate) until: i64,
}

/// A row as it stands.
#[derive(Debug, Clone)]
struct Living {
    values: Values,
    /// The place in the truth of its last change; 0 for one from before capture.
    seq: i64,
    /// Sequence id of the event since which it goes by this key; 0 for one from before capture.
    since: i64,
    /// Sequence ids of its events.
    events: Vec<i64>,
}

/// What the log said last of a row.
#[derive(Debug, Clone)]
pub(super) struct Said {
    pub(super) values: Values,
    /// No change of columns up to this place in the truth stands between.
    pub(super) seq: i64,
}

/// Changes of columns by table.
type Columns = HashMap<String, Vec<ColumnChange>>;

#[derive(Debug, Clone)]
struct ColumnChange {
    /// Place in the truth.
    seq: i64,
    /// The column that got another type.
    retyped: Option<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Tables with `previous = "log"`.
    recalled: HashSet<String>,
    columns: Columns,
    living: HashMap<String, BTreeMap<String, Living>>,
    said: HashMap<String, HashMap<String, Said>>,
}

const COLUMNS: &str = "select tab, seq, retyped from audit.columns order by seq";
const BEFORE: &str = "select tab, old::text from audit.before";

impl Memory {
    pub(crate) fn new(recalled: &[String]) -> Self {
        Self {
            recalled: recalled.iter().cloned().collect(),
            ..Self::default()
        }
    }

    /// With the rows from before capture and the changes of columns.
    pub(super) async fn load(source: &Client, recalled: &[String]) -> Self {
        let mut memory = Self::new(recalled);
        for row in source.query(COLUMNS, &[]).await.unwrap() {
            let changes = memory.columns.entry(row.get(0)).or_default();
            changes.push(ColumnChange {
                seq: row.get(1),
                retyped: row.get(2),
            });
        }
        for row in source.query(BEFORE, &[]).await.unwrap() {
            memory.was_there(row.get(0), super::verdict::values(row.get(1)).unwrap());
        }
        memory
    }

    /// A row from before capture.
    pub(super) fn was_there(&mut self, table: &str, values: Values) {
        let living = Living {
            seq: 0,
            since: 0,
            events: Vec::new(),
            values,
        };
        let id = resource_id(facts(table), &living.values);
        self.of_table(table).insert(id, living);
    }

    fn of_table(&mut self, table: &str) -> &mut BTreeMap<String, Living> {
        self.living.entry(table.to_owned()).or_default()
    }

    /// What the log said of the row before this change, where it has to be recalled.
    pub(super) fn recalled(&self, truth: &Truth) -> Option<&Said> {
        if !self.recalled.contains(&truth.table) {
            return None;
        }
        let id = resource_id(facts(&truth.table), truth.old.as_ref()?);
        self.said.get(&truth.table)?.get(&id)
    }

    /// Whether a column of a table got another type between two places in the truth: the value that
    /// the log knows is that of before.
    pub(super) fn is_retyped(&self, table: &str, column: &str, between: (i64, i64)) -> bool {
        self.changes(table, between)
            .any(|change| change.retyped.as_deref() == Some(column))
    }

    /// Whether a table's columns ever changed.
    pub(super) fn is_altered(&self, table: &str) -> bool {
        self.columns.contains_key(table)
    }

    fn changes(
        &self,
        table: &str,
        (after, before): (i64, i64),
    ) -> impl Iterator<Item = &ColumnChange> {
        let changes = self.columns.get(table).into_iter().flatten();
        changes.filter(move |change| (after..before).contains(&change.seq))
    }

    /// Takes in a change and the event that told of it.
    pub(super) fn note(&mut self, event: &Event, truth: &Truth) {
        let table = &truth.table;
        if truth.action == "truncated" {
            self.living.remove(table);
            self.said.remove(table);
            return;
        }
        let facts = facts(table);
        let id_of = |row: &Option<Values>| row.as_ref().map(|row| resource_id(facts, row));
        let (old, new) = (id_of(&truth.old), id_of(&truth.new));
        if self.recalled.contains(table) {
            let said = self.said.entry(table.clone()).or_default();
            old.as_ref().map(|old| said.remove(old));
            if let (Some(new), Some(values)) = (&new, &event.record) {
                let (values, seq) = (values.clone(), truth.seq);
                said.insert(new.clone(), Said { values, seq });
            }
        }
        if !BACKFILLED.contains(&table.as_str()) {
            return;
        }
        let living = self.of_table(table);
        let before = old.as_ref().and_then(|old| living.remove(old));
        let (Some(new), Some(values)) = (new, truth.new.clone()) else {
            return;
        };
        let kept = before.filter(|_| old.as_ref() == Some(&new));
        let (since, mut events) = match kept {
            Some(before) => (before.since, before.events),
            None => (event.sequence_id, Vec::new()),
        };
        events.push(event.sequence_id);
        let seq = truth.seq;
        let row = Living {
            values,
            seq,
            since,
            events,
        };
        living.insert(new, row);
    }

    /// Judges an event of a backfill: the row as the log's order has it at this place.
    pub(super) fn snapshot(&mut self, event: &Event) -> Result<(), String> {
        let table = event.table.as_str();
        if !BACKFILLED.contains(&table) {
            return Err(format!("{table} was never backfilled: {event:#?}"));
        }
        let record = event.record.as_ref().ok_or("a snapshot of nothing")?;
        let id = resource_id(facts(table), record);
        let is_plain = event.previous.is_none()
            && event.old_row == "absent"
            && event.unknown.is_empty()
            && event.resource_id.as_ref() == Some(&id)
            && event.event_type == format!("{table}.snapshot");
        if !is_plain {
            return Err(format!("not as a snapshot should be: {event:#?}"));
        }
        let Some(living) = self.living.get(table).and_then(|rows| rows.get(&id)) else {
            return Err(format!("a snapshot of a row that is not there: {event:#?}"));
        };
        self.is_as(table, living, record)
            .map_err(|what| format!("a stale snapshot: {what}\n{event:#?}\n{living:#?}"))?;
        let (values, seq) = (record.clone(), living.seq);
        if self.recalled.contains(table) {
            let said = self.said.entry(table.to_owned()).or_default();
            said.insert(id.clone(), Said { values, seq });
        }
        if let Some(living) = self.of_table(table).get_mut(&id) {
            living.events.push(event.sequence_id);
        }
        Ok(())
    }

    /// Whether a row is as it stands, but for columns that changed without an event.
    fn is_as(&self, table: &str, living: &Living, record: &Values) -> Result<(), String> {
        let since = (living.seq, i64::MAX);
        let altered = self.changes(table, since).next().is_some();
        let columns: HashSet<&String> = living.values.keys().chain(record.keys()).collect();
        for column in columns {
            let (stands, said) = (living.values.get(column), record.get(column));
            let excused = match stands.is_some() && said.is_some() {
                true => self.is_retyped(table, column, since),
                false => altered,
            };
            if stands != said && !excused {
                return Err(format!("{column} is {said:?}, should be {stands:?}"));
            }
        }
        Ok(())
    }

    /// Every row that was there all the while has an event from the time of each backfill.
    pub(super) fn covered(&self, done: &[Backfilled]) -> Result<(), String> {
        for backfill in done {
            let rows = self.living.get(&backfill.table).into_iter().flatten();
            for (id, row) in rows.filter(|(_, row)| row.since <= backfill.after) {
                let during = |event: &i64| backfill.after < *event && *event <= backfill.until;
                if !row.events.iter().any(during) {
                    return Err(format!("{backfill:?} left out row {id}: {row:#?}"));
                }
            }
        }
        Ok(())
    }
}
