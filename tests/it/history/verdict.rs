//! Compares the log with the truth, transaction by transaction.
//!
//! Triggers know what each transaction did and in which order, but not in which order transactions
//! committed. So: within a transaction the log has exactly the truth's changes in the truth's order;
//! between transactions, those that touched one row are in the order of the truth's sequence, for a
//! row's lock makes that the order of the commits; so are those of one session; and the server's own
//! record says when each of them committed.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Debug;

use serde_json::value::RawValue;
use tokio_postgres::types::PgLsn;
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use super::memory::{Backfilled, Memory, Said};
use super::reader::Seen;
use super::schema::{Table, known};

/// How many events are compared at a time: values are large.
const PAGE: i64 = 2000;
/// A value that is shorter is never stored out of line, so the stream always carries it.
const SHORTEST_TOAST: usize = 1900;

/// A row as Postgres' own canonical text of each value.
pub(crate) type Values = BTreeMap<String, String>;

/// One change by the triggers' account.
#[derive(Debug, Clone)]
pub(crate) struct Truth {
    pub(crate) seq: i64,
    pub(crate) xid: i64,
    pub(crate) writer: String,
    pub(crate) table: String,
    pub(crate) action: String,
    /// `pg_class.relreplident` when it happened.
    pub(crate) identity: u8,
    /// The same of what is published: of a partition's root.
    pub(crate) told_as: u8,
    pub(crate) old: Option<Values>,
    pub(crate) new: Option<Values>,
}

/// One event.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) sequence_id: i64,
    pub(crate) event_id: Uuid,
    pub(crate) event_type: String,
    pub(crate) table: String,
    pub(crate) action: String,
    pub(crate) resource_id: Option<String>,
    pub(crate) record: Option<Values>,
    pub(crate) previous: Option<Values>,
    pub(crate) old_row: String,
    pub(crate) unknown: Vec<String>,
    pub(crate) xid: i64,
    pub(crate) commit_lsn: PgLsn,
    pub(crate) commit_index: i64,
    /// Commit time in microseconds.
    pub(crate) created_at: i64,
}

pub(super) fn values(text: Option<&str>) -> Option<Values> {
    let raw: BTreeMap<String, Box<RawValue>> = serde_json::from_str(text?).unwrap();
    let plain = |(name, value): (String, Box<RawValue>)| (name, value.get().to_owned());
    Some(raw.into_iter().map(plain).collect())
}

impl Truth {
    fn read(row: &Row) -> Self {
        Self {
            seq: row.get(0),
            xid: row.get(1),
            writer: row.get(2),
            table: row.get(3),
            action: row.get(4),
            identity: row.get::<_, i8>(5) as u8,
            told_as: row.get::<_, i8>(6) as u8,
            old: values(row.get(7)),
            new: values(row.get(8)),
        }
    }
}

impl Event {
    fn read(row: &Row) -> Self {
        Self {
            sequence_id: row.get(0),
            event_id: row.get(1),
            event_type: row.get(2),
            table: row.get(3),
            action: row.get(4),
            resource_id: row.get(5),
            record: values(row.get(6)),
            previous: values(row.get(7)),
            old_row: row.get(8),
            unknown: row.get::<_, Option<Vec<String>>>(9).unwrap_or_default(),
            xid: row.get(10),
            commit_lsn: row.get(11),
            commit_index: row.get(12),
            created_at: row.get(13),
        }
    }
}

const EVENTS: &str = "
    select sequence_id, event_id, event_type, table_name, action, resource_id, record::jsonb::text,
           previous::jsonb::text, old_row, unknown, xid, commit_lsn, commit_index,
           (extract(epoch from created_at) * 1000000)::bigint
      from rowhook.events where sequence_id > $1 order by sequence_id limit $2";
const TRUTH: &str = "
    select seq, xid, writer, tab, op, identity, told_as, old::text, new::text
      from audit.changes where xid = any ($1) order by xid, seq";
/// By the server's own record, in microseconds.
const COMMITTED: &str = "
    select xid, (extract(epoch from pg_xact_commit_timestamp((xid % 4294967296)::text::xid)) * 1000000)::bigint
      from unnest($1::bigint[]) xid";

/// What was compared.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Compared {
    pub(crate) events: u64,
    pub(crate) transactions: u64,
    /// By table and action.
    pub(crate) changes: BTreeMap<String, u64>,
    /// Values that the stream did not carry and the log marks as unknown.
    pub(crate) unknown: u64,
    /// Old rows of which the log knew a part.
    pub(crate) partial: u64,
    /// Transactions whose commit time is before that of the one they followed.
    pub(crate) clock_inversions: u64,
}

/// How many changes were committed.
pub(crate) async fn count(source: &Client) -> i64 {
    let row = source.query_one("select count(*) from audit.changes", &[]);
    row.await.unwrap().get(0)
}

/// Compares everything.
///
/// # Errors
/// The first thing that is wrong, in full.
pub(crate) async fn compare(
    source: &Client,
    log: &Client,
    seen: &Seen,
    recalled: &[String],
    backfilled: &[Backfilled],
) -> Result<Compared, String> {
    let mut judge = Judge {
        memory: Memory::load(source, recalled).await,
        ..Judge::default()
    };
    let mut kept: Vec<Event> = Vec::new();
    let mut after = 0;
    loop {
        let rows = log.query(EVENTS, &[&after, &PAGE]).await.unwrap();
        let done = rows.is_empty();
        kept.extend(rows.iter().map(Event::read));
        after = kept.last().map_or(after, |event| event.sequence_id);
        // A transaction that may go on is judged with the next page.
        let last = kept.last().map(|event| event.commit_lsn);
        let whole = match done {
            true => kept.len(),
            false => kept.partition_point(|event| Some(event.commit_lsn) != last),
        };
        let ready: Vec<Event> = kept.drain(..whole).collect();
        let xids: Vec<i64> = ready
            .iter()
            .map(|event| event.xid)
            .collect::<HashSet<_>>()
            .into_iter()
            .collect();
        let truth = source.query(TRUTH, &[&xids]).await.unwrap();
        let mut by_xid: HashMap<i64, Vec<Truth>> = HashMap::new();
        for truth in truth.iter().map(Truth::read) {
            by_xid.entry(truth.xid).or_default().push(truth);
        }
        let committed = source.query(COMMITTED, &[&xids]).await.unwrap();
        let committed: HashMap<i64, Option<i64>> = committed
            .iter()
            .map(|row| (row.get(0), row.get(1)))
            .collect();
        for events in
            ready.chunk_by(|one, other| (one.xid, one.commit_lsn) == (other.xid, other.commit_lsn))
        {
            let xid = events[0].xid;
            let truth = by_xid.get(&xid).map_or(&[][..], Vec::as_slice);
            judge.transaction(events, truth, committed.get(&xid).copied().flatten())?;
        }
        if done {
            break;
        }
    }
    judge.seen(seen)?;
    judge.memory.covered(backfilled)?;
    missing(source, &judge).await?;
    Ok(judge.compared)
}

/// Transactions of the truth that the log has nothing of.
async fn missing(source: &Client, judge: &Judge) -> Result<(), String> {
    let query = "select min(seq), xid, count(*) from audit.changes group by xid order by 1";
    for row in source.query(query, &[]).await.unwrap() {
        let (seq, xid, count): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
        if !judge.xids.contains(&xid) {
            let what = source
                .query_one(
                    "select to_jsonb(c)::text from audit.changes c where seq = $1",
                    &[&seq],
                )
                .await
                .unwrap();
            let first: String = what.get(0);
            return Err(format!(
                "transaction {xid} with {count} changes is not in the log; its first is {first}"
            ));
        }
    }
    Ok(())
}

/// What has been seen of the log so far.
#[derive(Default)]
pub(crate) struct Judge {
    pub(crate) compared: Compared,
    event_ids: Vec<Uuid>,
    distinct: HashSet<Uuid>,
    xids: HashSet<i64>,
    last_lsn: Option<PgLsn>,
    last_time: Option<i64>,
    /// Place in the truth of the last change: of each row, of each table's TRUNCATE, of each table,
    /// of each session.
    of_row: HashMap<(String, String), i64>,
    of_truncate: HashMap<String, i64>,
    of_table: HashMap<String, i64>,
    of_writer: HashMap<String, i64>,
    pub(crate) memory: Memory,
}

impl Judge {
    /// Judges one transaction's events, which stand together in the log.
    pub(crate) fn transaction(
        &mut self,
        events: &[Event],
        truth: &[Truth],
        committed: Option<i64>,
    ) -> Result<(), String> {
        let first = &events[0];
        if !self.xids.insert(first.xid) {
            return Err(format!(
                "transaction {} is in the log twice, or in pieces: {first:#?}",
                first.xid
            ));
        }
        if self.last_lsn.is_some_and(|last| first.commit_lsn <= last) {
            return Err(format!(
                "a commit record before that of the transaction before: {first:#?}"
            ));
        }
        self.last_lsn = Some(first.commit_lsn);
        self.clock(first, committed)?;
        if truth.is_empty() && first.action == "snapshot" {
            return self.snapshots(events);
        }
        for (at, event) in events.iter().enumerate() {
            self.place(first, event, events.get(at.wrapping_sub(1)))?;
            let Some(truth) = truth.get(at) else {
                return Err(format!("an event of what never happened: {event:#?}"));
            };
            matches(event, truth, &self.memory)
                .map_err(|what| format!("{what}\n{event:#?}\n{truth:#?}"))?;
            self.order(event, truth)?;
            self.memory.note(event, truth);
            self.count(event);
        }
        if let Some(truth) = truth.get(events.len()) {
            return Err(format!(
                "a change is missing behind {:#?}\n{truth:#?}",
                events.last()
            ));
        }
        let of_session = truth.first().zip(truth.last());
        if let Some((first, last)) = of_session
            && let Some(before) = self.of_writer.insert(first.writer.clone(), last.seq)
            && before > first.seq
        {
            return Err(format!(
                "{}'s transactions are not in their order: {first:#?}",
                first.writer
            ));
        }
        self.compared.transactions += 1;
        Ok(())
    }

    /// Judges a chunk of a backfill, which stands in the transaction of its watermark.
    fn snapshots(&mut self, events: &[Event]) -> Result<(), String> {
        let first = &events[0];
        for (at, event) in events.iter().enumerate() {
            self.place(first, event, events.get(at.wrapping_sub(1)))?;
            equal("action", &event.action, &first.action)?;
            equal("table", &event.table, &first.table)?;
            self.memory.snapshot(event)?;
            self.count(event);
        }
        self.compared.transactions += 1;
        Ok(())
    }

    fn count(&mut self, event: &Event) {
        self.compared.events += 1;
        self.compared.unknown += event.unknown.len() as u64;
        self.compared.partial += u64::from(event.old_row == "partial");
        let kind = format!("{} {}", event.table, event.action);
        *self.compared.changes.entry(kind).or_default() += 1;
    }

    /// Commit times are the server's. Two sessions that commit at the same moment may take their
    /// times in one order and write their records in the other: Postgres promises no more.
    fn clock(&mut self, first: &Event, committed: Option<i64>) -> Result<(), String> {
        if committed != Some(first.created_at) {
            return Err(format!(
                "committed at {committed:?}, by the server's record: {first:#?}"
            ));
        }
        let before = self.last_time.replace(first.created_at);
        self.compared.clock_inversions += u64::from(before > Some(first.created_at));
        Ok(())
    }

    fn place(
        &mut self,
        first: &Event,
        event: &Event,
        before: Option<&Event>,
    ) -> Result<(), String> {
        self.event_ids.push(event.event_id);
        if event.sequence_id != self.event_ids.len() as i64 {
            return Err(format!("a gap in the sequence ids: {event:#?}"));
        }
        if !self.distinct.insert(event.event_id) {
            return Err(format!("an event id stands twice: {event:#?}"));
        }
        if event.created_at != first.created_at {
            return Err(format!(
                "one transaction, two commit times: {first:#?}\n{event:#?}"
            ));
        }
        if before.is_some_and(|before| before.commit_index >= event.commit_index) {
            return Err(format!(
                "commit indexes do not rise: {before:#?}\n{event:#?}"
            ));
        }
        Ok(())
    }

    /// What touched the same row, or emptied the table, is in its order.
    fn order(&mut self, event: &Event, truth: &Truth) -> Result<(), String> {
        let (table, seq) = (&truth.table, truth.seq);
        let mut before = vec![self.of_truncate.get(table).copied()];
        if truth.action == "truncated" {
            before.push(self.of_table.get(table).copied());
            self.of_truncate.insert(table.clone(), seq);
        }
        for row in [&truth.old, &truth.new].into_iter().flatten() {
            let key = (table.clone(), resource_id(facts(table), row));
            before.push(self.of_row.insert(key, seq).filter(|before| *before != seq));
        }
        let latest = self.of_table.entry(table.clone()).or_default();
        *latest = seq.max(*latest);
        match before.into_iter().flatten().find(|before| *before > seq) {
            Some(before) => Err(format!(
                "change {seq} came before {before} of the same row: {event:#?}\n{truth:#?}"
            )),
            None => Ok(()),
        }
    }

    /// What the reader saw is what stands in the log.
    fn seen(&self, seen: &Seen) -> Result<(), String> {
        if *seen == self.event_ids {
            return Ok(());
        }
        let at = seen
            .iter()
            .zip(&self.event_ids)
            .take_while(|(one, other)| one == other)
            .count();
        Err(format!(
            "the reader saw {} events, the log holds {}; they differ from sequence id {} on: {:?} and {:?}",
            seen.len(),
            self.event_ids.len(),
            at + 1,
            seen.get(at),
            self.event_ids.get(at),
        ))
    }
}

pub(super) fn facts(table: &str) -> &'static Table {
    known(table).unwrap_or_else(|| panic!("table {table} is not one of ours"))
}

/// The columns that an old row consists of where the replica identity is not the whole row.
fn identity_columns(truth: &Truth) -> &'static [&'static str] {
    let table = facts(&truth.table);
    match truth.told_as {
        b'i' => table.index,
        _ => table.key,
    }
}

/// The key as text: a single one as it is, several with commas between and escaped inside.
pub(super) fn resource_id(table: &Table, row: &Values) -> String {
    let text = |column: &&str| -> String {
        let value = row.get(*column).map_or("null", String::as_str);
        serde_json::from_str::<String>(value).unwrap_or_else(|_| value.to_owned())
    };
    let parts: Vec<String> = table.key.iter().map(text).collect();
    match parts.as_slice() {
        [one] => one.clone(),
        several => several
            .iter()
            .map(|part| part.replace('\\', "\\\\").replace(',', "\\,"))
            .collect::<Vec<_>>()
            .join(","),
    }
}

/// Whether the event says what happened, as far as the replica identity lets it, and no more.
pub(crate) fn matches(event: &Event, truth: &Truth, memory: &Memory) -> Result<(), String> {
    equal("table", &event.table, &truth.table)?;
    equal("action", &event.action, &truth.action)?;
    equal(
        "type",
        &event.event_type,
        &format!("{}.{}", truth.table, truth.action),
    )?;
    let Some(said) = said_before(truth, memory) else {
        let said = says(event, &wanted(event, truth)?);
        return match is_like_a_key(truth) {
            true => said.or_else(|_| says(event, &wanted(event, &as_key(truth))?)),
            false => said,
        };
    };
    let recalled = recalled(event, truth, said).and_then(|wanted| says(event, &wanted));
    // What was said up to the discovery of such a change does not count, and a stream that is behind
    // meets it before its place: nobody knows when.
    match memory.is_altered(&truth.table) {
        true => recalled.or_else(|_| says(event, &wanted(event, truth)?)),
        false => recalled,
    }
}

/// A partition's whole old row of nothing but nulls beside the key looks like one of which only the key
/// is carried: it may be told as that.
fn is_like_a_key(truth: &Truth) -> bool {
    let key = facts(&truth.table).key;
    let is_null =
        |(name, value): (&String, &String)| key.contains(&name.as_str()) || value == "null";
    truth.table == "parted"
        && truth.told_as == b'f'
        && truth
            .old
            .as_ref()
            .is_some_and(|old| old.iter().all(is_null))
}

fn as_key(truth: &Truth) -> Truth {
    Truth {
        told_as: b'd',
        ..truth.clone()
    }
}

fn says(event: &Event, wanted: &Wanted) -> Result<(), String> {
    equal("resource id", &event.resource_id, &wanted.resource_id)?;
    equal("old_row", &event.old_row.as_str(), &wanted.old_row)?;
    let unknown: HashSet<_> = event.unknown.iter().cloned().collect();
    equal("unknown", &unknown, &wanted.unknown)?;
    equal("record", &event.record, &wanted.record)?;
    equal("previous", &event.previous, &wanted.previous)
}

/// Cuts what is long and says nothing.
pub(crate) fn shortened(text: &str) -> String {
    const LONGEST: usize = 100;
    const KEPT: usize = 24;
    let words = text.split_inclusive(|letter: char| !letter.is_ascii_hexdigit());
    words
        .map(|word| match word.len() > LONGEST {
            true => format!(
                "{}…({})…{}",
                &word[..KEPT],
                word.len() - 1,
                &word[word.len() - KEPT..]
            ),
            false => word.to_owned(),
        })
        .collect()
}

fn equal<T: PartialEq + Debug>(what: &str, logged: &T, wanted: &T) -> Result<(), String> {
    match logged == wanted {
        true => Ok(()),
        false => Err(format!("{what} is {logged:?}, should be {wanted:?}")),
    }
}

struct Wanted {
    resource_id: Option<String>,
    old_row: &'static str,
    unknown: HashSet<String>,
    record: Option<Values>,
    previous: Option<Values>,
}

fn wanted(event: &Event, truth: &Truth) -> Result<Wanted, String> {
    let table = facts(&truth.table);
    let nothing = HashSet::new();
    Ok(match (&truth.old, &truth.new) {
        (None, None) => Wanted {
            resource_id: None,
            old_row: "absent",
            unknown: nothing,
            record: None,
            previous: None,
        },
        (None, Some(new)) => Wanted {
            resource_id: Some(resource_id(table, new)),
            old_row: "absent",
            unknown: nothing,
            record: Some(new.clone()),
            previous: None,
        },
        (Some(old), None) if truth.told_as == b'f' => Wanted {
            resource_id: Some(resource_id(table, old)),
            old_row: "full",
            unknown: nothing,
            record: Some(old.clone()),
            previous: None,
        },
        (Some(old), None) => {
            let carried = identity_columns(truth);
            let is_carried = |column: &String| carried.contains(&column.as_str());
            Wanted {
                resource_id: table
                    .key
                    .iter()
                    .all(|column| carried.contains(column))
                    .then(|| resource_id(table, old)),
                old_row: "key",
                unknown: old
                    .keys()
                    .filter(|column| !is_carried(column))
                    .cloned()
                    .collect(),
                record: Some(only(old, is_carried)),
                previous: None,
            }
        }
        (Some(old), Some(new)) if truth.told_as == b'f' => Wanted {
            resource_id: Some(resource_id(table, new)),
            old_row: "full",
            unknown: nothing,
            record: Some(new.clone()),
            previous: Some(only(old, |column| old.get(column) != new.get(column))),
        },
        (Some(old), Some(new)) => {
            // Which values are out of line is the server's affair; that it is only those is ours.
            let unknown: HashSet<_> = event.unknown.iter().cloned().collect();
            for column in &unknown {
                let (before, after) = (old.get(column), new.get(column));
                if before != after || after.is_none_or(|value| value.len() < SHORTEST_TOAST) {
                    return Err(format!("{column} is unknown, the stream carried it"));
                }
            }
            let carried = identity_columns(truth);
            let changed = |column: &String| {
                carried.contains(&column.as_str()) && old.get(column) != new.get(column)
            };
            // A partition may have more of the old row in the WAL than its root lets the stream say.
            let moved = truth.identity == b'f' || old.keys().any(changed);
            Wanted {
                resource_id: Some(resource_id(table, new)),
                old_row: if moved { "key" } else { "absent" },
                record: Some(only(new, |column| !unknown.contains(column))),
                previous: moved.then(|| only(old, changed)),
                unknown,
            }
        }
    })
}

/// What the log said of the row before, where the stream does not tell the old row and tells its key.
fn said_before<'a>(truth: &Truth, memory: &'a Memory) -> Option<&'a Said> {
    let carried = identity_columns(truth);
    let keyed = facts(&truth.table)
        .key
        .iter()
        .all(|column| carried.contains(column));
    match keyed && truth.told_as != b'f' {
        true => memory.recalled(truth),
        false => None,
    }
}

/// The old row is what the log said of it, which has to be true. What was never said, because a
/// column came since, or the stream never carried it, stays unknown.
fn recalled(event: &Event, truth: &Truth, said: &Said) -> Result<Wanted, String> {
    let table = facts(&truth.table);
    let old = truth.old.as_ref().ok_or("a new row was recalled")?;
    let was = |column: &String| old.get(column);
    let is_said = |column: &String| said.values.contains_key(column);
    let full = old.keys().all(is_said);
    let old_row = if full { "full" } else { "partial" };
    let resource_id = Some(resource_id(table, truth.new.as_ref().unwrap_or(old)));
    let Some(new) = &truth.new else {
        let carried = identity_columns(truth);
        let is_known = |column: &String| is_said(column) || carried.contains(&column.as_str());
        let known = old.keys().filter(|column| is_known(column));
        let record = known.filter_map(|column| Some((column.clone(), was(column)?.clone())));
        return Ok(Wanted {
            resource_id,
            old_row,
            unknown: old.keys().filter(|it| !is_known(it)).cloned().collect(),
            record: Some(record.collect()),
            previous: None,
        });
    };
    let unknown: HashSet<_> = event.unknown.iter().cloned().collect();
    for column in &unknown {
        let (before, after) = (old.get(column), new.get(column));
        let untouched = before == after && after.is_some_and(|it| it.len() >= SHORTEST_TOAST);
        if is_said(column) || !untouched {
            return Err(format!("{column} is unknown, stream or log carried it"));
        }
    }
    let changed = old
        .keys()
        .filter(|column| is_said(column) && was(column) != new.get(*column));
    let previous = changed.filter_map(|column| Some((column.clone(), was(column)?.clone())));
    Ok(Wanted {
        resource_id,
        old_row,
        record: Some(only(new, |column| !unknown.contains(column))),
        previous: Some(previous.collect()),
        unknown,
    })
}

fn only(row: &Values, keep: impl Fn(&String) -> bool) -> Values {
    row.iter()
        .filter(|(column, _)| keep(column))
        .map(|(column, value)| (column.clone(), value.clone()))
        .collect()
}
