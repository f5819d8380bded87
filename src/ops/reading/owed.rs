//! Events that webhooks still have to deal with: those after a cursor, and those that wait for a retry.
//!
//! Whether a webhook wants an event that lies after its cursor, nobody knows before its turn comes.

use crate::event::Event;
use crate::event_log::read::{self, Filter};
use crate::fault::Result;
use crate::wal::Connection;
use crate::wal::server_error::sql_fault;

/// A page of them.
///
/// # Errors
/// If the log cannot be asked.
pub(super) async fn page(
    log: &Connection,
    webhooks: &[String],
    filter: &Filter,
) -> Result<Vec<Event>> {
    let Some(cursor) = slowest(log, webhooks).await? else {
        return Ok(Vec::new());
    };
    let waiting = Filter {
        before: Some(filter.before.map_or(cursor + 1, |id| id.min(cursor + 1))),
        waiting_for: webhooks.to_vec(),
        ..filter.clone()
    };
    let ahead = Filter {
        after: Some(filter.after.map_or(cursor, |id| id.max(cursor))),
        ..filter.clone()
    };
    let [first, second] = if filter.newest {
        [ahead, waiting]
    } else {
        [waiting, ahead]
    };
    let mut events = read::page(log, &first).await?;
    let Some(rest) = rest(filter, &events) else {
        return Ok(events);
    };
    let mut more = read::page(log, &rest_of(second, rest)).await?;
    if filter.newest {
        std::mem::swap(&mut events, &mut more);
    }
    events.append(&mut more);
    Ok(events)
}

/// How many events and bytes a page has room for yet; `None` if it is full.
fn rest(filter: &Filter, events: &[Event]) -> Option<(i64, usize)> {
    let count = filter.limit - i64::try_from(events.len()).ok()?;
    let taken: usize = events.iter().map(Event::bytes).sum();
    let bytes = filter.bytes.unwrap_or(usize::MAX).checked_sub(taken)?;
    (count > 0 && bytes > 0).then_some((count, bytes))
}

fn rest_of(filter: Filter, (limit, bytes): (i64, usize)) -> Filter {
    Filter {
        limit,
        bytes: Some(bytes),
        ..filter
    }
}

/// The cursor that is farthest behind; `None` where no webhook has one.
async fn slowest(log: &Connection, webhooks: &[String]) -> Result<Option<i64>> {
    let fault = |error| sql_fault("cannot read the cursors", error);
    let sql = "select min(cursor) from rowhook.subscriptions where name = any ($1)";
    let row = log.query_one(sql, &[&webhooks]).await.map_err(fault)?;
    row.try_get(0).map_err(fault)
}
