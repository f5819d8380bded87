//! Sessions that carry out the plans, again and again, whatever becomes of their connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::SinkExt as _;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use super::Tally;
use super::plan::{Altering, Change, End, NewTableEnd, Step, Transaction, Writing};
use crate::cluster::Database;

/// Between two transactions of one writer: the log has to keep up with a debug build.
const PAUSE: Duration = Duration::from_millis(12);
/// Between two changes of the tables themselves.
const ALTER_PAUSE: Duration = Duration::from_millis(300);
/// How long a new table may take to be captured before nothing is written to it.
const CAPTURED_WITHIN: Duration = Duration::from_secs(20);

/// What came of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Came {
    Committed,
    RolledBack,
    /// A conflict with another one, or a statement that did not fit.
    Refused,
    /// The connection broke: nobody knows.
    Lost,
}

/// What all writers share.
#[derive(Clone)]
pub(crate) struct Writers {
    pub(crate) database: Arc<Database>,
    pub(crate) tally: Arc<Tally>,
    /// Transactions that were committed, for the killer to count by.
    pub(crate) committed: Arc<AtomicU64>,
    /// Nobody writes while this is set.
    pub(crate) lull: Arc<AtomicBool>,
    pub(crate) stop: CancellationToken,
}

impl Writers {
    /// Writes what `plan` says until the end.
    pub(crate) async fn write(self, name: String, mut plan: Writing) {
        let mut session = Session::open(&self, &name).await;
        while !self.stop.is_cancelled() {
            if self.lull.load(Ordering::Relaxed) {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            let transaction = plan.next();
            session.carry_out(&transaction).await;
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Changes the tables until the end. `full`: new tables get full replica identity.
    pub(crate) async fn alter(self, mut plan: Altering, full: bool) {
        let mut session = Session::open(&self, "altering").await;
        while !self.stop.is_cancelled() {
            match plan.next() {
                Change::Transaction(transaction) => {
                    let came = session.carry_out(&transaction).await;
                    self.tally.add(&format!("changes of tables {came:?}"), 1);
                }
                Change::NewTable { number, then, end } => {
                    session.new_table(number, &then, end, full).await;
                }
            }
            tokio::time::sleep(ALTER_PAUSE).await;
        }
    }
}

struct Session<'a> {
    writers: &'a Writers,
    name: String,
    client: Client,
    number: u64,
}

impl<'a> Session<'a> {
    async fn open(writers: &'a Writers, name: &str) -> Self {
        Self {
            client: connect(&writers.database, name).await,
            name: name.to_owned(),
            number: 0,
            writers,
        }
    }

    async fn carry_out(&mut self, transaction: &Transaction) -> Came {
        self.number += 1;
        let gid = format!("{} {}", self.name, self.number);
        let outcome = run(&self.client, transaction, &gid).await;
        let came = match &outcome {
            Ok(came) => *came,
            Err(error) if error.as_db_error().is_some() && !self.client.is_closed() => {
                self.note_refusal(error);
                Came::Refused
            }
            Err(_) => Came::Lost,
        };
        let cleared = came != Came::Refused || self.client.batch_execute("rollback").await.is_ok();
        if came == Came::Lost || !cleared || self.client.is_closed() {
            self.client = connect(&self.writers.database, &self.name).await;
        }
        if came == Came::Committed {
            self.writers.committed.fetch_add(1, Ordering::Relaxed);
        }
        self.writers.tally.add(&format!("transactions {came:?}"), 1);
        came
    }

    fn note_refusal(&self, error: &tokio_postgres::Error) {
        let code = error.code().map_or("", |code| code.code());
        self.writers.tally.add(&format!("refusals {code}"), 1);
        // Conflicts: moved to another partition, unique, foreign key, lock timeout, deadlock, shutdown. Anything else is a wrong plan.
        let conflict = [
            "40001", "23505", "23503", "55P03", "40P01", "57P01", "0A000",
        ];
        assert!(conflict.contains(&code), "{}: {error:?}", self.name);
    }

    async fn new_table(&mut self, number: u64, then: &[Transaction], end: NewTableEnd, full: bool) {
        let table = format!("new_{number}");
        let create = format!(
            "create table public.{table} (id bigint primary key, v int, note text, body text);
             select audit.watch('public.{table}')"
        );
        if self.alone(&create).await != Came::Committed || !self.is_captured(&table, full).await {
            return;
        }
        for transaction in then {
            self.carry_out(transaction).await;
        }
        self.writers.tally.add(&format!("new tables {end:?}"), 1);
        match end {
            NewTableEnd::Stays => {}
            NewTableEnd::Dropped => {
                self.alone(&format!("drop table {table}")).await;
            }
            NewTableEnd::Renamed => {
                self.alone(&format!("alter table {table} rename to was_{number}"))
                    .await;
                self.alone(&format!("update was_{number} set v = v + 1"))
                    .await;
            }
        }
    }

    async fn alone(&mut self, sql: &str) -> Came {
        self.carry_out(&Transaction {
            steps: vec![Step::Sql(sql.to_owned())],
            end: End::Commit,
        })
        .await
    }

    /// What is written to a table before it joins the publication is nobody's promise.
    async fn is_captured(&mut self, table: &str, full: bool) -> bool {
        let query = "select exists (
            select from pg_publication_tables p, pg_class c
             where p.pubname = $1 and p.tablename = $2 and c.oid = format('public.%I', $2)::regclass
               and (c.relreplident = 'f') = $3)";
        let publication = self.writers.database.publication();
        let began = Instant::now();
        while began.elapsed() < CAPTURED_WITHIN && !self.writers.stop.is_cancelled() {
            match self
                .client
                .query_one(query, &[&publication, &table, &full])
                .await
            {
                Ok(row) if row.get(0) => return true,
                Ok(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                Err(_) => self.client = connect(&self.writers.database, &self.name).await,
            }
        }
        self.writers
            .tally
            .add("new tables that nobody waited for", 1);
        false
    }
}

/// Connects, and ends what an earlier connection left prepared: it would hold its locks for ever.
async fn connect(database: &Database, name: &str) -> Client {
    loop {
        let client = database.client().await;
        match prepare(&client, name).await {
            Ok(()) => return client,
            Err(error) => assert!(client.is_closed() || error.code().is_some(), "{error:?}"),
        }
    }
}

async fn prepare(client: &Client, name: &str) -> Result<(), tokio_postgres::Error> {
    client
        .batch_execute(&format!(
            "set application_name = '{name}'; set lock_timeout = '4s'; set deadlock_timeout = '200ms'"
        ))
        .await?;
    let left =
        "select gid from pg_prepared_xacts where gid like $1 and database = current_database()";
    for row in client.query(left, &[&format!("{name} %")]).await? {
        let gid: String = row.get(0);
        client
            .batch_execute(&format!("commit prepared '{gid}'"))
            .await?;
    }
    Ok(())
}

async fn run(
    client: &Client,
    transaction: &Transaction,
    gid: &str,
) -> Result<Came, tokio_postgres::Error> {
    client.batch_execute("begin").await?;
    for step in &transaction.steps {
        match step {
            Step::Sql(sql) => client.batch_execute(sql).await?,
            Step::Copy { into, rows } => {
                let mut sink = Box::pin(client.copy_in::<_, Bytes>(into).await?);
                sink.send(Bytes::from(rows.clone())).await?;
                sink.as_mut().finish().await?;
            }
        }
    }
    match transaction.end {
        End::Commit => client.batch_execute("commit").await?,
        End::Rollback => {
            client.batch_execute("rollback").await?;
            return Ok(Came::RolledBack);
        }
        End::Prepared { kept } => {
            client
                .batch_execute(&format!("prepare transaction '{gid}'"))
                .await?;
            let end = if kept { "commit" } else { "rollback" };
            client
                .batch_execute(&format!("{end} prepared '{gid}'"))
                .await?;
            if !kept {
                return Ok(Came::RolledBack);
            }
        }
    }
    Ok(Came::Committed)
}
