//! Patterns of types as the types that the log holds.

use super::question::Types;
use crate::fault::{Fault, Result};
use crate::wal::Connection;
use crate::wal::server_error::sql_fault;

/// Types among which a pattern looks.
const MOST: usize = 10_000;
/// From one type to the next by the index, in the order of its bytes: as many steps as there are types,
/// however long the log is.
const TYPES: &str = "
    with recursive found (event_type) as (
      (select event_type from rowhook.events order by event_type using ~<~ limit 1)
      union all
      (select (select e.event_type from rowhook.events e where e.event_type ~>~ found.event_type
                order by e.event_type using ~<~ limit 1)
         from found where found.event_type is not null))
    select event_type from found where event_type is not null limit $1::bigint";

/// The types that the patterns cover. A pattern without a star stands for itself.
///
/// # Errors
/// If the log cannot be asked, or holds too many types to look at.
pub(super) async fn written_out(log: &Connection, types: &Types) -> Result<Vec<String>> {
    if !types.written.iter().any(|pattern| pattern.contains('*')) {
        return Ok(types.written.clone());
    }
    let fault = |error| sql_fault("cannot read the types of events", error);
    let limit = i64::try_from(MOST + 1).unwrap_or(i64::MAX);
    let rows = log.query(TYPES, &[&limit]).await.map_err(fault)?;
    if rows.len() > MOST {
        let cause =
            format!("the log holds more than {MOST} types: a pattern with a star would miss some");
        return Err(Fault::settings(cause).next_step("name the types without a star"));
    }
    let found = rows.iter().map(|row| row.try_get::<_, String>(0));
    let found: Vec<String> = found.collect::<Result<_, _>>().map_err(fault)?;
    let covered = |name: &String| types.patterns.matches(name);
    Ok(found.into_iter().filter(covered).collect())
}
