//! What of an old row the stream carries.

use super::shape::Shape;
use crate::decode::{Before, Field, RowChange};

/// A column of an old row, if that carries it.
pub(super) fn carried_field<'a>(
    before: &Before<'a>,
    place: usize,
    shape: &Shape,
) -> Option<Field<'a>> {
    let row = match before {
        Before::Full(row) => row,
        Before::Key(row) if shape.columns.get(place)?.in_identity => row,
        Before::Absent | Before::Key(_) => return None,
    };
    row.fields().nth(place)
}

/// A change with what its old row really carries.
pub(super) fn as_carried<'a>(shape: &Shape, row: &RowChange<'a>) -> RowChange<'a> {
    match *row {
        RowChange::Update { before, after } => RowChange::Update {
            before: carried(shape, before),
            after,
        },
        RowChange::Delete(before) => RowChange::Delete(carried(shape, before)),
        RowChange::Insert(after) => RowChange::Insert(after),
    }
}

/// What an old row really carries.
fn carried<'a>(shape: &Shape, before: Before<'a>) -> Before<'a> {
    match before {
        Before::Full(row) if shape.carries_key_alone(&row) => Before::Key(row),
        before => before,
    }
}
