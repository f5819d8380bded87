//! The source's write-ahead log: the replication session and what it needs in the source.

pub mod catalog;
mod command;
mod connect;
pub mod description;
mod line;
mod login;
mod lsn;
pub mod publication;
pub mod server_error;
mod session;
pub mod slot;
mod source;
mod target;
mod text;
mod timelines;
mod tls;
mod transport;

pub use connect::{Connection, is_undefined};
pub use lsn::{Lsn, LsnParseError};
pub use session::{DurablePosition, GatedSession, Received, Stream, System};
pub use source::{Failover, ReplicaIdentity, Source, Streaming};
pub use target::{Target, Tls, TlsMode};
pub use text::readable;
pub use timelines::Timelines;
