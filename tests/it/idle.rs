//! A daemon with nothing to do asks little of its server, and hears what it is asked for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use toml::Table;

use crate::capture::Captured;
use crate::cluster::{Cluster, Database};
use crate::daemon::Rowhook;
use crate::logged::wait_for;
use crate::receiver::Receiver;

/// One of the looks; it is made each second.
const LOOK: &str = "execute <unnamed>: -- Erasures that the log does not tell of yet";
const LOOKS: usize = 6;

#[tokio::test]
async fn an_idle_daemon_asks_its_server_little() {
    let cluster = Arc::new(Cluster::start(&["log_min_duration_statement=0"]).await);
    let database = Database::create_in(&cluster).await;
    let client = database.client().await;
    let receiver = Receiver::start().await;
    let rowhook = Rowhook::new(&database)
        .webhook_to("billing", &receiver, Table::new())
        // As often as without a test.
        .env("ROWHOOK_TEST_LOOKS", "1h");
    rowhook.setup().await;
    let _daemon = rowhook.spawn_ready().await;
    let asked = async |from: usize, looks: usize| {
        let asked = || cluster.server_log().split_off(from);
        wait_for(&client, "looks", async || {
            asked().matches(LOOK).count() >= looks
        })
        .await;
        asked()
    };
    // The first ones are beside the work of the start.
    let start = asked(0, 3).await.len();
    let idle = asked(start, LOOKS).await;
    let executed = idle.matches(" execute ").count();
    assert!(executed < 8 * LOOKS, "{executed} statements: {idle}");
    // In one round trip each: a statement with a name was prepared before. Some are asked for the first time.
    let prepared = idle.matches(" parse s").count();
    assert!(prepared < LOOKS, "{prepared} prepared: {idle}");
}

/// A daemon that had to look for them would see one each second: twenty took it twenty seconds.
#[tokio::test]
async fn what_is_asked_for_wakes_the_daemon() {
    let captured = Captured::tables("create table posts (id int primary key)").await;
    let began = Instant::now();
    for _ in 0..20 {
        let emit = ["events", "emit", "a.b", "--wait"];
        captured.rowhook.succeed(&emit).await;
    }
    let elapsed = began.elapsed();
    assert!(elapsed < Duration::from_secs(18), "20 in {elapsed:?}");
}

#[tokio::test]
async fn it_takes_no_huge_pages() {
    let captured = Captured::with("create table t (id int primary key)", |rowhook| rowhook).await;
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", captured.daemon.pid())).unwrap();
    // A kernel before 5.0 does not tell.
    let told = status
        .lines()
        .find_map(|line| line.strip_prefix("THP_enabled:"));
    assert_eq!(told.map_or("0", str::trim), "0");
}
