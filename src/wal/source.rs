//! The source: which database is tailed, through which slot and publication.

use std::time::Duration;

use super::{Lsn, Target};
use crate::fault::{Fault, Result};

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
    /// Whether the slot is one that standbys keep in step.
    pub failover: Failover,
    /// Whether large transactions arrive while they run.
    pub streaming: Streaming,
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

/// Whether the slot is a failover slot: one that standbys keep in step, so that it is there after a
/// promotion (PostgreSQL manual, "Logical Replication Failover"; 17 and later).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failover {
    /// Where the server can.
    Auto,
    /// Always; a server that cannot is refused.
    On,
    /// Never.
    Off,
}

/// Whether large transactions arrive while they run (PostgreSQL manual, "Streaming of Large
/// Transactions for Logical Decoding").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Streaming {
    /// They arrive when they are committed.
    Off,
    /// They do.
    On,
    /// They do, once the log is complete up to here: before it there is a transaction that can only
    /// be read as a whole.
    Behind(Lsn),
}

impl Streaming {
    /// Whether a session whose log is complete up to `acknowledged` asks for it.
    #[must_use]
    pub fn is_on(self, acknowledged: Lsn) -> bool {
        match self {
            Self::Off => false,
            Self::On => true,
            Self::Behind(end) => acknowledged >= end,
        }
    }
}

/// The first server that has failover slots, as `server_version_num`.
const FAILOVER_SINCE: i32 = 170_000;

impl Failover {
    /// Whether the slot has to be a failover slot on a server of this `server_version_num`.
    ///
    /// # Errors
    /// Settings, if it has to and the server has none.
    pub fn wanted(self, version: i32) -> Result<bool> {
        match self {
            Self::Off => Ok(false),
            Self::Auto => Ok(version >= FAILOVER_SINCE),
            Self::On if version >= FAILOVER_SINCE => Ok(true),
            Self::On => Err(Fault::settings(format!(
                "source.failover = \"on\" needs PostgreSQL 17 or newer, the source runs {}",
                version / 10_000
            ))
            .next_step("set source.failover = \"auto\", or upgrade the source")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_that_can_only_be_read_whole_is_not_streamed() {
        assert!(!Streaming::Off.is_on(Lsn(9)));
        assert!(Streaming::On.is_on(Lsn(9)));
        assert!(!Streaming::Behind(Lsn(10)).is_on(Lsn(9)));
        assert!(Streaming::Behind(Lsn(10)).is_on(Lsn(10)));
    }

    #[test]
    fn a_failover_slot_needs_a_server_that_has_them() {
        for (setting, version, wanted) in [
            (Failover::Auto, 160_010, Some(false)),
            (Failover::Auto, 170_000, Some(true)),
            (Failover::On, 180_004, Some(true)),
            (Failover::On, 150_012, None),
            (Failover::Off, 180_004, Some(false)),
        ] {
            assert_eq!(
                setting.wanted(version).ok(),
                wanted,
                "{setting:?} {version}"
            );
        }
        let fault = Failover::On.wanted(150_012).unwrap_err();
        assert_eq!(fault.exit_code(), 78);
        assert!(fault.cause().contains("the source runs 15"), "{fault}");
    }
}
