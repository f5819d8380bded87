//! Where a subscription's events go, and what a request to it looks like.

use std::fmt;
use std::time::Duration;

use super::guard::Guard;
use super::render::is_attribute_header;
use super::sign::SigningKey;
use super::{ClientTls, Payload};
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
    /// What of an event is sent, and what in place of the format.
    pub payload: Payload,
    /// Keys that sign each request; several while they rotate, none to send unsigned.
    pub keys: Vec<SigningKey>,
    /// Extra request headers. Values are treated as secrets.
    pub headers: Vec<(String, Secret)>,
    /// Bound on the whole exchange: connect, send, and read the answer.
    pub timeout: Duration,
    /// Whom to trust, and who to be, over TLS.
    pub tls: ClientTls,
    /// Where no connection may go.
    pub guard: Guard,
}

impl fmt::Debug for Endpoint {
    /// Shows the URL's origin only: many receivers carry their token in the path or the query.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("name", &self.name)
            .field("origin", &self.url.origin().ascii_serialization())
            .field("format", &self.format)
            .field("payload", &self.payload)
            .field("keys", &self.keys)
            .field("headers", &self.headers)
            .field("timeout", &self.timeout)
            .field("tls", &self.tls)
            .field("guard", &self.guard)
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
    /// What Hasura's event triggers send.
    Hasura {
        /// How many attempts may follow the first one.
        max_retries: u32,
    },
    /// CloudEvents, structured.
    Cloudevents,
    /// CloudEvents, binary: attributes are headers.
    CloudeventsBinary,
    /// CloudEvents in batches, a single event included.
    CloudeventsBatch,
    /// Sharetribe's event in its native form.
    Sharetribe,
    /// Sharetribe's event as the Integration API gives it.
    SharetribeApi,
    /// Stelace's event object.
    Stelace,
    /// Thena's platform event.
    Thena,
}

impl Format {
    /// Whether a request may carry several events: in CloudEvents' binary mode its headers tell of
    /// one.
    #[must_use]
    pub fn has_batches(self) -> bool {
        self != Self::CloudeventsBinary
    }

    /// Whether a header, its name in lower case, would contradict the format: an attribute of a
    /// binary CloudEvent, or what makes a structured one look binary.
    #[must_use]
    pub fn is_own_header(self, name: &str) -> bool {
        match self {
            Self::CloudeventsBinary => is_attribute_header(name),
            Self::Cloudevents | Self::CloudeventsBatch => name.starts_with("ce-"),
            _ => false,
        }
    }
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
            payload: Payload::default(),
            keys: Vec::new(),
            headers: vec![("authorization".to_owned(), Secret::new("Bearer hunter2"))],
            timeout: Duration::from_secs(5),
            tls: ClientTls::default(),
            guard: Guard::default(),
        };
        let shown = format!("{endpoint:?}");
        assert!(shown.contains("https://hooks.example"), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
