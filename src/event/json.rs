//! A value's text, appended to a buffer as the JSON that `to_jsonb` gives for it.
//!
//! The source is pinned to ISO dates and UTC, so texts have one form only.

use std::borrow::Cow;
use std::str;

use super::kind::Kind;
use super::nested;
use crate::wal::readable;

/// Levels of arrays and objects that a JSON value may have in the log: every reader of the log, and
/// Postgres itself when it takes the row in, walks them by recursion. PostgreSQL 15 gives up at
/// about 13,000 with the default `max_stack_depth`.
pub(super) const DEEPEST: usize = 6_000;

/// How a value went into the JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) enum Reading {
    /// As what `to_jsonb` gives for its type.
    AsType,
    /// As a string of its text, because it cannot be read as its type.
    AsText,
}

impl Reading {
    /// The reading of a value that has parts: as text, if one of them is.
    pub(super) fn and(self, part: Self) -> Self {
        if self == Self::AsType { part } else { self }
    }
}

/// Appends the JSON of a value that is not null.
pub(super) fn write_value(out: &mut Vec<u8>, kind: &Kind, text: &[u8]) -> Reading {
    match kind {
        Kind::Bool => match text {
            b"t" => as_type(out, b"true"),
            b"f" => as_type(out, b"false"),
            _ => write_as_text(out, text),
        },
        Kind::Number => write_number(out, text),
        Kind::Json => write_json(out, text),
        Kind::Timestamp => write_timestamp(out, text, b""),
        Kind::TimestampTz => write_timestamp(out, text, b":00"),
        Kind::Array(..) | Kind::Vector(_) | Kind::Composite(_) | Kind::Hstore => {
            write_nested(out, kind, text)
        }
        Kind::Text => write_string(out, text),
        Kind::Unknown => write_as_text(out, text),
    }
}

fn as_type(out: &mut Vec<u8>, json: &[u8]) -> Reading {
    out.extend_from_slice(json);
    Reading::AsType
}

/// A value that cannot be read as its type stays a string: no value stops the stream.
pub(super) fn write_as_text(out: &mut Vec<u8>, text: &[u8]) -> Reading {
    let _ = write_string(out, text);
    Reading::AsText
}

fn write_nested(out: &mut Vec<u8>, kind: &Kind, text: &[u8]) -> Reading {
    let start = out.len();
    let reading = match kind {
        Kind::Array(element, delimiter) => nested::write_array(out, element, *delimiter, text),
        Kind::Vector(element) => nested::write_vector(out, element, text),
        Kind::Composite(attributes) => nested::write_composite(out, attributes, text),
        Kind::Hstore => nested::write_hstore(out, text),
        _ => write_as_text(out, text),
    };
    if is_json(out.get(start..).unwrap_or_default()) {
        return reading;
    }
    out.truncate(start);
    write_as_text(out, text)
}

/// Postgres reads the record again when it goes into the log: what it would refuse there must not
/// get so far.
fn write_json(out: &mut Vec<u8>, text: &[u8]) -> Reading {
    match str::from_utf8(text) {
        Ok(_) if is_json(text) && !is_too_deep(text) => as_type(out, text),
        _ => write_as_text(out, text),
    }
}

fn is_json(text: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok()
}

/// Whether valid JSON has more levels than the log takes. Most have not even so many brackets, which
/// is quick to see.
fn is_too_deep(json: &[u8]) -> bool {
    let opens = |byte: &&u8| matches!(byte, b'[' | b'{');
    if json.len() <= DEEPEST || json.iter().filter(opens).count() <= DEEPEST {
        return false;
    }
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut quoted, mut escaped) = (false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = quoted,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest > DEEPEST
}

/// A name as the head of an object's member: `"name":`.
pub(super) fn label(name: &str) -> Vec<u8> {
    let mut label = Vec::new();
    let _ = write_string(&mut label, name.as_bytes());
    label.push(b':');
    label
}

/// Appends a JSON string; as text, if bytes of it are no UTF-8 and had to be written as others.
pub(super) fn write_string(out: &mut Vec<u8>, text: &[u8]) -> Reading {
    let text = readable(text);
    write_text(out, &text);
    match text {
        Cow::Borrowed(_) => Reading::AsType,
        Cow::Owned(_) => Reading::AsText,
    }
}

/// Appends a text as a JSON string. Most have nothing to escape. To see that takes a look at every byte,
/// which does not end at the first one: so the processor takes many at once.
pub(crate) fn write_text(out: &mut Vec<u8>, text: &str) {
    let is_escaped = |byte: &u8| *byte < b' ' || matches!(byte, b'"' | b'\\');
    let bytes = text.as_bytes();
    if bytes.iter().fold(false, |any, byte| any | is_escaped(byte)) {
        // Writing to a Vec cannot fail.
        let _ = serde_json::to_writer(out, text);
        return;
    }
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    out.extend_from_slice(bytes);
    out.push(b'"');
}

/// Digits are JSON already; `NaN` and `Infinity` are not, and become strings.
fn write_number(out: &mut Vec<u8>, text: &[u8]) -> Reading {
    match text {
        b"NaN" | b"Infinity" | b"-Infinity" => write_string(out, text),
        _ if is_number(text) => as_type(out, text),
        _ => write_as_text(out, text),
    }
}

/// The grammar of RFC 8259, section 6.
fn is_number(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let (whole, rest) = digits(text);
    let (fraction, rest) = match rest.strip_prefix(b".") {
        Some(rest) => digits(rest),
        None => (b"0".as_slice(), rest),
    };
    let (exponent, rest) = match rest.strip_prefix(b"e").or_else(|| rest.strip_prefix(b"E")) {
        Some(rest) => digits(
            rest.strip_prefix(b"+")
                .or_else(|| rest.strip_prefix(b"-"))
                .unwrap_or(rest),
        ),
        None => (b"0".as_slice(), rest),
    };
    let leading_zero = whole.len() > 1 && whole.starts_with(b"0");
    !whole.is_empty()
        && !leading_zero
        && !fraction.is_empty()
        && !exponent.is_empty()
        && rest.is_empty()
}

/// The digits that a text begins with, and what follows them.
fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !byte.is_ascii_digit());
    text.split_at_checked(end.unwrap_or(text.len()))
        .unwrap_or((text, b""))
}

/// `2024-01-01 00:00:00+00` → `"2024-01-01T00:00:00+00:00"`. `infinity` stays, and ` BC` stays last.
fn write_timestamp(out: &mut Vec<u8>, text: &[u8], minutes_of_offset: &[u8]) -> Reading {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b" :.+-".contains(byte);
    if text.is_empty() || !text.iter().all(plain) {
        return write_as_text(out, text);
    }
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
    Reading::AsType
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json(kind: &Kind, text: &str) -> String {
        let mut out = Vec::new();
        let _ = write_value(&mut out, kind, text.as_bytes());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_is_not_its_type_stays_text_and_says_so() {
        for (kind, text, expected) in [
            (Kind::Unknown, b"x".as_slice(), r#""x""#),
            (Kind::Bool, b"maybe", r#""maybe""#),
            (Kind::Number, b"1x", r#""1x""#),
            (Kind::Number, b"01", r#""01""#),
            (Kind::Number, b"-", r#""-""#),
            (Kind::Number, b"1.", r#""1.""#),
            (Kind::Number, b"1e", r#""1e""#),
            (Kind::Json, b"{", r#""{""#),
            (Kind::Json, b"\"\xff\"", r#""\"\\xff\"""#),
            (Kind::Timestamp, b"2024\" 1", r#""2024\" 1""#),
            (Kind::Text, b"a\\\xffb", r#""a\\\\\\xffb""#),
            (Kind::Array(Box::new(Kind::Number), b','), b"{1", r#""{1""#),
            (
                Kind::Array(Box::new(Kind::Number), b','),
                b"{x}",
                r#"["x"]"#,
            ),
            (
                Kind::Array(Box::new(Kind::Unknown), b','),
                b"{x}",
                r#"["x"]"#,
            ),
            (Kind::Hstore, b"\"a\"=>\"\xff\"", r#"{"a":"\\xff"}"#),
            (Kind::Composite(Vec::new()), b"(1,2)", r#""(1,2)""#),
        ] {
            let mut out = Vec::new();
            assert_eq!(
                write_value(&mut out, &kind, text),
                Reading::AsText,
                "{kind:?}"
            );
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{kind:?}");
        }
    }

    #[test]
    fn what_is_its_type_is_not_marked() {
        for (kind, text) in [
            (Kind::Number, "NaN"),
            (Kind::Number, "5e-324"),
            (Kind::Number, "0.10"),
            (Kind::Text, "\\xff"),
            (Kind::Json, r#"{"a":"\u0000\ud800"}"#),
            (Kind::Array(Box::new(Kind::Text), b','), "{NULL,a}"),
            (Kind::Vector(Box::new(Kind::Number)), "1 2"),
            (Kind::Hstore, ""),
        ] {
            let mut out = Vec::new();
            assert_eq!(
                write_value(&mut out, &kind, text.as_bytes()),
                Reading::AsType,
                "{text}"
            );
        }
    }

    #[test]
    fn json_that_is_too_deep_for_the_log_stays_text() {
        let nested = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let mut out = Vec::new();
        let deepest = nested(DEEPEST);
        assert_eq!(
            write_value(&mut out, &Kind::Json, deepest.as_bytes()),
            Reading::AsType
        );
        let deeper = nested(DEEPEST + 1);
        assert_eq!(
            write_value(&mut out, &Kind::Json, deeper.as_bytes()),
            Reading::AsText
        );
        // Brackets alone are no levels.
        let wide = format!(
            r#"[{},"\"{}"]"#,
            vec!["[]"; 5000].join(","),
            "[".repeat(5000)
        );
        assert_eq!(
            write_value(&mut out, &Kind::Json, wide.as_bytes()),
            Reading::AsType
        );
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
    fn what_has_to_be_escaped_is_found_wherever_it_stands() {
        for char in (0..b' ').chain(*b"\"\\\x7f").map(char::from) {
            for place in 0..40 {
                let mut text = "x".repeat(40);
                text.replace_range(place..=place, char.encode_utf8(&mut [0; 4]));
                let expected = serde_json::to_string(&text).unwrap();
                assert_eq!(json(&Kind::Text, &text), expected);
            }
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
            let _ = write_value(&mut out, &Kind::Text, &bytes);
            prop_assert!(serde_json::from_slice::<String>(&out).is_ok());
        }
    }
}
