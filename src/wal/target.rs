//! Where a Postgres server is and how to log in: one description for both kinds of connection.

use std::path::PathBuf;
use std::time::Duration;

use crate::secret::Secret;

/// A Postgres database to connect to. Hosts that start with `/` are Unix socket directories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Host name, address, or socket directory.
    pub host: String,
    /// Port, also part of the socket's name.
    pub port: u16,
    /// Role to log in as.
    pub user: String,
    /// Password, if the server asks for one.
    pub password: Option<Secret>,
    /// Database name.
    pub database: String,
    /// TLS as libpq's `sslmode` family has it.
    pub tls: Tls,
    /// Bound on connecting and logging in.
    pub connect_timeout: Duration,
}

impl Target {
    /// The connection as messages name it: no password, never.
    #[must_use]
    pub fn label(&self) -> String {
        format!(
            "{}@{}:{}/{}",
            self.user, self.host, self.port, self.database
        )
    }

    /// Whether the host is a Unix socket directory.
    #[must_use]
    pub fn is_unix_socket(&self) -> bool {
        self.host.starts_with('/')
    }
}

/// libpq's `sslmode`, `sslrootcert`, `sslcert` and `sslkey`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// What is asked of the server and what is verified.
    pub mode: TlsMode,
    /// CA certificates to trust (PEM); the Mozilla roots where absent.
    pub ca_file: Option<PathBuf>,
    /// Client certificate chain (PEM).
    pub cert_file: Option<PathBuf>,
    /// Client private key (PEM).
    pub key_file: Option<PathBuf>,
}

/// libpq's `sslmode` values, without `allow`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsMode {
    /// Never TLS.
    Disable,
    /// TLS if the server offers it. libpq's default, and ours.
    #[default]
    Prefer,
    /// TLS, unverified.
    Require,
    /// TLS, the certificate chain verified.
    VerifyCa,
    /// TLS, the chain and the host name verified.
    VerifyFull,
}

impl Tls {
    /// A mode with no files.
    #[must_use]
    pub fn mode(mode: TlsMode) -> Self {
        Self {
            mode,
            ca_file: None,
            cert_file: None,
            key_file: None,
        }
    }
}
