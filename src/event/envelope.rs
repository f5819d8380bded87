//! What of a row stands in its event's envelope, too: whose it is, and the ids of what it names.
//!
//! Both are taken from the record as it is written, wherever its values came from: so they never say
//! anything else, and what the record lacks they lack.

use super::draft::Drafter;
use super::long_id;
use super::shape::{Column, Shape};

/// The value of a column in the record.
#[derive(Debug)]
pub(super) struct Quoted {
    place: usize,
    start: usize,
    end: usize,
}

impl Drafter {
    /// Notes where a column's value stands, if it is needed elsewhere: its member was written from
    /// `start` on.
    pub(super) fn note(&mut self, (place, column): (usize, &Column), start: usize) {
        if !column.is_quoted {
            return;
        }
        let comma = self.record.get(start).is_some_and(|byte| *byte == b',');
        let start = start + usize::from(comma) + column.label.len();
        let end = self.record.len();
        self.quoted.push(Quoted { place, start, end });
    }

    /// Writes the envelope's part of a row whose record is written.
    pub(super) fn envelope(&mut self, shape: &Shape) {
        if self.quoted.is_empty() {
            return;
        }
        if let Some(place) = shape.tenant {
            self.has_tenant = append(&mut self.tenant, &self.record, &self.quoted, place);
            long_id::shorten(&mut self.tenant);
        }
        for reference in &shape.references {
            self.id.clear();
            let mut known = true;
            for (index, place) in reference.places.iter().enumerate() {
                if index > 0 {
                    self.id.push(b',');
                }
                known &= match reference.places.len() {
                    1 => append(&mut self.id, &self.record, &self.quoted, *place),
                    _ => {
                        self.part.clear();
                        let known = append(&mut self.part, &self.record, &self.quoted, *place);
                        super::draft::append_key_part(&mut self.id, &self.part);
                        known
                    }
                };
            }
            if known {
                long_id::shorten(&mut self.id);
                self.relate(&reference.label);
            }
        }
        if !self.related.is_empty() {
            self.related.push(b'}');
        }
    }

    fn relate(&mut self, label: &[u8]) {
        let Ok(id) = std::str::from_utf8(&self.id) else {
            return;
        };
        let before = if self.related.is_empty() { b'{' } else { b',' };
        self.related.push(before);
        self.related.extend_from_slice(label);
        // Writing a string into memory cannot fail: `Vec` takes every byte.
        let _infallible = serde_json::to_writer(&mut self.related, id);
    }
}

/// Appends a value as text: a JSON string without its quotes, anything else as it is written. `false`
/// for null and for what is not known.
fn append(out: &mut Vec<u8>, record: &[u8], quoted: &[Quoted], place: usize) -> bool {
    let Some(json) = quoted
        .iter()
        .find(|value| value.place == place)
        .and_then(|value| record.get(value.start..value.end))
        .map(<[u8]>::trim_ascii)
    else {
        return false;
    };
    match json
        .strip_prefix(b"\"")
        .and_then(|it| it.strip_suffix(b"\""))
    {
        None if json == b"null" => return false,
        None => out.extend_from_slice(json),
        Some(text) if !text.contains(&b'\\') => out.extend_from_slice(text),
        Some(_) => match serde_json::from_slice::<String>(json) {
            // No text of Postgres has a NUL; a value of type json may.
            Ok(text) if !text.contains('\0') => out.extend_from_slice(text.as_bytes()),
            _ => return false,
        },
    }
    true
}
