//! The replication session: one connection on which the server is identified, the slot's state is
//! read, and the stream then runs.

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use pgwire_replication::{
    Lsn as WireLsn, PgWireError, Publication, QueryRow, ReplicationClient, ReplicationConfig,
    ReplicationEvent,
};

use tokio::time::Instant;

use super::{Lsn, Source, server_error};
use crate::fault::{Fault, Result};

/// Messages that may wait between the socket and the capture loop. The library bounds them by
/// count, not by bytes: more cost memory when rows are wide (a thousand of 1 MB each are a gigabyte),
/// fewer cost speed.
const BUFFERED_MESSAGES: usize = 128;

/// How soon an acknowledgement follows the one before it. Also bounds a server's fast shutdown,
/// which waits for the last position to be confirmed.
const STATUS_INTERVAL: Duration = Duration::from_millis(200);

/// What a polite end of the stream may take.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// A session that is logged in and has not started to stream.
pub struct GatedSession {
    client: ReplicationClient,
    source: Source,
}

/// Who answered, as IDENTIFY_SYSTEM says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct System {
    /// System identifier of the cluster.
    pub identifier: String,
    /// Timeline it writes.
    pub timeline: u32,
    /// Where its WAL is flushed to.
    pub flushed: Lsn,
}

/// What the stream brings.
#[derive(Debug)]
pub enum Received {
    /// A transaction's changes follow.
    Begin {
        /// LSN of the commit record.
        commit_lsn: Lsn,
        /// Commit time, microseconds since 2000-01-01 UTC.
        commit_time: i64,
        /// Transaction id.
        xid: u32,
    },
    /// The transaction is complete.
    Commit {
        /// End of the commit record: the position to acknowledge once it is durable.
        end_lsn: Lsn,
    },
    /// One pgoutput message in between.
    Data(Bytes),
    /// A logical message of some application.
    LogicalMessage {
        /// Whether it belongs to the transaction that is being streamed.
        transactional: bool,
        /// Whose it is.
        prefix: String,
        /// What it says.
        content: Bytes,
    },
    /// The server has sent everything up to here.
    CaughtUp {
        /// End of the WAL that was decoded.
        wal_end: Lsn,
    },
}

/// A position that is durable in the log. The log's append alone makes one.
pub trait DurablePosition {
    /// Everything before it may be released by the source.
    fn position(&self) -> Lsn;
}

impl GatedSession {
    /// Connects and logs in.
    ///
    /// # Errors
    /// Transient where the server cannot be reached; permanent where it refuses the login.
    pub async fn open(source: &Source) -> Result<Self> {
        let config = session_config(source);
        let client = ReplicationClient::connect_gated(config)
            .await
            .map_err(|error| server_error::session_fault(&source.target, &error))?;
        Ok(Self {
            client,
            source: source.clone(),
        })
    }

    /// Who answers on this very session.
    ///
    /// # Errors
    /// As [`open`](Self::open): the login happens in the background and fails here.
    pub async fn identify(&mut self) -> Result<System> {
        let system = self
            .step(async |client| client.identify_system().await)
            .await?;
        Ok(System {
            identifier: system.system_id,
            timeline: system.timeline,
            flushed: Lsn(system.xlogpos.as_u64()),
        })
    }

    /// Runs a query on this very session; columns come as text.
    ///
    /// # Errors
    /// By the server's SQLSTATE; transient without an answer in time.
    pub async fn query(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>> {
        let rows = self
            .step(async |client| client.simple_query(sql).await)
            .await?;
        Ok(rows.into_iter().map(text_columns).collect())
    }

    /// The history file of a timeline, which says where each earlier one ended.
    ///
    /// # Errors
    /// By the server's SQLSTATE; transient without an answer in time.
    pub async fn timeline_history(&mut self, timeline: u32) -> Result<String> {
        let history = self
            .step(async |client| client.timeline_history(timeline).await)
            .await?;
        Ok(String::from_utf8_lossy(&history.content).into_owned())
    }

    /// Starts the stream at the slot's confirmed position and waits until the server holds the
    /// slot for this session.
    ///
    /// # Errors
    /// By the server's SQLSTATE; a slot in use by another session is transient.
    pub async fn start(mut self) -> Result<Stream> {
        self.step(async |client| {
            client.start().await?;
            client.wait_started().await
        })
        .await?;
        Ok(Stream {
            client: self.client,
            source: self.source,
            heard: Instant::now(),
        })
    }
}

impl GatedSession {
    /// One step, within the connect timeout. A client that hangs in its login is not asked to
    /// stop, it is ended.
    async fn step<T>(
        &mut self,
        step: impl AsyncFnOnce(&mut ReplicationClient) -> Result<T, PgWireError>,
    ) -> Result<T> {
        let target = &self.source.target;
        match tokio::time::timeout(target.connect_timeout, step(&mut self.client)).await {
            Ok(done) => done.map_err(|error| server_error::session_fault(target, &error)),
            Err(_) => {
                self.client.abort();
                let patience = humantime::format_duration(target.connect_timeout);
                Err(Fault::transient(format!(
                    "cannot connect to {}: no answer within {patience}",
                    target.label()
                )))
            }
        }
    }
}

/// A running stream. Dropping it closes the connection.
pub struct Stream {
    client: ReplicationClient,
    source: Source,
    /// When the server last said something.
    heard: Instant,
}

impl Stream {
    /// The next message. Safe to drop while it waits.
    ///
    /// # Errors
    /// Transient when the connection is cut or silent for longer than the source's
    /// `silence_timeout`; otherwise by the server's SQLSTATE.
    pub async fn receive(&mut self) -> Result<Received> {
        loop {
            let deadline = self.heard + self.source.silence_timeout;
            let Ok(event) = tokio::time::timeout_at(deadline, self.client.recv()).await else {
                return Err(self.silent());
            };
            if let Some(received) = self.heard(event)? {
                return Ok(received);
            }
        }
    }

    /// The next message, if one has arrived already.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    pub fn receive_waiting(&mut self) -> Result<Option<Received>> {
        match self.client.recv().now_or_never() {
            Some(event) => self.heard(event),
            None => Ok(None),
        }
    }

    /// Nobody receives for a while: the server's silence does not count.
    pub fn not_listening(&mut self) {
        self.heard = Instant::now();
    }

    fn heard(
        &mut self,
        event: Result<Option<ReplicationEvent>, PgWireError>,
    ) -> Result<Option<Received>> {
        self.heard = Instant::now();
        match event.map_err(|error| server_error::session_fault(&self.source.target, &error))? {
            Some(event) => Ok(translate(event)),
            None => Err(Fault::transient(format!(
                "the server ended the replication stream of {}",
                self.source.target.label()
            ))),
        }
    }

    /// Tells the server what it may release. Sent within the status interval.
    pub fn acknowledge(&self, durable: &impl DurablePosition) {
        self.client
            .update_applied_lsn(WireLsn::from_u64(durable.position().0));
    }

    /// Ends the stream: politely, if that takes no time, so that the slot is free at once.
    pub async fn close(mut self) {
        self.client.stop();
        let closed = async { while let Ok(Some(_)) = self.client.recv().await {} };
        if tokio::time::timeout(CLOSE_TIMEOUT, closed).await.is_err() {
            self.client.abort();
        }
    }

    fn silent(&mut self) -> Fault {
        // The worker may be stuck in a read that never ends: it is not asked, it is ended.
        self.client.abort();
        Fault::transient(format!(
            "{} has said nothing for {}: the connection counts as dead",
            self.source.target.label(),
            humantime::format_duration(self.source.silence_timeout)
        ))
    }
}

fn translate(event: ReplicationEvent) -> Option<Received> {
    Some(match event {
        ReplicationEvent::XLogData { data, .. } => Received::Data(data),
        ReplicationEvent::Begin {
            final_lsn,
            xid,
            commit_time_micros,
        } => Received::Begin {
            commit_lsn: Lsn(final_lsn.as_u64()),
            commit_time: commit_time_micros,
            xid,
        },
        ReplicationEvent::Commit { end_lsn, .. } => Received::Commit {
            end_lsn: Lsn(end_lsn.as_u64()),
        },
        ReplicationEvent::KeepAlive { wal_end, .. } => Received::CaughtUp {
            wal_end: Lsn(wal_end.as_u64()),
        },
        ReplicationEvent::Message {
            transactional,
            prefix,
            content,
            ..
        } => Received::LogicalMessage {
            transactional,
            prefix,
            content,
        },
        // Only with a stop position, which is never set.
        ReplicationEvent::StoppedAt { .. } => return None,
    })
}

fn text_columns(row: QueryRow) -> Vec<Option<String>> {
    row.into_iter()
        .map(|column| column.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
        .collect()
}

fn session_config(source: &Source) -> ReplicationConfig {
    let target = &source.target;
    let password = target
        .password
        .as_ref()
        .map_or("", |password| password.expose());
    let mut config = ReplicationConfig::new(
        &target.host,
        &target.user,
        password,
        &target.database,
        &source.slot,
        Publication::from(quoted_publication(&source.publication)),
    )
    .with_port(target.port)
    .with_tls(target.tls.to_crate())
    .with_application_name(format!("rowhook {}", source.slot))
    .with_options(session_options(source.silence_timeout))
    .with_status_interval(STATUS_INTERVAL)
    .with_wakeup_interval(source.silence_timeout)
    .with_buffer_size(BUFFERED_MESSAGES);
    if target.is_unix_socket() {
        config.tls = pgwire_replication::TlsConfig::disabled();
    }
    config
}

/// The server splits `publication_names` like a list of identifiers, which folds what is not
/// quoted to lower case.
fn quoted_publication(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Output settings that make a value's text depend on the value alone, and a server that speaks
/// at least twice within the silence timeout.
fn session_options(silence_timeout: Duration) -> String {
    format!(
        "-c datestyle=ISO -c intervalstyle=postgres -c timezone=UTC -c extra_float_digits=1 \
         -c bytea_output=hex -c statement_timeout=0 -c wal_sender_timeout={}",
        silence_timeout.as_millis().max(1000)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publication_keeps_its_case_and_quotes() {
        assert_eq!(quoted_publication("My\"Pub"), "\"My\"\"Pub\"");
    }
}
