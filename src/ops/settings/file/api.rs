//! `[api]`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SecretRef;
use crate::ops::api::Scope;

/// The HTTP API: events, status, health, metrics.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Api {
    /// Address and port to listen on; "" switches it off. Beyond loopback, a token is needed.
    pub(crate) listen: String,
    /// A bearer token that opens everything: text, { env = "NAME" } or { file = "path" }. Without any
    /// token events can be read and nothing can be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<SecretRef>,
    /// Tokens that open some of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) tokens: Vec<Token>,
}

impl Default for Api {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8655".into(),
            token: None,
            tokens: Vec::new(),
        }
    }
}

/// A token that opens some of the API.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Token {
    /// What it is called where it is refused something.
    pub(crate) name: String,
    /// The token: text, { env = "NAME" } or { file = "path" }.
    pub(crate) secret: SecretRef,
    /// What it opens: "read", "emit", "operate".
    pub(crate) scopes: Vec<Scope>,
}
