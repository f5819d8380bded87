//! Names of resources and types where not every character is allowed.

use std::collections::HashSet;
use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// A name as a key of AsyncAPI's components and a part of a JSON pointer: letters, digits, `.`, `_`, `-`. One
/// that had to be changed ends in a hash of what it was, so that different names stay different.
pub(super) fn key(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if !name.is_empty() && name.chars().all(is_plain) {
        return name.to_owned();
    }
    let plain = name.replace(|c| !is_plain(c), "_");
    format!("{plain}-{}", hash(name.as_bytes(), 8))
}

/// The first digits of a text's SHA-256.
pub(super) fn hash(text: &[u8], digits: usize) -> String {
    let mut hash = String::new();
    for byte in Sha256::digest(text) {
        // Writing to a string cannot fail.
        let _ = write!(hash, "{byte:02x}");
    }
    hash.truncate(digits);
    hash
}

/// Identifiers that are taken.
#[derive(Debug, Default)]
pub(super) struct Identifiers(HashSet<String>);

impl Identifiers {
    pub(super) fn reserving(names: &[&str]) -> Self {
        Self(names.iter().map(ToString::to_string).collect())
    }

    /// An identifier for a name of which every one of `suffixes` is free as well.
    pub(super) fn take(&mut self, name: &str, suffixes: &[String]) -> String {
        let base = pascal_case(name);
        let mut identifier = base.clone();
        let mut number = 1;
        let taken = |identifier: &str, taken: &HashSet<String>| {
            suffixes
                .iter()
                .any(|suffix| taken.contains(&format!("{identifier}{suffix}")))
        };
        while taken(&identifier, &self.0) {
            number += 1;
            identifier = format!("{base}{number}");
        }
        for suffix in suffixes {
            self.0.insert(format!("{identifier}{suffix}"));
        }
        identifier
    }
}

/// `order_items` → `OrderItems`, `sales.orders` → `SalesOrders`.
pub(super) fn pascal_case(name: &str) -> String {
    let words = name.split(|c: char| !c.is_alphabetic() && !c.is_ascii_digit());
    let mut pascal: String = words
        .filter(|word| !word.is_empty())
        .map(|word| {
            let mut chars = word.chars();
            let first = chars.next().map(|c| c.to_uppercase().to_string());
            first.unwrap_or_default() + chars.as_str()
        })
        .collect();
    if !pascal.starts_with(|c: char| c.is_alphabetic()) {
        pascal.insert(0, '_');
    }
    pascal
}

/// A property's name: quoted, where it is no identifier.
pub(super) fn property(name: &str) -> String {
    let is_identifier = !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '$'));
    if is_identifier {
        name.to_owned()
    } else {
        quoted(name)
    }
}

/// A string literal.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_hold_no_odd_characters_and_stay_apart() {
        assert_eq!(key("sales.order_items-2"), "sales.order_items-2");
        assert_eq!(key("a/b"), "a_b-c14cddc0");
        assert_ne!(key("a/b"), key("a%b"));
        assert_ne!(key(""), key("_"));
    }

    #[test]
    fn identifiers_are_taken_once() {
        let mut taken = Identifiers::reserving(&["Json"]);
        let suffixes = [String::new(), "Created".to_owned()];
        for (name, expected) in [
            ("orders", "Orders"),
            ("order_items", "OrderItems"),
            ("orders_created", "OrdersCreated2"),
            ("json", "Json2"),
            ("2nd", "_2nd"),
            ("käse", "Käse"),
            ("…", "_"),
        ] {
            assert_eq!(taken.take(name, &suffixes), expected);
        }
    }

    #[test]
    fn properties_are_quoted_where_they_must_be() {
        for (name, expected) in [
            ("total", "total"),
            ("zip code", "\"zip code\""),
            ("2nd", "\"2nd\""),
            ("a\"b", "\"a\\\"b\""),
        ] {
            assert_eq!(property(name), expected);
        }
    }
}
