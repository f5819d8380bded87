//! A changed `order` or `order_by`: what waits in rows, or is dead, gets its lanes by the new one.

use tokio_postgres::Client;

use super::Runner;
use crate::dispatch::ordering::Ordering;
use crate::event_log::{ordering, read};
use crate::fault::Result;

/// Events that are read from the log at once, at the most …
const PAGE: usize = 500;
/// … as long as they are not more bytes than this.
const PAGE_BYTES: usize = 4 << 20;

impl Runner {
    /// Gives what waits, and what is dead and may be sent again, its new lanes, if the rows were written under another ordering. Otherwise
    /// events would overtake those of their key that wait in the old lanes. What waits after the cursor
    /// may come behind events that have no row and were of other lanes: it is read again with them.
    pub(super) async fn follow_ordering(&self, connection: &Client, cursor: i64) -> Result<()> {
        let name = &self.subscription.name;
        let now = self.subscription.ordering();
        let noted = ordering::noted(connection, name).await?;
        if noted.as_deref() == Some(&now.to_string()) {
            return Ok(());
        }
        let kept = ordering::kept(connection, name, cursor).await?;
        let lanes = lanes(connection, &now, &kept).await?;
        ordering::change(connection, name, self.epoch, &now.to_string(), &lanes).await?;
        if !lanes.is_empty() {
            tracing::info!(webhook = %name, ordering = %now, deliveries = lanes.len(), "waiting and dead deliveries have their lanes by the new order");
        }
        Ok(())
    }
}

/// The lanes of events, given in ascending order. Those that are gone from the log keep theirs: their
/// attempts only find that out.
async fn lanes(
    connection: &Client,
    ordering: &Ordering,
    mut waiting: &[i64],
) -> Result<Vec<(i64, String)>> {
    let mut lanes = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let page = waiting.get(..PAGE).unwrap_or(waiting);
        let events = read::by_sequence_ids(connection, page, PAGE_BYTES).await?;
        let bytes: usize = events.iter().map(crate::event::Event::bytes).sum();
        // The page may have been cut short by its bytes: what comes behind its last event is read next.
        let read_to = match events.last() {
            Some(last) if bytes >= PAGE_BYTES => Some(last.sequence_id),
            _ => page.last().copied(),
        };
        let rest = waiting.partition_point(|id| read_to.is_some_and(|read_to| *id <= read_to));
        waiting = waiting.get(rest..).unwrap_or_default();
        lanes.extend(events.iter().map(|event| {
            let lane = ordering.lane(event);
            (event.sequence_id, lane.to_string())
        }));
    }
    Ok(lanes)
}
