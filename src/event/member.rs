//! One column's value as a member of a JSON object.

use super::Redaction;
use super::json::{Reading, write_value};
use super::shape::{Column, Treatment};
use crate::decode::Field;

/// Appends `"name":value`, with a comma before it where one is due. `false` if there is nothing to
/// write: the column is excluded or its value unknown. Notes in `as_text` a value that could not be
/// read as its type.
pub(super) fn write_field(
    out: &mut Vec<u8>,
    as_text: &mut Vec<usize>,
    (index, column): (usize, &Column),
    field: Field<'_>,
) -> bool {
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
        (_, Some(text)) => {
            if write_value(out, &column.kind, text) == Reading::AsText && !as_text.contains(&index)
            {
                as_text.push(index);
            }
        }
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
