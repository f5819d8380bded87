//! Field events: the change of one column as an event of its own, behind the row's.

use std::sync::Arc;

use super::shape::Shape;
use super::{Action, Draft};

impl Shape {
    /// Changes of these columns are events of their own: `posts.status.changed`.
    pub(super) fn announcing(mut self, columns: &[String]) -> Self {
        self.fields = columns
            .iter()
            .filter_map(|name| {
                let place = self.columns.iter().position(|it| it.name == *name)?;
                Some((place, Arc::new(self.of_field(name))))
            })
            .collect();
        self
    }

    /// The same relation, of whose events all are changes of one column.
    fn of_field(&self, column: &str) -> Self {
        let resource = &self.resource;
        let changed = Action::Changed.as_str();
        let event_type = format!("{resource}.{column}.{changed}");
        Self {
            schema: Arc::clone(&self.schema),
            table: Arc::clone(&self.table),
            resource: Arc::clone(resource),
            columns: self.columns.clone(),
            ..Self::of_notes(&event_type)
        }
    }

    /// How many places an update needs behind its own: one for each field, whether it changed or not.
    /// So the places do not depend on what is known of the old row, which is another thing after a
    /// crash where the log told it.
    #[must_use]
    pub fn field_places(&self) -> u64 {
        self.fields.iter().fold(0, |places, _| places + 1)
    }

    /// The field events of a row change: each with its place behind the row's event, from 1. Of a row
    /// that is gone nothing changes any more.
    pub fn field_events<'a>(
        &'a self,
        draft: &'a Draft<'a>,
    ) -> impl Iterator<Item = (u64, &'a Arc<Shape>)> {
        let is_live = matches!(draft.action, Action::Updated | Action::Restored);
        (1..)
            .zip(&self.fields)
            .filter(move |(_, (column, _))| is_live && draft.changed.contains(column))
            .map(|(place, (_, shape))| (place, shape))
    }
}

impl<'a> Draft<'a> {
    /// The same change as a field event tells it.
    #[must_use]
    pub fn as_field_event(&self) -> Self {
        Self {
            action: Action::Changed,
            ..*self
        }
    }
}
