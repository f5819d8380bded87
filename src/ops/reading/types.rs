//! Patterns of types as the types that the log holds.

use super::question::Types;
use crate::event_log::read;
use crate::fault::{Fault, Result};
use crate::wal::Connection;

/// Types among which a pattern looks.
const MOST: usize = 10_000;

/// The types that the patterns cover. A pattern without a star stands for itself.
///
/// # Errors
/// If the log cannot be asked, or holds too many types to look at.
pub(super) async fn written_out(log: &Connection, types: &Types) -> Result<Vec<String>> {
    if !types.written.iter().any(|pattern| pattern.contains('*')) {
        return Ok(types.written.clone());
    }
    let limit = i64::try_from(MOST + 1).unwrap_or(i64::MAX);
    let found = read::types(log, limit).await?;
    if found.len() > MOST {
        let cause =
            format!("the log holds more than {MOST} types: a pattern with a star would miss some");
        return Err(Fault::settings(cause).next_step("name the types without a star"));
    }
    let covered = |name: &String| types.patterns.matches(name);
    Ok(found.into_iter().filter(covered).collect())
}
