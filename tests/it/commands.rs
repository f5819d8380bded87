//! What makes, checks and removes an installation, and what the daemon shows of itself.

use serde_json::Value;
use tokio_postgres::Client;

use crate::capture::{Captured, types};
use crate::cluster::Database;
use crate::daemon::Rowhook;
use crate::logged::{count, wait_for};
use crate::receiver::Receiver;

const TABLE: &str = "create table t (id int primary key, v text)";

async fn database_with(sql: &str) -> (Database, Client) {
    let database = Database::create().await;
    let client = database.client().await;
    client.batch_execute(sql).await.unwrap();
    (database, client)
}

/// Everything that setup makes, as text.
async fn made(client: &Client, database: &Database) -> Vec<String> {
    let sql = "
        select 'slot ' || slot_name || confirmed_flush_lsn from pg_replication_slots
         where slot_name = $1
        union all select 'table ' || schemaname || '.' || tablename from pg_publication_tables
         where pubname = $2
        union all select 'relation ' || oid::regclass from pg_class
         where relnamespace = to_regnamespace('rowhook')
        union all select 'identity ' || relname || relreplident::text from pg_class
         where relnamespace = 'public'::regnamespace and relkind = 'r'
        order by 1";
    let (slot, publication) = (database.slot(), database.publication());
    let rows = client.query(sql, &[&slot, &publication]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

fn levels<'a>(report: &'a Value, about: &str) -> Vec<&'a str> {
    let findings = report["findings"].as_array().unwrap();
    findings
        .iter()
        .filter(|finding| finding["about"].as_str().unwrap().starts_with(about))
        .map(|finding| finding["level"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn setup_may_be_run_again_and_print_sql_changes_nothing() {
    let (database, client) = database_with(TABLE).await;
    let rowhook = Rowhook::new(&database);
    let before = made(&client, &database).await;
    let script = rowhook.succeed(&["setup", "--print-sql"]).await;
    for part in [
        "wal_level = logical",
        "replication",
        "alter table \"public\".\"t\" replica identity full",
        &format!("create publication \"{}\"", database.publication()),
        "create schema if not exists rowhook authorization \"postgres\"",
    ] {
        assert!(script.contains(part), "no {part} in\n{script}");
    }
    assert_eq!(made(&client, &database).await, before);

    rowhook.setup().await;
    let once = made(&client, &database).await;
    assert!(once.contains(&"table public.t".to_owned()), "{once:?}");
    assert!(once.contains(&"identity tf".to_owned()), "{once:?}");
    let again = rowhook.succeed(&["setup"]).await;
    assert!(again.contains("ready"), "{again}");
    assert_eq!(made(&client, &database).await, once);
}

#[tokio::test]
async fn what_print_sql_prints_can_be_run_and_leaves_the_rest_to_setup() {
    let (database, client) = database_with(TABLE).await;
    let rowhook = Rowhook::new(&database);
    let script = rowhook.succeed(&["setup", "--print-sql"]).await;
    // Server settings are not this test's to change.
    let ours = script
        .lines()
        .filter(|line| !line.starts_with("alter system"));
    let script: Vec<_> = ours.collect();
    client.batch_execute(&script.join("\n")).await.unwrap();
    rowhook.setup().await;
    assert_eq!(rowhook.json(&["check"]).await["ok"], true);
}

#[tokio::test]
async fn check_tells_programs_what_is_missing_and_then_that_nothing_is() {
    let (database, _client) = database_with(TABLE).await;
    let rowhook = Rowhook::new(&database);
    let report = rowhook.fail(&["check", "--json"], 1).await;
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["ok"], false);
    for about in ["slot", "publication", "log"] {
        assert_eq!(levels(&report, about), ["error"], "{report:#}");
    }
    let missing = report["findings"].as_array().unwrap().iter();
    let fixes = missing.filter(|finding| finding["level"] == "error");
    assert!(
        fixes
            .into_iter()
            .all(|finding| finding["fix"] == "rowhook setup")
    );

    rowhook.setup().await;
    let report = rowhook.json(&["check"]).await;
    assert_eq!(report["ok"], true);
    for about in [
        "slot",
        "publication",
        "log",
        "wal_level",
        "replication session",
    ] {
        assert_eq!(levels(&report, about), ["ok"], "{report:#}");
    }
    let mut daemon = rowhook.spawn_ready().await;
    assert_eq!(rowhook.json(&["check"]).await["ok"], true);
    assert_eq!(daemon.stop().await, Some(0));
}

#[tokio::test]
async fn status_tells_how_far_capture_and_webhooks_have_come() {
    let receiver = Receiver::start().await;
    let mut captured = Captured::with(TABLE, |rowhook| {
        rowhook.webhook_to("audit", &receiver, toml::Table::new())
    })
    .await;
    captured.execute("insert into t values (1), (2)").await;
    receiver.wait_for_count(2).await;
    let rowhook = &captured.rowhook;
    wait_for(&captured.client, "the cursor", async || {
        rowhook.json(&["status"]).await["webhooks"][0]["cursor"] == 2
    })
    .await;
    let status = rowhook.json(&["status"]).await;
    let capture = &status["capture"];
    assert_eq!(capture["slot"], captured.database.slot().as_str());
    assert_eq!(capture["newest_sequence_id"], 2);
    assert!(capture["epoch"].as_i64() >= Some(1), "{status:#}");
    assert!(capture["wal_held_bytes"].is_u64(), "{status:#}");
    let state = capture["slot_state"].as_str().unwrap();
    assert!(state.starts_with("streaming"), "{state}");
    let webhook = &status["webhooks"][0];
    for (key, value) in [("lag_events", 0), ("parked", 0), ("dead", 0)] {
        assert_eq!(webhook[key], value, "{key}: {status:#}");
    }
    assert_eq!(
        (&webhook["name"], &webhook["state"]),
        (&"audit".into(), &"active".into())
    );

    captured.stop().await;
    let text = captured.rowhook.succeed(&["status"]).await;
    assert!(text.contains("idle: no daemon"), "{text}");
    assert!(text.contains("audit"), "{text}");
}

#[tokio::test]
async fn teardown_asks_first_and_a_later_setup_goes_on_where_the_log_ends() {
    let mut captured = Captured::tables(TABLE).await;
    captured.execute("insert into t values (1)").await;
    captured.logged(1).await;
    let said = captured.rowhook.fail(&["teardown", "--yes"], 75).await;
    assert!(said.contains("stop the daemon first"), "{said}");
    captured.stop().await;
    let said = captured.rowhook.fail(&["teardown"], 78).await;
    assert!(said.contains("--yes"), "{said}");

    captured.rowhook.succeed(&["teardown", "--yes"]).await;
    let left = made(&captured.client, &captured.database).await;
    assert!(
        !left.iter().any(|what| what.starts_with("slot")),
        "{left:?}"
    );
    assert!(
        !left.iter().any(|what| what.starts_with("table")),
        "{left:?}"
    );
    assert_eq!(count(&captured.client).await, 1);
    let said = captured.rowhook.fail(&["run"], 70).await;
    assert!(
        said.contains("torn down") && said.contains("rowhook setup"),
        "{said}"
    );

    captured.execute("insert into t values (2)").await;
    captured.rowhook.setup().await;
    captured.daemon = captured.rowhook.spawn_ready().await;
    captured.execute("insert into t values (3)").await;
    let events = captured.logged(3).await;
    assert_eq!(types(&events), ["t.created", "rowhook.gap", "t.created"]);
    assert_eq!(events[2].sequence_id, 3);

    captured.stop().await;
    captured
        .rowhook
        .succeed(&["teardown", "--yes", "--drop-log"])
        .await;
    let left = made(&captured.client, &captured.database).await;
    assert!(
        !left.iter().any(|what| what.contains("rowhook")),
        "{left:?}"
    );
    captured.rowhook.fail(&["status"], 70).await;
}

#[tokio::test]
async fn the_daemon_answers_over_http_logs_json_and_stops_when_asked() {
    let receiver = Receiver::start().await;
    let mut captured = Captured::with(TABLE, |rowhook| {
        rowhook.webhook_to("audit", &receiver, toml::Table::new())
    })
    .await;
    captured.execute("insert into t values (1)").await;
    receiver.wait_for_count(1).await;
    assert_eq!(captured.daemon.get("/healthz").await, (200, "ok\n".into()));
    assert_eq!(captured.daemon.get("/readyz").await.0, 200);
    assert_eq!(captured.daemon.get("/nothing").await.0, 404);
    // The receiver knows of a delivery before the daemon has its answer.
    let delivered = "rowhook_deliveries_total{webhook=\"audit\",outcome=\"delivered\"} 1";
    captured.daemon.wait_for_metric(delivered).await;
    let measured = "rowhook_commit_to_logged_seconds_count 1";
    let metrics = captured.daemon.wait_for_metric(measured).await;
    for line in [
        "rowhook_events_logged_total 1\n",
        "rowhook_source_lag_bytes ",
        "rowhook_slot_wal_bytes ",
        "rowhook_deliveries_parked{webhook=\"audit\"} 0\n",
        "rowhook_deliveries_dead{webhook=\"audit\"} 0\n",
        "rowhook_subscription_lag_events{webhook=\"audit\"} ",
    ] {
        assert!(metrics.contains(line), "no {line} in\n{metrics}");
    }
    assert!(metrics.ends_with("# EOF\n"));
    assert_eq!(captured.daemon.stop().await, Some(0));
    captured.daemon.wait_for_log("stopped as asked").await;
    for line in captured.daemon.logs().lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        assert!(
            line["timestamp"].is_string() && line["level"].is_string(),
            "{line}"
        );
    }
}
