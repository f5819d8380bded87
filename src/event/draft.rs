//! A row change becomes the content of an event, in buffers that are used again for the next one.

use super::json::write_value;
use super::shape::{Column, Shape, Treatment};
use super::{Action, OldRow, Redaction};
use crate::decode::{Before, Field, RowChange, Tuple};

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
    /// How much of the old row the stream carried.
    pub old_row: OldRow,
    /// Places of the columns that `record` should hold and the stream did not carry.
    pub unknown: &'a [usize],
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
            old_row: OldRow::Absent,
            unknown: &[],
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
    record: Vec<u8>,
    previous: Vec<u8>,
    resource_id: Vec<u8>,
    unknown: Vec<usize>,
}

impl Drafter {
    /// Turns one row change into a draft.
    ///
    /// # Errors
    /// If the row does not have the shape's columns.
    pub fn draft(&mut self, shape: &Shape, row: &RowChange<'_>) -> Result<Draft<'_>, MisfitRow> {
        self.record.clear();
        self.previous.clear();
        self.resource_id.clear();
        self.unknown.clear();
        match *row {
            RowChange::Insert(after) => {
                let keyed = self.key(shape, &after)?;
                self.row(shape, &after);
                Ok(self.finish(Action::Created, keyed, false, OldRow::Absent))
            }
            RowChange::Update { before, after } => self.update(shape, before, &after),
            RowChange::Delete(before) => self.delete(shape, before),
        }
    }

    fn update(
        &mut self,
        shape: &Shape,
        before: Before<'_>,
        after: &Tuple<'_>,
    ) -> Result<Draft<'_>, MisfitRow> {
        let keyed = self.key(shape, after)?;
        match before {
            Before::Absent => {
                self.row(shape, after);
                Ok(self.finish(Action::Updated, keyed, false, OldRow::Absent))
            }
            Before::Key(before) => {
                self.fits(shape, &before)?;
                self.row(shape, after);
                self.changed_fields(shape, &before, after, |column| column.in_identity);
                Ok(self.finish(Action::Updated, keyed, true, OldRow::Key))
            }
            Before::Full(before) => {
                self.fits(shape, &before)?;
                self.merged_row(shape, &before, after);
                self.changed_fields(shape, &before, after, |_| true);
                Ok(self.finish(Action::Updated, keyed, true, OldRow::Full))
            }
        }
    }

    fn delete(&mut self, shape: &Shape, before: Before<'_>) -> Result<Draft<'_>, MisfitRow> {
        match before {
            Before::Full(row) => {
                let keyed = self.key(shape, &row)?;
                self.row(shape, &row);
                Ok(self.finish(Action::Deleted, keyed, false, OldRow::Full))
            }
            Before::Key(row) => {
                // A key that the identity does not carry is not known, and never empty.
                let keyed = self.key(shape, &row)? && shape.key_in_identity();
                self.key_row(shape, &row);
                Ok(self.finish(Action::Deleted, keyed, false, OldRow::Key))
            }
            Before::Absent => {
                self.record.extend_from_slice(b"{}");
                self.unknown.extend(0..shape.columns.len());
                Ok(self.finish(Action::Deleted, false, false, OldRow::Absent))
            }
        }
    }

    /// The whole row; what the stream left out is noted as unknown.
    fn row(&mut self, shape: &Shape, row: &Tuple<'_>) {
        self.record.push(b'{');
        for (index, (column, field)) in shape.columns.iter().zip(row.fields()).enumerate() {
            if !write_field(&mut self.record, column, field)
                && column.treatment != Treatment::Exclude
            {
                self.unknown.push(index);
            }
        }
        self.record.push(b'}');
    }

    /// The new row, with values that the update did not touch taken from the old one.
    fn merged_row(&mut self, shape: &Shape, before: &Tuple<'_>, after: &Tuple<'_>) {
        self.record.push(b'{');
        for (index, ((column, old), new)) in shape
            .columns
            .iter()
            .zip(before.fields())
            .zip(after.fields())
            .enumerate()
        {
            let field = if new == Field::Unchanged { old } else { new };
            if !write_field(&mut self.record, column, field)
                && column.treatment != Treatment::Exclude
            {
                self.unknown.push(index);
            }
        }
        self.record.push(b'}');
    }

    /// A row of which only the identity's columns were carried; the other fields are placeholders.
    fn key_row(&mut self, shape: &Shape, row: &Tuple<'_>) {
        self.record.push(b'{');
        for (index, (column, field)) in shape.columns.iter().zip(row.fields()).enumerate() {
            let written = column.in_identity && write_field(&mut self.record, column, field);
            if !written && column.treatment != Treatment::Exclude {
                self.unknown.push(index);
            }
        }
        self.record.push(b'}');
    }

    /// Equal texts of one type are equal values, so old and new are compared as bytes.
    fn changed_fields(
        &mut self,
        shape: &Shape,
        before: &Tuple<'_>,
        after: &Tuple<'_>,
        carried: impl Fn(&Column) -> bool,
    ) {
        self.previous.push(b'{');
        for ((column, old), new) in shape
            .columns
            .iter()
            .zip(before.fields())
            .zip(after.fields())
        {
            if carried(column) && new != Field::Unchanged && new != old {
                write_field(&mut self.previous, column, old);
            }
        }
        self.previous.push(b'}');
    }

    /// Writes the resource id; `false` where the table has no key.
    fn key(&mut self, shape: &Shape, row: &Tuple<'_>) -> Result<bool, MisfitRow> {
        self.fits(shape, row)?;
        for (place, column) in shape.key.iter().enumerate() {
            if place > 0 {
                self.resource_id.push(b',');
            }
            let Some(Field::Text(text)) = row.fields().nth(*column) else {
                continue;
            };
            if shape.key.len() == 1 {
                self.resource_id.extend_from_slice(text);
            } else {
                append_key_part(&mut self.resource_id, text);
            }
        }
        if std::str::from_utf8(&self.resource_id).is_err() {
            self.resource_id = String::from_utf8_lossy(&self.resource_id)
                .into_owned()
                .into_bytes();
        }
        Ok(!shape.key.is_empty())
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

    fn finish(&self, action: Action, keyed: bool, previous: bool, old_row: OldRow) -> Draft<'_> {
        Draft {
            action,
            resource_id: keyed.then_some(self.resource_id.as_slice()),
            record: Some(&self.record),
            previous: previous.then_some(self.previous.as_slice()),
            old_row,
            unknown: &self.unknown,
        }
    }
}

/// The parts of a composite key are joined by commas; a comma inside of a part is escaped, so that
/// different keys never give one id.
fn append_key_part(out: &mut Vec<u8>, text: &[u8]) {
    for byte in text {
        if let b',' | b'\\' = byte {
            out.push(b'\\');
        }
        out.push(*byte);
    }
}

/// Appends `"name":value`, with a comma before it where one is due. `false` if there is nothing to
/// write: the column is excluded or its value unknown.
fn write_field(out: &mut Vec<u8>, column: &Column, field: Field<'_>) -> bool {
    let text = match (column.treatment, field) {
        (Treatment::Exclude, _) | (_, Field::Unchanged | Field::Binary(_)) => return false,
        (_, Field::Null) => None,
        (_, Field::Text(text)) => Some(text),
    };
    if out.len() > 1 {
        out.push(b',');
    }
    out.extend_from_slice(&column.label);
    match (column.treatment, text) {
        (_, None) => out.extend_from_slice(b"null"),
        (Treatment::Redact(redaction), Some(text)) => write_redacted(out, redaction, text),
        (_, Some(text)) => write_value(out, &column.kind, text),
    }
    true
}

fn write_redacted(out: &mut Vec<u8>, redaction: Redaction, text: &[u8]) {
    use sha2::{Digest, Sha256};
    match redaction {
        Redaction::Mask => out.extend_from_slice(b"\"***\""),
        Redaction::Hash => {
            out.extend_from_slice(b"\"sha256:");
            for byte in Sha256::digest(text) {
                out.extend_from_slice(&[hex(byte >> 4), hex(byte & 15)]);
            }
            out.push(b'"');
        }
    }
}

fn hex(nibble: u8) -> u8 {
    match nibble {
        0..=9 => b'0' + nibble,
        _ => b'a' + nibble.saturating_sub(10),
    }
}
