//! How a refusal's body begins, fit for a log line and a table.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Endpoint;
use super::url_tokens::{decoded, tokens};
use crate::secret::Secret;

/// How much of a body is kept, in bytes.
const KEPT: usize = 512;

/// Shorter words of headers are not looked for: they are schemes (`Bearer`).
const SHORTEST_WORD: usize = 8;

/// Less of a secret's beginning is not looked for: it tells nothing, and words end like that.
const SHORTEST_BEGINNING: usize = 4;

/// Cuts excerpts, without the endpoint's secrets: receivers echo headers in their error pages, and
/// the path in `Cannot POST /…`.
#[derive(Debug)]
pub(super) struct Excerpts {
    /// The longest first, as one may hold another.
    secrets: Vec<Secret>,
}

impl Excerpts {
    /// Gathers what must not be seen in an answer: words of header values, what the URL holds in its
    /// user, path and query, and the signing secrets, which a receiver of HMAC signatures has, too.
    pub(super) fn of(endpoint: &Endpoint) -> Self {
        let url = &endpoint.url;
        let headers = endpoint.headers.iter().map(|(_, value)| value.expose());
        let keys = endpoint.keys.iter().map(|key| key.secret().expose());
        let words: Vec<Cow<'_, str>> = headers
            .clone()
            .flat_map(|value| value.split_whitespace().chain(value.split(is_between)))
            .map(Cow::Borrowed)
            .chain(headers.filter_map(credentials).map(Cow::Owned))
            .chain([url.username(), url.password().unwrap_or_default()].map(Cow::Borrowed))
            // Without the prefix, which says no more than what it is.
            .chain(keys.filter_map(|key| key.split_once('_').map(|(_, rest)| rest.into())))
            .filter(|word| word.len() >= SHORTEST_WORD)
            .chain(tokens(url).map(Cow::Borrowed))
            .chain(tokens(url).map(decoded))
            .collect();
        // As PHP and others write a slash in JSON.
        let escaped = words.iter().filter(|word| word.contains('/'));
        let escaped: Vec<_> = escaped
            .map(|word| word.replace('/', r"\/").into())
            .collect();
        let words = words.into_iter().chain(escaped);
        let mut secrets: Vec<_> = words.map(Secret::new).collect();
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
        self.cut_beginning(&mut text);
        let end = (0..=KEPT).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or(0));
        text.truncate(text.trim_end().len());
        text
    }

    /// Cuts out how a secret begins from the end of a body: it may have broken off there.
    fn cut_beginning(&self, text: &mut String) {
        let beginnings = self.secrets.iter().flat_map(|secret| {
            let secret = secret.expose();
            let ends = secret.char_indices().map(|(end, _)| end);
            ends.filter(|end| *end >= SHORTEST_BEGINNING)
                .filter_map(|end| secret.get(..end))
        });
        let found = beginnings.filter(|beginning| text.ends_with(beginning));
        if let Some(length) = found.map(str::len).max() {
            text.truncate(text.len() - length);
            text.push_str("[redacted]");
        }
    }
}

/// Whether a character stands between the parameters of a header's value, and not in a token.
fn is_between(char: char) -> bool {
    char.is_whitespace() || matches!(char, ',' | ';' | '=' | '"' | '\'')
}

/// The password of a header with basic authentication (RFC 7617), as its receiver reads it.
fn credentials(value: &str) -> Option<String> {
    let (scheme, encoded) = value.split_once(' ')?;
    let bytes = STANDARD.decode(encoded.trim()).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (_, password) = text.split_once(':')?;
    scheme
        .eq_ignore_ascii_case("basic")
        .then(|| password.to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::webhook::guard::Guard;
    use crate::webhook::sign::SigningKey;
    use crate::webhook::{ClientTls, Format};

    fn excerpts(url: &str, header: &str) -> Excerpts {
        Excerpts::of(&endpoint(url, header))
    }

    fn endpoint(url: &str, header: &str) -> Endpoint {
        Endpoint {
            name: "billing".to_owned(),
            url: url.parse().unwrap(),
            format: Format::Rowhook,
            payload: crate::webhook::Payload::default(),
            keys: Vec::new(),
            headers: vec![("authorization".to_owned(), Secret::new(header))],
            timeout: Duration::from_secs(5),
            tls: ClientTls::default(),
            guard: Guard::default(),
        }
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

    #[test]
    fn a_signing_secret_and_a_password_are_cut_out_too() {
        let mut endpoint = endpoint(
            "https://a/hook%2Dwith%2Da%2Dtoken",
            "Basic bWU6aHVudGVyMmh1bnRlcjI=",
        );
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        endpoint.keys = vec![SigningKey::parse(&Secret::new(secret)).unwrap()];
        let excerpts = Excerpts::of(&endpoint);
        for (body, kept) in [
            (
                "expected a signature by whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                "expected a signature by whsec_[redacted]",
            ),
            ("me:hunter2hunter2 is wrong", "me:[redacted] is wrong"),
            ("bWU6aHVudGVyMmh1bnRlcjI=", "[redacted]"),
            ("no route /hook-with-a-token", "no route /[redacted]"),
        ] {
            assert_eq!(excerpts.cut(body.as_bytes()), kept);
        }
    }

    #[test]
    fn a_secret_is_cut_out_however_it_is_echoed() {
        let header = r#"Token token="sk_live_0123456789", key=ab/cd+ef/gh=="#;
        let excerpts = excerpts("http://a/", header);
        for (body, kept) in [
            ("no user has sk_live_0123456789.", "no user has [redacted]."),
            (r#"{"key":"ab\/cd+ef\/gh"}"#, r#"{"key":"[redacted]"}"#),
        ] {
            assert_eq!(excerpts.cut(body.as_bytes()), kept);
        }
    }

    #[test]
    fn a_secret_that_breaks_off_with_the_body_is_cut_out_as_far_as_it_goes() {
        let excerpts = excerpts("http://a/", "Bearer sk_live_0123456789");
        for (body, kept) in [
            ("token sk_live_012345678", "token [redacted]"),
            ("token sk_l", "token [redacted]"),
            ("token sk_", "token sk_"),
            ("sk_live was refused", "sk_live was refused"),
        ] {
            assert_eq!(excerpts.cut(body.as_bytes()), kept);
        }
    }
}
