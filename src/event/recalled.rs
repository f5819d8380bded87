//! Old values from the row's last event in the log, where the stream does not carry them.
//!
//! The log holds values as the JSON that they became, and one text always becomes one JSON: so old
//! and new are compared as JSON text.

use super::draft::Drafter;
use super::member::write_field;
use super::shape::{Column, Shape, Treatment};
use super::{Fields, OldRow};
use crate::decode::{Field, Tuple};

impl Drafter {
    /// Writes the new row, with what the stream left out taken from the last event; and the old
    /// values of what changed.
    pub(super) fn recalled_update(
        &mut self,
        shape: &Shape,
        after: &Tuple<'_>,
        last: &Fields<'_>,
    ) -> OldRow {
        let mut complete = true;
        self.record.push(b'{');
        self.previous.push(b'{');
        for (index, (column, new)) in kept(shape, after) {
            let old = last.get(column.key()).map(|member| member.value);
            complete &= old.is_some();
            let start = self.record.len();
            let as_text = &mut self.as_text;
            if write_field(&mut self.record, as_text, (index, column), new) {
                let written = self.record.get(start..).unwrap_or_default();
                if let Some(old) = old.filter(|old| !ends_with_value(written, column, old)) {
                    write_member(&mut self.previous, column, old);
                    self.changed.push(index);
                }
                self.note((index, column), start);
            } else if let Some(old) = old {
                write_member(&mut self.record, column, old);
                self.note((index, column), start);
            } else {
                self.unknown.push(index);
            }
        }
        self.record.push(b'}');
        self.previous.push(b'}');
        if complete {
            OldRow::Full
        } else {
            OldRow::Partial
        }
    }

    /// Writes the deleted row: its key from the stream, the rest from the last event.
    pub(super) fn recalled_delete(
        &mut self,
        shape: &Shape,
        key: &Tuple<'_>,
        last: &Fields<'_>,
    ) -> OldRow {
        self.record.push(b'{');
        for (index, (column, field)) in kept(shape, key) {
            let start = self.record.len();
            let as_text = &mut self.as_text;
            let carried = column.in_identity
                && write_field(&mut self.record, as_text, (index, column), field);
            match last.get(column.key()) {
                _ if carried => {}
                Some(member) => write_member(&mut self.record, column, member.value),
                None => {
                    self.unknown.push(index);
                    continue;
                }
            }
            self.note((index, column), start);
        }
        self.record.push(b'}');
        if self.unknown.is_empty() {
            OldRow::Full
        } else {
            OldRow::Partial
        }
    }
}

/// Columns that become part of an event, with their places and fields.
fn kept<'a>(
    shape: &'a Shape,
    row: &Tuple<'a>,
) -> impl Iterator<Item = (usize, (&'a Column, Field<'a>))> {
    shape
        .columns
        .iter()
        .zip(row.fields())
        .enumerate()
        .filter(|(_, (column, _))| column.treatment != Treatment::Exclude)
}

/// Whether a member that was just written (with or without a comma before it) has this value. Space
/// around a `json` value is not part of it.
fn ends_with_value(written: &[u8], column: &Column, value: &str) -> bool {
    let member = written.strip_prefix(b",").unwrap_or(written);
    let new = member
        .strip_prefix(column.label.as_slice())
        .unwrap_or(member);
    new.trim_ascii() == value.as_bytes().trim_ascii()
}

fn write_member(out: &mut Vec<u8>, column: &Column, value: &str) {
    if out.len() > 1 {
        out.push(b',');
    }
    out.extend_from_slice(&column.label);
    out.extend_from_slice(value.as_bytes());
}
