//! Events out of the log.

use std::pin::pin;
use std::sync::Arc;

use bytestring::ByteString;
use futures_util::TryStreamExt as _;
use jiff::Timestamp;
use tokio_postgres::types::{FromSql, PgLsn, ToSql, Type};
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use super::checkpoint::from_pg;
use super::segments::FIRST_NOT_INDEXED;
use crate::event::{Action, Event, OldRow, Origin};
use crate::fault::Result;
use crate::wal::server_error::sql_fault;

const COLUMNS: &str = "sequence_id, event_id, event_type, resource, resource_id, action, created_at, record, \
     previous, context, old_row, unknown, as_text, table_schema, table_name, xid, commit_lsn, commit_index, \
     data, tenant, related, erased_at";

/// Which events are asked for. Everything that is set has to hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    /// After this sequence id.
    pub after: Option<i64>,
    /// Before this sequence id.
    pub before: Option<i64>,
    /// Exactly this type.
    pub event_type: Option<String>,
    /// Of one of these types; empty, of any.
    pub types: Vec<String>,
    /// Of this resource.
    pub resource: Option<String>,
    /// With this key.
    pub resource_id: Option<String>,
    /// Committed at this time or later.
    pub from: Option<Timestamp>,
    /// Committed before this time.
    pub to: Option<Timestamp>,
    /// With a delivery of one of these webhooks that waits for a retry; empty, whatever waits.
    pub waiting_for: Vec<String>,
    /// The newest ones instead of the oldest; still in ascending order.
    pub newest: bool,
    /// How many at the most.
    pub limit: i64,
    /// No more once there are so many bytes of them; one is given in any case.
    pub bytes: Option<usize>,
}

impl Filter {
    /// The same page between the ids that it surely lies between, where all events are asked for: ids are
    /// dense. Postgres makes ready for every segment that may have a part of it. `None` where it is not told
    /// from where on, or lies between such ids already.
    fn narrowed(&self) -> Option<Self> {
        let whatever = Self {
            after: self.after,
            before: self.before,
            newest: self.newest,
            limit: self.limit,
            bytes: self.bytes,
            ..Self::default()
        };
        if *self != whatever {
            return None;
        }
        let (after, before) = (self.after, self.before);
        if self.newest {
            let start = before?.saturating_sub(self.limit).saturating_sub(1);
            let is_narrow = after.is_some_and(|after| after >= start);
            (!is_narrow).then_some(Self {
                after: Some(start),
                ..whatever
            })
        } else {
            let end = after?.saturating_add(self.limit).saturating_add(1);
            let is_narrow = before.is_some_and(|before| before <= end);
            (!is_narrow).then_some(Self {
                before: Some(end),
                ..whatever
            })
        }
    }

    /// Whether these follow without a gap on what was named: then the page is what was asked for. Else old
    /// events are gone.
    fn begins_with(&self, events: &[Event]) -> bool {
        let (next, there) = match self.newest {
            true => (self.before.map(|before| before - 1), events.last()),
            false => (self.after.map(|after| after + 1), events.first()),
        };
        there.is_some_and(|event| Some(event.sequence_id) == next)
    }
}

/// A page of events in ascending order.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn page(client: &Client, filter: &Filter) -> Result<Vec<Event>> {
    if filter.types.len() > 1 {
        return page_of_types(client, filter).await;
    }
    if let Some(narrow) = filter.narrowed() {
        let events = page_of_one_type(client, &narrow).await?;
        if filter.begins_with(&events) {
            return Ok(events);
        }
    }
    page_of_one_type(client, filter).await
}

async fn page_of_one_type(client: &Client, filter: &Filter) -> Result<Vec<Event>> {
    let (conditions, mut values) = conditions(filter);
    values.push(&filter.limit);
    let sql = format!(
        "select {COLUMNS} from rowhook.events {conditions} order by sequence_id {} limit ${}",
        direction(filter),
        values.len()
    );
    let most = filter.bytes.unwrap_or(usize::MAX);
    let mut events = read(client, &sql, &values, most).await?;
    if filter.newest {
        events.reverse();
    }
    Ok(events)
}

/// The same for several types: each one is looked for by itself, as no index has them in one order; where
/// there is no index yet, all of them at once.
async fn page_of_types(client: &Client, filter: &Filter) -> Result<Vec<Event>> {
    let each = Filter {
        types: Vec::new(),
        ..filter.clone()
    };
    let (conditions, mut values) = conditions(&each);
    values.push(&filter.types);
    values.push(&filter.limit);
    let (types, limit, direction) = (values.len() - 1, values.len(), direction(filter));
    let and = if conditions.is_empty() {
        "where"
    } else {
        "and"
    };
    let sql = format!(
        "select {COLUMNS} from rowhook.events where sequence_id = any (array( \
           (select found.sequence_id from unnest(${types}::text[]) wanted (event_type), \
                 lateral (select sequence_id from rowhook.events {conditions} \
                          {and} events.event_type = wanted.event_type and sequence_id < {FIRST_NOT_INDEXED} \
                          order by sequence_id {direction} limit ${limit}) found) \
           union all \
           (select sequence_id from rowhook.events {conditions} \
             {and} events.event_type = any (${types}::text[]) and sequence_id >= {FIRST_NOT_INDEXED} \
             order by sequence_id {direction} limit ${limit}) \
            order by 1 {direction} limit ${limit})) order by sequence_id {direction}"
    );
    let most = filter.bytes.unwrap_or(usize::MAX);
    let mut events = read(client, &sql, &values, most).await?;
    if filter.newest {
        events.reverse();
    }
    Ok(events)
}

/// Types that occur in the log, at most so many. From one to the next by the index, in the order of its
/// bytes: as many steps as there are types, however long the log is; and those that have no index yet.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn types(client: &Client, limit: i64) -> Result<Vec<String>> {
    let sql = format!(
        "with recursive found (event_type) as ( \
           (select event_type from rowhook.events where sequence_id < {FIRST_NOT_INDEXED} \
             order by event_type using ~<~ limit 1) \
           union all \
           (select (select e.event_type from rowhook.events e \
                     where e.event_type ~>~ found.event_type and e.sequence_id < {FIRST_NOT_INDEXED} \
                     order by e.event_type using ~<~ limit 1) \
              from found where found.event_type is not null)) \
         select event_type from found where event_type is not null \
         union select event_type from rowhook.events where sequence_id >= {FIRST_NOT_INDEXED} \
         limit $1::bigint"
    );
    let fault = |error| sql_fault("cannot read the types of events", error);
    let rows = client.query(&sql, &[&limit]).await.map_err(fault)?;
    rows.iter()
        .map(|row| row.try_get(0).map_err(fault))
        .collect()
}

fn direction(filter: &Filter) -> &'static str {
    if filter.newest { "desc" } else { "asc" }
}

/// What is asked for as SQL, with the values of its parameters.
fn conditions(filter: &Filter) -> (String, Vec<&(dyn ToSql + Sync)>) {
    let mut conditions = Vec::new();
    let mut values: Vec<&(dyn ToSql + Sync)> = Vec::new();
    let given: [(&str, Option<&(dyn ToSql + Sync)>); 8] = [
        (
            "sequence_id >",
            filter.after.as_ref().map(|value| value as _),
        ),
        (
            "sequence_id <",
            filter.before.as_ref().map(|value| value as _),
        ),
        (
            "event_type =",
            filter.event_type.as_ref().map(|value| value as _),
        ),
        ("event_type =", filter.types.first().map(|value| value as _)),
        (
            "resource =",
            filter.resource.as_ref().map(|value| value as _),
        ),
        (
            "resource_id =",
            filter.resource_id.as_ref().map(|value| value as _),
        ),
        (
            "created_at >=",
            filter.from.as_ref().map(|value| value as _),
        ),
        ("created_at <", filter.to.as_ref().map(|value| value as _)),
    ];
    for (condition, value) in given {
        if let Some(value) = value {
            values.push(value);
            conditions.push(format!("{condition} ${}", values.len()));
        }
    }
    if !filter.waiting_for.is_empty() {
        values.push(&filter.waiting_for);
        conditions.push(format!(
            "sequence_id in (select d.sequence_id from rowhook.deliveries d \
              where d.state = 'waiting' and d.subscription = any (${}))",
            values.len()
        ));
    }
    let sql = match conditions.as_slice() {
        [] => String::new(),
        conditions => format!("where {}", conditions.join(" and ")),
    };
    (sql, values)
}

/// The event with this id.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn by_event_id(client: &Client, id: Uuid) -> Result<Option<Event>> {
    let sql = format!("select {COLUMNS} from rowhook.events where event_id = $1");
    Ok(read(client, &sql, &[&id], usize::MAX).await?.pop())
}

/// The event with this sequence id.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn by_sequence_id(client: &Client, id: i64) -> Result<Option<Event>> {
    let sql = format!("select {COLUMNS} from rowhook.events where sequence_id = $1");
    Ok(read(client, &sql, &[&id], usize::MAX).await?.pop())
}

/// The events with these sequence ids, in ascending order; no more once there are so many bytes of
/// them, but one in any case.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn by_sequence_ids(client: &Client, ids: &[i64], bytes: usize) -> Result<Vec<Event>> {
    let sql = format!(
        "select {COLUMNS} from rowhook.events where sequence_id = any ($1) order by sequence_id"
    );
    read(client, &sql, &[&ids], bytes).await
}

async fn read(
    client: &Client,
    sql: &str,
    values: &[&(dyn ToSql + Sync)],
    most: usize,
) -> Result<Vec<Event>> {
    let fault = |error| sql_fault("cannot read the log", error);
    let rows = client.query_raw(sql, values.iter().copied());
    // Rows come as they are taken; what is left of them when this ends is not kept.
    let mut rows = pin!(rows.await.map_err(fault)?);
    let (mut events, mut bytes) = (Vec::new(), 0_usize);
    let mut words = Words::default();
    while bytes < most
        && let Some(row) = rows.try_next().await.map_err(fault)?
    {
        let event = from_row(&row, &mut words).map_err(fault)?;
        bytes = bytes.saturating_add(event.bytes());
        events.push(event);
    }
    Ok(events)
}

fn from_row(row: &Row, words: &mut Words) -> Result<Event, tokio_postgres::Error> {
    let json = |index: usize| -> Result<Option<ByteString>, tokio_postgres::Error> {
        Ok(row
            .try_get::<_, Option<JsonText>>(index)?
            .map(|text| text.0))
    };
    let names = |index: usize| -> Result<Vec<String>, tokio_postgres::Error> {
        let names: Option<Vec<String>> = row.try_get(index)?;
        Ok(names.unwrap_or_default())
    };
    Ok(Event {
        sequence_id: row.try_get(0)?,
        event_id: row.try_get(1)?,
        event_type: words.share(0, row.try_get(2)?),
        resource: words.share(1, row.try_get(3)?),
        resource_id: row.try_get::<_, Option<&str>>(4)?.map(ByteString::from),
        action: Action::parse(row.try_get(5)?),
        created_at: row.try_get::<_, Timestamp>(6)?.as_microsecond(),
        record: json(7)?,
        previous: json(8)?,
        context: json(9)?,
        data: json(18)?,
        tenant: row.try_get::<_, Option<&str>>(19)?.map(ByteString::from),
        related: json(20)?,
        old_row: OldRow::parse(row.try_get(10)?),
        unknown: names(11)?,
        as_text: names(12)?,
        erased_at: row
            .try_get::<_, Option<Timestamp>>(21)?
            .map(Timestamp::as_microsecond),
        origin: Origin {
            schema: words.share(2, row.try_get(13)?),
            table: words.share(3, row.try_get(14)?),
            xid: u32::try_from(row.try_get::<_, i64>(15)?).unwrap_or_default(),
            commit_lsn: from_pg(row.try_get::<_, PgLsn>(16)?),
            index: u64::try_from(row.try_get::<_, i64>(17)?).unwrap_or_default(),
        },
    })
}

/// Words that stand in row after row: kept once, as long as they are the same.
#[derive(Default)]
struct Words([Option<Arc<str>>; 4]);

impl Words {
    /// The word in this place of the row.
    fn share(&mut self, place: usize, word: &str) -> Arc<str> {
        let Some(last) = self.0.get_mut(place) else {
            return Arc::from(word);
        };
        match last {
            Some(last) if **last == *word => Arc::clone(last),
            last => Arc::clone(last.insert(Arc::from(word))),
        }
    }
}

/// The bytes of a `json` value, as they were written.
pub(super) struct JsonText(pub(super) ByteString);

impl<'a> FromSql<'a> for JsonText {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(ByteString::from(std::str::from_utf8(raw)?)))
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::JSON
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(filter: &Filter) -> Option<(Option<i64>, Option<i64>)> {
        let narrow = filter.narrowed()?;
        Some((narrow.after, narrow.before))
    }

    #[test]
    fn a_page_of_whatever_there_is_lies_next_to_where_it_begins() {
        let up = Filter {
            after: Some(10),
            before: Some(1000),
            limit: 5,
            ..Filter::default()
        };
        assert_eq!(ends(&up), Some((Some(10), Some(16))));
        let last = Filter {
            before: Some(16),
            ..up.clone()
        };
        assert_eq!(ends(&last), None, "it lies there anyway");
        let down = Filter {
            after: None,
            newest: true,
            ..up.clone()
        };
        assert_eq!(ends(&down), Some((Some(994), Some(1000))));
        let from_the_beginning = Filter {
            after: None,
            ..up.clone()
        };
        assert_eq!(ends(&from_the_beginning), None);
    }

    #[test]
    fn a_page_of_some_events_may_lie_anywhere() {
        let some = Filter {
            after: Some(10),
            limit: 5,
            resource: Some("orders".into()),
            ..Filter::default()
        };
        assert_eq!(ends(&some), None);
    }
}
