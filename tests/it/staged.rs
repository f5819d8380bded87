//! Large transactions that arrive while they run: logged at their commit as all others are, and not at
//! all if they are rolled back.

use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;
use tokio_postgres::Client;

use crate::cluster::{Cluster, Database};
use crate::daemon::{Daemon, Rowhook};
use crate::logged::{Logged, assert_dense, count, events, wait_for, wait_for_logged};

/// The server streams a transaction as soon as it has decoded this much.
const EARLY: &str = "logical_decoding_work_mem=64kB";
/// Memory that a daemon may take, whatever the size of a transaction.
const FLAT: u64 = 200 << 20;

const TABLES: &str = "
    create type mood as enum ('sad', 'fine');
    create type place as (street text, no int);
    create table t (id int primary key, v text);
    create table side (id int primary key, v text);
    create table small (id int primary key);
    create table rich (id int primary key, m mood, p place, n numeric, j jsonb, a text[], d timestamptz);
    create table part (id int primary key, v text) partition by range (id);
    create table part_low partition of part for values from (0) to (1000);
    create table part_high partition of part for values from (1000) to (100000)";

/// So many rows of a table, from `first` on: 200 are streamed.
fn rows(table: &str, first: u32, count: u32) -> String {
    let last = first + count - 1;
    format!(
        "insert into {table} (id, v) select i, repeat('x', 400) || i from generate_series({first}, {last}) i"
    )
}

/// A database whose large transactions are streamed early, and a log of its own.
struct Streamed {
    daemon: Daemon,
    rowhook: Rowhook,
    source: Client,
    log: Client,
    database: Database,
    log_database: Database,
    temporary: TempDir,
}

impl Streamed {
    async fn start() -> Self {
        Self::with(|rowhook| rowhook).await
    }

    async fn with(settings: impl FnOnce(Rowhook) -> Rowhook) -> Self {
        let cluster = Arc::new(Cluster::start(&[EARLY, "max_prepared_transactions=5"]).await);
        let database = Database::create_in(&cluster).await;
        let log_database = Database::create_in(&cluster).await;
        let source = database.client().await;
        source.batch_execute(TABLES).await.unwrap();
        let temporary = TempDir::with_prefix("rowhook-staged-").unwrap();
        let rowhook = Rowhook::new(&database)
            .set("source.streaming", true)
            .set("source.table_refresh", "1h")
            .set("log.url", log_database.url())
            .env("TMPDIR", temporary.path().to_str().unwrap());
        let rowhook = settings(rowhook);
        rowhook.setup().await;
        Self {
            daemon: rowhook.spawn_ready().await,
            rowhook,
            source,
            log: log_database.client().await,
            database,
            log_database,
            temporary,
        }
    }

    async fn execute(&self, sql: &str) {
        self.source.batch_execute(sql).await.unwrap();
    }

    /// Waits until this many bytes, or nothing, are staged.
    async fn wait_for_staged(&self, what: &str, fits: impl Fn(u64) -> bool) {
        wait_for(&self.log, what, async || fits(staged(&self.daemon).await)).await;
    }

    /// Unlinked files that the daemon still has open.
    fn open_files(&self) -> Vec<PathBuf> {
        let links = std::fs::read_dir(format!("/proc/{}/fd", self.daemon.pid())).unwrap();
        let targets = links.filter_map(|link| std::fs::read_link(link.unwrap().path()).ok());
        targets
            .filter(|target| target.starts_with(self.temporary.path()))
            .collect()
    }

    fn nothing_is_left(&self) -> bool {
        std::fs::read_dir(self.temporary.path())
            .unwrap()
            .next()
            .is_none()
    }
}

/// What `rowhook_staged_bytes` says.
async fn staged(daemon: &Daemon) -> u64 {
    let (_, metrics) = daemon.get("/metrics").await;
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix("rowhook_staged_bytes "));
    line.unwrap().parse().unwrap()
}

/// The ids of the rows of `t`, in the order of the log.
fn ids(events: &[Logged]) -> Vec<u32> {
    let id = |event: &Logged| event.record["id"].as_u64().unwrap() as u32;
    events.iter().map(id).collect()
}

/// Transactions of every kind; more than one of them streamed, with others between and beside them.
async fn write_everything(database: &Database) {
    let (one, two) = (database.client().await, database.client().await);
    let on = async |client: &Client, sql: &str| client.batch_execute(sql).await.unwrap();
    on(&one, "begin; select rowhook.set_context('{\"user\": 1}')").await;
    on(&two, "begin").await;
    for step in 0..4 {
        on(&one, &rows("t", 1 + step * 300, 300)).await;
        on(&two, &rows("part", 900 + step * 300, 300)).await;
        on(&two, "select rowhook.emit('part.filled', '{\"n\": 300}')").await;
        on(
            &database.client().await,
            &format!("insert into small values ({step})"),
        )
        .await;
    }
    on(&two, "commit").await;
    let nested = [
        "savepoint a",
        &rows("side", 1, 250),
        "update t set v = 'a' where id <= 300",
        "savepoint b",
        &rows("t", 5000, 300),
        "select rowhook.emit('b.gone', '{}')",
        "select rowhook.set_context('{\"user\": 2}')",
        "rollback to b",
        &rows("side", 1000, 10),
        "select rowhook.set_context('{\"request\": \"r\"}')",
        // Where a message ends the next record begins: Postgres' order of the two is only certain
        // within one subtransaction.
        &rows("side", 2000, 5),
        "release a",
        "update t set v = 'after a' where id > 1100",
        // Its relation's message goes with it, and is not sent again.
        "savepoint c",
        "insert into rich select i, 'sad', row('x', i)::place, i / 7.0, '{}', '{a}', now() from generate_series(1, 800) i",
        "rollback to c",
        "insert into rich values (1, 'fine', row('y', 2)::place, 1.50, '{\"b\": [1]}', array['x', null], now())",
        "savepoint d",
        "alter table t add column gone int",
        "update t set gone = 1 where id <= 300",
        "rollback to d",
        "delete from t where id <= 300",
        "alter table t add column w numeric default 7",
        "update t set w = id where id > 900",
        "create table made (id int primary key, v text)",
        "truncate side, small",
        "commit",
    ];
    for statement in nested {
        on(&one, statement).await;
    }
    on(&two, &format!("begin; {}; rollback", rows("t", 9000, 400))).await;
    // The relation of what is rolled back is used again only after the commit.
    on(&one, "begin").await;
    for statement in [
        &rows("t", 10_000, 250),
        "savepoint e",
        &rows("side", 10_000, 250),
        "rollback to e",
        "commit",
        "insert into side values (20000, 'alone')",
        "begin",
        &rows("t", 20_000, 300),
        "prepare transaction 'later'",
        "insert into small values (77)",
        "commit prepared 'later'",
    ] {
        on(&one, statement).await;
    }
}

/// How many transactions of a slot were streamed.
async fn streamed_transactions(client: &Client, slot: &str) -> i64 {
    let sql = "select coalesce(sum(stream_txns), 0)::bigint from pg_stat_replication_slots where slot_name = $1";
    client.query_one(sql, &[&slot]).await.unwrap().get(0)
}

#[tokio::test]
async fn both_settings_log_the_same_events_with_the_same_ids() {
    let mut streamed = Streamed::start().await;
    let whole_log = Database::create_in(&streamed.database.cluster).await;
    let whole = Rowhook::new(&streamed.database)
        .set("source.slot", "whole")
        .set("source.publication", "whole")
        .set("source.table_refresh", "1h")
        .set("log.url", whole_log.url());
    whole.setup().await;
    let mut whole_daemon = whole.spawn_ready().await;
    let whole_log = whole_log.client().await;

    write_everything(&streamed.database).await;
    streamed.execute("insert into small values (1000)").await;
    for log in [&streamed.log, &whole_log] {
        let last =
            "select count(*) from rowhook.events where resource = 'small' and resource_id = '1000'";
        wait_for(log, "the last event", async || {
            log.query_one(last, &[]).await.unwrap().get::<_, i64>(0) == 1
        })
        .await;
    }
    let (ours, theirs) = (events(&streamed.log).await, events(&whole_log).await);
    assert_dense(&ours);
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(ours.len(), theirs.len());
    assert!(ours.len() > 4000, "{}", ours.len());
    assert!(!ours.iter().any(|event| event.event_type == "b.gone"));
    let slot = streamed.database.slot();
    wait_for(&streamed.log, "streamed transactions", async || {
        streamed_transactions(&streamed.source, &slot).await >= 4
    })
    .await;
    assert_eq!(streamed_transactions(&streamed.source, "whole").await, 0);
    streamed
        .wait_for_staged("an empty stage", |bytes| bytes == 0)
        .await;
    assert_eq!(streamed.open_files(), Vec::<PathBuf>::new());
    assert_eq!(streamed.daemon.stop().await, Some(0));
    assert_eq!(whole_daemon.stop().await, Some(0));
}

#[tokio::test]
async fn what_a_rolled_back_savepoint_said_is_not_logged() {
    let mut streamed = Streamed::start().await;
    for statement in [
        "begin",
        &rows("t", 1, 300),
        "savepoint a",
        "select rowhook.emit('a.gone', '{}')",
        "select rowhook.set_context('{\"gone\": true}')",
        &rows("t", 1000, 300),
        "rollback to a",
        &rows("t", 2000, 300),
        "commit",
        &rows("t", 3000, 1),
    ] {
        streamed.execute(statement).await;
    }
    let logged = wait_for_logged(&streamed.log, 601).await;
    let expected: Vec<u32> = (1..301).chain(2000..2300).chain([3000]).collect();
    assert_eq!(ids(&logged), expected);
    assert!(logged.iter().all(|event| event.context.is_null()));
    streamed.daemon.wait_for_log("read again as a whole").await;
    assert_eq!(streamed.daemon.stop().await, Some(0));
}

/// The slot's confirmed position.
async fn confirmed(streamed: &Streamed) -> u64 {
    let sql = "select (confirmed_flush_lsn - '0/0')::bigint from pg_replication_slots where slot_name = $1";
    let slot = streamed.database.slot();
    streamed
        .source
        .query_one(sql, &[&slot])
        .await
        .unwrap()
        .get::<_, i64>(0) as u64
}

async fn wal_end(client: &Client) -> u64 {
    let sql = "select (pg_current_wal_insert_lsn() - '0/0')::bigint";
    client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) as u64
}

#[tokio::test]
async fn a_crash_while_a_transaction_is_staged_loses_and_doubles_nothing() {
    let mut streamed = Streamed::start().await;
    let long = streamed.database.client().await;
    long.batch_execute("begin").await.unwrap();
    long.batch_execute(&rows("t", 1, 10_000)).await.unwrap();
    streamed
        .wait_for_staged("a stage in a file", |bytes| bytes > 3 << 20)
        .await;
    assert_eq!(streamed.open_files().len(), 1);
    assert!(streamed.nothing_is_left());
    // What others commit is acknowledged, far beyond the beginning of what is staged.
    let begun = wal_end(&streamed.source).await;
    streamed.execute(&rows("t", 50_000, 1)).await;
    wait_for_logged(&streamed.log, 1).await;
    wait_for(&streamed.log, "an acknowledgement", async || {
        confirmed(&streamed).await > begun
    })
    .await;
    streamed.daemon.kill9().await;
    assert!(streamed.nothing_is_left());
    long.batch_execute(&rows("t", 20_000, 300)).await.unwrap();
    streamed.daemon = streamed.rowhook.spawn_ready().await;
    streamed.wait_for_staged("a stage", |bytes| bytes > 0).await;
    streamed.execute(&rows("t", 50_001, 1)).await;
    wait_for_logged(&streamed.log, 2).await;
    // Asked to stop, it does not wait for the commit.
    assert_eq!(streamed.daemon.stop().await, Some(0));
    streamed.daemon = streamed.rowhook.spawn_ready().await;
    // What lies before the confirmed position is only streamed together with something new.
    long.batch_execute(&rows("t", 30_000, 300)).await.unwrap();
    streamed
        .wait_for_staged("all of it again", |bytes| bytes > 3 << 20)
        .await;
    long.batch_execute("commit").await.unwrap();
    let logged = wait_for_logged(&streamed.log, 10_602).await;
    let staged = (1..10_001).chain(20_000..20_300).chain(30_000..30_300);
    let expected: Vec<u32> = [50_000, 50_001].into_iter().chain(staged).collect();
    assert_eq!(ids(&logged), expected);
}

#[tokio::test]
async fn a_crash_while_a_staged_transaction_is_logged_loses_and_doubles_nothing() {
    let mut streamed = Streamed::start().await;
    assert_eq!(streamed.daemon.stop().await, Some(0));
    // The batches of a transaction that is larger than one; the second time it is the commit.
    for (first, place) in [
        (1, "log.part=1*off->return"),
        (20_000, "log.committed=return"),
    ] {
        let mut daemon = streamed.rowhook.spawn_with(|command| {
            command.env("FAILPOINTS", place);
        });
        streamed.execute("begin").await;
        streamed.execute(&rows("t", first, 15_000)).await;
        streamed.execute("commit").await;
        assert_eq!(daemon.wait_exit().await, None);
        let before = count(&streamed.log).await;
        assert!(before % 15_000 == 0, "{before}");
        let mut daemon = streamed.rowhook.spawn_ready().await;
        let all = i64::from(first / 20_000 + 1) * 15_000;
        wait_for_logged(&streamed.log, all).await;
        assert_eq!(daemon.stop().await, Some(0));
    }
    let expected: Vec<u32> = (1..15_001).chain(20_000..35_000).collect();
    assert_eq!(ids(&events(&streamed.log).await), expected);
}

#[tokio::test]
async fn a_transaction_that_is_rolled_back_leaves_nothing() {
    let mut streamed = Streamed::start().await;
    let long = streamed.database.client().await;
    long.batch_execute("begin").await.unwrap();
    long.batch_execute(&rows("t", 1, 10_000)).await.unwrap();
    streamed
        .wait_for_staged("a stage in a file", |bytes| bytes > 3 << 20)
        .await;
    long.batch_execute("rollback").await.unwrap();
    streamed
        .wait_for_staged("an empty stage", |bytes| bytes == 0)
        .await;
    assert_eq!(streamed.open_files(), Vec::<PathBuf>::new());
    streamed.execute(&rows("t", 1, 1)).await;
    assert_eq!(ids(&wait_for_logged(&streamed.log, 1).await), [1]);
    assert_eq!(streamed.daemon.stop().await, Some(0));
}

#[tokio::test]
async fn without_a_temporary_directory_it_says_so_and_tries_again() {
    let mut streamed = Streamed::start().await;
    let directory = streamed.temporary.path().to_owned();
    std::fs::remove_dir(&directory).unwrap();
    streamed
        .execute(&format!("begin; {}; commit", rows("t", 1, 10_000)))
        .await;
    let said = streamed
        .daemon
        .wait_for_log("running transactions cannot be staged")
        .await;
    assert!(said.contains(directory.to_str().unwrap()), "{said}");
    assert!(said.contains("No such file or directory"), "{said}");
    let said = streamed.rowhook.fail(&["check"], 1).await;
    assert!(
        said.contains("WRONG  streaming: no file can be made"),
        "{said}"
    );
    std::fs::create_dir(&directory).unwrap();
    let said = streamed.rowhook.succeed(&["check"]).await;
    assert!(
        said.contains("beyond logical_decoding_work_mem = 64kB wait"),
        "{said}"
    );
    let logged = wait_for_logged(&streamed.log, 10_000).await;
    assert_eq!(ids(&logged), (1..10_001).collect::<Vec<u32>>());
    assert_eq!(streamed.daemon.stop().await, Some(0));
}

/// Waits until the server has heard from the daemon five seconds from now.
async fn heard_later(streamed: &Streamed) {
    let client = streamed.database.client().await;
    let heard = "select coalesce(max(reply_time) >= $1::text::timestamptz + interval '5 s', false)
                   from pg_stat_replication r join pg_replication_slots s on s.active_pid = r.pid
                  where s.database = current_database()";
    let now = client.query_one("select now()::text", &[]).await.unwrap();
    let now: String = now.get(0);
    wait_for(&streamed.log, "feedback", async || {
        let row = client.query_one(heard, &[&now]).await.unwrap();
        row.get(0)
    })
    .await;
}

#[tokio::test]
async fn a_staged_transaction_that_waits_for_the_log_keeps_its_session() {
    let log_cluster = Arc::new(Cluster::start(&[]).await);
    let log = Database::create_in(&log_cluster).await;
    let mut streamed = Streamed::with(|rowhook| {
        rowhook
            .set("log.url", log.url())
            .set("source.silence_timeout", "2s")
    })
    .await;
    let client = log.client().await;
    streamed.execute("insert into small values (1)").await;
    wait_for_logged(&client, 1).await;
    let writer = "select pid from pg_stat_activity where application_name = 'rowhook writer'";
    log_cluster.signal_backends("STOP", writer).await;
    // More than fits into a batch, and then more than the server's buffers hold.
    for first in [1, 100_000] {
        streamed
            .execute(&format!("begin; {}; commit", rows("t", first, 20_000)))
            .await;
    }
    heard_later(&streamed).await;
    log_cluster.signal_backends("CONT", writer).await;
    wait_for_logged(&client, 40_001).await;
    let (_, metrics) = streamed.daemon.get("/metrics").await;
    assert!(
        metrics.contains("rowhook_reconnects_total 0\n"),
        "{metrics}"
    );
    assert_eq!(streamed.daemon.stop().await, Some(0));
}

#[tokio::test]
async fn memory_is_flat_however_much_is_staged() {
    let mut streamed = Streamed::start().await;
    let (one, two) = (
        streamed.database.client().await,
        streamed.database.client().await,
    );
    for client in [&one, &two] {
        client.batch_execute("begin").await.unwrap();
    }
    for part in 0..10 {
        for (client, first) in [(&one, 1), (&two, 10_000_000)] {
            let rows = rows("t", first + part * 30_000, 30_000);
            client.batch_execute(&rows).await.unwrap();
        }
    }
    streamed
        .wait_for_staged("both stages", |bytes| bytes > 240 << 20)
        .await;
    for client in [&two, &one] {
        client.batch_execute("commit").await.unwrap();
    }
    let all = "select count(*), bool_and((record->>'id')::bigint = case when sequence_id <= 300000
                      then sequence_id + 9999999 else sequence_id - 300000 end) from rowhook.events";
    wait_for(&streamed.log, "all of both", async || {
        count(&streamed.log).await == 600_000
    })
    .await;
    let row = streamed.log.query_one(all, &[]).await.unwrap();
    assert!(row.get::<_, bool>(1));
    let memory = streamed.daemon.peak_memory();
    println!(
        "600,000 rows in two staged transactions: {} MiB",
        memory >> 20
    );
    assert!(memory < FLAT, "{} MiB", memory >> 20);
    assert_eq!(streamed.daemon.stop().await, Some(0));
}
