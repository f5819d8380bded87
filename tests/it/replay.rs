//! Stored events, sent again.

use serde_json::Value;
use toml::{Table, toml};

use crate::daemon::Rowhook;
use crate::logged::{events, wait_for, wait_for_logged};
use crate::receiver::{Received, Receiver, Reply};
use crate::served::{Served, accepted, assert_in_order};

/// The requests of replays, in their order.
fn replayed(requests: &[Received]) -> Vec<&Received> {
    let is_replay = |request: &&Received| request.header("x-rowhook-replay").is_some();
    requests.iter().filter(is_replay).collect()
}

fn ids(requests: &[&Received]) -> Vec<i64> {
    requests.iter().map(|request| request.sequence_id).collect()
}

/// Waits until so many requests of replays were accepted; gives all requests.
async fn wait_for_replayed(receiver: &Receiver, count: usize) -> Vec<Received> {
    let enough = |requests: &[Received]| {
        let replayed = replayed(requests);
        replayed.iter().filter(|request| request.accepted()).count() >= count
    };
    receiver.wait_for(enough).await
}

/// The entry of `replay list` once a condition on `rowhook.replays` holds.
async fn wait_for_replay(served: &Served, id: i64, condition: &str) -> Value {
    let sql = format!("select 1 from rowhook.replays where replay_id = $1 and ({condition})");
    wait_for(&served.client, condition, async || {
        let row = served.client.query_opt(&sql, &[&id]).await.unwrap();
        row.is_some()
    })
    .await;
    let list = served.rowhook.json(&["replay", "list"]).await;
    let mut entries = list.as_array().unwrap().iter();
    entries.find(|entry| entry["id"] == id).unwrap().clone()
}

/// Waits until a replay has left nothing behind but its row in `rowhook.replays`.
async fn wait_until_tidy(served: &Served) {
    wait_for(&served.client, "no row of a replay", async || {
        let sql = "select 1 from rowhook.subscriptions where name like '%/%'";
        served.client.query(sql, &[]).await.unwrap().is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_range_is_sent_again_with_the_same_ids_and_marked() {
    let (own, snaapi) = (Receiver::start().await, Receiver::start().await);
    let served = Served::with(|rowhook| {
        rowhook.webhook_to("hook", &own, Table::new()).webhook_to(
            "other",
            &snaapi,
            toml! { format = "snaapi" },
        )
    })
    .await;
    served.insert(1, 10).await;
    accepted(&own, 10).await;
    accepted(&snaapi, 10).await;
    let range = ["--after", "2", "--before", "6"];
    let done = |webhook| [&["replay", "--webhook", webhook][..], &range[..]].concat();
    let report = served.rowhook.json(&done("hook")).await;
    assert_eq!(
        (&report["state"], &report["id"]),
        (&"done".into(), &1.into())
    );
    for (key, value) in [("delivered", 3), ("dead", 0), ("parked", 0), ("skipped", 0)] {
        assert_eq!(report[key], value, "{key}: {report:#}");
    }
    let said = served.rowhook.succeed(&done("other")).await;
    assert_eq!(said, "replay 2: 3 delivered\n");

    let (logged, requests) = (events(&served.client).await, own.requests());
    let again = replayed(&requests);
    assert_eq!(requests.len(), 13);
    let mut sent = ids(&again);
    sent.sort_unstable();
    assert_eq!(sent, [3, 4, 5]);
    for request in again {
        let first = &requests[..10].iter();
        let mut first = first.clone();
        let first = first.find(|it| it.event_id == request.event_id).unwrap();
        let event = &logged[request.sequence_id as usize - 1];
        assert_eq!(request.event_id, event.event_id);
        assert_eq!(request.header("webhook-id"), Some(&*event.event_id));
        assert_eq!(request.header("x-rowhook-replay"), Some("1"));
        assert_eq!(request.header("x-rowhook-subscription"), Some("hook"));
        let (before, now) = (first.json(), request.json());
        assert_eq!(now["delivery"]["replay"], 1);
        assert_eq!(now["subscription"], "hook");
        assert_eq!(now["event"], before["event"]);
        assert_ne!(now["delivery"]["id"], before["delivery"]["id"]);
        assert!(before["delivery"].get("replay").is_none());
    }
    let requests = snaapi.requests();
    let again = replayed(&requests);
    assert_eq!(again.len(), 3);
    assert!(again[0].json()["delivery"].get("replay").is_none());
    own.assert_all_signed();

    wait_until_tidy(&served).await;
    let list = served.rowhook.json(&["webhooks", "list"]).await;
    assert_eq!(list.as_array().unwrap().len(), 2, "{list:#}");
    served.insert(11, 11).await;
    accepted(&own, 11).await;
    assert_eq!(own.count(), 14);
}

#[tokio::test]
async fn filters_choose_and_a_dry_run_counts_what_they_choose() {
    let receiver = Receiver::start().await;
    let served = Served::to(&receiver, toml! { events = ["t.created", "t.updated"] }).await;
    served.insert(1, 6).await;
    for statement in [
        "update t set v = 1 where id <= 3",
        "delete from t where id = 1",
        "insert into t values (7, 0)",
    ] {
        served.execute(statement).await;
    }
    accepted(&receiver, 10).await;
    // 1-6 created, 7-9 updated, 10 deleted, 11 created; hours apart, with one that is a minute early.
    served
        .execute(
            "update rowhook.events set created_at = timestamptz '2026-01-01 00:00Z' + sequence_id * interval '1 hour';
             update rowhook.events set created_at = timestamptz '2026-01-01 07:59Z' where sequence_id = 9",
        )
        .await;
    let cases: [(&[&str], &[i64]); 7] = [
        (&["--type", "*.updated"], &[7, 8, 9]),
        (&["--type", "*.updated", "--type", "*.deleted"], &[7, 8, 9]),
        (&["--resource", "t", "--resource-id", "2"], &[2, 8]),
        (&["--from", "2026-01-01T08:00:00Z"], &[8, 11]),
        (&["--to", "2026-01-01T08:00:00Z"], &[1, 2, 3, 4, 5, 6, 7, 9]),
        (
            &[
                "--from",
                "2026-01-01T05:00:00Z",
                "--before",
                "8",
                "--type",
                "t.*",
            ],
            &[5, 6, 7],
        ),
        (&["--resource", "nothing"], &[]),
    ];
    for (filter, expected) in cases {
        let wanted = [&["replay", "--webhook", "hook"][..], filter].concat();
        let before = receiver.count();
        let dry = served
            .rowhook
            .json(&[&wanted[..], &["--dry-run"]].concat())
            .await;
        assert_eq!(dry["events"], expected.len(), "{filter:?}: {dry:#}");
        let sample = dry["sample"].as_array().unwrap();
        let first: Vec<_> = sample.iter().map(|it| it["sequence_id"].as_i64()).collect();
        let few: Vec<_> = expected.iter().take(5).map(|id| Some(*id)).collect();
        assert_eq!(first, few);
        let by_type = dry["types"].as_object().unwrap().values();
        let sum: u64 = by_type.map(|count| count.as_u64().unwrap()).sum();
        assert_eq!(sum as usize, expected.len());
        assert_eq!(receiver.count(), before);

        let report = served.rowhook.json(&wanted).await;
        assert_eq!(report["delivered"], expected.len(), "{report:#}");
        let requests = receiver.requests();
        let mut sent: Vec<i64> = requests[before..].iter().map(|r| r.sequence_id).collect();
        sent.sort_unstable();
        assert_eq!(sent, expected, "{filter:?}");
    }
    let text = served
        .rowhook
        .succeed(&["replay", "--webhook", "hook", "--after", "0", "--dry-run"])
        .await;
    assert!(
        text.starts_with("10 events would be sent again to hook\n"),
        "{text}"
    );
    assert!(text.contains("t.created"), "{text}");
}

#[tokio::test]
async fn a_condition_chooses_among_the_rows() {
    let receiver = Receiver::start().await;
    let served = Served::to(&receiver, Table::new()).await;
    served.insert(1, 3).await;
    accepted(&receiver, 3).await;
    let rowhook = &served.rowhook;
    let asked = ["replay", "--webhook", "hook", "--after", "0", "--when"];
    let counted = [&asked[..], &["new.id >= 2", "--dry-run"]].concat();
    let said = rowhook.succeed(&counted).await;
    assert!(said.starts_with("2 events would be sent"), "{said}");
    rowhook
        .succeed(&[&asked[..], &["new.id == 2"]].concat())
        .await;
    let requests = receiver.wait_for_count(4).await;
    assert_eq!(requests.len(), 4);
    assert_eq!(requests[3].resource_id, "2");
    assert_eq!(requests[3].header("x-rowhook-replay"), Some("1"));
}

#[tokio::test]
async fn what_cannot_be_replayed_is_refused_with_the_reason() {
    let receiver = Receiver::start().await;
    let served = Served::to(&receiver, Table::new()).await;
    served.insert(1, 3).await;
    wait_for_logged(&served.client, 3).await;
    let cases: [(&[&str], i32, &str); 9] = [
        (&["--webhook", "hok", "--after", "0"], 78, "one of: hook"),
        (&["--webhook", "hook"], 78, "--after 0 is the whole log"),
        (
            &["--webhook", "hook", "--after", "3"],
            78,
            "no event in this range",
        ),
        (
            &["--webhook", "hook", "--type", "t"],
            78,
            "\"t\" matches no event",
        ),
        (
            &["--webhook", "hook", "--after", "0", "--when", "nw.id == 2"],
            78,
            "--when: column 1: unknown variable `nw`",
        ),
        (
            &["--webhook", "hook", "--after", "0", "--rate", "fast"],
            2,
            "\"50/s\"",
        ),
        (
            &["--webhook", "hook", "--from", "yesterday"],
            2,
            "2026-01-31T12:00:00Z",
        ),
        (&["--after", "0"], 2, "--webhook"),
        (&["cancel", "7"], 78, "there is no replay 7"),
    ];
    for (arguments, code, reason) in cases {
        let arguments = [&["replay"][..], arguments].concat();
        let said = served.rowhook.fail(&arguments, code).await;
        assert!(said.contains(reason), "{arguments:?}: {said}");
    }
    let said = served.rowhook.succeed(&["replay", "list"]).await;
    assert_eq!(said, "no replay was ever asked for\n");
}

#[tokio::test]
async fn a_replay_goes_on_after_kill_9_and_keeps_its_order() {
    let receiver = Receiver::start().await;
    let mut served = Served::to(&receiver, Table::new()).await;
    for _ in 0..10 {
        served
            .execute("insert into t select i, 0 from generate_series(1, 20) i on conflict (id) do update set v = t.v + 1")
            .await;
    }
    accepted(&receiver, 200).await;
    let asked = [
        "replay",
        "--webhook",
        "hook",
        "--after",
        "0",
        "--rate",
        "100/s",
        "--detach",
    ];
    served.rowhook.succeed(&asked).await;
    wait_for_replayed(&receiver, 120).await;
    let moved = "select 1 from rowhook.subscriptions where name = 'hook/replay-1' and cursor > 50";
    wait_for(&served.client, "the replay's cursor", async || {
        served.client.query_opt(moved, &[]).await.unwrap().is_some()
    })
    .await;
    served.daemon.kill9().await;
    receiver.wait_until_left().await;
    let before = replayed(&receiver.requests()).len();
    served.restart().await;
    let report = wait_for_replay(&served, 1, "state = 'done'").await;
    assert_eq!(report["cursor"], 200);
    assert!(report["delivered"].as_i64() >= Some(200), "{report:#}");
    let requests = receiver.requests();
    let again: Vec<Received> = replayed(&requests).into_iter().cloned().collect();
    let distinct: std::collections::HashSet<i64> = again.iter().map(|r| r.sequence_id).collect();
    assert_eq!(distinct.len(), 200);
    assert!(again.len() < 350, "{} requests", again.len());
    let (first, second) = again.split_at(before);
    assert_in_order(first);
    assert_in_order(second);
}

#[tokio::test]
async fn a_replay_waits_for_a_paused_webhook_and_for_its_turn() {
    let receiver = Receiver::start().await;
    let served = Served::to(&receiver, Table::new()).await;
    served.insert(1, 5).await;
    accepted(&receiver, 5).await;
    served.rowhook.succeed(&["webhooks", "pause", "hook"]).await;
    let asked = ["replay", "--webhook", "hook", "--after", "0", "--detach"];
    for _ in 0..2 {
        served.rowhook.succeed(&asked).await;
    }
    let first = wait_for_replay(&served, 1, "reason like '%is paused'").await;
    assert_eq!(
        (&first["state"], &first["delivered"]),
        (&"running".into(), &0.into())
    );
    let second = wait_for_replay(&served, 2, "reason like '%behind replay 1'").await;
    assert_eq!(second["state"], "waiting");
    assert_eq!(receiver.count(), 5);
    assert_eq!(served.daemon.get("/readyz").await.0, 200);
    served
        .rowhook
        .succeed(&["webhooks", "resume", "hook"])
        .await;
    for id in [1, 2] {
        let report = wait_for_replay(&served, id, "state = 'done'").await;
        assert_eq!(report["delivered"], 5);
        assert_eq!(report["reason"], Value::Null);
    }
    let requests = receiver.requests();
    let order: Vec<_> = replayed(&requests)
        .iter()
        .map(|request| request.header("x-rowhook-replay").unwrap().to_owned())
        .collect();
    assert_eq!(order.concat(), "1111122222");
}

#[tokio::test]
async fn live_events_go_before_a_replay() {
    let receiver = Receiver::start().await;
    let served = Served::to(&receiver, toml! { concurrency = 1 }).await;
    served.insert(1, 50).await;
    accepted(&receiver, 50).await;
    served.rowhook.succeed(&["webhooks", "pause", "hook"]).await;
    let asked = ["replay", "--webhook", "hook", "--before", "51", "--detach"];
    served.rowhook.succeed(&asked).await;
    wait_for_replay(&served, 1, "reason like '%is paused'").await;
    served.insert(51, 3000).await;
    wait_for_logged(&served.client, 3000).await;
    served
        .rowhook
        .succeed(&["webhooks", "resume", "hook"])
        .await;
    wait_for_replay(&served, 1, "state = 'done'").await;
    let requests = receiver.requests();
    let first = requests
        .iter()
        .position(|r| r.header("x-rowhook-replay").is_some())
        .unwrap();
    assert!(first >= 1500, "the replay began after {first} requests");
}

#[tokio::test]
async fn what_a_replay_cannot_deliver_is_dead_under_its_name_and_can_be_requeued() {
    let receiver = Receiver::start().await;
    let retry = toml! { retry = { attempts = 2, initial = "10ms", multiplier = 1, max = "10ms" } };
    let served = Served::to(&receiver, retry).await;
    served.insert(1, 5).await;
    accepted(&receiver, 5).await;
    receiver.fail_for("3", 500);
    let asked = ["replay", "--webhook", "hook", "--after", "0"];
    let said = served.rowhook.succeed(&asked).await;
    assert_eq!(said, "replay 1: 4 delivered, 1 dead under hook/replay-1\n");
    assert_eq!(served.deliveries().await, ["3 dead 2"]);
    assert_eq!(served.cursor("hook/replay-1").await, 5);

    receiver.on_request(|_| Reply::Status(200));
    served
        .execute(
            "update rowhook.deliveries set state = 'waiting', attempts = 0, due_at = now()
              where subscription = 'hook/replay-1'",
        )
        .await;
    let report = wait_for_replay(&served, 1, "state = 'done' and delivered = 5").await;
    assert_eq!(report["dead"], 0);
    wait_until_tidy(&served).await;
}

#[tokio::test]
async fn a_replay_can_be_cancelled_and_leaves_nothing_to_send() {
    let receiver = Receiver::start().await;
    let mut served = Served::to(&receiver, Table::new()).await;
    served.insert(1, 500).await;
    accepted(&receiver, 500).await;
    receiver.on_request(|request| match request.resource_id.as_str() {
        "1" => Reply::with_header(500, "Retry-After", "3600"),
        _ => Reply::Status(200),
    });
    let asked = [
        "replay",
        "--webhook",
        "hook",
        "--after",
        "0",
        "--rate",
        "5/s",
        "--detach",
    ];
    let report = served.rowhook.json(&asked).await;
    assert_eq!(report["state"], "waiting");
    wait_for_replayed(&receiver, 3).await;
    served.wait_for_deliveries(&["1 waiting 1"]).await;
    let said = served.rowhook.succeed(&["replay", "cancel", "1"]).await;
    assert!(said.starts_with("replay 1: cancelled"), "{said}");
    wait_until_tidy(&served).await;
    let said = served.rowhook.fail(&["replay", "cancel", "1"], 78).await;
    assert!(said.contains("it is cancelled"), "{said}");
    let count = receiver.count();
    assert!(count < 600, "{count}");

    // One that nobody has begun, with the daemon down.
    assert_eq!(served.daemon.stop().await, Some(0));
    served.rowhook.succeed(&asked).await;
    served.rowhook.succeed(&["replay", "cancel", "2"]).await;
    served.restart().await;
    wait_until_tidy(&served).await;
    assert_eq!(receiver.count(), count);
}

#[tokio::test]
async fn what_the_retention_took_before_its_turn_is_counted() {
    let receiver = Receiver::start().await;
    let mut served = Served::with(|rowhook| {
        rowhook
            .set("log.segment_size", 10)
            .set("log.retention", "1d")
            .webhook_to("hook", &receiver, Table::new())
    })
    .await;
    served.insert(1, 35).await;
    accepted(&receiver, 35).await;
    served.wait_for_cursor("hook", 35).await;
    served.rowhook.succeed(&["webhooks", "pause", "hook"]).await;
    let asked = ["replay", "--webhook", "hook", "--after", "5", "--detach"];
    served.rowhook.succeed(&asked).await;
    assert_eq!(served.daemon.stop().await, Some(0));
    served
        .execute("update rowhook.events set created_at = now() - interval '2 days' where sequence_id <= 25")
        .await;
    served.restart().await;
    served.daemon.wait_for_log("dropped old segments").await;
    served
        .rowhook
        .succeed(&["webhooks", "resume", "hook"])
        .await;
    let report = wait_for_replay(&served, 1, "state = 'done'").await;
    assert_eq!(
        (&report["skipped"], &report["delivered"]),
        (&15.into(), &15.into())
    );
    let requests = receiver.requests();
    let mut sent = ids(&replayed(&requests));
    sent.sort_unstable();
    assert_eq!(sent, (21..=35).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_long_range_of_large_events_is_sent_whole() {
    let receiver = Receiver::start().await;
    let served = Served::to(&receiver, toml! { concurrency = 64 }).await;
    served.execute("alter table t add column w text").await;
    served
        .execute("insert into t select i, 0, case when i % 3 > 0 then repeat('x', 25000) end from generate_series(1, 1500) i")
        .await;
    served.wait_for_cursor("hook", 1500).await;
    let asked = [
        "replay",
        "--webhook",
        "hook",
        "--after",
        "100",
        "--type",
        "t.*",
    ];
    let report = served.rowhook.json(&asked).await;
    assert_eq!(report["delivered"], 1400, "{report:#}");
    let requests = receiver.requests();
    let mut sent = ids(&replayed(&requests));
    sent.sort_unstable();
    assert_eq!(sent, (101..=1500).collect::<Vec<_>>());
    let dry = ["replay", "--webhook", "hook", "--after", "100", "--dry-run"];
    assert_eq!(served.rowhook.json(&dry).await["events"], 1400);
}

#[tokio::test]
async fn a_webhook_that_is_taken_out_holds_its_replay_until_it_is_back() {
    let receiver = Receiver::start().await;
    let mut served = Served::to(&receiver, Table::new()).await;
    served.insert(1, 60).await;
    accepted(&receiver, 60).await;
    // For some ten seconds, of which what follows takes one.
    let asked = [
        "replay",
        "--webhook",
        "hook",
        "--after",
        "0",
        "--rate",
        "5/s",
        "--detach",
    ];
    served.rowhook.succeed(&asked).await;
    wait_for_replayed(&receiver, 1).await;
    let status = served.rowhook.json(&["status"]).await;
    assert_eq!(status["replays"][0]["id"], 1, "{status:#}");
    served.rowhook = served
        .rowhook
        .set("webhook", toml::Value::Array(Vec::new()));
    served.daemon.signal("HUP").await;
    let report = wait_for_replay(&served, 1, "reason like '%not in the settings'").await;
    assert!(report["delivered"].as_i64() < Some(60), "{report:#}");
    served.rowhook = served.rowhook.webhook_to("hook", &receiver, Table::new());
    served.daemon.signal("HUP").await;
    wait_for_replay(&served, 1, "state = 'done' and delivered >= 60").await;
    let requests = receiver.requests();
    let distinct: std::collections::HashSet<i64> = ids(&replayed(&requests)).into_iter().collect();
    assert_eq!(distinct.len(), 60);
}

#[tokio::test]
async fn a_410_to_a_replay_pauses_its_webhook_and_nothing_is_lost() {
    let receiver = Receiver::start().await;
    let served = Served::to(&receiver, Table::new()).await;
    served.insert(1, 20).await;
    accepted(&receiver, 20).await;
    receiver.on_request(|_| Reply::Status(410));
    let asked = ["replay", "--webhook", "hook", "--after", "0", "--detach"];
    served.rowhook.succeed(&asked).await;
    let entry = served.wait_for_state("hook", "paused").await;
    assert!(
        entry["reason"].as_str().unwrap().contains("410"),
        "{entry:#}"
    );
    wait_for_replay(&served, 1, "reason like '%is paused'").await;
    receiver.on_request(|_| Reply::Status(200));
    served
        .rowhook
        .succeed(&["webhooks", "resume", "hook"])
        .await;
    let report = wait_for_replay(&served, 1, "state = 'done'").await;
    assert_eq!(
        (&report["delivered"], &report["dead"]),
        (&20.into(), &0.into())
    );
}

/// A replay of five events of which the third is dead.
async fn with_a_dead_one(receiver: &Receiver) -> Served {
    let retry = toml! { retry = { attempts = 1 } };
    let served = Served::to(receiver, retry).await;
    served.insert(1, 5).await;
    accepted(receiver, 5).await;
    receiver.fail_for("3", 500);
    let asked = ["replay", "--webhook", "hook", "--after", "0"];
    served.rowhook.succeed(&asked).await;
    assert_eq!(served.deliveries().await, ["3 dead 1"]);
    receiver.on_request(|_| Reply::Status(200));
    served
}

#[tokio::test]
async fn one_that_is_taken_up_again_for_a_request_runs_once() {
    let receiver = Receiver::start().await;
    let mut served = with_a_dead_one(&receiver).await;
    let explained = served.rowhook.succeed(&["explain", "3"]).await;
    assert!(!explained.contains("settings"), "{explained}");
    let asked = ["deliveries", "retry", "--webhook", "hook/replay-1"];
    let said = served.rowhook.succeed(&asked).await;
    assert!(!said.contains("settings"), "{said}");
    wait_until_tidy(&served).await;
    assert_eq!(served.daemon.stop().await, Some(0));
    let begun = served.daemon.logs().matches("a replay runs").count();
    assert_eq!(begun, 2);
}

#[tokio::test]
async fn what_a_cancelled_one_left_dead_can_be_discarded() {
    let receiver = Receiver::start().await;
    let served = with_a_dead_one(&receiver).await;
    let cancelled = "update rowhook.replays set state = 'cancelled'";
    served.execute(cancelled).await;
    let asked = ["deliveries", "retry", "--webhook", "hook/replay-1"];
    let said = served.rowhook.succeed(&asked).await;
    assert!(
        said.contains("0 to be sent again") && said.contains("cut off"),
        "{said}"
    );
    let asked = [
        "deliveries",
        "discard",
        "--webhook",
        "hook/replay-1",
        "--yes",
    ];
    served.rowhook.succeed(&asked).await;
    wait_until_tidy(&served).await;
}

#[tokio::test]
async fn a_replay_whose_statements_wait_holds_up_no_live_event() {
    let receiver = Receiver::start().await;
    let served = Served::to(&receiver, Table::new()).await;
    served.insert(1, 100).await;
    accepted(&receiver, 100).await;
    let asked = [
        "replay",
        "--webhook",
        "hook",
        "--after",
        "0",
        "--rate",
        "5/s",
        "--detach",
    ];
    served.rowhook.succeed(&asked).await;
    wait_for_replayed(&receiver, 2).await;
    let other = served.database.client().await;
    let lock = "begin; select from rowhook.replays for update";
    other.batch_execute(lock).await.unwrap();
    let waiting = "select 1 from pg_stat_activity where datname = current_database() \
                    and application_name = 'rowhook replays' and wait_event_type = 'Lock'";
    wait_for(&served.client, "a replay that waits", async || {
        let row = served.client.query_opt(waiting, &[]).await;
        row.unwrap().is_some()
    })
    .await;
    served.insert(101, 110).await;
    served.wait_for_cursor("hook", 110).await;
    other.batch_execute("rollback").await.unwrap();
}

#[tokio::test]
async fn what_is_delivered_is_counted_once_though_answers_of_the_log_are_lost() {
    let receiver = Receiver::start().await;
    // Every other flush is made, and nobody hears of it.
    let lost = vec!["1*return(fault)->1*off"; 40].join("->");
    let settings = |rowhook: Rowhook| {
        rowhook
            .webhook_to("hook", &receiver, Table::new())
            .env("FAILPOINTS", &format!("dispatch.flushed={lost}"))
    };
    let served = Served::with(settings).await;
    served.insert(1, 20).await;
    served.wait_for_cursor("hook", 20).await;
    let replay = [
        "replay",
        "--webhook",
        "hook",
        "--after",
        "0",
        "--rate",
        "10/s",
    ];
    let said = served.rowhook.succeed(&replay).await;
    assert!(said.contains(": 20 delivered"), "{said}");
    served
        .daemon
        .wait_for_log("failpoint dispatch.flushed")
        .await;
}

#[tokio::test]
async fn a_webhook_that_is_forgotten_leaves_nothing_of_its_replays() {
    let receiver = Receiver::start().await;
    let mut served = with_a_dead_one(&receiver).await;
    served.rowhook = served
        .rowhook
        .set("webhook", toml::Value::Array(Vec::new()));
    served.daemon.signal("HUP").await;
    served.daemon.wait_for_log("webhooks reloaded").await;
    let count = async |what: &str| -> i64 {
        let query = format!("select count(*) from rowhook.{what}");
        served.client.query_one(&query, &[]).await.unwrap().get(0)
    };
    wait_for(&served.client, "a webhook that is not served", async || {
        count("subscriptions where served").await == 0
    })
    .await;
    let forget = ["webhooks", "forget", "hook", "--yes"];
    let said = served.rowhook.succeed(&forget).await;
    assert!(said.contains("its replays with 1 deliveries"), "{said}");
    assert_eq!(count("deliveries").await, 0);
    wait_for(&served.client, "no cursor of a replay", async || {
        count("subscriptions").await == 0
    })
    .await;
    assert_eq!(served.daemon.stop().await, Some(0));
}
