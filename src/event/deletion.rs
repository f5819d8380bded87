//! Soft deletion: a column that is null as long as the row counts. Pure.
//!
//! A change between the two states is claimed only where both are known: the old value is never
//! guessed.

use super::carried::carried_field;
use super::shape::Shape;
use super::{Action, Fields};
use crate::decode::{Before, Field, Tuple};

/// What an update does, by the old row that the stream carries.
pub(super) fn carried(shape: &Shape, before: &Before<'_>, after: &Tuple<'_>) -> Action {
    let Some(place) = shape.deleted_at else {
        return Action::Updated;
    };
    let old = carried_field(before, place, shape)
        .zip(shape.columns.get(place))
        .map(|(field, column)| column.old(field));
    action(old.and_then(is_set), new(after, place))
}

/// The same by the record of the row's last event in the log.
pub(super) fn recalled(shape: &Shape, last: &Fields<'_>, after: &Tuple<'_>) -> Action {
    let Some(place) = shape.deleted_at else {
        return Action::Updated;
    };
    let old = shape
        .columns
        .get(place)
        .and_then(|column| last.get(column.key()))
        .map(|member| member.value != "null");
    action(old, new(after, place))
}

fn new(after: &Tuple<'_>, place: usize) -> Option<bool> {
    after.fields().nth(place).and_then(is_set)
}

/// Whether there is a value; `None` where that is not known. One that is not carried because it did
/// not change says nothing, and then nothing has changed.
fn is_set(field: Field<'_>) -> Option<bool> {
    match field {
        Field::Null => Some(false),
        Field::Text(_) => Some(true),
        Field::Unchanged | Field::Binary(_) => None,
    }
}

fn action(was_set: Option<bool>, is_set: Option<bool>) -> Action {
    match (was_set, is_set) {
        (Some(false), Some(true)) => Action::Deleted,
        (Some(true), Some(false)) => Action::Restored,
        _ => Action::Updated,
    }
}
