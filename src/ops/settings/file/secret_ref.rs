//! Text that is, or may hold, a secret. Nothing here can be printed or serialised with the secret
//! in it: what `config show` prints goes through the `Serialize` of these types.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use crate::ops::settings::conninfo;
use crate::secret::Secret;

/// A secret, or where to find it.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum SecretRef {
    /// The secret itself. A file or the environment is a better place.
    Literal(Literal),
    /// Where the secret is.
    At(Place),
}

/// A secret that stands in the settings.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(from = "String")]
#[schemars(with = "String")]
pub(crate) struct Literal(pub(crate) Secret);

impl From<String> for Literal {
    fn from(text: String) -> Self {
        Self(Secret::new(text))
    }
}

impl Serialize for Literal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// Where a secret is: exactly one of the two.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    /// The environment variable that holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) env: Option<String>,
    /// The file that holds it; a trailing newline is not part of it. ${NAME} stands for an
    /// environment variable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) file: Option<String>,
}

/// A libpq connection string, which may hold a password.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(from = "String")]
#[schemars(with = "String")]
pub(crate) struct Connection(pub(crate) Secret);

impl From<String> for Connection {
    fn from(text: String) -> Self {
        Self(Secret::new(text))
    }
}

impl Serialize for Connection {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&conninfo::redacted(self.0.expose()))
    }
}
