//! How a refusal's body begins, fit for a log line and a table.

use crate::secret::Secret;

/// How much of a body is kept, in bytes.
const KEPT: usize = 512;

/// Shorter words of a header value are not looked for: they are schemes (`Bearer`) or too common.
const SHORTEST_SECRET: usize = 8;

/// The first 512 bytes of `body` as text. Control characters become spaces, because Postgres takes
/// no NUL and a terminal obeys escapes; `secrets` (the request's own header values, which some
/// receivers echo in their error pages) are cut out word by word, before the text is cut.
pub(super) fn excerpt(body: &[u8], secrets: &[Secret]) -> String {
    let mut text = String::from_utf8_lossy(body).replace(char::is_control, " ");
    for word in secrets
        .iter()
        .flat_map(|secret| secret.expose().split_whitespace())
        .filter(|word| word.len() >= SHORTEST_SECRET)
    {
        text = text.replace(word, "[redacted]");
    }
    let end = (0..=KEPT).rev().find(|end| text.is_char_boundary(*end));
    text.truncate(end.unwrap_or(0));
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_become_a_short_text() {
        assert_eq!(excerpt(b"", &[]), "");
        assert_eq!(excerpt(b"no\xFF\0\x1b[1m\n", &[]), "no\u{fffd}  [1m");
        let long = excerpt("ä".repeat(600).as_bytes(), &[]);
        assert_eq!(long, "ä".repeat(256));
        let odd = excerpt(format!("x{}", "ä".repeat(600)).as_bytes(), &[]);
        assert_eq!(odd.len(), 511);
    }

    #[test]
    fn an_echoed_secret_is_cut_out_even_across_the_end() {
        let secrets = [Secret::new("Bearer sk_live_0123456789")];
        let body = format!("{}sk_live_0123456789", "-".repeat(505));
        let kept = excerpt(body.as_bytes(), &secrets);
        assert!(!kept.contains("sk_"), "{kept}");
        assert_eq!(
            excerpt(b"bad token: Bearer sk_live_0123456789!", &secrets),
            "bad token: Bearer [redacted]!"
        );
    }
}
