//! rowhook: PostgreSQL change data capture that ends in webhooks.
//!
//! The map of the code, in the order in which data flows. Imports point upstream only.
//!
//! ```text
//! wal ──▶ decode ──▶ event ──▶ event_log ──▶ dispatch ──▶ webhook
//! ```
//!
//! * [`wal`]: the replication session, its slot and publication, positions, acknowledgements.
//! * [`decode`]: pgoutput bytes → messages and row changes. Pure.
//! * [`event`]: a row change and the resource's rules → an event. Pure.
//! * [`event_log`]: events → Postgres, exactly once; and back out of it.
//! * [`webhook`]: one event → one signed HTTP request → what came of it. Knows no Postgres.
//! * [`dispatch`]: from the log to the webhooks: lanes, cursors, retries, parked deliveries.
//! * [`capture`]: the loop that carries changes from the stream into the log.
//! * [`daemon`]: wires the stages, owns every task, orders start and stop.
//! * [`ops`]: beside the path: settings, commands, reading (what commands and the HTTP API ask the log), the
//!   catalog of events, metrics, logging, systemd.
//! * [`fault`], [`secret`]: words that every room uses.
//! * `beat`: waits that end together.
//! * `failpoint`: places at which tests end the process. Not in a release.

pub mod fault;
pub mod secret;
mod failpoint;
mod beat;
pub mod wal;
pub mod decode;
pub mod event;
pub mod event_log;
pub mod webhook;
pub mod dispatch;
pub mod capture;
pub mod daemon;
pub mod ops;
