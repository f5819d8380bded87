//! The commands that read the log, the settings and the webhooks.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::capture::Captured;
use crate::cluster::Database;
use crate::daemon::Rowhook;
use crate::logged::{count, wait_for};
use crate::patience::PATIENCE;
use crate::receiver::{Receiver, Reply};

const TABLE: &str = "create table t (id int primary key, v text)";
/// Pauses between the changes of an application.
const WRITING: Duration = Duration::from_millis(100);

#[tokio::test]
async fn events_are_listed_shown_and_followed() {
    let captured = Captured::tables(&format!("{TABLE}; create table u (id int primary key)")).await;
    captured
        .execute("insert into t values (1, 'a'), (2, 'b')")
        .await;
    captured
        .execute("update t set v = 'c' where id = 1; insert into u values (1)")
        .await;
    let logged = captured.logged(4).await;
    let rowhook = &captured.rowhook;
    for (arguments, expected) in [
        (vec![], vec![1, 2, 3, 4]),
        (vec!["--limit", "2"], vec![3, 4]),
        (vec!["--after", "1", "--limit", "2"], vec![2, 3]),
        (vec!["--before", "3"], vec![1, 2]),
        (vec!["--type", "t.updated"], vec![3]),
        (vec!["--resource", "u"], vec![4]),
        (vec!["--resource", "t", "--id", "1"], vec![1, 3]),
        (vec!["--type", "t.deleted"], vec![]),
    ] {
        let arguments = [vec!["events", "list", "--json"], arguments].concat();
        let lines = rowhook.succeed(&arguments).await;
        let ids: Vec<i64> = lines
            .lines()
            .map(|line| {
                serde_json::from_str::<Value>(line).unwrap()["sequenceId"]
                    .as_i64()
                    .unwrap()
            })
            .collect();
        assert_eq!(ids, expected, "{arguments:?}");
    }
    let text = rowhook.succeed(&["events", "list"]).await;
    assert!(
        text.contains("t.updated") && text.contains("\"a\" → \"c\""),
        "{text}"
    );

    let by_id = rowhook.json(&["events", "show", &logged[2].event_id]).await;
    assert_eq!(by_id, rowhook.json(&["events", "show", "3"]).await);
    assert_eq!(by_id["record"]["v"], "c");
    assert_eq!(by_id["previousValues"]["v"], "a");
    let text = rowhook.succeed(&["events", "show", "3"]).await;
    assert!(text.contains("OLD") && text.contains("\"a\""), "{text}");
    for (unknown, code) in [
        ("5", 1),
        ("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", 1),
        ("nonsense", 78),
    ] {
        let said = rowhook.fail(&["events", "show", unknown], code).await;
        assert!(said.contains(unknown), "{said}");
    }
    follow(&captured).await;
}

async fn follow(captured: &Captured) {
    let mut tail = captured
        .rowhook
        .command(&["events", "tail", "--json", "--limit", "1"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    for newest in [4, 5, 6] {
        let line = lines.next_line().await.unwrap().unwrap();
        let event: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(event["sequenceId"], newest);
        captured
            .execute(&format!("insert into u values ({newest})"))
            .await;
    }
}

#[tokio::test]
async fn a_reader_that_goes_away_early_is_no_fault() {
    let captured = Captured::tables(TABLE).await;
    captured
        .execute("insert into t select i, repeat('x', 1000) from generate_series(1, 2000) i")
        .await;
    captured.logged(2000).await;
    let binary = env!("CARGO_BIN_EXE_rowhook");
    let config = captured.rowhook.config();
    for command in [
        "list --limit 2000 --json",
        "list --limit 2000",
        "tail --json",
        "tail",
    ] {
        let line = format!(
            "set -o pipefail; {binary} -c {} events {command} | head -1",
            config.display()
        );
        let mut shell = tokio::process::Command::new("bash");
        let mut running = shell.args(["-c", &line]).kill_on_drop(true);
        running = running.stdout(Stdio::piped()).stderr(Stdio::piped());
        let ended = running.spawn().unwrap().wait_with_output();
        let mut ended = std::pin::pin!(tokio::time::timeout(PATIENCE, ended));
        // A follower notices with the next line that it writes.
        let output = loop {
            tokio::select! {
                output = &mut ended => break output,
                () = tokio::time::sleep(WRITING) => {
                    captured.execute("update t set v = v || 'y' where id = 1").await;
                }
            }
        };
        let output = output
            .unwrap_or_else(|_| panic!("{command} does not end"))
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{command}: {output:?}");
        assert!(output.stderr.is_empty(), "{command}: {output:?}");
        assert!(!output.stdout.is_empty(), "{command}");
    }
}

#[tokio::test]
async fn settings_are_shown_without_their_secrets_and_described_by_a_schema() {
    let database = Database::create().await;
    let webhook = toml::toml! {
        name = "billing"
        url = "https://billing.example/hook"
        secret = "whsec_c2VjcmV0LW9mLXRoZS10ZXN0LW9mLXRoZS1zZXR0aW5ncw=="
        headers = { authorization = "Bearer hidden-token" }
    };
    let rowhook = Rowhook::new(&database).webhook(webhook);
    let shown = rowhook.json(&["config", "show"]).await;
    assert_eq!(shown["webhook"][0]["name"], "billing");
    assert_eq!(shown["source"]["wal_budget"], "20GiB");
    for text in [
        shown.to_string(),
        rowhook.succeed(&["config", "show"]).await,
    ] {
        for secret in ["s3cret", "pass%25word", "c2VjcmV0", "hidden-token"] {
            assert!(!text.contains(secret), "{secret} is in\n{text}");
        }
    }
    let schema = rowhook.succeed(&["config", "schema"]).await;
    let schema: Value = serde_json::from_str(&schema).unwrap();
    assert!(schema["properties"]["source"].is_object());
}

#[tokio::test]
async fn webhooks_are_listed_tested_paused_and_resumed() {
    let receiver = Receiver::start().await;
    let mut captured = Captured::with(TABLE, |rowhook| {
        rowhook.webhook_to("audit", &receiver, toml::Table::new())
    })
    .await;
    let rowhook = &captured.rowhook;
    let tested = rowhook.json(&["webhooks", "test", "audit"]).await;
    assert_eq!(tested["delivered"], true);
    assert_eq!(receiver.requests()[0].event_type, "rowhook.test");
    receiver.assert_all_signed();
    receiver.answer_next([Reply::Status(500)]);
    let said = rowhook.fail(&["webhooks", "test", "audit"], 1).await;
    assert!(said.contains("500"), "{said}");
    let said = rowhook.fail(&["webhooks", "test", "adit"], 78).await;
    assert!(
        said.contains("adit") && said.contains("one of: audit"),
        "{said}"
    );
    rowhook.fail(&["webhooks", "pause", "adit"], 78).await;
    assert_eq!(count(&captured.client).await, 0);

    wait_for(&captured.client, "the webhook's own row", async || {
        let row = "select count(*) from rowhook.subscriptions";
        captured
            .client
            .query_one(row, &[])
            .await
            .unwrap()
            .get::<_, i64>(0)
            == 1
    })
    .await;
    rowhook
        .succeed(&["webhooks", "pause", "audit", "--reason", "migration"])
        .await;
    let listed = rowhook.json(&["webhooks", "list"]).await;
    assert_eq!(listed[0]["state"], "paused");
    assert_eq!(listed[0]["reason"], "migration");
    // A daemon that runs notices within seconds; one that starts knows before it sends.
    assert_eq!(captured.daemon.stop().await, Some(0));
    captured.daemon = rowhook.spawn_ready().await;
    captured.execute("insert into t values (1)").await;
    captured.logged(1).await;
    assert_eq!(receiver.count(), 2);
    rowhook.succeed(&["webhooks", "resume", "audit"]).await;
    let requests = receiver.wait_for_count(3).await;
    assert_eq!(requests[2].event_type, "t.created");
}
