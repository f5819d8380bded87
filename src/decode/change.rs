//! Row changes. Tuples are views into the message: nothing is copied before the event is built.

use super::{DecodeError, cursor::Cursor};

/// One row, as a checked view of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuple<'a> {
    columns: u16,
    bytes: &'a [u8],
}

/// One column of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field<'a> {
    /// SQL null.
    Null,
    /// A TOASTed value that the update did not touch and the stream does not carry.
    Unchanged,
    /// The value in its type's text form.
    Text(&'a [u8]),
    /// The value in its type's binary form; only sent when asked for.
    Binary(&'a [u8]),
}

/// What an update or delete carries of the row before it: decided by the replica identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before<'a> {
    /// Nothing.
    Absent,
    /// The columns of the replica identity's index; the others are null placeholders.
    Key(Tuple<'a>),
    /// Every column.
    Full(Tuple<'a>),
}

impl<'a> Before<'a> {
    /// What is carried of the old row.
    #[must_use]
    pub fn row(&self) -> Option<&Tuple<'a>> {
        match self {
            Self::Absent => None,
            Self::Key(row) | Self::Full(row) => Some(row),
        }
    }
}

impl<'a> Tuple<'a> {
    /// Number of columns.
    #[must_use]
    pub fn columns(&self) -> u16 {
        self.columns
    }

    /// The columns in the relation's order.
    pub fn fields(&self) -> impl Iterator<Item = Field<'a>> + use<'a> {
        let mut cursor = Cursor::new(self.bytes);
        // Each field was checked when the tuple was read: the bytes end where the fields do.
        std::iter::from_fn(move || read_field(&mut cursor).ok())
    }

    /// Reads a tuple and leaves the cursor behind it.
    pub(super) fn read(cursor: &mut Cursor<'a>) -> Result<Self, DecodeError> {
        let columns = cursor.u16("tuple's column count")?;
        let start = cursor.rest();
        for _ in 0..columns {
            read_field(cursor)?;
        }
        let length = start.len() - cursor.rest().len();
        let bytes = start.get(..length).ok_or(DecodeError::Truncated("tuple"))?;
        Ok(Self { columns, bytes })
    }
}

fn read_field<'a>(cursor: &mut Cursor<'a>) -> Result<Field<'a>, DecodeError> {
    let value = |cursor: &mut Cursor<'a>| {
        let length = cursor.length("column's length")?;
        cursor.take(length, "column's value")
    };
    match cursor.u8("column's kind")? {
        b'n' => Ok(Field::Null),
        b'u' => Ok(Field::Unchanged),
        b't' => value(cursor).map(Field::Text),
        b'b' => value(cursor).map(Field::Binary),
        kind => Err(DecodeError::Unknown("column kind", kind)),
    }
}
