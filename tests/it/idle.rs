//! A daemon with nothing to do asks little of its server, and hears what it is asked for.

use std::time::{Duration, Instant};

use tokio_postgres::Client;
use toml::Table;

use crate::capture::Captured;
use crate::logged::wait_for;
use crate::receiver::Receiver;
use crate::served::{Served, accepted};

/// How many transactions a database has seen.
async fn transactions(elsewhere: &Client, database: &str) -> i64 {
    let sql = "select xact_commit from pg_stat_database where datname = $1";
    let row = elsewhere.query_one(sql, &[&database]).await.unwrap();
    row.get(0)
}

/// A look in one round trip is one transaction; one that is prepared each time is two, and planned anew.
#[tokio::test]
async fn an_idle_daemon_asks_its_server_little() {
    let receiver = Receiver::start().await;
    let served = Served::with(|rowhook| {
        rowhook
            .webhook_to("billing", &receiver, Table::new())
            // As often as without a test.
            .env("ROWHOOK_TEST_LOOKS", "1h")
    })
    .await;
    served.insert(1, 1).await;
    accepted(&receiver, 1).await;
    let database = &served.database;
    // What asks there is no transaction of this database.
    let elsewhere = database.cluster.client("postgres").await;
    let until = async |wanted: i64| {
        wait_for(&served.client, "transactions", async || {
            transactions(&elsewhere, &database.name).await >= wanted
        })
        .await;
        Instant::now()
    };
    // Those of the start are counted late.
    let first = transactions(&elsewhere, &database.name).await + 60;
    let began = until(first).await;
    let elapsed = until(first + 80).await - began;
    assert!(elapsed > Duration::from_secs(8), "80 in {elapsed:?}");
}

/// A daemon that had to look for them would see one each second.
#[tokio::test]
async fn what_is_asked_for_wakes_the_daemon() {
    let captured = Captured::tables("create table posts (id int primary key)").await;
    let began = Instant::now();
    for _ in 0..20 {
        let emit = ["events", "emit", "a.b", "--wait"];
        captured.rowhook.succeed(&emit).await;
    }
    let elapsed = began.elapsed();
    assert!(elapsed < Duration::from_secs(15), "20 in {elapsed:?}");
}
