//! The source: which database is tailed, through which slot and publication.

use std::time::Duration;

use super::Target;

/// The source database and the objects rowhook owns in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The database.
    pub target: Target,
    /// The logical replication slot.
    pub slot: String,
    /// The publication that names the captured tables.
    pub publication: String,
    /// What setup does to the tables' replica identity.
    pub replica_identity: ReplicaIdentity,
    /// WAL held back by the slot at which the operator is alarmed, in bytes.
    pub wal_budget: u64,
    /// How long the source may be silent before the connection counts as dead. Pinned as the
    /// session's `wal_sender_timeout`, so the server speaks at least twice in that time.
    pub silence_timeout: Duration,
    /// How often the catalogs are searched for new tables that match.
    pub table_refresh: Duration,
}

/// What setup does to the replica identity of captured tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplicaIdentity {
    /// Set FULL, so that every old value is known.
    Full,
    /// Never touched.
    Keep,
}
