//! `[source]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Connection, SecretRef};

/// The database whose changes are captured.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Source {
    /// The database: a libpq URL or keyword string.
    pub(crate) url: Connection,
    /// The password: text, { env = "NAME" } or { file = "path" }.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) password: Option<SecretRef>,
    /// A file that holds the password. ${NAME} stands for an environment variable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) password_file: Option<String>,
    /// The logical replication slot.
    #[serde(default = "rowhook")]
    pub(crate) slot: String,
    /// The publication that names the captured tables.
    #[serde(default = "rowhook")]
    pub(crate) publication: String,
    /// What setup does to the replica identity of captured tables.
    #[serde(default)]
    pub(crate) replica_identity: ReplicaIdentity,
    /// A slot that standbys keep in step, for the time after a promotion (PostgreSQL 17 and newer).
    #[serde(default)]
    pub(crate) failover: Failover,
    /// Whether large transactions arrive while they run, and wait in a temporary file for their commit.
    #[serde(default)]
    pub(crate) streaming: bool,
    /// How much WAL the slot may hold back before the alarm, such as "20GiB". Half of it warns.
    #[serde(default = "wal_budget")]
    pub(crate) wal_budget: String,
    /// TLS to the source; what is set here overrides the URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tls: Option<Tls>,
    /// How long connecting and logging in may take. Default: the URL's connect_timeout, else 10s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) connect_timeout: Option<String>,
    /// How long the source may be silent before the connection counts as dead.
    #[serde(default = "silence_timeout")]
    pub(crate) silence_timeout: String,
    /// How often new tables that match are searched for.
    #[serde(default = "table_refresh")]
    pub(crate) table_refresh: String,
}

/// What setup does to the replica identity of captured tables.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ReplicaIdentity {
    /// Set FULL, so that every old value is known.
    #[default]
    Full,
    /// Never touched.
    Keep,
}

/// A slot that standbys keep in step, for the time after a promotion (PostgreSQL 17 and newer).
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Failover {
    /// Where the server can.
    #[default]
    Auto,
    /// Always; an older server is refused.
    On,
    /// Never.
    Off,
}

/// TLS to a Postgres server, as libpq's sslmode, sslrootcert, sslcert and sslkey.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    /// What is asked of the server and what is verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mode: Option<TlsMode>,
    /// CA certificates to trust (PEM).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ca_file: Option<String>,
    /// Client certificate chain (PEM).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cert_file: Option<String>,
    /// Client private key (PEM).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key_file: Option<String>,
}

/// What is asked of the server and what is verified.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TlsMode {
    /// Never TLS.
    Disable,
    /// TLS if the server offers it.
    Prefer,
    /// TLS; the certificate is verified only if ca_file is given.
    Require,
    /// TLS, the certificate chain verified.
    VerifyCa,
    /// TLS, the chain and the host name verified.
    VerifyFull,
}

fn rowhook() -> String {
    "rowhook".into()
}

fn wal_budget() -> String {
    "20GiB".into()
}

fn silence_timeout() -> String {
    "30s".into()
}

fn table_refresh() -> String {
    "5s".into()
}
