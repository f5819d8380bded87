//! The layer "what the user wrote": the keys of `rowhook.toml`, as they stand there.
//!
//! The doc comments of the fields are the descriptions in the JSON Schema, so they speak to the
//! writer of the file. Durations and sizes stay text here; [`super::meaning`] reads them.

mod api;
mod lanes;
mod network;
mod secret_ref;
mod source;
mod webhook;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use api::Api;
pub(crate) use lanes::{Batch, StatusAction};
pub(crate) use network::{Network, WebhookTls};
pub(crate) use secret_ref::{Connection, Place, SecretRef};
pub(crate) use source::{Failover, ReplicaIdentity, Source, Tls, TlsMode};
pub(crate) use webhook::{Attempts, Format, Order, Retry, Secrets, Start, StartWord, Webhook};

/// Settings of the rowhook daemon.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "rowhook.toml")]
pub(crate) struct File {
    /// The database whose changes are captured.
    pub(crate) source: Source,
    /// Which tables are captured.
    #[serde(default)]
    pub(crate) capture: Capture,
    /// One table's differences from the defaults.
    #[serde(default)]
    pub(crate) resource: Vec<Resource>,
    /// The event log.
    #[serde(default)]
    pub(crate) log: Log,
    /// The receivers.
    #[serde(default)]
    pub(crate) webhook: Vec<Webhook>,
    /// Where webhooks may connect to.
    #[serde(default)]
    pub(crate) network: Network,
    /// The HTTP API: events, status, health, metrics.
    #[serde(default)]
    pub(crate) api: Api,
}

/// Which tables are captured.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Capture {
    /// Patterns such as "public.*", "*.orders", "!public.schema_migrations". The last one that
    /// matches a table decides. Without a dot the schema is public.
    pub(crate) tables: Vec<String>,
}

impl Default for Capture {
    fn default() -> Self {
        Self {
            tables: vec!["public.*".into()],
        }
    }
}

/// One table's differences from the defaults.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Resource {
    /// The table, as "schema.table".
    pub(crate) table: String,
    /// The name in event types. Default: the table's name; outside schema public "schema.table".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// The columns that identify a row. Default: the primary key, else the replica identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<Vec<String>>,
    /// Columns that never become part of an event.
    #[serde(default)]
    pub(crate) exclude: Vec<String>,
    /// Columns whose values are replaced, by column name.
    #[serde(default)]
    pub(crate) redact: BTreeMap<String, Redaction>,
    /// Where old values come from: "stream", as the replica identity carries them, or "log", which
    /// takes the others from the row's last event, so that REPLICA IDENTITY FULL is not needed.
    #[serde(default)]
    pub(crate) previous: Previous,
    /// The column that is null as long as a row counts, such as "deleted_at": an update that sets it is
    /// the event "deleted", one that sets it to null again "restored".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) deleted_at: Option<String>,
    /// Columns whose changes are events of their own, behind the row's: "status" gives
    /// "posts.status.changed".
    #[serde(default)]
    pub(crate) fields: Vec<String>,
    /// The column that says whose a row is, such as "org_id": its value is the events' tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tenant: Option<String>,
    /// Whether events tell the ids that the row's foreign keys name: {"authorId": "7"}.
    #[serde(default = "yes")]
    pub(crate) related: bool,
    /// Columns of JSON objects whose previous values are told key by key. Default: none, and in the
    /// formats of Sharetribe every column that holds an object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) documents: Option<Vec<String>>,
}

fn yes() -> bool {
    true
}

/// Where old values come from.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Previous {
    /// From the stream alone.
    #[default]
    Stream,
    /// From the row's last event, where the stream does not carry them.
    Log,
}

/// What stands in the place of a redacted value.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Redaction {
    /// The SHA-256 of the value's text: equal values stay equal.
    Hash,
    /// "***".
    Mask,
}

/// The event log.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Log {
    /// The database that holds the log: a libpq URL or keyword string. Default: the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<Connection>,
    /// The password: text, { env = "NAME" } or { file = "path" }.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) password: Option<SecretRef>,
    /// A file that holds the password. ${NAME} stands for an environment variable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) password_file: Option<String>,
    /// TLS to the log database; what is set here overrides the URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tls: Option<Tls>,
    /// How long events are kept: a duration such as "90d", or "forever".
    pub(crate) retention: String,
    /// For how long after `retention` events are kept for a webhook that has not come to them: a
    /// duration such as "7d", or "forever". What goes after that is not sent, and noted.
    pub(crate) retention_max_lag: String,
    /// How long the attempt log keeps what came of each request: a duration such as "7d", or
    /// "forever".
    pub(crate) attempts_retention: String,
    /// How many sequence ids one segment (partition) of the log holds. Advanced.
    #[schemars(range(min = 1))]
    pub(crate) segment_size: i64,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            url: None,
            password: None,
            password_file: None,
            tls: None,
            retention: "90d".into(),
            retention_max_lag: "forever".into(),
            attempts_retention: "7d".into(),
            segment_size: 1_000_000,
        }
    }
}
