//! Text from a database that never promised an encoding.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::Write as _;

use tokio_postgres::types::{FromSql, Type};

/// The text; owned if it had to be changed because bytes of it are no UTF-8, as a database in
/// SQL_ASCII may hold them. Then each of those is `\xHH` and a backslash two of them, so that
/// different bytes stay different.
#[must_use]
pub fn readable(text: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(text) {
        return Cow::Borrowed(text);
    }
    let mut readable = String::with_capacity(text.len() + 16);
    for chunk in text.utf8_chunks() {
        readable.push_str(&chunk.valid().replace('\\', r"\\"));
        for byte in chunk.invalid() {
            // Writing to a string cannot fail.
            let _ = write!(readable, "\\x{byte:02x}");
        }
    }
    Cow::Owned(readable)
}

/// A name out of the catalogs, as [`readable`] gives it.
pub(super) struct Name {
    pub(super) text: String,
    /// Whether it is the name itself: no statement of ours can say one that is no UTF-8.
    pub(super) exact: bool,
}

impl<'a> FromSql<'a> for Name {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        let text = readable(raw);
        Ok(Self {
            exact: matches!(text, Cow::Borrowed(_)),
            text: text.into_owned(),
        })
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::TEXT
    }
}

/// Names out of an array.
pub(super) fn plain(names: Vec<Name>) -> Vec<String> {
    names.into_iter().map(|name| name.text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_bytes_become_different_texts() {
        assert_eq!(readable(b"a\xff\\\xe2\x82"), r"a\xff\\\xe2\x82");
        assert_ne!(readable(b"\xff\xff"), readable(b"\xff\\xff"));
        assert_eq!(readable("\\xff é".as_bytes()), "\\xff é");
    }
}
