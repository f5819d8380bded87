//! A value's text, appended to a buffer as the JSON that `to_jsonb` gives for it.
//!
//! The source is pinned to ISO dates and UTC, so texts have one form only.

use std::borrow::Cow;
use std::str;

use super::kind::Kind;
use super::nested;

/// Appends the JSON of a value that is not null.
pub(super) fn write_value(out: &mut Vec<u8>, kind: &Kind, text: &[u8]) {
    match kind {
        Kind::Bool => out.extend_from_slice(if text == b"t" { b"true" } else { b"false" }),
        Kind::Number => write_number(out, text),
        Kind::Json => out.extend_from_slice(utf8(text).as_bytes()),
        Kind::Timestamp => write_timestamp(out, text, b""),
        Kind::TimestampTz => write_timestamp(out, text, b":00"),
        Kind::Array(..) | Kind::Vector(_) | Kind::Composite(_) | Kind::Hstore => {
            write_nested(out, kind, text)
        }
        Kind::Text => write_string(out, text),
    }
}

/// A text that does not follow its type's grammar stays a string: no value stops the stream.
fn write_nested(out: &mut Vec<u8>, kind: &Kind, text: &[u8]) {
    let start = out.len();
    match kind {
        Kind::Array(element, delimiter) => nested::write_array(out, element, *delimiter, text),
        Kind::Vector(element) => nested::write_vector(out, element, text),
        Kind::Composite(attributes) => nested::write_composite(out, attributes, text),
        Kind::Hstore => nested::write_hstore(out, text),
        _ => write_string(out, text),
    }
    let written = out.get(start..).unwrap_or_default();
    if serde_json::from_slice::<serde::de::IgnoredAny>(written).is_err() {
        out.truncate(start);
        write_string(out, text);
    }
}

/// A name as the head of an object's member: `"name":`.
pub(super) fn label(name: &str) -> Vec<u8> {
    let mut label = Vec::new();
    write_string(&mut label, name.as_bytes());
    label.push(b':');
    label
}

/// Appends a JSON string.
pub(super) fn write_string(out: &mut Vec<u8>, text: &[u8]) {
    // Writing to a Vec cannot fail.
    let _ = serde_json::to_writer(out, &*utf8(text));
}

/// The stream is UTF-8, except from a database that never promised an encoding.
fn utf8(text: &[u8]) -> Cow<'_, str> {
    match str::from_utf8(text) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(text),
    }
}

/// Digits are JSON already; `NaN` and `Infinity` are not, and become strings.
fn write_number(out: &mut Vec<u8>, text: &[u8]) {
    match text.strip_prefix(b"-").unwrap_or(text).first() {
        Some(digit) if digit.is_ascii_digit() => out.extend_from_slice(text),
        _ => write_string(out, text),
    }
}

/// `2024-01-01 00:00:00+00` → `"2024-01-01T00:00:00+00:00"`. `infinity` stays, and ` BC` stays last.
fn write_timestamp(out: &mut Vec<u8>, text: &[u8], minutes_of_offset: &[u8]) {
    let (stamp, era) = match text.strip_suffix(b" BC") {
        Some(stamp) => (stamp, b" BC".as_slice()),
        None => (text, b"".as_slice()),
    };
    out.push(b'"');
    match stamp
        .iter()
        .position(|byte| *byte == b' ')
        .and_then(|space| stamp.split_at_checked(space))
    {
        Some((date, time)) => {
            out.extend_from_slice(date);
            out.push(b'T');
            out.extend_from_slice(time.get(1..).unwrap_or_default());
            out.extend_from_slice(minutes_of_offset);
        }
        None => out.extend_from_slice(stamp),
    }
    out.extend_from_slice(era);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json(kind: &Kind, text: &str) -> String {
        let mut out = Vec::new();
        write_value(&mut out, kind, text.as_bytes());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_become_what_to_jsonb_gives() {
        for (kind, text, expected) in [
            (Kind::Bool, "t", "true"),
            (Kind::Bool, "f", "false"),
            (Kind::Number, "-12.50", "-12.50"),
            (Kind::Number, "1e+20", "1e+20"),
            (Kind::Number, "NaN", "\"NaN\""),
            (Kind::Number, "-Infinity", "\"-Infinity\""),
            (Kind::Json, "{\"a\": 1}", "{\"a\": 1}"),
            (Kind::Text, "a\"b\\c\n\u{1}é", "\"a\\\"b\\\\c\\n\\u0001é\""),
            (
                Kind::Timestamp,
                "2024-01-01 00:00:00.5",
                "\"2024-01-01T00:00:00.5\"",
            ),
            (
                Kind::Timestamp,
                "0044-03-15 00:00:00 BC",
                "\"0044-03-15T00:00:00 BC\"",
            ),
            (Kind::Timestamp, "-infinity", "\"-infinity\""),
            (
                Kind::TimestampTz,
                "2024-01-01 00:00:00+00",
                "\"2024-01-01T00:00:00+00:00\"",
            ),
            (
                Kind::TimestampTz,
                "0044-03-15 00:00:00+00 BC",
                "\"0044-03-15T00:00:00+00:00 BC\"",
            ),
        ] {
            assert_eq!(json(&kind, text), expected, "{kind:?} {text}");
        }
    }

    #[test]
    fn arrays_keep_their_dimensions_and_nulls() {
        let numbers = Kind::Array(Box::new(Kind::Number), b',');
        let texts = Kind::Array(Box::new(Kind::Text), b',');
        for (kind, text, expected) in [
            (&numbers, "{}", "[]"),
            (&numbers, "{1,NULL,-2.5}", "[1,null,-2.5]"),
            (&numbers, "[0:1]={1,2}", "[1,2]"),
            (&numbers, "{{1,2},{3,4}}", "[[1,2],[3,4]]"),
            (
                &texts,
                r#"{a,"b c",NULL,"NULL","","x\"y\\z","{}"}"#,
                r#"["a","b c",null,"NULL","","x\"y\\z","{}"]"#,
            ),
        ] {
            assert_eq!(json(kind, text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_string_reads_back_as_itself(text in ".*") {
            prop_assert_eq!(serde_json::from_str::<String>(&json(&Kind::Text, &text)).unwrap(), text);
        }

        #[test]
        fn bytes_that_are_no_utf8_still_become_a_string(bytes in proptest::collection::vec(any::<u8>(), 0..50)) {
            let mut out = Vec::new();
            write_value(&mut out, &Kind::Text, &bytes);
            prop_assert!(serde_json::from_slice::<String>(&out).is_ok());
        }
    }
}
