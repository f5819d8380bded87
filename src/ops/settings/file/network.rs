//! `[network]`, and `tls` of a `[[webhook]]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where webhooks may connect to. Checked on the address of every connection.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Network {
    /// Addresses that no webhook may connect to: "internal" (everything that is not public), its
    /// parts ("private", "loopback", "link-local", …), ranges such as "10.1.0.0/16", addresses.
    pub(crate) deny: Vec<String>,
    /// What is excepted from deny, in the same words.
    pub(crate) allow: Vec<String>,
}

/// TLS to one receiver.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct WebhookTls {
    /// CA certificates (PEM) to trust instead of the system's. ${NAME} stands for an environment
    /// variable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ca_file: Option<String>,
    /// Client certificate (PEM), the chain behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_cert_file: Option<String>,
    /// The client certificate's private key (PEM).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_key_file: Option<String>,
}
