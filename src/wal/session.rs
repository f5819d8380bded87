//! The replication session: one connection on which the server is identified, the slot's state is
//! read, and the stream then runs.
//!
//! Framing, copy messages and SCRAM are pgwire-replication's. The loop is our own: it is the
//! capture loop that reads, so nothing waits in memory that is not in a batch, feedback goes on
//! whether anyone reads or not, and a server's refusal keeps its SQLSTATE.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::FutureExt as _;
use pgwire_replication::Lsn as WireLsn;
use pgwire_replication::PgWireError;
use pgwire_replication::protocol::framing::{BackendMessage, MessageReader, write_query};
use pgwire_replication::protocol::replication::{
    ReplicationCopyData, encode_standby_status_update, parse_copy_data, unix_to_pg_timestamp,
};
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::time::{Instant, timeout, timeout_at};

use super::command::command_rows;
use super::connect::{AS_IT_IS, PIN_NEWER_SETTINGS, SQL_ASCII};
use super::login::log_in;
use super::publication::quote;
use super::server_error::{refusal, session_fault, stream_refusal};
use super::transport::Transport;
use super::{Lsn, Source, Timelines};
use crate::failpoint;
use crate::fault::{Fault, Result};

/// Bytes that one read may bring: many messages for one system call.
const READ_BUFFER: usize = 256 << 10;

/// How soon an acknowledgement follows the one before it.
const STATUS_INTERVAL: Duration = Duration::from_millis(100);

/// What a polite end of the stream may take.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

type Socket = BufReader<Transport>;

/// A session that is logged in and has not started to stream.
pub struct GatedSession {
    socket: Socket,
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
    /// Whether it is a standby: read-only, and not the source until it is promoted.
    pub in_recovery: bool,
}

/// What the stream brings.
#[derive(Debug)]
pub enum Received {
    /// One pgoutput message.
    Data {
        /// Where what it tells of stands in the WAL.
        at: Lsn,
        /// Its bytes.
        message: Bytes,
    },
    /// A message of a transaction that still runs: it was put aside until that is committed.
    Aside,
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
        let login = async {
            let transport = Transport::connect(&source.target).await?;
            // Only speed depends on it.
            let _ = transport.shorten_if_local();
            let mut socket = BufReader::with_capacity(READ_BUFFER, transport);
            if log_in(&mut socket, source).await? == SQL_ASCII {
                command_rows(&mut socket, &source.target, AS_IT_IS).await?;
            }
            command_rows(&mut socket, &source.target, PIN_NEWER_SETTINGS).await?;
            Ok(Self {
                socket,
                source: source.clone(),
            })
        };
        bounded(source, login).await
    }

    /// Who answers on this very session.
    ///
    /// # Errors
    /// By the server's SQLSTATE; transient without an answer in time.
    pub async fn identify(&mut self) -> Result<System> {
        let rows = self.query("IDENTIFY_SYSTEM").await?;
        let mut columns = rows.into_iter().next().unwrap_or_default().into_iter();
        let mut next = || columns.next().flatten();
        let (identifier, timeline, flushed) = (next(), next(), next());
        let system = identifier
            .zip(timeline.and_then(|text| text.parse().ok()))
            .zip(flushed.and_then(|text| text.parse().ok()));
        let Some(((identifier, timeline), flushed)) = system else {
            return Err(Fault::transient(
                "the server's answer to IDENTIFY_SYSTEM cannot be read",
            ));
        };
        let recovery = self.query("select pg_catalog.pg_is_in_recovery()").await?;
        Ok(System {
            identifier,
            timeline,
            flushed,
            in_recovery: recovery.concat().contains(&Some("t".to_owned())),
        })
    }

    /// Runs a query or a replication command on this very session; columns come as text.
    ///
    /// # Errors
    /// By the server's SQLSTATE; transient without an answer in time.
    pub async fn query(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>> {
        let rows = command_rows(&mut self.socket, &self.source.target, sql);
        bounded(&self.source, rows).await
    }

    /// The timelines up to `current`, the one that the server writes.
    ///
    /// # Errors
    /// By the server's SQLSTATE; transient without an answer in time.
    pub async fn timelines(&mut self, current: u32) -> Result<Timelines> {
        let history = match current {
            // The first one has no history.
            1 => String::new(),
            current => self.timeline_history(current).await?,
        };
        Ok(Timelines::read(current, &history))
    }

    async fn timeline_history(&mut self, timeline: u32) -> Result<String> {
        let rows = self.query(&format!("TIMELINE_HISTORY {timeline}")).await?;
        let content = rows
            .into_iter()
            .next()
            .and_then(|row| row.into_iter().nth(1).flatten());
        Ok(content.unwrap_or_default())
    }

    /// Starts the stream at the slot's confirmed position. The server holds the slot for this
    /// session from then on. `streams`: large transactions arrive while they run.
    ///
    /// # Errors
    /// By the server's SQLSTATE; a slot in use by another session is transient.
    pub async fn start(mut self, streams: bool) -> Result<Stream> {
        let protocol = match streams {
            true => "proto_version '2', streaming 'on'",
            false => "proto_version '1'",
        };
        let sql = format!(
            "START_REPLICATION SLOT {} LOGICAL 0/0 ({protocol}, publication_names '{}', messages 'true')",
            quote(&self.source.slot),
            // The server splits the value like a list of identifiers, and folds what is not quoted.
            quote(&self.source.publication).replace('\'', "''"),
        );
        bounded(&self.source, start(&mut self.socket, &self.source, &sql)).await?;
        Ok(Stream {
            streams,
            socket: self.socket,
            reader: MessageReader::new(),
            outgoing: BytesMut::new(),
            unflushed: false,
            confirmed: Lsn::INVALID,
            reported: Lsn::INVALID,
            reported_at: Instant::now(),
            heard: Instant::now(),
            last_read: 0,
            source: self.source,
        })
    }
}

async fn start(socket: &mut Socket, source: &Source, sql: &str) -> Result<()> {
    let fault = |error: PgWireError| session_fault(&source.target, &error);
    write_query(socket, sql).await.map_err(fault)?;
    let mut reader = MessageReader::new();
    loop {
        let message = reader.read(socket).await.map_err(fault)?;
        match message.tag {
            b'W' => return Ok(()),
            b'E' => return Err(refusal(&source.target, &message.payload)),
            _ => {}
        }
    }
}

/// One step of a session that does not stream yet, within the connect timeout.
async fn bounded<T>(source: &Source, step: impl Future<Output = Result<T>>) -> Result<T> {
    let patience = source.target.connect_timeout;
    timeout(patience, step).await.unwrap_or_else(|_| {
        let patience = humantime::format_duration(patience);
        Err(Fault::transient(format!(
            "cannot connect to {}: no answer within {patience}",
            source.target.label()
        )))
    })
}

/// A running stream. Dropping it closes the connection.
pub struct Stream {
    socket: Socket,
    streams: bool,
    /// Keeps what it has of a message when a read is dropped.
    reader: MessageReader,
    /// Feedback that is not written yet. Kept here, so that a write that is dropped goes on.
    outgoing: BytesMut,
    /// Whether the TLS layer may still hold some of it.
    unflushed: bool,
    /// What the server may release.
    confirmed: Lsn,
    /// What it was told.
    reported: Lsn,
    reported_at: Instant,
    /// When the server last said something.
    heard: Instant,
    /// Bytes that the last read brought beyond its first message.
    last_read: usize,
    source: Source,
}

impl Stream {
    /// The next message. Safe to drop while it waits.
    ///
    /// # Errors
    /// Transient when the connection is cut or silent for longer than the source's
    /// `silence_timeout`; otherwise by the server's SQLSTATE.
    pub async fn receive(&mut self) -> Result<Received> {
        loop {
            self.report().await?;
            let silent_at = self.heard + self.source.silence_timeout;
            let wake = self.report_due().min(silent_at);
            let reads = self.socket.buffer().is_empty();
            let Ok(message) = timeout_at(wake, self.reader.read(&mut self.socket)).await else {
                if wake == silent_at {
                    return Err(self.silent());
                }
                continue;
            };
            let message = message.map_err(|error| session_fault(&self.source.target, &error))?;
            self.heard = Instant::now();
            if reads {
                self.last_read = self.socket.buffer().len();
            }
            if let Some(received) = self.take(message)? {
                return Ok(received);
            }
        }
    }

    /// The next message, if the last read brought it along. Asks nothing of the system.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    pub fn receive_read(&mut self) -> Result<Option<Received>> {
        if self.socket.buffer().is_empty() {
            return Ok(None);
        }
        self.receive().now_or_never().transpose()
    }

    /// Whether large transactions arrive while they run.
    #[must_use]
    pub fn streams(&self) -> bool {
        self.streams
    }

    /// Whether the last read took all that had arrived.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.last_read < READ_BUFFER / 2
    }

    /// Nothing is received for a moment: what arrives meanwhile wakes nobody.
    ///
    /// # Errors
    /// Transient when the connection is lost.
    pub fn rest(&mut self) -> Result<()> {
        let rested = self.socket.get_mut().rest();
        rested.map_err(|error| session_fault(&self.source.target, &error.into()))
    }

    /// Nobody receives for a while: the server's silence does not count, and it still hears from us.
    ///
    /// # Errors
    /// Transient when the connection is cut.
    pub async fn not_listening(&mut self) -> Result<()> {
        self.heard = Instant::now();
        self.report().await
    }

    /// Notes what the server may release. Sent within the status interval.
    pub fn acknowledge(&mut self, durable: &impl DurablePosition) {
        self.confirmed = self.confirmed.max(durable.position());
    }

    /// Ends the stream: politely, if that takes no time, so that the slot is free at once and knows
    /// the last position.
    pub async fn close(mut self) {
        self.queue_status(false);
        self.outgoing.put_slice(COPY_DONE);
        let closing = async {
            self.flush().await?;
            while self.reader.read(&mut self.socket).await?.tag != b'Z' {}
            self.outgoing.put_slice(TERMINATE);
            self.flush().await
        };
        // A connection that is broken already is closed by dropping it.
        let _ = timeout(CLOSE_TIMEOUT, closing).await;
    }

    fn take(&mut self, message: BackendMessage) -> Result<Option<Received>> {
        let target = &self.source.target;
        match message.tag {
            b'd' => {}
            b'E' => return Err(stream_refusal(target, &message.payload)),
            b'c' => {
                return Err(Fault::transient(format!(
                    "the server ended the replication stream of {}",
                    target.label()
                )));
            }
            _ => return Ok(None),
        }
        match parse_copy_data(message.payload).map_err(|error| session_fault(target, &error))? {
            ReplicationCopyData::XLogData {
                wal_start, data, ..
            } => Ok(Some(Received::Data {
                at: Lsn(wal_start.as_u64()),
                message: data,
            })),
            ReplicationCopyData::KeepAlive {
                wal_end,
                reply_requested,
                ..
            } => {
                if reply_requested {
                    self.queue_status(false);
                }
                Ok(Some(Received::CaughtUp {
                    wal_end: Lsn(wal_end.as_u64()),
                }))
            }
        }
    }

    /// When the next status is due: soon, if there is something new to say. And also without being
    /// asked: the server's question comes behind everything that it has sent before, and it does not
    /// wait for the answer for longer than the silence timeout.
    fn report_due(&self) -> Instant {
        let quiet = self.source.silence_timeout / 4;
        match self.confirmed > self.reported {
            true => self.reported_at + STATUS_INTERVAL.min(quiet),
            false => self.reported_at + quiet,
        }
    }

    async fn report(&mut self) -> Result<()> {
        let due = self.report_due() <= Instant::now();
        if due {
            failpoint::pass("slot.feedback")?;
            // A server that hears from us does not ask by itself: with nothing new to say, we do.
            self.queue_status(self.confirmed == self.reported);
        }
        self.flush()
            .await
            .map_err(|error| session_fault(&self.source.target, &error))?;
        if due {
            failpoint::pass("slot.fed_back")?;
        }
        Ok(())
    }

    fn queue_status(&mut self, asks: bool) {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let now = unix_to_pg_timestamp(i64::try_from(now.as_micros()).unwrap_or(i64::MAX));
        let status = encode_standby_status_update(WireLsn::from_u64(self.confirmed.0), now, asks);
        self.outgoing.put_u8(b'd');
        self.outgoing.put_u32(STATUS_LENGTH);
        self.outgoing.put_slice(&status);
        self.reported = self.confirmed;
        self.reported_at = Instant::now();
    }

    async fn flush(&mut self) -> Result<(), PgWireError> {
        while !self.outgoing.is_empty() {
            // Noted first: a flush that is dropped while it waits has to be made up for.
            self.unflushed = true;
            self.socket.write_buf(&mut self.outgoing).await?;
        }
        if self.unflushed {
            self.socket.flush().await?;
            self.unflushed = false;
        }
        Ok(())
    }

    fn silent(&self) -> Fault {
        Fault::transient(format!(
            "{} has said nothing for {}: the connection counts as dead",
            self.source.target.label(),
            humantime::format_duration(self.source.silence_timeout)
        ))
    }
}

/// Length of a copy message that carries a standby status update of 34 bytes.
const STATUS_LENGTH: u32 = 4 + 34;
/// CopyDone.
const COPY_DONE: &[u8] = b"c\0\0\0\x04";
/// Terminate.
const TERMINATE: &[u8] = b"X\0\0\0\x04";
