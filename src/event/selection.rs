//! Which columns of an event are passed on.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::{Event, Fields};

/// Columns that are kept of an event; the others are cut out of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection(BTreeSet<String>);

impl Selection {
    /// Keeps these columns.
    #[must_use]
    pub fn of(columns: &[String]) -> Self {
        Self(columns.iter().cloned().collect())
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// The event with these columns only: in the record, in the previous values, and where columns
    /// are listed by name. What it is about (its type, its resource id) stays.
    #[must_use]
    pub fn cut(&self, event: &Event) -> Event {
        let mut event = event.clone();
        for row in [&mut event.record, &mut event.previous] {
            if let Some(cut) = row.as_deref().and_then(|row| self.cut_row(row)) {
                *row = Some(cut.into());
            }
        }
        event.unknown.retain(|column| self.0.contains(column));
        event.as_text.retain(|column| self.0.contains(column));
        event
    }

    /// `None` for what is no row: there is nothing to cut in it.
    fn cut_row(&self, row: &str) -> Option<String> {
        let fields = Fields::read(row)?;
        let mut cut = String::from("{");
        for member in fields.iter() {
            let name: Cow<'_, str> = member.name();
            if !self.0.contains(&*name) {
                continue;
            }
            if cut.len() > 1 {
                cut.push(',');
            }
            cut.push_str(member.key);
            cut.push(':');
            cut.push_str(member.value);
        }
        cut.push('}');
        Some(cut)
    }
}
