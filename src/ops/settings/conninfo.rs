//! libpq connection strings, as URLs and as keywords.
//!
//! tokio-postgres reads both, but knows neither `sslmode=verify-full` nor the certificate options;
//! those are taken out before it sees the rest. What the options mean is in the libpq chapter of
//! the Postgres manual, "Parameter Key Words".

mod parts;

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_postgres::config::Host;

use crate::secret::Secret;
use crate::wal::TlsMode;
use parts::Parts;

/// Stands where a password was.
const REDACTED: &str = "[redacted]";

/// What a connection string says. Absent is what it does not say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ConnInfo {
    pub(crate) host: Option<String>,
    pub(crate) port: Option<u16>,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<Secret>,
    pub(crate) database: Option<String>,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) tls_mode: Option<TlsMode>,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) cert_file: Option<PathBuf>,
    pub(crate) key_file: Option<PathBuf>,
}

/// Reads a connection string.
///
/// # Errors
/// A sentence that says what is wrong, without the password.
pub(crate) fn parse(text: &str) -> Result<ConnInfo, String> {
    if text.trim().is_empty() {
        return Err("is empty".into());
    }
    let mut parts = Parts::of(text)?;
    let mut info = ConnInfo::default();
    let options = std::mem::take(&mut parts.options);
    let system_roots = options.contains(&("sslrootcert".into(), "system".into()));
    for (key, value) in options {
        if !info.take_option(&key, &value)? {
            parts.options.push((key, value));
        }
    }
    if system_roots {
        info.tls_mode = Some(with_system_roots(info.tls_mode)?);
    }
    let rest: tokio_postgres::Config = parts
        .assemble()
        .parse()
        .map_err(|error: tokio_postgres::Error| innermost(&error))?;
    info.host = one_host(rest.get_hosts())?;
    info.port = rest.get_ports().first().copied();
    info.user = rest
        .get_user()
        .filter(|user| !user.is_empty())
        .map(Into::into);
    info.database = rest.get_dbname().map(Into::into);
    info.connect_timeout = rest.get_connect_timeout().copied();
    info.password = match rest.get_password().map(std::str::from_utf8) {
        None | Some(Ok("")) => None,
        Some(Ok(password)) => Some(Secret::new(password)),
        Some(Err(_)) => return Err("the password is not UTF-8".into()),
    };
    Ok(info)
}

/// The connection string as it may be shown.
pub(crate) fn redacted(text: &str) -> String {
    let Ok(mut parts) = Parts::of(text) else {
        return REDACTED.into();
    };
    parts.base = parts.base.map(|base| redacted_login(&base).unwrap_or(base));
    for (key, value) in &mut parts.options {
        if key.contains("password") {
            *value = REDACTED.into();
        }
    }
    parts.assemble()
}

/// The part before the `?` with its password redacted; `None` if it has none.
fn redacted_login(base: &str) -> Option<String> {
    let (scheme, rest) = base.split_once("://")?;
    let (login, host) = rest.split_once('@')?;
    let (user, _) = login.split_once(':')?;
    Some(format!("{scheme}://{user}:{REDACTED}@{host}"))
}

impl ConnInfo {
    /// Whether the option is settled here; the others are tokio-postgres' to read. An option that
    /// cannot be honoured is refused unless nobody would miss it.
    fn take_option(&mut self, key: &str, value: &str) -> Result<bool, String> {
        match (key, value) {
            ("host" | "port" | "user" | "password" | "dbname" | "connect_timeout", _) => {
                return Ok(false);
            }
            ("sslmode", mode) => self.tls_mode = Some(tls_mode(mode)?),
            // The roots that come with rowhook stand in for the system's.
            ("sslrootcert", "system") => self.ca_file = None,
            ("sslrootcert", file) => self.ca_file = Some(Path::new(file).into()),
            ("sslcert", file) => self.cert_file = Some(Path::new(file).into()),
            ("sslkey", file) => self.key_file = Some(Path::new(file).into()),
            ("application_name" | "fallback_application_name" | "client_encoding", _)
            | ("keepalives" | "keepalives_idle" | "keepalives_interval", _)
            | ("keepalives_count" | "keepalives_retries" | "tcp_user_timeout", _)
            | ("gssencmode", "disable" | "prefer")
            | ("sslnegotiation", "postgres")
            | ("channel_binding", "disable" | "prefer")
            | ("load_balance_hosts", "disable")
            | ("target_session_attrs", "any" | "read-write" | "primary") => {}
            // The value may be a secret: sslpassword, oauth_client_secret.
            _ => {
                return Err(format!(
                    "the option {key} is not supported with this value; remove it"
                ));
            }
        }
        Ok(true)
    }
}

/// libpq's `allow` asks for TLS last, `prefer` first; both take what they get.
fn tls_mode(word: &str) -> Result<TlsMode, String> {
    match word {
        "disable" => Ok(TlsMode::Disable),
        "allow" | "prefer" => Ok(TlsMode::Prefer),
        "require" => Ok(TlsMode::Require),
        "verify-ca" => Ok(TlsMode::VerifyCa),
        "verify-full" => Ok(TlsMode::VerifyFull),
        _ => Err(format!(
            "sslmode {word:?} is not one of disable, allow, prefer, require, verify-ca, verify-full"
        )),
    }
}

/// As in libpq: anyone can have a certificate that a public root signed, so nothing less than the
/// host name's check is worth something with them.
fn with_system_roots(mode: Option<TlsMode>) -> Result<TlsMode, String> {
    match mode {
        None | Some(TlsMode::VerifyFull) => Ok(TlsMode::VerifyFull),
        Some(_) => Err("sslrootcert=system needs sslmode=verify-full".into()),
    }
}

fn one_host(hosts: &[Host]) -> Result<Option<String>, String> {
    match hosts {
        [] => Ok(None),
        [Host::Tcp(name)] => Ok(Some(name.clone()).filter(|name| !name.is_empty())),
        [Host::Unix(directory)] => Ok(Some(directory.display().to_string())),
        several => Err(format!(
            "names {} hosts; a replication slot lives on one server: name that one",
            several.len()
        )),
    }
}

/// tokio-postgres says "invalid connection string" and keeps the reason as the source.
fn innermost(error: &dyn std::error::Error) -> String {
    let reason = error
        .source()
        .map_or_else(|| error.to_string(), ToString::to_string);
    format!("is not a connection string: {reason}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_keeps_what_tokio_postgres_does_not_know() {
        let info = parse(
            "postgresql://me:p%40ss@db.example:6432/shop?sslmode=verify-full&sslrootcert=%2Fa%20b.pem\
             &connect_timeout=3&application_name=x",
        )
        .unwrap();
        assert_eq!(
            info,
            ConnInfo {
                host: Some("db.example".into()),
                port: Some(6432),
                user: Some("me".into()),
                password: Some(Secret::new("p@ss")),
                database: Some("shop".into()),
                connect_timeout: Some(Duration::from_secs(3)),
                tls_mode: Some(TlsMode::VerifyFull),
                ca_file: Some("/a b.pem".into()),
                ..ConnInfo::default()
            }
        );
    }

    #[test]
    fn keywords_may_be_quoted() {
        let info =
            parse(r"host=/tmp user = 'o\'neil' password='a b' sslmode=allow sslkey='/k\\e y'")
                .unwrap();
        assert_eq!(info.host.as_deref(), Some("/tmp"));
        assert_eq!(info.user.as_deref(), Some("o'neil"));
        assert_eq!(info.password, Some(Secret::new("a b")));
        assert_eq!(info.tls_mode, Some(TlsMode::Prefer));
        assert_eq!(info.key_file.as_deref(), Some(Path::new(r"/k\e y")));
    }

    #[test]
    fn a_socket_directory_is_a_host_in_both_forms() {
        for text in [
            "postgres:///shop?host=/run/pg",
            "postgres://%2Frun%2Fpg/shop",
        ] {
            assert_eq!(
                parse(text).unwrap().host.as_deref(),
                Some("/run/pg"),
                "{text}"
            );
        }
    }

    #[test]
    fn what_cannot_be_honoured_is_refused() {
        let cause = |text| parse(text).unwrap_err();
        assert!(cause("postgres://a,b/shop").starts_with("names 2 hosts"));
        assert!(cause("host=a,b").starts_with("names 2 hosts"));
        assert_eq!(
            cause("postgres://a/shop?channel_binding=require"),
            "the option channel_binding is not supported with this value; remove it"
        );
        assert!(!cause("postgres://a/shop?sslpassword=geheim").contains("geheim"));
        assert_eq!(cause(" "), "is empty");
        assert!(cause("postgres://a/shop?sslmode=verify").starts_with("sslmode \"verify\" is not"));
        assert_eq!(
            cause("postgres://a:port/shop"),
            "is not a connection string: invalid value for option `port`"
        );
        assert!(cause("db.example/shop").contains("expected `=`"));
        assert!(cause("host='a").contains("quote"));
    }

    #[test]
    fn no_form_shows_its_password() {
        for (text, shown) in [
            (
                "postgres://me:geheim@db/shop",
                "postgres://me:[redacted]@db/shop",
            ),
            ("postgres://me:ge@heim@db/shop", "[redacted]"),
            ("postgres://me:ge@h?ei=m@db/shop", "[redacted]"),
            ("postgres://me:ge?heim=1@db/shop", "[redacted]"),
            (
                "postgres://db/shop?password=geheim",
                "postgres://db/shop?password=[redacted]",
            ),
            ("host=db password='ge heim'", "host=db password=[redacted]"),
            ("geheim", "[redacted]"),
            (
                "postgres://db/shop?sslmode=verify-full",
                "postgres://db/shop?sslmode=verify-full",
            ),
        ] {
            assert_eq!(redacted(text), shown);
        }
    }
}
