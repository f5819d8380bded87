//! What may be a token in a URL: many receivers carry theirs in the path or the query.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use reqwest::Url;

/// Shorter words of a query are not taken for tokens: they are flags.
const SHORTEST_WORD: usize = 8;

/// Shorter parts of a path are not taken for tokens: they are words of a route. Tokens in paths
/// (Slack, Discord) are longer.
const SHORTEST_SEGMENT: usize = 16;

/// What may be a token in the path and the query, as it stands in the URL.
pub(super) fn tokens(url: &Url) -> impl Iterator<Item = &str> {
    let words = url.query().unwrap_or_default().split(['&', '=']);
    let segments = url.path_segments().into_iter().flatten();
    words
        .filter(|word| word.len() >= SHORTEST_WORD)
        .chain(segments.filter(|segment| segment.len() >= SHORTEST_SEGMENT))
}

/// A word of a URL as its server reads it.
pub(super) fn decoded(word: &str) -> Cow<'_, str> {
    percent_decode_str(word).decode_utf8_lossy()
}

/// The URL for reading, without what may be a token.
#[must_use]
pub fn without_tokens(url: &Url) -> String {
    let mut shown = url.clone();
    if !shown.username().is_empty() || shown.password().is_some() {
        // Neither fails for a URL that has a user or a password.
        let _ = shown.set_username("redacted");
        let _ = shown.set_password(None);
    }
    let mut text = shown.to_string();
    let mut tokens: Vec<&str> = tokens(url).collect();
    // The longest first, as one may hold another.
    tokens.sort_by_key(|token| std::cmp::Reverse(token.len()));
    for token in tokens {
        text = text.replace(token, "[redacted]");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_what_may_be_a_token() {
        for (url, shown) in [
            (
                "https://billing.internal/hooks?v=2",
                "https://billing.internal/hooks?v=2",
            ),
            ("https://me:pw@a/", "https://redacted@a/"),
            (
                "https://hooks.example/services/T01B02XhYpW81hZq9/in?key=0123456789&x=1",
                "https://hooks.example/services/[redacted]/in?key=[redacted]&x=1",
            ),
            (
                "https://a/?sig=0123456789&both=01234567890",
                "https://a/?sig=[redacted]&both=[redacted]",
            ),
        ] {
            assert_eq!(without_tokens(&url.parse().unwrap()), shown);
        }
    }
}
