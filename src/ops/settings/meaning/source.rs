//! `[source]` and `[log]`.

use std::time::Duration;

use super::Reader;
use super::connection::Written;
use super::units::{duration, size};
use crate::event_log::LogSettings;
use crate::ops::settings::file::{self, Log};
use crate::wal::{Failover, ReplicaIdentity, Source, Streaming, Target};

/// Bytes of a Postgres name (`NAMEDATALEN` less the terminator).
const NAME_BYTES: usize = 63;

impl Reader<'_> {
    pub(super) fn source(&mut self, written: &file::Source) -> Option<Source> {
        let target = self.target(&Written {
            table: "source",
            url: &written.url,
            password: written.password.as_ref(),
            password_file: written.password_file.as_deref(),
            tls: written.tls.as_ref(),
            connect_timeout: written.connect_timeout.as_deref(),
        });
        let problems = &mut self.problems;
        let slot = problems.take("source.slot", slot(&written.slot));
        let publication = problems.take("source.publication", publication(&written.publication));
        let budget = problems.take("source.wal_budget", size(&written.wal_budget));
        let silence = problems.take("source.silence_timeout", duration(&written.silence_timeout));
        let refresh = problems.take("source.table_refresh", duration(&written.table_refresh));
        Some(Source {
            target: target?,
            slot: slot?,
            publication: publication?,
            replica_identity: match written.replica_identity {
                file::ReplicaIdentity::Full => ReplicaIdentity::Full,
                file::ReplicaIdentity::Keep => ReplicaIdentity::Keep,
            },
            failover: match written.failover {
                file::Failover::Auto => Failover::Auto,
                file::Failover::On => Failover::On,
                file::Failover::Off => Failover::Off,
            },
            streaming: match written.streaming {
                true => Streaming::On,
                false => Streaming::Off,
            },
            wal_budget: budget?,
            silence_timeout: silence?,
            table_refresh: refresh?,
        })
    }

    /// The log; in the source where no URL says otherwise.
    pub(super) fn log(&mut self, written: &Log, source: Option<&Target>) -> Option<LogSettings> {
        let target = match &written.url {
            Some(url) => self.target(&Written {
                table: "log",
                url,
                password: written.password.as_ref(),
                password_file: written.password_file.as_deref(),
                tls: written.tls.as_ref(),
                connect_timeout: None,
            }),
            None => {
                self.refuse_login_without_url(written);
                source.cloned()
            }
        };
        let age = retention(&written.retention);
        let age = self.problems.take("log.retention", age);
        let max_lag = retention(&written.retention_max_lag);
        let max_lag = self.problems.take("log.retention_max_lag", max_lag);
        if let (Some(None), Some(Some(_))) = (age, max_lag) {
            let what = "means nothing where retention = \"forever\"";
            self.problems.refuse("log.retention_max_lag", what);
        }
        let attempts = retention(&written.attempts_retention);
        let attempts_retention = self.problems.take("log.attempts_retention", attempts);
        let (target, source) = (target?, source?);
        Some(LogSettings {
            in_source: (&target.host, target.port, &target.database)
                == (&source.host, source.port, &source.database),
            target,
            retention: age?,
            retention_max_lag: max_lag?,
            attempts_retention: attempts_retention?,
            segment_size: written.segment_size,
        })
    }

    fn refuse_login_without_url(&mut self, written: &Log) {
        for (key, is_written) in [
            ("log.password", written.password.is_some()),
            ("log.password_file", written.password_file.is_some()),
            ("log.tls", written.tls.is_some()),
        ] {
            if is_written {
                let what = "needs log.url; without one the log is in the source";
                self.problems.refuse(key, what);
            }
        }
    }
}

fn retention(text: &str) -> Result<Option<Duration>, String> {
    if text == "forever" {
        return Ok(None);
    }
    duration(text)
        .map(Some)
        .map_err(|cause| format!("{cause}, or \"forever\""))
}

/// Postgres takes only these characters in the name of a slot ("Replication Slots" in the manual).
fn slot(name: &str) -> Result<String, String> {
    let allowed = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
    if (1..=NAME_BYTES).contains(&name.len()) && name.bytes().all(allowed) {
        return Ok(name.into());
    }
    Err(format!(
        "{name:?} cannot name a slot: 1 to 63 characters of a-z, 0-9 and _"
    ))
}

/// The option `publication_names` of pgoutput is a list with commas.
fn publication(name: &str) -> Result<String, String> {
    let refused = |c: char| c == ',' || c == '\0' || c.is_whitespace();
    if (1..=NAME_BYTES).contains(&name.len()) && !name.contains(refused) {
        return Ok(name.into());
    }
    Err(format!(
        "{name:?} cannot be used: 1 to 63 bytes without comma and space"
    ))
}
