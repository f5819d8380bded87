//! Somebody who reads the log "after N" all the time, and looks at the slot beside it.

use std::sync::Arc;

use tokio_postgres::Client;
use tokio_postgres::types::PgLsn;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Tally;
use crate::cluster::Database;

/// What was seen, in the order of the sequence ids.
pub(crate) type Seen = Vec<Uuid>;

/// The newest events, and of each what its transaction is.
const AFTER: &str = "
    select sequence_id, event_id, xid, commit_lsn from rowhook.events where sequence_id > $1 order by sequence_id";
/// In this order: a commit comes before its confirmation, so a slot that was read earlier is never
/// ahead of a checkpoint that is read later.
const SLOT: &str = "select confirmed_flush_lsn from pg_replication_slots where slot_name = $1";
const CHECKPOINT: &str = "select acknowledged_lsn from rowhook.checkpoint";

pub(crate) struct Reader {
    pub(crate) source: Arc<Database>,
    pub(crate) log: Arc<Database>,
    pub(crate) tally: Arc<Tally>,
    pub(crate) stop: CancellationToken,
}

impl Reader {
    /// Reads until the end; gives what it saw. Panics at a hole, at a part of a transaction, and
    /// where the slot was told what the log does not hold.
    pub(crate) async fn read(self) -> Seen {
        let (mut log, mut source) = (self.log.client().await, self.source.client().await);
        let mut seen = Seen::new();
        let mut last: Option<(i64, PgLsn)> = None;
        loop {
            let stopping = self.stop.is_cancelled();
            match self.poll(&log, &mut seen, &mut last).await {
                Ok(()) => self.tally.add("reader polls", 1),
                Err(_) => log = self.log.client().await,
            }
            match self.look_at_slot(&source, &log).await {
                Ok(()) => {}
                Err(_) if source.is_closed() => source = self.source.client().await,
                Err(_) => {}
            }
            if stopping {
                return seen;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    async fn poll(
        &self,
        log: &Client,
        seen: &mut Seen,
        last: &mut Option<(i64, PgLsn)>,
    ) -> Result<(), tokio_postgres::Error> {
        let after = seen.len() as i64;
        for (at, row) in log.query(AFTER, &[&after]).await?.iter().enumerate() {
            let (sequence_id, event_id): (i64, Uuid) = (row.get(0), row.get(1));
            let transaction = (row.get(2), row.get(3));
            assert_eq!(
                sequence_id,
                seen.len() as i64 + 1,
                "a reader saw a hole after {after}"
            );
            assert!(
                at > 0 || *last != Some(transaction),
                "a reader saw a part of transaction {transaction:?}, which goes on at {sequence_id}"
            );
            seen.push(event_id);
            *last = Some(transaction);
        }
        Ok(())
    }

    async fn look_at_slot(
        &self,
        source: &Client,
        log: &Client,
    ) -> Result<(), tokio_postgres::Error> {
        let slot: Option<PgLsn> = source.query_one(SLOT, &[&self.source.slot()]).await?.get(0);
        let checkpoint: PgLsn = log.query_one(CHECKPOINT, &[]).await?.get(0);
        assert!(
            slot.is_none_or(|slot| slot <= checkpoint),
            "the slot was told {slot:?}, the log holds everything up to {checkpoint} only"
        );
        Ok(())
    }
}
