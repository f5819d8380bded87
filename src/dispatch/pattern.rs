//! Event patterns: `*`, `posts.*`, `*.created`, `posts.created`.

/// The `events` of a subscription: any of its patterns has to match.
///
/// `*` stands for any run of characters, dots included: the resource of a table outside `public`
/// holds a dot itself, and `sales.*` covers `sales.orders.created`. Case counts, as it does in the
/// names of tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patterns(Vec<String>);

impl Patterns {
    /// Reads the patterns as written.
    ///
    /// # Errors
    /// A sentence that names the wrong pattern and says what is allowed.
    pub fn parse(patterns: &[String]) -> Result<Self, String> {
        if patterns.is_empty() {
            return Err("the list of events is empty; write [\"*\"] to get every event".to_owned());
        }
        patterns.iter().try_for_each(|pattern| check(pattern))?;
        Ok(Self(patterns.to_vec()))
    }

    /// Whether an event of this type is wanted.
    #[must_use]
    pub fn matches(&self, event_type: &str) -> bool {
        self.0.iter().any(|pattern| glob(pattern, event_type))
    }
}

/// Refuses what is surely a slip: such a pattern would silently match nothing.
fn check(pattern: &str) -> Result<(), String> {
    if pattern.is_empty() {
        return Err("an event pattern is empty; write \"*\" to get every event".to_owned());
    }
    let odd = |c: char| c.is_whitespace() || c.is_control() || c == ',';
    if pattern.contains(odd) {
        return Err(format!(
            "event pattern {pattern:?} holds a blank or a comma; write each pattern as a string \
             of its own, and * for such a character in a table's name"
        ));
    }
    if pattern.contains('*') {
        return Ok(());
    }
    // The action stands after the last dot; what precedes it may hold dots of its own.
    match pattern.rsplit_once('.') {
        Some((resource, action)) if !resource.is_empty() && !action.is_empty() => Ok(()),
        _ => Err(format!(
            "event pattern {pattern:?} matches no event; write resource.action, such as \
             posts.created, posts.* or *.created"
        )),
    }
}

/// Whether `pattern` covers the whole of `text`. What stands between two stars is taken where it
/// first occurs, which leaves most for the rest.
fn glob(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let (middle, tail) = rest.rsplit_once('*').unwrap_or(("", rest));
    let Some(mut text) = text
        .strip_prefix(head)
        .and_then(|text| text.strip_suffix(tail))
    else {
        return false;
    };
    for piece in middle.split('*') {
        match text.split_once(piece) {
            Some((_, after)) => text = after,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn patterns(list: &[&str]) -> Result<Patterns, String> {
        let list: Vec<_> = list.iter().map(ToString::to_string).collect();
        Patterns::parse(&list)
    }

    #[test]
    fn the_documented_patterns_match() {
        for (pattern, wanted, unwanted) in [
            ("*", &["posts.created", "a.b.c"][..], &[][..]),
            (
                "posts.*",
                &["posts.created", "posts.deleted"],
                &["reposts.created", "Posts.created", "posts"],
            ),
            (
                "*.created",
                &["posts.created", "sales.orders.created"],
                &["posts.updated", "posts.created.x"],
            ),
            (
                "posts.created",
                &["posts.created"],
                &["posts.created2", "xposts.created"],
            ),
            ("sales.*", &["sales.orders.created"], &["orders.created"]),
            (
                "sales.orders.*",
                &["sales.orders.created"],
                &["sales.orders"],
            ),
            (
                "sales.*.created",
                &["sales.orders.created"],
                &["sales.created"],
            ),
        ] {
            let pattern = patterns(&[pattern]).unwrap();
            for event_type in wanted {
                assert!(pattern.matches(event_type), "{pattern:?} {event_type}");
            }
            for event_type in unwanted {
                assert!(!pattern.matches(event_type), "{pattern:?} {event_type}");
            }
        }
    }

    #[test]
    fn any_pattern_of_the_list_is_enough() {
        let list = patterns(&["posts.created", "*.deleted"]).unwrap();
        assert!(list.matches("posts.created"));
        assert!(list.matches("users.deleted"));
        assert!(!list.matches("users.created"));
    }

    #[test]
    fn a_pattern_that_cannot_match_is_refused_by_name() {
        assert!(patterns(&[]).unwrap_err().contains("empty"));
        assert!(patterns(&["*", ""]).unwrap_err().contains("empty"));
        for wrong in [
            "posts",
            ".created",
            "posts.",
            " posts.*",
            "posts.*,users.*",
            "a b.*",
            "a.*\0",
        ] {
            let error = patterns(&[wrong]).unwrap_err();
            assert!(error.contains(&format!("{wrong:?}")), "{error}");
        }
    }

    /// The definition, by recursion.
    fn covers(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|at| covers(rest, &text[at..])),
            Some((byte, rest)) => text.first() == Some(byte) && covers(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn matching_follows_the_definition(pattern in "[ab.*]{0,8}", text in "[ab.]{0,10}") {
            prop_assert_eq!(
                glob(&pattern, &text),
                covers(pattern.as_bytes(), text.as_bytes())
            );
        }

        #[test]
        fn no_text_breaks_it(pattern in ".{0,20}", text in ".{0,20}") {
            glob(&pattern, &text);
        }
    }
}
