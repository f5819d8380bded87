//! Every failpoint is reached, and nothing is lost or doubled there.

use std::collections::BTreeSet;
use std::path::Path;

use tokio_postgres::Client;

use super::blows::{PLACES, TOGETHER};
use crate::cluster::Database;
use crate::daemon::{Daemon, Rowhook};
use crate::logged::wait_for;
use crate::receiver::{Receiver, Reply};

const TABLES: &str = "
    create table t (id bigint generated always as identity primary key, v text);
    create schema other;
    create table other.t (v text)";
/// One row more than a batch of 4 MiB holds, in one transaction.
const LARGE: &str =
    "insert into t (v) select repeat(md5(g::text), 32) from generate_series(1, 5000) g";
/// As much WAL as makes a position worth a checkpoint.
const ELSEWHERE: &str =
    "insert into other.t select repeat(md5(g::text), 32) from generate_series(1, 2000) g";

/// Places that scheduled events alone come by: `scheduled::killed_at_any_step…` leads there.
const SCHEDULED: &[&str] = &["scheduled.claimed", "log.scheduled"];

/// An installation with a webhook, on a database of its own.
struct Stage {
    database: Database,
    client: Client,
    receiver: Receiver,
    rowhook: Rowhook,
}

impl Stage {
    async fn set_up() -> Self {
        let database = Database::create().await;
        let client = database.client().await;
        client.batch_execute(TABLES).await.unwrap();
        let receiver = Receiver::start().await;
        let rowhook = Rowhook::new(&database)
            .set("capture.tables", vec!["public.*"])
            .webhook_to("all", &receiver, toml::Table::new());
        rowhook.setup().await;
        Self {
            database,
            client,
            receiver,
            rowhook,
        }
    }

    fn spawn_failing(&self, place: &str, how: &str) -> Daemon {
        self.rowhook.spawn_with(|command| {
            command.env("FAILPOINTS", format!("{place}={how}"));
        })
    }

    /// Does what leads to a place.
    async fn lead_to(&self, place: &'static str) {
        // One event alone: where many fail the endpoint counts as down, and nothing is parked.
        let next = "select (last_value + 1)::text from t_id_seq";
        let next: String = self.client.query_one(next, &[]).await.unwrap().get(0);
        self.receiver.on_request(move |request| {
            let fails = place == "dispatch.park" && request.resource_id == next;
            Reply::Status(if fails { 503 } else { 200 })
        });
        let sql = match place {
            "log.part" => LARGE,
            "log.position" | "log.positioned" => ELSEWHERE,

            _ => "insert into t (v) values ('x')",
        };
        self.client.batch_execute(sql).await.unwrap();
    }

    /// Waits until the log holds each row once; in the order of the ids, for one session wrote them.
    async fn is_complete(&self) {
        let ids = "select array_agg(id order by id) from t";
        let rows: Option<Vec<i64>> = self.client.query_one(ids, &[]).await.unwrap().get(0);
        let rows = rows.unwrap_or_default();
        let last = rows.last().copied();
        wait_for(&self.client, "the last row", async || {
            let query = "select (record ->> 'id')::bigint from rowhook.events order by sequence_id desc limit 1";
            let row = self.client.query_opt(query, &[]).await.unwrap();
            row.map(|row| row.get(0)) == last
        })
        .await;
        let ids =
            "select array_agg((record ->> 'id')::bigint order by sequence_id) from rowhook.events";
        let logged: Vec<i64> = self.client.query_one(ids, &[]).await.unwrap().get(0);
        assert_eq!(logged, rows);
    }
}

#[tokio::test]
async fn a_process_that_dies_at_any_place_loses_and_doubles_nothing() {
    if !cfg!(feature = "failpoints") {
        return;
    }
    let stage = Stage::set_up().await;
    for place in PLACES {
        let mut daemon = stage.spawn_failing(place, "return");
        stage.lead_to(place).await;
        assert_eq!(
            daemon.wait_exit().await,
            None,
            "{place} was not reached\n{}",
            daemon.logs()
        );
        let mut daemon = stage.rowhook.spawn_ready().await;
        stage.lead_to("the end").await;
        stage.is_complete().await;
        daemon.kill9().await;
    }
    drop(stage.database);
}

#[tokio::test]
async fn a_step_that_fails_at_any_place_is_done_again() {
    if !cfg!(feature = "failpoints") {
        return;
    }
    let stage = Stage::set_up().await;
    let alone = |place: &&&str| !TOGETHER.contains(*place);
    for place in PLACES.iter().filter(alone) {
        let mut daemon = stage.spawn_failing(place, "1*return(fault)->off");
        stage.lead_to(place).await;
        daemon.wait_for_log(&format!("failpoint {place}")).await;
        stage.lead_to("the end").await;
        stage.is_complete().await;
        daemon.wait_ready().await;
        daemon.kill9().await;
    }
    drop(stage.database);
}

#[test]
fn all_places_of_the_product_are_known_here() {
    let mut found = BTreeSet::new();
    collect(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut found,
    );
    let known = PLACES.iter().chain(SCHEDULED);
    let known: BTreeSet<String> = known.map(|place| (*place).to_owned()).collect();
    assert_eq!(found, known);
}

fn collect(directory: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let calls = text.split("failpoint::pass(\"").skip(1);
        found.extend(calls.filter_map(|call| Some(call.split_once('"')?.0.to_owned())));
    }
}
