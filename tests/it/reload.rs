//! Settings that change while the daemon runs, and what the retention does with webhooks that are not
//! there, or not there yet.

use base64::Engine as _;
use toml::{Table, Value, toml};

use crate::daemon::Rowhook;
use crate::logged::{events, wait_for, wait_for_logged};
use crate::receiver::{Gate, Received, Receiver, Reply};
use crate::served::{Prepared, Served, accepted};

/// Takes all webhooks out of the settings.
fn without_webhooks(rowhook: Rowhook) -> Rowhook {
    rowhook.set("webhook", Value::Array(Vec::new()))
}

/// Writes other settings, and reloads; gives the line that tells what has changed.
async fn reload(served: Served, change: impl FnOnce(Rowhook) -> Rowhook) -> (Served, String) {
    let reloads = |served: &Served| served.daemon.logs().matches("webhooks reloaded").count();
    let before = reloads(&served);
    let Served {
        daemon,
        rowhook,
        client,
        database,
    } = served;
    let served = Served {
        rowhook: change(rowhook),
        daemon,
        client,
        database,
    };
    served.daemon.signal("HUP").await;
    wait_for(&served.client, "the reload", async || {
        reloads(&served) > before
    })
    .await;
    let logs = served.daemon.logs();
    let mut lines = logs
        .lines()
        .filter(|line| line.contains("webhooks reloaded"));
    let line = lines.next_back().unwrap().to_owned();
    (served, line)
}

fn sequence_ids(requests: &[Received]) -> Vec<i64> {
    let mut ids: Vec<i64> = requests.iter().map(|request| request.sequence_id).collect();
    ids.sort_unstable();
    ids
}

/// Makes the first events old, as if they had been logged long ago.
async fn age(served: &Served, up_to: i64, days: i32) {
    let sql = "update rowhook.events set created_at = now() - make_interval(days => $2) where sequence_id <= $1";
    served.client.execute(sql, &[&up_to, &days]).await.unwrap();
}

#[tokio::test]
async fn a_webhook_that_did_not_change_is_left_alone_by_a_reload() {
    let (kept, added) = (Receiver::start().await, Receiver::start().await);
    let gate = Gate::closed();
    kept.answer_next([Reply::Held(gate.clone(), Box::new(Reply::Status(200)))]);
    let served = Served::to(&kept, Table::new()).await;
    served.insert(1, 1).await;
    kept.wait_for_count(1).await;
    let (served, line) = reload(served, |rowhook| {
        rowhook.webhook_to("second", &added, Table::new())
    })
    .await;
    let change = r#""added":"second","changed":"","removed":"""#;
    assert!(line.contains(change), "{line}");
    // One that was restarted would have to wait for the request in flight.
    served.insert(2, 2).await;
    accepted(&kept, 1).await;
    assert_eq!(sequence_ids(&kept.requests()), [1, 2]);
    gate.open();
    served.wait_for_cursor("hook", 2).await;
    accepted(&added, 2).await;
    assert_eq!(kept.count(), 2);
    let (_served, line) = reload(served, |rowhook| rowhook).await;
    let change = r#""added":"","changed":"","removed":"""#;
    assert!(line.contains(change), "{line}");
}

#[tokio::test]
async fn a_new_webhook_starts_where_it_is_told_and_the_first_one_needs_no_restart() {
    let receivers = [(); 5].map(|()| Receiver::start());
    let [beginning, now, id, since, future] = receivers;
    let (beginning, now, id) = (beginning.await, now.await, id.await);
    let (since, future) = (since.await, future.await);
    let served = Prepared::with(|rowhook| rowhook).await.served().await;
    served.insert(1, 10).await;
    wait_for_logged(&served.client, 10).await;
    served
        .execute("update rowhook.events set created_at = timestamptz '2020-01-01 00:00Z' + sequence_id * interval '1 hour'")
        .await;
    let (served, _) = reload(served, |rowhook| {
        rowhook
            .webhook_to("beginning", &beginning, toml! { start = "beginning" })
            .webhook_to("now", &now, toml! { start = "now" })
            .webhook_to("id", &id, toml! { start = 9 })
            .webhook_to(
                "since",
                &since,
                toml! { start = "2020-01-01T07:30:00+01:00" },
            )
            .webhook_to("future", &future, toml! { start = "2999-01-01T00:00:00Z" })
    })
    .await;
    for (name, cursor) in [
        ("now", 10),
        ("future", 10),
        ("beginning", 10),
        ("id", 10),
        ("since", 10),
    ] {
        served.wait_for_cursor(name, cursor).await;
    }
    served.insert(11, 11).await;
    for (receiver, first) in [
        (&beginning, 1),
        (&now, 11),
        (&id, 9),
        (&since, 7),
        (&future, 11),
    ] {
        let requests = accepted(receiver, 12 - first).await;
        assert_eq!(sequence_ids(&requests), (first..=11).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_webhook_that_comes_back_goes_on_from_its_cursor_unless_it_was_forgotten() {
    let receiver = Receiver::start().await;
    let served = Served::to(&receiver, Table::new()).await;
    served.insert(1, 5).await;
    accepted(&receiver, 5).await;
    served.wait_for_cursor("hook", 5).await;
    let said = served
        .rowhook
        .fail(&["webhooks", "forget", "hook", "--yes"], 78)
        .await;
    assert!(said.contains("is in the settings"), "{said}");
    let mut served = served;
    let served_now = "select 1 from rowhook.subscriptions where name = 'hook' and served";
    wait_for(&served.client, "one that is served", async || {
        let row = served.client.query_opt(served_now, &[]).await;
        row.unwrap().is_some()
    })
    .await;
    served.rowhook = without_webhooks(served.rowhook);
    let said = served
        .rowhook
        .fail(&["webhooks", "forget", "hook", "--yes"], 75)
        .await;
    assert!(said.contains("still serves"), "{said}");

    let (served, line) = reload(served, without_webhooks).await;
    assert!(line.contains(r#""removed":"hook""#), "{line}");
    served.insert(6, 8).await;
    wait_for_logged(&served.client, 8).await;
    let list = served.rowhook.json(&["webhooks", "list"]).await;
    assert_eq!(list[0]["state"], "not in the settings");
    let (served, _) = reload(served, |rowhook| {
        rowhook.webhook_to("hook", &receiver, Table::new())
    })
    .await;
    let requests = accepted(&receiver, 8).await;
    assert_eq!(sequence_ids(&requests), (1..=8).collect::<Vec<_>>());
    served.wait_for_cursor("hook", 8).await;

    let (served, _) = reload(served, without_webhooks).await;
    let gone = "select 1 from rowhook.subscriptions where name = 'hook' and not served";
    wait_for(&served.client, "one that is not served", async || {
        served.client.query_opt(gone, &[]).await.unwrap().is_some()
    })
    .await;
    let forget = ["webhooks", "forget", "hook"];
    let said = served.rowhook.fail(&forget, 78).await;
    assert!(
        said.contains("cursor at event 8") && said.contains("--yes"),
        "{said}"
    );
    assert_eq!(served.cursor("hook").await, 8);
    let said = served
        .rowhook
        .fail(&["webhooks", "forget", "hok", "--yes"], 78)
        .await;
    assert!(said.contains("one of: hook"), "{said}");
    served
        .rowhook
        .succeed(&[&forget[..], &["--yes"]].concat())
        .await;
    assert_eq!(served.cursor("hook").await, -1);
    let (served, _) = reload(served, |rowhook| {
        rowhook.webhook_to("hook", &receiver, Table::new())
    })
    .await;
    served.wait_for_cursor("hook", 8).await;
    assert_eq!(receiver.wait_for_count(16).await.len(), 16);
}

#[tokio::test]
async fn a_changed_filter_judges_what_was_not_sent_yet_and_what_is_parked() {
    let receiver = Receiver::start().await;
    let gate = Gate::closed();
    let held = gate.clone();
    receiver.on_request(move |request| match request.resource_id.as_str() {
        "1" => Reply::with_header(500, "Retry-After", "3600"),
        "2" => Reply::Held(held.clone(), Box::new(Reply::Status(200))),
        _ => Reply::Status(200),
    });
    let slow = toml! { concurrency = 1 };
    let served = Served::to(&receiver, slow.clone()).await;
    served.insert(1, 1).await;
    wait_for(&served.client, "a parked delivery", async || {
        served.deliveries().await == ["1 waiting 1"]
    })
    .await;
    served.insert(2, 5).await;
    receiver.wait_for_count(2).await;
    // The parked one is due as soon as the new runner has it.
    served
        .execute("update rowhook.deliveries set due_at = now()")
        .await;
    let (served, _) = reload(served, |rowhook| {
        let mut deleted = slow;
        deleted.insert("events".into(), vec!["t.deleted"].into());
        without_webhooks(rowhook).webhook_to("hook", &receiver, deleted)
    })
    .await;
    gate.open();
    served.wait_for_deliveries(&[]).await;
    served.wait_for_cursor("hook", 5).await;
    served.execute("delete from t where id = 5").await;
    served.wait_for_cursor("hook", 6).await;
    assert_eq!(sequence_ids(&receiver.requests()), [1, 2, 6]);
}

#[tokio::test]
async fn the_next_attempt_goes_to_the_new_url_with_the_new_secret_and_headers() {
    let (before, after) = (Receiver::start().await, Receiver::start().await);
    before.on_request(|_| Reply::with_header(500, "Retry-After", "3600"));
    let served = Served::to(&before, Table::new()).await;
    served.insert(1, 1).await;
    served.wait_for_deliveries(&["1 waiting 1"]).await;
    served
        .execute("update rowhook.deliveries set due_at = now()")
        .await;
    let old = base64::engine::general_purpose::STANDARD.encode([7; 32]);
    assert_ne!(after.secret(), format!("whsec_{old}"));
    let (served, line) = reload(served, |rowhook| {
        let more = toml! { headers = { X-New = "yes" } };
        without_webhooks(rowhook).webhook_to("hook", &after, more)
    })
    .await;
    assert!(line.contains(r#""changed":"hook""#), "{line}");
    let request = accepted(&after, 1).await.remove(0);
    assert_eq!((request.attempt, request.header("x-new")), (2, Some("yes")));
    after.assert_all_signed();
    assert_eq!(before.count(), 1);

    // The same place of the secret, another secret.
    let rotated = format!("whsec_{old}");
    std::fs::write(served.rowhook.directory().join("hook.secret"), rotated).unwrap();
    let (served, line) = reload(served, |rowhook| rowhook).await;
    assert!(line.contains(r#""changed":"hook""#), "{line}");
    served.insert(2, 2).await;
    let requests = accepted(&after, 2).await;
    assert!(!requests.iter().all(|request| request.signed));
}

#[tokio::test]
async fn a_changed_concurrency_holds_from_the_reload_on() {
    let receiver = Receiver::start().await;
    let served = Served::to(&receiver, toml! { concurrency = 1 }).await;
    served.insert(1, 1).await;
    accepted(&receiver, 1).await;
    served.wait_for_cursor("hook", 1).await;
    let (served, _) = reload(served, |rowhook| {
        without_webhooks(rowhook).webhook_to("hook", &receiver, toml! { concurrency = 3 })
    })
    .await;
    let gate = Gate::closed();
    let held = gate.clone();
    receiver.on_request(move |_| Reply::Held(held.clone(), Box::new(Reply::Status(200))));
    served.insert(2, 9).await;
    receiver.wait_for_count(4).await;
    gate.open();
    accepted(&receiver, 9).await;
}

#[tokio::test]
async fn keys_that_need_a_restart_are_named_and_the_webhooks_are_taken_over_all_the_same() {
    let receiver = Receiver::start().await;
    let served = Prepared::with(|rowhook| rowhook).await.served().await;
    let (served, _) = reload(served, |rowhook| {
        rowhook
            .set("source.slot", "another")
            .set("source.password", "hunter2-and-more")
            .set("log.retention", "10d")
            .set("capture.tables", vec!["public.t"])
            .webhook_to("hook", &receiver, Table::new())
    })
    .await;
    let line = served
        .daemon
        .wait_for_log("takes effect after a restart")
        .await;
    let keys = "capture.tables, log.retention, source.password, source.slot";
    assert!(line.contains(&format!("\"{keys}\"")), "{line}");
    assert!(!served.daemon.logs().contains("hunter2"));
    served.insert(1, 1).await;
    accepted(&receiver, 1).await;
}

/// Three segments of ten events and the beginning of a fourth, delivered to `hook`.
async fn with_old_segments(
    receiver: &Receiver,
    settings: impl FnOnce(Rowhook) -> Rowhook,
) -> Served {
    Served::with(|rowhook| {
        let rowhook = rowhook
            .set("log.segment_size", 10)
            .set("log.retention", "1d");
        settings(rowhook).webhook_to("hook", receiver, Table::new())
    })
    .await
}

#[tokio::test]
async fn retention_max_lag_bounds_what_a_lagging_webhook_keeps_and_the_gap_is_told() {
    let receiver = Receiver::start().await;
    let mut served = with_old_segments(&receiver, |rowhook| {
        rowhook.set("log.retention_max_lag", "2d")
    })
    .await;
    served.insert(1, 3).await;
    accepted(&receiver, 3).await;
    served.wait_for_cursor("hook", 3).await;
    assert_eq!(served.daemon.stop().await, Some(0));
    served.rowhook.succeed(&["webhooks", "pause", "hook"]).await;
    served.restart().await;
    served.insert(4, 35).await;
    wait_for_logged(&served.client, 35).await;
    assert_eq!(served.daemon.stop().await, Some(0));
    // The first segment is older than both together, the second one only than the retention.
    age(&served, 20, 2).await;
    age(&served, 10, 4).await;
    served.restart().await;
    served.daemon.wait_for_log("dropped old segments").await;
    let line = served
        .daemon
        .wait_for_log("the retention took events")
        .await;
    assert!(
        line.contains("\"from\":4") && line.contains("\"to\":10"),
        "{line}"
    );
    assert_eq!(events(&served.client).await[0].sequence_id, 11);
    // What it had read just before they went it would still send.
    assert_eq!(served.daemon.stop().await, Some(0));
    served.restart().await;

    served
        .rowhook
        .succeed(&["webhooks", "resume", "hook"])
        .await;
    let requests = accepted(&receiver, 28).await;
    let expected: Vec<i64> = (1..=3).chain(11..=35).collect();
    assert_eq!(sequence_ids(&requests), expected);
    let status = served.rowhook.json(&["status"]).await;
    let webhook = &status["webhooks"][0];
    for (key, value) in [("skipped", 7), ("skipped_from", 4), ("skipped_to", 10)] {
        assert_eq!(webhook[key], value, "{key}: {status:#}");
    }
    let text = served.rowhook.succeed(&["status"]).await;
    assert!(
        text.contains("hook: the retention took events 4 to 10"),
        "{text}"
    );
    let metric = "rowhook_subscription_skipped_events{webhook=\"hook\"} 7\n";
    wait_for(&served.client, metric, async || {
        served.daemon.get("/metrics").await.1.contains(metric)
    })
    .await;
}

#[tokio::test]
async fn a_cursor_that_was_kept_holds_no_retention_and_the_gap_is_told_when_it_comes_back() {
    let receiver = Receiver::start().await;
    let served = with_old_segments(&receiver, |rowhook| rowhook).await;
    served.insert(1, 5).await;
    accepted(&receiver, 5).await;
    served.wait_for_cursor("hook", 5).await;
    let (mut served, _) = reload(served, without_webhooks).await;
    served.insert(6, 25).await;
    wait_for_logged(&served.client, 25).await;
    assert_eq!(served.daemon.stop().await, Some(0));
    age(&served, 25, 2).await;
    served.restart().await;
    served.daemon.wait_for_log("dropped old segments").await;
    let (served, _) = reload(served, |rowhook| {
        rowhook.webhook_to("hook", &receiver, Table::new())
    })
    .await;
    let line = served
        .daemon
        .wait_for_log("the retention took events")
        .await;
    assert!(
        line.contains("\"from\":6") && line.contains("\"to\":20"),
        "{line}"
    );
    let requests = accepted(&receiver, 10).await;
    let expected: Vec<i64> = (1..=5).chain(21..=25).collect();
    assert_eq!(sequence_ids(&requests), expected);
}

#[tokio::test]
async fn a_webhook_that_was_taken_out_does_not_count_as_down() {
    let (down, kept) = (Receiver::start().await, Receiver::start().await);
    down.on_request(|_| Reply::Status(500));
    let served = Served::to(&down, Table::new()).await;
    served.insert(1, 10).await;
    served.daemon.wait_for_log("counts as down").await;
    let shown = async |served: &Served| -> bool {
        let (_, text) = served.daemon.get("/metrics").await;
        let mut lines = text.lines();
        lines.any(|line| line.contains("breaker_open{webhook=\"hook\"} 1"))
    };
    wait_for(&served.client, "the open breaker", async || {
        shown(&served).await
    })
    .await;
    wait_for(&served.client, "a look at the tables", async || {
        let (_, text) = served.daemon.get("/metrics").await;
        text.contains("paused{webhook=\"hook\"}")
    })
    .await;
    let (served, _) = reload(served, |rowhook| {
        without_webhooks(rowhook).webhook_to("second", &kept, Table::new())
    })
    .await;
    wait_for(&served.client, "no open breaker", async || {
        !shown(&served).await
    })
    .await;

    // What is forgotten is not shown at all.
    let forget = ["webhooks", "forget", "hook", "--yes"];
    wait_for(&served.client, "the webhook to be forgotten", async || {
        served.rowhook.run_command(&forget).await.status.success()
    })
    .await;
    wait_for(&served.client, "no metric of it", async || {
        let (_, text) = served.daemon.get("/metrics").await;
        !text.contains("webhook=\"hook\"")
    })
    .await;
}
