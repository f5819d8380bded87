//! A row change becomes the content of an event, in buffers that are used again for the next one.

use super::carried::{as_carried, carried_field};
use super::deletion;
use super::envelope::Quoted;
use super::long_id;
use super::member::write_field;
use super::shape::{Column, Shape, Treatment};
use super::{Action, Fields, OldRow};
use crate::decode::{Before, Field, RowChange, Tuple};
use crate::wal::readable;

/// What a row change says: everything of an event that does not depend on its place in the log.
#[derive(Debug, PartialEq, Eq)]
pub struct Draft<'a> {
    /// What happened.
    pub action: Action,
    /// The key as text; `None` where the table has none.
    pub resource_id: Option<&'a [u8]>,
    /// JSON object: the row after the change; for a delete, the row that was deleted. `None` for
    /// what happened to a whole table.
    pub record: Option<&'a [u8]>,
    /// JSON object: old values of the fields that changed. `None` where nothing is known of them.
    pub previous: Option<&'a [u8]>,
    /// JSON value: what the application says with an event of its own.
    pub data: Option<&'a [u8]>,
    /// Whose it is, where the resource tells.
    pub tenant: Option<&'a [u8]>,
    /// JSON object: ids of the rows that its foreign keys name.
    pub related: Option<&'a [u8]>,
    /// Places of the columns whose old values stand in `previous`.
    pub changed: &'a [usize],
    /// How much of the old row is known.
    pub old_row: OldRow,
    /// Places of the columns that `record` should hold and the stream did not carry.
    pub unknown: &'a [usize],
    /// Places of the columns of which a value in `record` or `previous` stands as text, because it
    /// could not be read as its type.
    pub as_text: &'a [usize],
}

impl<'a> Draft<'a> {
    /// The same row as a backfill found it.
    #[must_use]
    pub fn as_snapshot(self) -> Self {
        Self {
            action: Action::Snapshot,
            ..self
        }
    }

    /// The row as it stands after the change; `None` where it is gone.
    #[must_use]
    pub fn live_record(&self) -> Option<&'a [u8]> {
        match self.action {
            // It was deleted softly: only an update has previous values.
            Action::Deleted if self.previous.is_some() => self.record,
            Action::Created
            | Action::Updated
            | Action::Snapshot
            | Action::Restored
            | Action::Changed => self.record,
            Action::Deleted | Action::Truncated | Action::Custom | Action::Noted => None,
        }
    }
}

impl<'a> Draft<'a> {
    /// Something that rowhook itself has to tell.
    #[must_use]
    pub fn noted(record: &'a [u8]) -> Self {
        Self {
            action: Action::Noted,
            record: Some(record),
            ..Draft::truncated()
        }
    }
}

impl Draft<'static> {
    /// TRUNCATE of a table.
    #[must_use]
    pub fn truncated() -> Self {
        Self {
            action: Action::Truncated,
            resource_id: None,
            record: None,
            previous: None,
            data: None,
            tenant: None,
            related: None,
            changed: &[],
            old_row: OldRow::Absent,
            unknown: &[],
            as_text: &[],
        }
    }
}

/// A change that does not fit its relation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a row of {table} has {found} columns where its relation has {expected}")]
pub struct MisfitRow {
    table: String,
    expected: usize,
    found: usize,
}

/// Builds drafts.
#[derive(Debug, Default)]
pub struct Drafter {
    pub(super) record: Vec<u8>,
    pub(super) previous: Vec<u8>,
    resource_id: Vec<u8>,
    pub(super) changed: Vec<usize>,
    pub(super) unknown: Vec<usize>,
    pub(super) as_text: Vec<usize>,
    pub(super) quoted: Vec<Quoted>,
    pub(super) tenant: Vec<u8>,
    pub(super) has_tenant: bool,
    pub(super) related: Vec<u8>,
    /// An id that is being put together, and a part of it.
    pub(super) id: Vec<u8>,
    pub(super) part: Vec<u8>,
}

/// Room that a buffer keeps from one row to the next.
const KEPT_BYTES: usize = 1 << 20;

impl Drafter {
    /// Turns one row change into a draft. `last` is the record of the row's last event, where the
    /// stream does not carry the old row and the log has it.
    ///
    /// # Errors
    /// If the row does not have the shape's columns.
    pub fn draft(
        &mut self,
        shape: &Shape,
        row: &RowChange<'_>,
        last: Option<&Fields<'_>>,
    ) -> Result<Draft<'_>, MisfitRow> {
        self.clear();
        let told = match (as_carried(shape, row), last) {
            (RowChange::Insert(after), _) => {
                let keyed = self.key(shape, &after, Before::Absent)?;
                self.row(shape, &after, |_, field| field);
                Told::of(Action::Created, keyed, OldRow::Absent)
            }
            (row @ RowChange::Update { before, after }, Some(last)) if !row.carries_old_row() => {
                let keyed = self.key(shape, &after, before)?;
                let old_row = self.recalled_update(shape, &after, last);
                let action = deletion::recalled(shape, last, &after);
                Told::of(action, keyed, old_row).with_previous()
            }
            (RowChange::Delete(Before::Key(key)), Some(last)) => {
                let keyed = self.key(shape, &key, Before::Absent)? && shape.key_in_identity();
                let old_row = self.recalled_delete(shape, &key, last);
                Told::of(Action::Deleted, keyed, old_row)
            }
            (RowChange::Update { before, after }, _) => self.update(shape, before, &after)?,
            (RowChange::Delete(before), _) => self.delete(shape, before)?,
        };
        self.envelope(shape);
        Ok(self.finish(told))
    }

    fn clear(&mut self) {
        for buffer in [
            &mut self.record,
            &mut self.previous,
            &mut self.resource_id,
            &mut self.tenant,
            &mut self.related,
        ] {
            buffer.clear();
            buffer.shrink_to(KEPT_BYTES);
        }
        for places in [&mut self.changed, &mut self.unknown, &mut self.as_text] {
            places.clear();
        }
        self.quoted.clear();
        self.has_tenant = false;
    }

    /// Under which id the row's last event stands in the log, where that is worth a look: the stream
    /// carries less than the old row.
    ///
    /// # Errors
    /// If the row does not have the shape's columns.
    pub fn recalled_id(
        &mut self,
        shape: &Shape,
        row: &RowChange<'_>,
    ) -> Result<Option<&str>, MisfitRow> {
        if !shape.recalls {
            return Ok(None);
        }
        let identified = match as_carried(shape, row) {
            RowChange::Update {
                before: Before::Absent,
                after,
            } => after,
            RowChange::Update {
                before: Before::Key(key),
                ..
            }
            | RowChange::Delete(Before::Key(key)) => key,
            _ => return Ok(None),
        };
        self.resource_id.clear();
        let known = self.key(shape, &identified, Before::Absent)?;
        // It was made UTF-8 just now.
        Ok(std::str::from_utf8(&self.resource_id)
            .ok()
            .filter(|_| known))
    }

    fn update(
        &mut self,
        shape: &Shape,
        before: Before<'_>,
        after: &Tuple<'_>,
    ) -> Result<Told, MisfitRow> {
        let keyed = self.key(shape, after, before)?;
        let old_row = match before {
            Before::Absent => {
                self.row(shape, after, |_, field| field);
                return Ok(Told::of(Action::Updated, keyed, OldRow::Absent));
            }
            Before::Key(before) => {
                self.fits(shape, &before)?;
                self.merged_row(shape, &before, after, |column| column.in_identity);
                self.changed_fields(shape, &before, after, |column| column.in_identity);
                OldRow::Key
            }
            Before::Full(before) => {
                self.fits(shape, &before)?;
                self.merged_row(shape, &before, after, |_| true);
                if self.changed_fields(shape, &before, after, |_| true) {
                    OldRow::Full
                } else {
                    OldRow::Partial
                }
            }
        };
        let action = deletion::carried(shape, &before, after);
        Ok(Told::of(action, keyed, old_row).with_previous())
    }

    fn delete(&mut self, shape: &Shape, before: Before<'_>) -> Result<Told, MisfitRow> {
        let (keyed, old_row) = match before {
            Before::Full(row) => {
                let keyed = self.key(shape, &row, Before::Absent)?;
                self.row(shape, &row, Column::old);
                let old_row = if self.unknown.is_empty() {
                    OldRow::Full
                } else {
                    OldRow::Partial
                };
                (keyed, old_row)
            }
            Before::Key(row) => {
                // A key that the identity does not carry is not known, and never empty.
                let keyed = self.key(shape, &row, Before::Absent)? && shape.key_in_identity();
                self.key_row(shape, &row);
                (keyed, OldRow::Key)
            }
            Before::Absent => {
                self.record.extend_from_slice(b"{}");
                self.unknown.extend(0..shape.columns.len());
                (false, OldRow::Absent)
            }
        };
        Ok(Told::of(Action::Deleted, keyed, old_row))
    }

    /// The whole row; what the stream left out is noted as unknown.
    fn row<'a>(
        &mut self,
        shape: &Shape,
        row: &Tuple<'a>,
        read: impl Fn(&Column, Field<'a>) -> Field<'a>,
    ) {
        self.record.push(b'{');
        for (index, (column, field)) in shape.columns.iter().zip(row.fields()).enumerate() {
            self.member((index, column), read(column, field));
        }
        self.record.push(b'}');
    }

    /// The new row, with values that the update did not touch taken from the old one.
    fn merged_row(
        &mut self,
        shape: &Shape,
        before: &Tuple<'_>,
        after: &Tuple<'_>,
        carried: impl Fn(&Column) -> bool,
    ) {
        self.record.push(b'{');
        for (index, ((column, old), new)) in shape
            .columns
            .iter()
            .zip(before.fields())
            .zip(after.fields())
            .enumerate()
        {
            let field = if new == Field::Unchanged && carried(column) {
                old
            } else {
                new
            };
            self.member((index, column), field);
        }
        self.record.push(b'}');
    }

    /// A member of the record; what has no value is noted as unknown.
    fn member(&mut self, (index, column): (usize, &Column), field: Field<'_>) {
        let start = self.record.len();
        if write_field(&mut self.record, &mut self.as_text, (index, column), field) {
            self.note((index, column), start);
        } else if column.treatment != Treatment::Exclude {
            self.unknown.push(index);
        }
    }

    /// A row of which only the identity's columns were carried; the other fields are placeholders.
    fn key_row(&mut self, shape: &Shape, row: &Tuple<'_>) {
        self.record.push(b'{');
        for (index, (column, field)) in shape.columns.iter().zip(row.fields()).enumerate() {
            let carried = if column.in_identity {
                field
            } else {
                Field::Unchanged
            };
            self.member((index, column), carried);
        }
        self.record.push(b'}');
    }

    /// Equal texts of one type are equal values, so old and new are compared as bytes. `false` if an
    /// old value that should be carried is not.
    fn changed_fields(
        &mut self,
        shape: &Shape,
        before: &Tuple<'_>,
        after: &Tuple<'_>,
        carried: impl Fn(&Column) -> bool,
    ) -> bool {
        let mut complete = true;
        self.previous.push(b'{');
        for (index, ((column, old), new)) in shape
            .columns
            .iter()
            .zip(before.fields())
            .zip(after.fields())
            .enumerate()
        {
            let old = column.old(old);
            if carried(column) && new != Field::Unchanged && new != old {
                let as_text = &mut self.as_text;
                if write_field(&mut self.previous, as_text, (index, column), old) {
                    self.changed.push(index);
                }
                complete &= old != Field::Unchanged;
            }
        }
        self.previous.push(b'}');
        complete
    }

    /// Writes the resource id; `false` where the table has no key, or the stream does not carry it. A
    /// large key that an update did not touch stands in the old row alone.
    fn key(
        &mut self,
        shape: &Shape,
        row: &Tuple<'_>,
        before: Before<'_>,
    ) -> Result<bool, MisfitRow> {
        self.fits(shape, row)?;
        let mut known = !shape.key.is_empty();
        for (place, column) in shape.key.iter().enumerate() {
            if place > 0 {
                self.resource_id.push(b',');
            }
            let field = match row.fields().nth(*column) {
                Some(Field::Unchanged) => carried_field(&before, *column, shape),
                field => field,
            };
            match field {
                Some(Field::Text(text)) if shape.key.len() == 1 => {
                    self.resource_id
                        .extend_from_slice(readable(text).as_bytes());
                }
                Some(Field::Text(text)) => {
                    append_key_part(&mut self.resource_id, readable(text).as_bytes());
                }
                Some(Field::Null) => {}
                Some(Field::Unchanged | Field::Binary(_)) | None => known = false,
            }
        }
        long_id::shorten(&mut self.resource_id);
        Ok(known)
    }

    fn fits(&self, shape: &Shape, row: &Tuple<'_>) -> Result<(), MisfitRow> {
        let (expected, found) = (shape.columns.len(), usize::from(row.columns()));
        if expected == found {
            return Ok(());
        }
        Err(MisfitRow {
            table: format!("{}.{}", shape.schema, shape.table),
            expected,
            found,
        })
    }

    fn finish(&self, told: Told) -> Draft<'_> {
        Draft {
            action: told.action,
            resource_id: told.keyed.then_some(self.resource_id.as_slice()),
            record: Some(&self.record),
            previous: told.previous.then_some(self.previous.as_slice()),
            data: None,
            tenant: self.has_tenant.then_some(self.tenant.as_slice()),
            related: (!self.related.is_empty()).then_some(self.related.as_slice()),
            changed: &self.changed,
            old_row: told.old_row,
            unknown: &self.unknown,
            as_text: &self.as_text,
        }
    }
}

/// What a row change says beside what stands in the buffers.
#[derive(Debug, Clone, Copy)]
struct Told {
    action: Action,
    /// Whether the key is known.
    keyed: bool,
    /// Whether old values are told, be they none.
    previous: bool,
    old_row: OldRow,
}

impl Told {
    fn of(action: Action, keyed: bool, old_row: OldRow) -> Self {
        Self {
            action,
            keyed,
            previous: false,
            old_row,
        }
    }

    fn with_previous(self) -> Self {
        Self {
            previous: true,
            ..self
        }
    }
}

/// The parts of a composite key are joined by commas; a comma inside of a part is escaped, so that
/// different keys never give one id.
pub(super) fn append_key_part(out: &mut Vec<u8>, text: &[u8]) {
    for byte in text {
        if let b',' | b'\\' = byte {
            out.push(b'\\');
        }
        out.push(*byte);
    }
}
