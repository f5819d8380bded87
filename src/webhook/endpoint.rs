//! Where a subscription's events go, and what a request to it looks like.

use std::fmt;
use std::time::Duration;

use super::sign::SigningKey;
use crate::secret::Secret;

/// One receiver.
#[derive(Clone, PartialEq)]
pub struct Endpoint {
    /// Name of the subscription, for messages and payloads.
    pub name: String,
    /// Absolute `http` or `https` URL. User, path and query may carry a token.
    pub url: reqwest::Url,
    /// Payload format.
    pub format: Format,
    /// Keys that sign each request; several while they rotate, none to send unsigned.
    pub keys: Vec<SigningKey>,
    /// Extra request headers. Values are treated as secrets.
    pub headers: Vec<(String, Secret)>,
    /// Bound on the whole exchange: connect, send, and read the answer.
    pub timeout: Duration,
}

impl fmt::Debug for Endpoint {
    /// Shows the URL's origin only: many receivers carry their token in the path or the query.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("name", &self.name)
            .field("origin", &self.url.origin().ascii_serialization())
            .field("format", &self.format)
            .field("keys", &self.keys)
            .field("headers", &self.headers)
            .field("timeout", &self.timeout)
            .finish()
    }
}

/// How an event is rendered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Snaapi's request with `sequenceId`, `previousValues`, `source` and the subscription's name.
    Rowhook,
    /// Snaapi's request, exactly.
    Snaapi,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_holds_no_secret() {
        let endpoint = Endpoint {
            name: "billing".to_owned(),
            url: "https://me:hunter2@hooks.example/T0/hunter2?token=hunter2"
                .parse()
                .unwrap(),
            format: Format::Rowhook,
            keys: Vec::new(),
            headers: vec![("authorization".to_owned(), Secret::new("Bearer hunter2"))],
            timeout: Duration::from_secs(5),
        };
        let shown = format!("{endpoint:?}");
        assert!(shown.contains("https://hooks.example"), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
