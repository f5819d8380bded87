//! JSON text, written piece by piece into one buffer.

use std::fmt::Display;
use std::io::Write;

use uuid::Uuid;

use crate::event::write_text;

/// A buffer that JSON is written into. It puts the commas between members and items; that the
/// pieces form one document is up to the writer.
pub(super) struct Json(Vec<u8>);

impl Json {
    /// An empty buffer with room for `capacity` bytes.
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    /// Begins an object.
    pub(super) fn open(&mut self) {
        self.0.push(b'{');
    }

    /// Ends an object.
    pub(super) fn close(&mut self) {
        self.0.push(b'}');
    }

    /// The next member's key, which must need no escaping.
    pub(super) fn key(&mut self, key: &'static str) {
        self.comma();
        self.0.push(b'"');
        self.0.extend_from_slice(key.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    /// The next member's key, escaped.
    pub(super) fn name(&mut self, name: &str) {
        self.comma();
        self.string(name);
        self.0.push(b':');
    }

    /// The next member, whose key is a JSON string and whose value is any JSON text.
    pub(super) fn member(&mut self, key: &str, value: &str) {
        self.written_key(key);
        self.raw(value);
    }

    /// The next member's key, which is a JSON string already.
    pub(super) fn written_key(&mut self, key: &str) {
        self.comma();
        self.raw(key);
        self.0.push(b':');
    }

    /// A string, escaped.
    pub(super) fn string(&mut self, text: &str) {
        write_text(&mut self.0, text);
    }

    /// An integer.
    pub(super) fn number(&mut self, number: impl Into<i64>) {
        // Writing into memory cannot fail: `Vec` takes every byte.
        let _infallible = serde_json::to_writer(&mut self.0, &number.into());
    }

    /// Something whose text needs no escaping (a time, an LSN), as a string.
    pub(super) fn quoted(&mut self, text: impl Display) {
        let _infallible = write!(self.0, "\"{text}\"");
    }

    /// An id, as a string.
    pub(super) fn uuid(&mut self, id: Uuid) {
        let mut buffer = Uuid::encode_buffer();
        self.0.push(b'"');
        self.raw(id.hyphenated().encode_lower(&mut buffer));
        self.0.push(b'"');
    }

    /// JSON text as it stands.
    pub(super) fn raw(&mut self, text: impl AsRef<[u8]>) {
        self.0.extend_from_slice(text.as_ref());
    }

    /// An array of JSON texts.
    pub(super) fn array<'a>(&mut self, items: impl Iterator<Item = &'a str>) {
        self.0.push(b'[');
        for item in items {
            self.comma();
            self.raw(item);
        }
        self.0.push(b']');
    }

    /// An array of strings, escaped.
    pub(super) fn strings(&mut self, items: &[String]) {
        self.0.push(b'[');
        for item in items {
            self.comma();
            self.string(item);
        }
        self.0.push(b']');
    }

    /// Begins an array, whose items are announced by [`Self::next_item`].
    pub(super) fn open_list(&mut self) {
        self.0.push(b'[');
    }

    /// Another item of an array follows.
    pub(super) fn next_item(&mut self) {
        self.comma();
    }

    /// Ends an array.
    pub(super) fn close_list(&mut self) {
        self.0.push(b']');
    }

    /// The text.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// A comma, unless an object or array has just begun: no complete value ends in `{` or `[`.
    fn comma(&mut self) {
        if !matches!(self.0.last(), None | Some(b'{' | b'[')) {
            self.0.push(b',');
        }
    }
}
