//! What the log tells of one row at one point.

use std::collections::VecDeque;
use std::pin::pin;

use futures_util::TryStreamExt as _;
use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::read::{self, Filter, JsonText};
use super::{deliveries, keys};
use crate::event::past::{self, Past};
use crate::event::{Action, Capture, Event, Fields};
use crate::fault::Result;
use crate::wal::{Connection, server_error::sql_fault};

/// Events of a row that are read at once.
const PAGE: i64 = 50;

/// What had become of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It was there.
    Present,
    /// It had been deleted.
    Deleted,
    /// Its table had been emptied.
    Truncated(Turn),
    /// An update had given it another key, if that is known.
    Renamed(Turn, Option<String>),
    /// It was made by a later event, or got this key by it.
    NotYet,
    /// The log begins later.
    BeforeLog,
    /// The log does not tell.
    Unknown,
}

/// An event that ended something for a row without being one of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// Its sequence id.
    pub sequence_id: i64,
    /// When it was committed.
    pub at: Timestamp,
}

/// A row as it was.
#[derive(Debug)]
pub struct AsItWas {
    /// What had become of it.
    pub standing: Standing,
    /// The event that tells it.
    pub event: Option<Event>,
    /// Its values, as far as they are known.
    pub past: Option<Past>,
    /// Gaps between the event that tells and the point that was asked for: it may have changed in
    /// them.
    pub gaps: Vec<Turn>,
    /// Whether a change of its key would have been noticed.
    pub follows_key: bool,
}

/// The row `resource` `id` behind event `up_to`.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn as_it_was(
    log: &Connection,
    capture: &Capture,
    (resource, id): (&str, &str),
    up_to: i64,
) -> Result<AsItWas> {
    let mut events = Backwards::from(log, resource, id, up_to);
    let Some(last) = events.next().await? else {
        return told_later(log, capture, (resource, id), up_to).await;
    };
    if past::is_gone(&last) {
        return Ok(AsItWas::told(Standing::Deleted, last, None));
    }
    let keys = keys::of_table(log, capture, &last.origin).await?;
    let holder = last.record.as_deref().and_then(Fields::read);
    let holder = holder.unwrap_or_default();
    let held = |key: &Vec<String>| key.iter().all(|column| holder.named(column).is_some());
    let follows_key = keys.iter().any(held);
    let emptied = truncation(log, &last, up_to).await?;
    let moved = change_of_key(log, &last, up_to, &keys).await?;
    let ended = match (emptied, moved) {
        (Some(turn), Some((moved, _))) if turn.sequence_id < moved.sequence_id => {
            Some(Standing::Truncated(turn))
        }
        (_, Some((turn, to))) => Some(Standing::Renamed(turn, to)),
        (Some(turn), None) => Some(Standing::Truncated(turn)),
        (None, None) => None,
    };
    drop(holder);
    let gaps = gaps(log, up_to).await?;
    let past = match ended {
        None => Some(filled(&last, &mut events, &keys, &gaps).await?),
        Some(_) => None,
    };
    let standing = match last.action {
        // By a mark: its values are there.
        Action::Deleted => Standing::Deleted,
        _ => Standing::Present,
    };
    let since = last.sequence_id;
    Ok(AsItWas {
        follows_key,
        gaps: gaps
            .into_iter()
            .filter(|gap| gap.sequence_id > since)
            .collect(),
        ..AsItWas::told(ended.unwrap_or(standing), last, past)
    })
}

impl AsItWas {
    fn told(standing: Standing, event: Event, past: Option<Past>) -> Self {
        Self {
            standing,
            event: Some(event),
            past,
            gaps: Vec::new(),
            follows_key: true,
        }
    }
}

/// The row after its last event; what that lacks is looked for in earlier ones.
async fn filled(
    last: &Event,
    events: &mut Backwards<'_>,
    keys: &[Vec<String>],
    gaps: &[Turn],
) -> Result<Past> {
    let mut past = Past::after(last);
    let mut later = last.sequence_id;
    // Whose key is not known may have been another row before.
    let is_start = |event: &Event| keys.is_empty() || past::changed_key(event, keys);
    if is_start(last) {
        past.no_more();
    }
    while past.wants_more() {
        let Some(event) = events.next().await? else {
            past.no_more();
            break;
        };
        let between = |gap: &Turn| (event.sequence_id..later).contains(&gap.sequence_id);
        if gaps.iter().any(between) {
            past.no_more();
            break;
        }
        past.earlier(&event, is_start(&event));
        later = event.sequence_id;
    }
    Ok(past)
}

/// What the row's first event behind `up_to` says of it.
async fn told_later(
    log: &Connection,
    capture: &Capture,
    (resource, id): (&str, &str),
    up_to: i64,
) -> Result<AsItWas> {
    let Some(next) = first_after(log, resource, id, up_to).await? else {
        return Ok(AsItWas {
            standing: Standing::Unknown,
            event: None,
            past: None,
            gaps: gaps(log, up_to).await?,
            follows_key: true,
        });
    };
    let keys = keys::of_table(log, capture, &next.origin).await?;
    let renamed = past::changed_key(&next, &keys);
    let gaps: Vec<Turn> = gaps(log, next.sequence_id).await?;
    let gaps: Vec<Turn> = gaps
        .into_iter()
        .filter(|gap| gap.sequence_id > up_to)
        .collect();
    let emptied = truncation_between(log, &next, up_to, next.sequence_id).await?;
    let certain = gaps.is_empty() && emptied.is_none();
    let tells = past::is_gone(&next) || next.previous.is_some() && !renamed;
    let past = tells.then(|| Past::before(&next));
    let standing = if up_to <= deliveries::before_oldest(log).await? {
        Standing::BeforeLog
    } else if !certain || next.action == Action::Snapshot {
        Standing::Unknown
    } else if next.action == Action::Created || renamed {
        Standing::NotYet
    } else {
        Standing::Present
    };
    Ok(AsItWas {
        gaps,
        follows_key: !keys.is_empty(),
        ..AsItWas::told(standing, next, past)
    })
}

async fn first_after(
    log: &Connection,
    resource: &str,
    id: &str,
    after: i64,
) -> Result<Option<Event>> {
    let mut filter = Filter {
        after: Some(after),
        resource: Some(resource.to_owned()),
        resource_id: Some(id.to_owned()),
        limit: PAGE,
        ..Filter::default()
    };
    loop {
        let events = read::page(log, &filter).await?;
        let Some(last) = events.last() else {
            return Ok(None);
        };
        filter.after = Some(last.sequence_id);
        if let Some(event) = events.into_iter().find(past::is_of_a_row) {
            return Ok(Some(event));
        }
    }
}

/// A row's events, the newest first.
struct Backwards<'a> {
    log: &'a Connection,
    filter: Filter,
    read: VecDeque<Event>,
    is_over: bool,
}

impl<'a> Backwards<'a> {
    fn from(log: &'a Connection, resource: &str, id: &str, up_to: i64) -> Self {
        let filter = Filter {
            before: Some(up_to.saturating_add(1)),
            resource: Some(resource.to_owned()),
            resource_id: Some(id.to_owned()),
            newest: true,
            limit: PAGE,
            ..Filter::default()
        };
        Self {
            log,
            filter,
            read: VecDeque::new(),
            is_over: false,
        }
    }

    /// The next one that says how the row stands.
    async fn next(&mut self) -> Result<Option<Event>> {
        loop {
            while let Some(event) = self.read.pop_back() {
                if past::is_of_a_row(&event) {
                    return Ok(Some(event));
                }
            }
            if self.is_over {
                return Ok(None);
            }
            self.read = read::page(self.log, &self.filter).await?.into();
            match self.read.front() {
                Some(oldest) => self.filter.before = Some(oldest.sequence_id),
                None => self.is_over = true,
            }
        }
    }
}

const CANNOT_READ: &str = "cannot read what became of a row";

async fn truncation(log: &Connection, last: &Event, up_to: i64) -> Result<Option<Turn>> {
    truncation_between(log, last, last.sequence_id, up_to).await
}

/// The first TRUNCATE of an event's table behind `after` and up to `up_to`.
async fn truncation_between(
    log: &Connection,
    of: &Event,
    after: i64,
    up_to: i64,
) -> Result<Option<Turn>> {
    let fault = |error| sql_fault(CANNOT_READ, error);
    let sql = "select sequence_id, created_at from rowhook.events \
                where resource = $1 and resource_id is null and action = 'truncated' \
                  and table_schema = $2 and table_name = $3 and sequence_id > $4 and sequence_id <= $5 \
                order by sequence_id limit 1";
    let (schema, table) = (&*of.origin.schema, &*of.origin.table);
    let values: [&(dyn ToSql + Sync); 5] = [&&*of.resource, &schema, &table, &after, &up_to];
    let row = log.query_opt(sql, &values).await.map_err(fault)?;
    row.map(|row| turn(&row).map_err(fault)).transpose()
}

/// The gaps in the log up to an event, the oldest first.
async fn gaps(log: &Connection, up_to: i64) -> Result<Vec<Turn>> {
    let fault = |error| sql_fault(CANNOT_READ, error);
    let sql = "select sequence_id, created_at from rowhook.events \
                where resource = 'rowhook' and resource_id is null and event_type = 'rowhook.gap' \
                  and sequence_id <= $1 order by sequence_id";
    let rows = log.query(sql, &[&up_to]).await.map_err(fault)?;
    rows.iter().map(|row| turn(row).map_err(fault)).collect()
}

fn turn(row: &Row) -> Result<Turn, tokio_postgres::Error> {
    Ok(Turn {
        sequence_id: row.try_get(0)?,
        at: row.try_get(1)?,
    })
}

/// The first update behind event `last`, and up to `up_to`, that took the row away from its key; and
/// the key that it got. Looks at every update of the table in between that changed a column of a key.
pub async fn change_of_key(
    log: &Connection,
    last: &Event,
    up_to: i64,
    keys: &[Vec<String>],
) -> Result<Option<(Turn, Option<String>)>> {
    let fault = |error| sql_fault(CANNOT_READ, error);
    let Some(holder) = last.record.as_deref().and_then(Fields::read) else {
        return Ok(None);
    };
    let label = |column: &String| format!("{}:", serde_json::Value::from(column.as_str()));
    let labels: Vec<String> = keys.iter().flatten().map(label).collect();
    let (schema, table) = (&*last.origin.schema, &*last.origin.table);
    let values: [&(dyn ToSql + Sync); 6] = [
        &&*last.resource,
        &schema,
        &table,
        &last.sequence_id,
        &up_to,
        &labels,
    ];
    let found = log.query_raw(include_str!("../../sql/changes_of_key.sql"), values);
    let mut found = pin!(found.await.map_err(fault)?);
    while let Some(row) = found.try_next().await.map_err(fault)? {
        let (record, previous): (Option<JsonText>, Option<JsonText>) = (
            row.try_get(3).map_err(fault)?,
            row.try_get(4).map_err(fault)?,
        );
        let (Some(record), Some(previous)) = (fields(&record), fields(&previous)) else {
            continue;
        };
        if keys
            .iter()
            .any(|key| past::took_key_of(&holder, key, &record, &previous))
        {
            return Ok(Some((
                turn(&row).map_err(fault)?,
                row.try_get(2).map_err(fault)?,
            )));
        }
    }
    Ok(None)
}

fn fields(text: &Option<JsonText>) -> Option<Fields<'_>> {
    Fields::read(&text.as_ref()?.0)
}
