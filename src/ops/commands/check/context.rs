//! Triggers of `rowhook.capture_context`: whether they fire, and what they call.

use super::Report;
use crate::fault::Result;
use crate::ops::commands::context_triggers;
use crate::ops::commands::setup::SOURCE_FUNCTIONS;
use crate::wal::Connection;

/// Says nothing where there are none.
pub(super) async fn look(connection: &Connection, report: &mut Report) -> Result<()> {
    let triggers = context_triggers::find(connection).await?;
    let tables: Vec<&str> = triggers
        .iter()
        .map(|trigger| trigger.table.as_str())
        .collect();
    if tables.is_empty() {
        return Ok(());
    }
    for trigger in triggers.iter().filter(|trigger| !trigger.enabled) {
        report.remark(
            format!("table {}", trigger.table),
            "its trigger rowhook_context is disabled: nobody is named in its events",
            format!(
                "alter table {} enable trigger rowhook_context",
                trigger.table
            ),
        );
    }
    let about = "rowhook.capture_context";
    let outdated = context_triggers::outdated(connection, SOURCE_FUNCTIONS).await?;
    if outdated.is_empty() {
        report.good(about, format!("triggers on {}", tables.join(", ")));
    } else {
        let says = format!(
            "the triggers on {} call what another version of rowhook made, or is missing: {}",
            tables.join(", "),
            outdated.join(", ")
        );
        report.remark(about, says, "rowhook setup, as the role that made them");
    }
    Ok(())
}
