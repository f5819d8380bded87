//! Which events someone wants, and the page that answers.

use jiff::Timestamp;

use super::{owed, types};
use crate::dispatch::pattern::Patterns;
use crate::event::Event;
use crate::event_log::read::{self, Filter};
use crate::event_log::{Checkpoint, by_time, deliveries};
use crate::fault::{Fault, Result};
use crate::wal::Connection;
use crate::wal::server_error::sql_fault;

/// Events of a page, if nobody says how many.
const PAGE: i64 = 100;
/// Bytes of events after which a page ends, whatever its limit.
const PAGE_BYTES: usize = 8 << 20;

/// Which events someone wants. Everything that is set has to hold.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    /// After this sequence id. Without it the newest ones are meant.
    pub(crate) after: Option<i64>,
    /// Before this sequence id.
    pub(crate) before: Option<i64>,
    /// Of a type that one of these patterns covers.
    pub(crate) types: Option<Types>,
    /// Of this resource.
    pub(crate) resource: Option<String>,
    /// With this key.
    pub(crate) resource_id: Option<String>,
    /// Committed at this time or later.
    pub(crate) from: Option<Timestamp>,
    /// Committed before this time.
    pub(crate) to: Option<Timestamp>,
    /// One of these webhooks still has to deal with it.
    pub(crate) owed_to: Option<Vec<String>>,
    /// How many at the most.
    pub(crate) limit: i64,
    /// No more once there are so many bytes of them; one is given in any case.
    pub(crate) bytes: usize,
}

impl Default for Question {
    fn default() -> Self {
        Self {
            after: None,
            before: None,
            types: None,
            resource: None,
            resource_id: None,
            from: None,
            to: None,
            owed_to: None,
            limit: PAGE,
            bytes: PAGE_BYTES,
        }
    }
}

/// Patterns of types, and how they were written.
#[derive(Debug, Clone)]
pub(crate) struct Types {
    pub(super) written: Vec<String>,
    pub(super) patterns: Patterns,
}

impl Types {
    /// Reads the patterns; `None` where there are none.
    ///
    /// # Errors
    /// A sentence that says what is wrong with one.
    pub(crate) fn read(written: Vec<String>) -> Result<Option<Self>, String> {
        if written.is_empty() {
            return Ok(None);
        }
        let patterns = Patterns::parse(&written)?;
        Ok(Some(Self { written, patterns }))
    }
}

/// Events in ascending order, and how to go on.
#[derive(Debug)]
pub(crate) struct Page {
    /// The events.
    pub(crate) events: Vec<Event>,
    /// What is asked for next, to go on: everything up to it has been looked at.
    pub(crate) next: i64,
    /// What is asked for next, to go back; `None` where nothing older fits.
    pub(crate) previous: Option<i64>,
    /// Whether there may be more in this direction already.
    pub(crate) more: bool,
}

impl Question {
    /// Whether this event is wanted, as far as it can be told from the event.
    pub(crate) fn takes(&self, event: &Event) -> bool {
        let at = event.created_at;
        let same = |wanted: &Option<String>, is: Option<&str>| {
            wanted.as_ref().is_none_or(|wanted| is == Some(wanted))
        };
        self.types
            .as_ref()
            .is_none_or(|types| types.patterns.matches(&event.event_type))
            && same(&self.resource, Some(&event.resource))
            && same(&self.resource_id, event.resource_id.as_deref())
            && self.from.is_none_or(|from| from.as_microsecond() <= at)
            && self.to.is_none_or(|to| at < to.as_microsecond())
    }

    /// Finds out whether the log can be asked this, before someone asks again and again.
    ///
    /// # Errors
    /// If it cannot.
    pub(crate) async fn check(&self, log: &Connection) -> Result<()> {
        match &self.types {
            Some(types) => types::written_out(log, types).await.map(|_| ()),
            None => Ok(()),
        }
    }

    /// Asks the log.
    ///
    /// # Errors
    /// If it cannot be asked, or is not there.
    pub(crate) async fn ask(&self, log: &Connection) -> Result<Page> {
        // Read first: what is logged later than this is not looked at.
        let head = head(log).await?;
        let events = match self.filter(log, head).await? {
            None => Vec::new(),
            Some(filter) => match &self.owed_to {
                None => read::page(log, &filter).await?,
                Some(webhooks) => owed::page(log, webhooks, &filter).await?,
            },
        };
        Ok(self.page(head, events))
    }

    /// What the log can look for; `None` if it holds nothing of it.
    async fn filter(&self, log: &Connection, head: i64) -> Result<Option<Filter>> {
        let types = match &self.types {
            None => Vec::new(),
            Some(types) => {
                let types = types::written_out(log, types).await?;
                if types.is_empty() {
                    return Ok(None);
                }
                types
            }
        };
        let mut filter = self.within(head, types);
        if self.from.is_some() || self.to.is_some() {
            let oldest = deliveries::before_oldest(log).await?;
            let after = self.after.unwrap_or(0).max(oldest);
            let up_to = (self.end(head) - 1).max(after);
            let (after, up_to) = by_time::narrowed(log, after, up_to, self.from, self.to).await?;
            (filter.after, filter.before) = (Some(after), Some(up_to.saturating_add(1)));
        }
        Ok(Some(filter))
    }

    /// The events of these types up to the head. What is logged while the question is asked may be of
    /// a type that nobody looked for: it comes with a later page, and none skips it.
    fn within(&self, head: i64, types: Vec<String>) -> Filter {
        Filter {
            after: self.after,
            before: Some(self.end(head)),
            types,
            resource: self.resource.clone(),
            resource_id: self.resource_id.clone(),
            from: self.from,
            to: self.to,
            newest: self.after.is_none(),
            limit: self.limit,
            bytes: Some(self.bytes),
            ..Filter::default()
        }
    }

    /// The sequence id before which it looks.
    fn end(&self, head: i64) -> i64 {
        let end = head.saturating_add(1);
        self.before.map_or(end, |before| before.min(end))
    }

    fn page(&self, head: i64, events: Vec<Event>) -> Page {
        let bytes: usize = events.iter().map(Event::bytes).sum();
        let count = i64::try_from(events.len()).unwrap_or(i64::MAX);
        let more = count >= self.limit || bytes >= self.bytes;
        let first = events.first().map(|event| event.sequence_id);
        let last = events.last().map(|event| event.sequence_id);
        let seen = (self.end(head) - 1).max(self.after.unwrap_or(0));
        let (next, previous) = match self.after {
            Some(after) => (
                last.filter(|_| more).unwrap_or(seen),
                first.filter(|_| after > 0),
            ),
            None => (seen, first.filter(|_| more)),
        };
        Page {
            events,
            next,
            previous,
            more,
        }
    }
}

/// Sequence id of the newest event.
///
/// # Errors
/// If the log cannot be asked, or is not there.
pub(crate) async fn head(log: &Connection) -> Result<i64> {
    match Checkpoint::read(log).await? {
        Some(checkpoint) => Ok(checkpoint.next_sequence_id - 1),
        None => Err(
            Fault::transient("rowhook was never set up for this database")
                .next_step("run `rowhook setup`"),
        ),
    }
}

/// Sequence ids of the oldest event that the log still holds, and of the newest one.
///
/// # Errors
/// If the log cannot be asked, or is not there.
pub(crate) async fn bounds(log: &Connection) -> Result<(i64, i64)> {
    let head = head(log).await?;
    let fault = |error| sql_fault("cannot read the log's oldest event", error);
    let sql = "select sequence_id from rowhook.events order by sequence_id limit 1";
    let row = log.query_opt(sql, &[]).await.map_err(fault)?;
    let oldest = row.map(|row| row.try_get(0)).transpose().map_err(fault)?;
    Ok((oldest.unwrap_or(head + 1), head))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_ends_at_the_head_that_was_read_first() {
        for (after, before, end) in [
            (None, None, 8),
            (Some(3), None, 8),
            (Some(3), Some(5), 5),
            (None, Some(100), 8),
            (Some(9), None, 8),
        ] {
            let question = Question {
                after,
                before,
                ..Question::default()
            };
            let filter = question.within(7, Vec::new());
            assert_eq!(filter.before, Some(end), "{after:?} {before:?}");
            assert_eq!(filter.newest, after.is_none());
            let page = question.page(7, Vec::new());
            assert_eq!(
                page.next,
                after.unwrap_or(0).max(end - 1),
                "{after:?} {before:?}"
            );
            assert!(!page.more);
        }
    }
}
