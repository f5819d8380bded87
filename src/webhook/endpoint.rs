//! Where a subscription's events go, and what a request to it looks like.

use std::time::Duration;

use super::sign::SigningKey;
use crate::secret::Secret;

/// One receiver.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Name of the subscription, for messages and payloads.
    pub name: String,
    /// Absolute `http` or `https` URL.
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

/// How an event is rendered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Snaapi's request with `sequenceId`, `previousValues`, `source` and the subscription's name.
    Rowhook,
    /// Snaapi's request, exactly.
    Snaapi,
}
