//! The text forms of values that hold values: arrays, composites, hstore.

use super::json::{Reading, write_as_text, write_string, write_value};
use super::kind::Kind;

/// `{1,NULL,"a b"}` → `[1,null,"a b"]`. Lower bounds (`[0:1]=`) are not part of the value.
///
/// Grammar: PostgreSQL manual, "Array Input and Output Syntax".
pub(super) fn write_array(
    out: &mut Vec<u8>,
    element: &Kind,
    delimiter: u8,
    text: &[u8],
) -> Reading {
    let mut reading = Reading::AsType;
    let start = text.iter().position(|byte| *byte == b'{').unwrap_or(0);
    let mut rest = text
        .get(start..)
        .unwrap_or_default()
        .iter()
        .copied()
        .peekable();
    let mut item = Vec::new();
    while let Some(byte) = rest.next() {
        match byte {
            b'{' => out.push(b'['),
            b'}' => out.push(b']'),
            byte if byte == delimiter => out.push(b','),
            b'"' => {
                item.clear();
                while let Some(byte) = rest.next() {
                    match byte {
                        b'"' => break,
                        b'\\' => item.extend(rest.next()),
                        byte => item.push(byte),
                    }
                }
                reading = reading.and(write_value(out, element, &item));
            }
            byte => {
                item.clear();
                item.push(byte);
                while let Some(byte) = rest.next_if(|byte| *byte != delimiter && *byte != b'}') {
                    item.push(byte);
                }
                if item == b"NULL" {
                    out.extend_from_slice(b"null")
                } else {
                    reading = reading.and(write_value(out, element, &item));
                }
            }
        }
    }
    reading
}

/// `1 2` → `[1,2]`.
pub(super) fn write_vector(out: &mut Vec<u8>, element: &Kind, text: &[u8]) -> Reading {
    let mut reading = Reading::AsType;
    out.push(b'[');
    for (place, item) in text
        .split(|byte| *byte == b' ')
        .filter(|item| !item.is_empty())
        .enumerate()
    {
        if place > 0 {
            out.push(b',');
        }
        reading = reading.and(write_value(out, element, item));
    }
    out.push(b']');
    reading
}

/// `(1,"a b",)` → `{"id":1,"name":"a b","note":null}`. A text that does not have the attributes'
/// count (the type was changed since the row was written) stays a string.
///
/// Grammar: PostgreSQL manual, "Composite Type Input and Output Syntax".
pub(super) fn write_composite(
    out: &mut Vec<u8>,
    attributes: &[(Vec<u8>, Kind)],
    text: &[u8],
) -> Reading {
    let mut reading = Reading::AsType;
    let fields = match text {
        b"()" if attributes.is_empty() => Vec::new(),
        _ => composite_fields(text),
    };
    if fields.len() != attributes.len() {
        return write_as_text(out, text);
    }
    out.push(b'{');
    for (place, ((label, kind), field)) in attributes.iter().zip(fields).enumerate() {
        if place > 0 {
            out.push(b',');
        }
        out.extend_from_slice(label);
        match field {
            Some(field) => reading = reading.and(write_value(out, kind, &field)),
            None => out.extend_from_slice(b"null"),
        }
    }
    out.push(b'}');
    reading
}

/// The fields between the parentheses; an empty one without quotes is null.
fn composite_fields(text: &[u8]) -> Vec<Option<Vec<u8>>> {
    let inner = text
        .strip_prefix(b"(")
        .and_then(|text| text.strip_suffix(b")"))
        .unwrap_or(text);
    let mut fields = Vec::new();
    let mut field = Vec::new();
    let (mut quoted, mut present) = (false, false);
    let mut rest = inner.iter().copied().peekable();
    while let Some(byte) = rest.next() {
        match byte {
            b'\\' => field.extend(rest.next()),
            b'"' if quoted && rest.next_if_eq(&b'"').is_some() => field.push(b'"'),
            b'"' => {
                quoted = !quoted;
                present = true;
            }
            b',' if !quoted => {
                fields.push((present || !field.is_empty()).then(|| std::mem::take(&mut field)));
                present = false;
            }
            byte => field.push(byte),
        }
    }
    fields.push((present || !field.is_empty()).then_some(field));
    fields
}

/// `"a"=>"1", "b"=>NULL` → `{"a":"1","b":null}`.
///
/// Grammar: PostgreSQL manual, hstore, "External Representation"; what is sent is always quoted.
pub(super) fn write_hstore(out: &mut Vec<u8>, text: &[u8]) -> Reading {
    let mut reading = Reading::AsType;
    let mut rest = text.iter().copied().peekable();
    out.push(b'{');
    while let Some(byte) = rest.next() {
        match byte {
            b'"' => {
                let mut item = Vec::new();
                while let Some(byte) = rest.next() {
                    match byte {
                        b'"' => break,
                        b'\\' => item.extend(rest.next()),
                        byte => item.push(byte),
                    }
                }
                reading = reading.and(write_string(out, &item));
            }
            b'=' => {
                rest.next_if_eq(&b'>');
                out.push(b':');
            }
            b'N' => {
                while rest.next_if(u8::is_ascii_alphabetic).is_some() {}
                out.extend_from_slice(b"null");
            }
            b',' => out.push(b','),
            _ => {}
        }
    }
    out.push(b'}');
    reading
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::json::label;

    fn json(kind: &Kind, text: &str) -> String {
        let mut out = Vec::new();
        let _ = write_value(&mut out, kind, text.as_bytes());
        String::from_utf8(out).unwrap()
    }

    fn pair() -> Kind {
        Kind::Composite(vec![(label("n"), Kind::Number), (label("t"), Kind::Text)])
    }

    #[test]
    fn composites_become_objects_and_nest() {
        for (text, expected) in [
            ("(1,a)", r#"{"n":1,"t":"a"}"#),
            ("(,)", r#"{"n":null,"t":null}"#),
            (r#"(1,"")"#, r#"{"n":1,"t":""}"#),
            (r#"(1,"a ""b"" \\ , )")"#, r#"{"n":1,"t":"a \"b\" \\ , )"}"#),
            ("(1,a,2)", r#""(1,a,2)""#),
        ] {
            assert_eq!(json(&pair(), text), expected, "{text}");
        }
        assert_eq!(json(&Kind::Composite(Vec::new()), "()"), "{}");
        let outer = Kind::Composite(vec![
            (label("p"), pair()),
            (label("a"), Kind::Array(Box::new(pair()), b',')),
        ]);
        let text = r#"("(1,""x y"")","{""(2,z)"",NULL}")"#;
        assert_eq!(
            json(&outer, text),
            r#"{"p":{"n":1,"t":"x y"},"a":[{"n":2,"t":"z"},null]}"#
        );
    }

    #[test]
    fn hstore_becomes_an_object_of_strings() {
        for (text, expected) in [
            ("", "{}"),
            (r#""a"=>"1", "b"=>NULL"#, r#"{"a":"1","b":null}"#),
            (r#""q\"=>"=>"NULL, \\""#, r#"{"q\"=>":"NULL, \\"}"#),
        ] {
            assert_eq!(json(&Kind::Hstore, text), expected, "{text}");
        }
    }

    #[test]
    fn vectors_become_arrays() {
        assert_eq!(json(&Kind::Vector(Box::new(Kind::Number)), "1 2"), "[1,2]");
        assert_eq!(json(&Kind::Vector(Box::new(Kind::Text)), ""), "[]");
    }

    proptest! {
        /// Texts that the server would never send must not break anything either.
        #[test]
        fn no_text_breaks_it(text in proptest::collection::vec(any::<u8>(), 0..60)) {
            let mut out = Vec::new();
            for kind in [Kind::Array(Box::new(pair()), b','), pair(), Kind::Hstore] {
                out.clear();
                let _ = write_value(&mut out, &kind, &text);
                prop_assert!(serde_json::from_slice::<serde::de::IgnoredAny>(&out).is_ok());
            }
        }
    }
}
