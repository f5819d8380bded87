//! A connection string and the keys beside it → [`Target`], with libpq's defaults.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Reader;
use super::units::duration;
use crate::ops::settings::conninfo::{self, ConnInfo};
use crate::ops::settings::file::{self, Connection, SecretRef};
use crate::secret::Secret;
use crate::wal::{Target, Tls, TlsMode};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Where Debian's and Fedora's servers put their socket, and their libpq looks for it.
const SOCKET_DIRECTORY: &str = "/var/run/postgresql";
const PORT: u16 = 5432;

/// What `[source]` and `[log]` have in common.
pub(super) struct Written<'a> {
    /// `source` or `log`, for messages.
    pub(super) table: &'a str,
    pub(super) url: &'a Connection,
    pub(super) password: Option<&'a SecretRef>,
    pub(super) password_file: Option<&'a str>,
    pub(super) tls: Option<&'a file::Tls>,
    pub(super) connect_timeout: Option<&'a str>,
}

impl Reader<'_> {
    pub(super) fn target(&mut self, written: &Written<'_>) -> Option<Target> {
        let key = |name: &str| format!("{}.{name}", written.table);
        let info = conninfo::parse(written.url.0.expose());
        let info = self.problems.take(&key("url"), info);
        let password = self.password(written);
        let timeout = written.connect_timeout.map(duration).transpose();
        let timeout = self.problems.take(&key("connect_timeout"), timeout);
        // Read even where the URL is wrong, for the problems of its own.
        let no_info = ConnInfo::default();
        let tls = self.tls(written, info.as_ref().unwrap_or(&no_info));

        let info = info?;
        let user = self.user(&info, &key("url"));
        let target = Target {
            host: info.host.unwrap_or_else(default_host),
            port: info.port.unwrap_or(PORT),
            database: info.database.or_else(|| user.clone())?,
            user: user?,
            password: password?
                .or(info.password)
                .or_else(|| self.variable("PGPASSWORD").map(Secret::new)),
            tls: tls?,
            connect_timeout: timeout?.or(info.connect_timeout).unwrap_or(CONNECT_TIMEOUT),
        };
        let asks_for_tls = !matches!(target.tls.mode, TlsMode::Disable | TlsMode::Prefer);
        if target.is_unix_socket() && asks_for_tls {
            let what = "there is no TLS over a Unix socket; leave the mode out";
            self.problems.refuse(&key("tls.mode"), what);
            return None;
        }
        Some(target)
    }

    /// The password that stands beside the URL, and goes before the one in it.
    fn password(&mut self, written: &Written<'_>) -> Option<Option<Secret>> {
        match (written.password, written.password_file) {
            (None, None) => Some(None),
            (Some(secret), None) => self
                .secret(&format!("{}.password", written.table), secret)
                .map(Some),
            (None, Some(path)) => {
                let secret = self.secret_file(path);
                let key = format!("{}.password_file", written.table);
                self.problems.take(&key, secret).map(Some)
            }
            (Some(_), Some(_)) => {
                let key = format!("{}.password_file", written.table);
                self.problems
                    .refuse(&key, "password is given too; keep one of them");
                None
            }
        }
    }

    fn tls(&mut self, written: &Written<'_>, info: &ConnInfo) -> Option<Tls> {
        let no_tls = file::Tls::default();
        let keys = written.tls.unwrap_or(&no_tls);
        let ca_file = self.tls_file(written, "ca_file", keys.ca_file.as_deref(), &info.ca_file);
        let cert_file = self.tls_file(
            written,
            "cert_file",
            keys.cert_file.as_deref(),
            &info.cert_file,
        );
        let key_file = self.tls_file(
            written,
            "key_file",
            keys.key_file.as_deref(),
            &info.key_file,
        );
        let mode = keys
            .mode
            .map(tls_mode)
            .or(info.tls_mode)
            .unwrap_or_default();
        let tls = Tls {
            mode: strengthened(mode, ca_file.as_ref()?.is_some()),
            ca_file: ca_file?,
            cert_file: cert_file?,
            key_file: key_file?,
        };
        if tls.cert_file.is_some() != tls.key_file.is_some() {
            let what = "a client certificate and its key go together: set cert_file and key_file";
            self.problems
                .refuse(&format!("{}.tls", written.table), what);
            return None;
        }
        Some(tls)
    }

    fn tls_file(
        &mut self,
        written: &Written<'_>,
        name: &str,
        own: Option<&str>,
        from_url: &Option<PathBuf>,
    ) -> Option<Option<PathBuf>> {
        let Some(own) = own else {
            return Some(from_url.clone());
        };
        let path = self.path(own);
        let key = format!("{}.tls.{name}", written.table);
        self.problems.take(&key, path).map(Some)
    }

    fn user(&mut self, info: &ConnInfo, key: &str) -> Option<String> {
        let user = info.user.clone();
        let user = user.or_else(|| self.variable("PGUSER"));
        let user = user.or_else(|| self.variable("USER"));
        if user.is_none() {
            let what =
                "names no user, and neither PGUSER nor USER is set; write user@ before the host";
            self.problems.refuse(key, what);
        }
        user
    }

    fn variable(&self, name: &str) -> Option<String> {
        let value = self.environment.get(name);
        value.filter(|value| !value.is_empty()).cloned()
    }
}

fn default_host() -> String {
    if Path::new(SOCKET_DIRECTORY).is_dir() {
        SOCKET_DIRECTORY.into()
    } else {
        "localhost".into()
    }
}

/// libpq reads `require` as `verify-ca` once it has a root certificate: who names one wants it used.
fn strengthened(mode: TlsMode, has_ca: bool) -> TlsMode {
    match mode {
        TlsMode::Require if has_ca => TlsMode::VerifyCa,
        mode => mode,
    }
}

fn tls_mode(written: file::TlsMode) -> TlsMode {
    match written {
        file::TlsMode::Disable => TlsMode::Disable,
        file::TlsMode::Prefer => TlsMode::Prefer,
        file::TlsMode::Require => TlsMode::Require,
        file::TlsMode::VerifyCa => TlsMode::VerifyCa,
        file::TlsMode::VerifyFull => TlsMode::VerifyFull,
    }
}
