//! Names as other systems form them, from those of an event.

use crate::event::Event;

/// What follows the resource in the event's type: `updated` of `posts.updated`.
pub(super) fn verb(event: &Event) -> &str {
    event
        .event_type
        .strip_prefix(&*event.resource)
        .and_then(|rest| rest.strip_prefix('.'))
        .unwrap_or(event.action.as_str())
}

/// `orderItems` of `order_items`, `salesOrders` of `sales.orders`: what is no letter or digit ends
/// a word, and every word but the first begins with a capital. A name without either stays.
pub(super) fn camel_case(name: &str) -> String {
    let mut words = words(name);
    let Some(first) = words.next() else {
        return name.to_owned();
    };
    first.chars().chain(words.flat_map(capitalized)).collect()
}

/// `OrderItems` of `order_items`.
pub(super) fn pascal_case(name: &str) -> String {
    words(name).flat_map(capitalized).collect()
}

fn words(name: &str) -> impl Iterator<Item = &str> {
    name.split(|char: char| !char.is_alphanumeric())
        .filter(|word| !word.is_empty())
}

fn capitalized(word: &str) -> impl Iterator<Item = char> {
    let mut chars = word.chars();
    let first = chars.next();
    first.into_iter().flat_map(char::to_uppercase).chain(chars)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_joined() {
        for (name, camel, pascal) in [
            ("deal", "deal", "Deal"),
            ("order_items", "orderItems", "OrderItems"),
            ("sales.orders", "salesOrders", "SalesOrders"),
            ("Order Items", "OrderItems", "OrderItems"),
            ("_a__b_", "aB", "AB"),
            ("äpfel_öl", "äpfelÖl", "ÄpfelÖl"),
            ("§", "§", ""),
        ] {
            assert_eq!(camel_case(name), camel, "{name}");
            assert_eq!(pascal_case(name), pascal, "{name}");
        }
    }
}
