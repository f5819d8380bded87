//! The members of a JSON object in their order, as raw text: no value is parsed or copied.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Up to so many members, looking at all of them is quicker than hashing.
const FEW: usize = 16;

/// The members of one JSON object. Of a key that stands twice the last value counts, in the first
/// one's place, as JavaScript and most parsers have it.
#[derive(Debug, Default)]
pub struct Fields<'a> {
    members: Vec<Member<'a>>,
    /// Whether a key is written with escapes, so that another one may mean the same.
    is_escaped: bool,
    /// Unescaped key → index in `members`, once they are many.
    places: HashMap<Cow<'a, str>, usize>,
}

/// One member as it is written.
#[derive(Debug, Clone, Copy)]
pub struct Member<'a> {
    /// The key's JSON text, quotes and escapes included.
    pub key: &'a str,
    /// The value's JSON text.
    pub value: &'a str,
}

impl<'a> Member<'a> {
    /// The key without quotes and escapes.
    #[must_use]
    pub fn name(&self) -> Cow<'a, str> {
        unescaped(self.key)
    }
}

impl<'a> Fields<'a> {
    /// Reads `text`; `None` if it is not a JSON object.
    pub fn read(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The members in order.
    pub fn iter(&self) -> impl Iterator<Item = &Member<'a>> {
        self.members.iter()
    }

    /// The keys' JSON texts in order.
    pub fn keys(&self) -> impl Iterator<Item = &'a str> {
        self.members.iter().map(|member| member.key)
    }

    /// These members with the values of `over` where it has the key; what only `over` has comes
    /// last, in its order.
    #[must_use]
    pub fn overlaid_by(mut self, over: &Fields<'a>) -> Self {
        for member in &over.members {
            self.put(*member);
        }
        self
    }

    /// The member with this name: its key without quotes and escapes.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Member<'a>> {
        self.members.get(self.place(name)?)
    }

    /// The member with this key, given as its JSON text.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Member<'a>> {
        self.members.get(self.place(&unescaped(key))?)
    }

    fn put(&mut self, member: Member<'a>) {
        let name = unescaped(member.key);
        let place = self.place(&name);
        if let Some(known) = place.and_then(|place| self.members.get_mut(place)) {
            known.value = member.value;
            return;
        }
        let end = self.members.len();
        if end == FEW {
            let known = self.members.iter().map(|member| unescaped(member.key));
            self.places = known.zip(0..).collect();
        }
        self.is_escaped |= matches!(name, Cow::Owned(_));
        if end >= FEW {
            self.places.insert(name, end);
        }
        self.members.push(member);
    }

    /// Where the member with this name stands.
    fn place(&self, name: &str) -> Option<usize> {
        if self.members.len() > FEW {
            return self.places.get(name).copied();
        }
        let mut keys = self.members.iter().map(|member| member.key);
        if self.is_escaped {
            keys.position(|key| unescaped(key) == name)
        } else {
            keys.position(|key| unquoted(key) == name)
        }
    }
}

/// The key that a JSON string means. Escapes that are no character (an unpaired surrogate) stay as
/// they are written, so that they still equal themselves.
fn unescaped(key: &str) -> Cow<'_, str> {
    let inner = unquoted(key);
    if inner.contains('\\') {
        serde_json::from_str(key).map_or(Cow::Borrowed(inner), Cow::Owned)
    } else {
        Cow::Borrowed(inner)
    }
}

fn unquoted(key: &str) -> &str {
    key.strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(key)
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Fields {
                    members: Vec::with_capacity(FEW),
                    ..Fields::default()
                };
                while let Some((key, value)) = map.next_entry::<&RawValue, &RawValue>()? {
                    fields.put(Member {
                        key: key.get(),
                        value: value.get(),
                    });
                }
                Ok(fields)
            }
        }

        from.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(fields: &Fields<'_>) -> String {
        let members: Vec<_> = fields
            .iter()
            .map(|member| format!("{}={}", member.key, member.value))
            .collect();
        members.join(" ")
    }

    #[test]
    fn keys_and_values_are_kept_as_written() {
        let text = r#" {"b": 1.50, "a":{"x":[1, 2]} , "q\"": "\u0000\ud800", "n":1e400 } "#;
        let fields = Fields::read(text).unwrap();
        assert_eq!(
            shown(&fields),
            r#""b"=1.50 "a"={"x":[1, 2]} "q\""="\u0000\ud800" "n"=1e400"#
        );
    }

    #[test]
    fn what_is_not_an_object_has_no_fields() {
        for text in ["[]", "null", "1", "", "{", r#"{"a"}"#, r#"{"a":1} x"#] {
            assert!(Fields::read(text).is_none(), "{text}");
        }
        assert_eq!(shown(&Fields::read("{}").unwrap()), "");
    }

    #[test]
    fn of_a_key_that_stands_twice_the_last_value_counts() {
        let fields = Fields::read(r#"{"a":1,"b":2,"\u0061":3,"\ud800":4,"\ud800":5}"#).unwrap();
        assert_eq!(shown(&fields), r#""a"=3 "b"=2 "\ud800"=5"#);
    }

    #[test]
    fn many_members_are_found_as_few_are() {
        for count in [FEW - 1, FEW, FEW + 1, 3 * FEW] {
            let members: Vec<_> = (0..count).map(|n| format!("\"k{n}\":{n}")).collect();
            let text = format!("{{{},\"k0\":\"again\"}}", members.join(","));
            let fields = Fields::read(&text).unwrap();
            assert_eq!(fields.iter().count(), count);
            assert_eq!(fields.named("k0").unwrap().value, "\"again\"");
            for n in 1..count {
                let value = n.to_string();
                assert_eq!(fields.named(&format!("k{n}")).unwrap().value, value);
            }
            assert!(fields.named("other").is_none());
        }
    }

    #[test]
    fn an_overlay_keeps_the_order_and_appends_what_is_new() {
        let record = Fields::read(r#"{"id":7,"käse":"new","title":"t"}"#).unwrap();
        let previous = Fields::read(r#"{"gone":true,"k\u00e4se":"old"}"#).unwrap();
        assert_eq!(
            shown(&record.overlaid_by(&previous)),
            r#""id"=7 "käse"="old" "title"="t" "gone"=true"#
        );
    }

    #[test]
    fn a_deep_value_is_not_walked_by_recursion() {
        let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(5000), "]".repeat(5000));
        assert!(Fields::read(&deep).is_some());
    }
}
