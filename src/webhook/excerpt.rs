//! How a refusal's body begins, fit for a log line and a table.

use super::Endpoint;
use crate::secret::Secret;

/// How much of a body is kept, in bytes.
const KEPT: usize = 512;

/// Shorter words of headers and queries are not looked for: they are schemes (`Bearer`) or flags.
const SHORTEST_WORD: usize = 8;

/// Shorter parts of a path are not looked for: they are words of a route. Tokens in paths (Slack,
/// Discord) are longer.
const SHORTEST_SEGMENT: usize = 16;

/// Cuts excerpts, without the endpoint's secrets: receivers echo headers in their error pages, and
/// the path in `Cannot POST /…`.
#[derive(Debug)]
pub(super) struct Excerpts {
    /// The longest first, as one may hold another.
    secrets: Vec<Secret>,
}

impl Excerpts {
    /// Gathers what must not be seen in an answer: words of header values, and what the URL holds
    /// in its user, path and query.
    pub(super) fn of(endpoint: &Endpoint) -> Self {
        let url = &endpoint.url;
        let words = endpoint
            .headers
            .iter()
            .flat_map(|(_, value)| value.expose().split_whitespace())
            .chain([url.username(), url.password().unwrap_or_default()])
            .chain(url.query().unwrap_or_default().split(['&', '=']))
            .filter(|word| word.len() >= SHORTEST_WORD);
        let segments = url
            .path_segments()
            .into_iter()
            .flatten()
            .filter(|segment| segment.len() >= SHORTEST_SEGMENT);
        let mut secrets: Vec<_> = words.chain(segments).map(Secret::new).collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
        Self { secrets }
    }

    /// The first 512 bytes of `body` as text. Control characters become spaces: Postgres takes no
    /// NUL, and a terminal obeys escapes. Secrets are cut out before the text is cut.
    pub(super) fn cut(&self, body: &[u8]) -> String {
        let mut text = String::from_utf8_lossy(body).replace(char::is_control, " ");
        for secret in &self.secrets {
            text = text.replace(secret.expose(), "[redacted]");
        }
        let end = (0..=KEPT).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or(0));
        text.truncate(text.trim_end().len());
        text
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::webhook::Format;

    fn excerpts(url: &str, header: &str) -> Excerpts {
        Excerpts::of(&Endpoint {
            name: "billing".to_owned(),
            url: url.parse().unwrap(),
            format: Format::Rowhook,
            payload: crate::webhook::Payload::default(),
            keys: Vec::new(),
            headers: vec![("authorization".to_owned(), Secret::new(header))],
            timeout: Duration::from_secs(5),
        })
    }

    #[test]
    fn any_bytes_become_a_short_text() {
        let excerpts = excerpts("http://localhost/hook", "");
        assert_eq!(excerpts.cut(b""), "");
        assert_eq!(excerpts.cut(b"no\xFF\0\x1b[1m\n"), "no\u{fffd}  [1m");
        assert_eq!(excerpts.cut("ä".repeat(600).as_bytes()), "ä".repeat(256));
        let odd = format!("x{}", "ä".repeat(600));
        assert_eq!(excerpts.cut(odd.as_bytes()).len(), 511);
    }

    #[test]
    fn an_echoed_secret_is_cut_out_even_across_the_end() {
        let excerpts = excerpts(
            "https://me:hunter2hunter2@hooks.example/services/T01B02XhYpW81hZq9/in?key=0123456789",
            "Bearer sk_live_0123456789",
        );
        let body = format!("{}sk_live_0123456789", "-".repeat(505));
        assert!(!excerpts.cut(body.as_bytes()).contains("sk_"));
        for (body, kept) in [
            (
                "bad token: Bearer sk_live_0123456789!",
                "bad token: Bearer [redacted]!",
            ),
            (
                "Cannot POST /services/T01B02XhYpW81hZq9/in?key=0123456789",
                "Cannot POST /services/[redacted]/in?key=[redacted]",
            ),
            ("hunter2hunter2 may not", "[redacted] may not"),
        ] {
            assert_eq!(excerpts.cut(body.as_bytes()), kept);
        }
    }
}
