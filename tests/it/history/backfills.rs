//! Somebody who asks for backfills again and again, of random tables, while everything else goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio_postgres::{Client, Error};
use tokio_util::sync::CancellationToken;

use super::Tally;
use super::dice::Dice;
use super::memory::Backfilled;
use super::schema::BACKFILLED;
use crate::cluster::Database;

const POLL: Duration = Duration::from_millis(50);
/// Between two requests, in polls.
const PAUSE: u64 = 8;

pub(crate) struct Backfills {
    pub(crate) log: Arc<Database>,
    pub(crate) tally: Arc<Tally>,
    pub(crate) lull: Arc<AtomicBool>,
    pub(crate) dice: Dice,
    pub(crate) tables: Vec<&'static str>,
    /// No more are asked for.
    pub(crate) stop: CancellationToken,
}

/// One that is open: from which sequence id on it may log rows, and which it is.
struct Open {
    table: &'static str,
    after: i64,
    id: i64,
}

impl Backfills {
    pub(crate) fn tables(wanted: &[String]) -> Vec<&'static str> {
        let is_wanted = |name: &&str| wanted.is_empty() || wanted.iter().any(|table| table == name);
        BACKFILLED.iter().copied().filter(is_wanted).collect()
    }

    /// Asks until the end, and waits until all are done. Panics where one fails.
    pub(crate) async fn ask(mut self) -> Vec<Backfilled> {
        let mut log = self.log.client().await;
        let (mut open, mut done) = (Vec::new(), Vec::new());
        let mut pause = 0;
        loop {
            let stopping = self.stop.is_cancelled();
            if stopping && open.is_empty() {
                return done;
            }
            if !stopping && pause == 0 && !self.lull.load(Ordering::Relaxed) {
                pause = 1 + self.dice.below(PAUSE);
                let table = *self.dice.pick(&self.tables);
                let chunk_rows = *self.dice.pick(&[60, 500, 100_000, 100_000]);
                match request(&log, table, chunk_rows).await {
                    Ok(Some(asked)) => {
                        // The one before was done, and nobody had looked since.
                        open.retain(|before: &Open| before.table != table);
                        open.push(asked);
                    }
                    Ok(None) => {}
                    Err(_) => self.tally.add("backfills that were asked for in vain", 1),
                }
            }
            pause = pause.saturating_sub(1);
            match look(&log, &mut open).await {
                Ok(ended) => {
                    self.tally.add("backfills done", ended.len() as u64);
                    done.extend(ended);
                }
                Err(_) => log = self.log.client().await,
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

const HEAD: &str = "select coalesce(max(sequence_id), 0) from rowhook.events";

/// Asks for a backfill from the first row on; `None` where one is open.
async fn request(
    log: &Client,
    table: &'static str,
    chunk_rows: i32,
) -> Result<Option<Open>, Error> {
    let after = log.query_one(HEAD, &[]).await?.get(0);
    let sql = format!(
        "{} returning backfill_id",
        include_str!("../../../sql/request_backfill.sql")
    );
    let rate: Option<i32> = None;
    let row = log
        .query_opt(&sql, &[&"public", &table, &chunk_rows, &rate, &true])
        .await?;
    let open = |id| Open { table, after, id };
    Ok(row.map(|row| open(row.get(0))))
}

/// Takes out those that are done.
async fn look(log: &Client, open: &mut Vec<Open>) -> Result<Vec<Backfilled>, Error> {
    let sql = "select backfill_id, state, reason from rowhook.backfills";
    let mut ended = Vec::new();
    for row in log.query(sql, &[]).await? {
        let (id, state, reason): (i64, &str, Option<&str>) = (row.get(0), row.get(1), row.get(2));
        let Some(at) = open.iter().position(|open| open.id == id) else {
            continue;
        };
        assert!(
            ["waiting", "running", "done"].contains(&state),
            "the backfill of {} is {state}: {reason:?}",
            open[at].table
        );
        if state == "done" {
            let until = log.query_one(HEAD, &[]).await?.get(0);
            let Open { table, after, .. } = open.remove(at);
            let table = table.to_owned();
            ended.push(Backfilled {
                table,
                after,
                until,
            });
        }
    }
    Ok(ended)
}
