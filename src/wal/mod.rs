//! The source's write-ahead log: the replication session and what it needs in the source.

mod lsn;
mod source;
mod target;

pub use lsn::{Lsn, LsnParseError};
pub use source::{ReplicaIdentity, Source};
pub use target::{Target, Tls, TlsMode};
