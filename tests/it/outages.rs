//! Servers that stop, break, fill up or fall silent: the daemon goes on as soon as they do, and
//! nothing is lost or doubled.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_postgres::Client;

use crate::cluster::{Cluster, Database, Stop, unprivileged_user};
use crate::daemon::{Daemon, Rowhook};
use crate::logged::{Logged, events, wait_for, wait_for_logged};
use crate::proxy::Proxy;
use crate::receiver::Receiver;

const TABLE: &str = "create table t (id bigint generated always as identity primary key, v text)";
const INSERT: &str = "insert into t (v) values ('x')";

/// A fast shutdown that takes longer was held up by a session that did not end: the server waits for one
/// for as long as `source.silence_timeout`, 30 seconds. Otherwise it takes a fraction of a second.
const FAST: Duration = Duration::from_secs(15);
/// An outage that is longer than the first pauses between tries.
const LONG_OUTAGE: Duration = Duration::from_secs(10);

/// Every row of `t` is in the log once, whatever the order of the commits.
pub(crate) async fn assert_every_row_once(source: &Client, log: &Client) {
    let rows = source
        .query("select id from t order by id", &[])
        .await
        .unwrap();
    let rows: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
    let logged = wait_for_logged(log, rows.len() as i64).await;
    assert_eq!(ids(&logged), rows);
}

/// The database's URL with the proxy's port.
pub(crate) fn through(proxy: &Proxy, database: &Database) -> String {
    database.url().replace(
        &format!(":{}/", database.cluster.port()),
        &format!(":{}/", proxy.port()),
    )
}

/// The rows' ids, in order of the ids.
fn ids(events: &[Logged]) -> Vec<i64> {
    let mut ids: Vec<i64> = events
        .iter()
        .map(|event| event.record["id"].as_i64().unwrap())
        .collect();
    ids.sort_unstable();
    ids
}

#[tokio::test]
async fn nothing_is_lost_or_doubled_while_postgres_comes_and_goes() {
    let cluster = Arc::new(Cluster::start(&[]).await);
    let database = Database::create_in(&cluster).await;
    let client = database.client().await;
    client.batch_execute(TABLE).await.unwrap();
    let rowhook = Rowhook::new(&database);
    rowhook.setup().await;
    let mut daemon = rowhook.spawn_ready().await;
    for how in [Stop::Fast, Stop::Immediate] {
        database.client().await.batch_execute(INSERT).await.unwrap();
        cluster.restart(how).await;
        let client = database.client().await;
        client.batch_execute(INSERT).await.unwrap();
        assert_every_row_once(&client, &client).await;
    }
    cluster.stop(Stop::Immediate).await;
    // The outage itself, not a wait for something.
    tokio::time::sleep(LONG_OUTAGE).await;
    let (alive, why) = daemon.get("/readyz").await;
    assert_eq!(alive, 503);
    assert!(why.contains("interrupted"), "{why}");
    cluster.launch().await;
    let client = database.client().await;
    client.batch_execute(INSERT).await.unwrap();
    assert_every_row_once(&client, &client).await;
    daemon.wait_ready().await;
    assert_eq!(daemon.stop().await, Some(0));
}

#[tokio::test]
async fn a_fast_shutdown_of_the_server_is_not_held_up_when_it_holds_the_log_too() {
    let cluster = Arc::new(Cluster::start(&[]).await);
    let database = Database::create_in(&cluster).await;
    shut_down_idle_and_busy(&cluster, &database, &database).await;
}

#[tokio::test]
async fn a_fast_shutdown_of_the_source_is_not_held_up_when_the_log_is_elsewhere() {
    let cluster = Arc::new(Cluster::start(&[]).await);
    let database = Database::create_in(&cluster).await;
    let log = Database::create().await;
    shut_down_idle_and_busy(&cluster, &database, &log).await;
}

async fn shut_down_idle_and_busy(cluster: &Arc<Cluster>, database: &Database, log: &Database) {
    let client = database.client().await;
    client.batch_execute(TABLE).await.unwrap();
    let rowhook = Rowhook::new(database).set("log.url", log.url());
    rowhook.setup().await;
    let mut daemon = rowhook.spawn_ready().await;
    client.batch_execute(INSERT).await.unwrap();
    wait_for_logged(&log.client().await, 1).await;
    let idle = cluster.restart(Stop::Fast).await;

    let client = database.client().await;
    daemon.wait_ready().await;
    let writers = write_until_the_server_ends(database).await;
    let log_client = log.client().await;
    wait_for(&log_client, "a stream under load", async || {
        events(&log_client).await.len() > 200
    })
    .await;
    drop((client, log_client));
    let busy = cluster.restart(Stop::Fast).await;
    writers.join_all().await;

    assert!(idle < FAST, "idle, it took {idle:?}\n{}", daemon.logs());
    assert!(busy < FAST, "busy, it took {busy:?}\n{}", daemon.logs());
    let client = database.client().await;
    client.batch_execute(INSERT).await.unwrap();
    assert_every_row_once(&client, &log.client().await).await;
    assert_eq!(daemon.stop().await, Some(0));
}

/// Sessions that write, one row at a time, until their connection ends.
async fn write_until_the_server_ends(database: &Database) -> JoinSet<()> {
    let mut writers = JoinSet::new();
    for _ in 0..3 {
        let client = database.client().await;
        writers.spawn(async move { while client.batch_execute(INSERT).await.is_ok() {} });
    }
    writers
}

#[tokio::test]
async fn a_connection_that_goes_dead_without_a_word_is_noticed_and_made_anew() {
    let database = Database::create().await;
    let log = Database::create().await;
    let client = database.client().await;
    client.batch_execute(TABLE).await.unwrap();
    let proxy = Proxy::start(database.cluster.port()).await;
    let url = through(&proxy, &database);
    let rowhook = Rowhook::new(&database)
        .set("source.url", url)
        .set("source.silence_timeout", "4s")
        .set("source.connect_timeout", "3s")
        .set("log.url", log.url());
    rowhook.setup().await;
    let mut daemon = rowhook.spawn_ready().await;
    let log = log.client().await;
    client.batch_execute(INSERT).await.unwrap();
    assert_every_row_once(&client, &log).await;
    proxy.go_dead();
    client.batch_execute(INSERT).await.unwrap();
    let line = daemon.wait_for_log("said nothing for 4s").await;
    assert!(line.contains("counts as dead"), "{line}");
    daemon.wait_for_log("no answer within 3s").await;
    proxy.revive();
    client.batch_execute(INSERT).await.unwrap();
    assert_every_row_once(&client, &log).await;
    daemon.wait_ready().await;
    assert_eq!(daemon.stop().await, Some(0));
}

/// A daemon whose log has a database of its own, and that delivers to a receiver.
struct LogElsewhere {
    daemon: Daemon,
    _rowhook: Rowhook,
    receiver: Receiver,
    client: Client,
    _database: Database,
}

impl LogElsewhere {
    async fn start(log: &Database) -> Self {
        let database = Database::create().await;
        let client = database.client().await;
        client.batch_execute(TABLE).await.unwrap();
        let receiver = Receiver::start().await;
        let rowhook = Rowhook::new(&database)
            .set("log.url", log.url())
            .webhook_to("all", &receiver, toml::Table::new());
        rowhook.setup().await;
        Self {
            daemon: rowhook.spawn_ready().await,
            _rowhook: rowhook,
            receiver,
            client,
            _database: database,
        }
    }

    /// Each row was logged once, and each event was delivered once.
    async fn assert_complete(&self, log: &Client) {
        assert_every_row_once(&self.client, log).await;
        let events = events(log).await;
        for event in &events {
            self.receiver.wait_for_event(&event.event_id).await;
        }
        assert_eq!(self.receiver.accepted_events(), events.len() as i64);
    }
}

#[tokio::test]
async fn a_log_that_is_read_only_for_a_while_holds_everything_up_and_loses_nothing() {
    let log = Database::create().await;
    let mut running = LogElsewhere::start(&log).await;
    running.client.batch_execute(INSERT).await.unwrap();
    running.assert_complete(&log.client().await).await;
    set_read_only(&log, "on").await;
    running.client.batch_execute(INSERT).await.unwrap();
    running.daemon.wait_for_log("read-only transaction").await;
    running.client.batch_execute(INSERT).await.unwrap();
    assert!(running.daemon.ended().is_none());
    set_read_only(&log, "off").await;
    running.assert_complete(&log.client().await).await;
    running.daemon.wait_ready().await;
    assert_eq!(running.daemon.stop().await, Some(0));
}

/// Also ends the sessions of the database: they keep what they began with.
async fn set_read_only(database: &Database, state: &str) {
    let name = &database.name;
    let client = database.cluster.client("postgres").await;
    let set = format!("alter database {name} set default_transaction_read_only = {state}");
    client.batch_execute(&set).await.unwrap();
    let end = "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = $1";
    client.query(end, &[name]).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_under_the_log_holds_everything_up_and_loses_nothing() {
    let Some(disk) = SmallDisk::mount() else {
        println!("skipped: only root can mount a small disk");
        return;
    };
    let cluster = Arc::new(Cluster::start(&[]).await);
    let log = Database::create_in(&cluster).await;
    let admin = cluster.client("postgres").await;
    for sql in [
        format!(
            "create tablespace small location '{}'",
            disk.path().display()
        ),
        format!("alter database {} set tablespace small", log.name),
    ] {
        admin.batch_execute(&sql).await.unwrap();
    }
    let mut running = LogElsewhere::start(&log).await;
    // Text that cannot be compressed to almost nothing.
    let fill = "insert into t (v) select string_agg(md5(random()::text || i), '')
                  from generate_series(1, 1000) i, generate_series(1, 300) group by i";
    running.client.batch_execute(fill).await.unwrap();
    // "No space left on device", or "wrote only 4096 of 8192 bytes".
    running.daemon.wait_for_log("could not extend file").await;
    running.client.batch_execute(INSERT).await.unwrap();
    assert!(running.daemon.ended().is_none());
    disk.grow();
    running.assert_complete(&log.client().await).await;
    assert_eq!(running.daemon.stop().await, Some(0));
    drop((running, admin, log, cluster));
}

/// A file system in memory that an empty database fits on and not much more.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let user = unprivileged_user()?;
        let directory = tempfile::TempDir::with_prefix("rowhook-disk-").ok()?;
        let disk = Self(directory);
        let mounted = disk.run(&["mount", "-t", "tmpfs", "-o", "size=14m", "tmpfs"]);
        let owned = mounted && disk.run(&["chown", user]);
        owned.then_some(disk)
    }

    fn path(&self) -> &std::path::Path {
        self.0.path()
    }

    fn grow(&self) {
        assert!(self.run(&["mount", "-o", "remount,size=400m"]));
    }

    fn run(&self, line: &[&str]) -> bool {
        let mut command = Command::new(line[0]);
        command.args(&line[1..]).arg(self.path());
        command.status().is_ok_and(|status| status.success())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        self.run(&["umount", "--lazy"]);
    }
}
