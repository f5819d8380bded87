//! Deliveries over crashes, stops and reloads.

use std::collections::HashMap;

use toml::{Table, Value, toml};

use crate::logged::{wait_for, wait_for_logged};
use crate::receiver::{Gate, Receiver, Reply};
use crate::served::{Served, accepted, assert_in_order};

fn count_of(receiver: &Receiver, sequence_id: i64) -> usize {
    let requests = receiver.requests();
    requests
        .iter()
        .filter(|r| r.sequence_id == sequence_id)
        .count()
}

#[tokio::test]
async fn kill_9_before_the_cursor_is_saved_repeats_the_same_ids_and_loses_nothing() {
    let receiver = Receiver::start().await;
    let mut served = Served::to(&receiver, Table::new()).await;
    // Afterwards the daemon writes the row only to save the cursor.
    let begun = "select 1 from rowhook.subscriptions where ordering is not null and served";
    wait_for(&served.client, "a webhook that has begun", async || {
        let row = served.client.query_opt(begun, &[]).await;
        row.unwrap().is_some()
    })
    .await;
    let blocker = served.database.client().await;
    blocker
        .batch_execute("begin; select from rowhook.subscriptions for update")
        .await
        .unwrap();
    served.insert(1, 30).await;
    accepted(&receiver, 30).await;
    served.daemon.kill9().await;
    // What it has left at the server is not to be done once the lock is gone.
    let end = "select pg_terminate_backend(pid, 60000) from pg_stat_activity
                where datname = current_database() and application_name like 'rowhook%'";
    served.client.execute(end, &[]).await.unwrap();
    blocker.batch_execute("rollback").await.unwrap();
    served.insert(31, 40).await;
    served.restart().await;
    let requests = receiver.wait_for_count(70).await;
    let logged = wait_for_logged(&served.client, 40).await;
    let mut times: HashMap<&str, usize> = HashMap::new();
    for request in &requests {
        *times.entry(&request.event_id).or_default() += 1;
    }
    for event in &logged {
        let expected = if event.sequence_id <= 30 { 2 } else { 1 };
        assert_eq!(times.get(event.event_id.as_str()), Some(&expected));
    }
    assert_eq!(times.len(), 40);
    served.wait_for_cursor("hook", 40).await;
    assert_eq!(receiver.count(), 70);
}

#[tokio::test]
async fn a_stop_waits_for_the_request_in_flight_and_does_not_repeat_it() {
    let receiver = Receiver::start().await;
    let gate = Gate::closed();
    receiver.answer_next([Reply::Held(gate.clone(), Box::new(Reply::Status(200)))]);
    let mut served = Served::to(&receiver, Table::new()).await;
    served.insert(1, 1).await;
    receiver.wait_for_count(1).await;
    served.daemon.term().await;
    served
        .daemon
        .wait_for_log("finishing what is in flight")
        .await;
    gate.open();
    assert_eq!(served.daemon.wait_exit().await, Some(0));
    assert_eq!(served.cursor("hook").await, 1);
    served.restart().await;
    served.insert(2, 2).await;
    accepted(&receiver, 2).await;
    assert_eq!(count_of(&receiver, 1), 1);
}

#[tokio::test]
async fn a_stop_repeats_nothing_that_was_delivered_behind_one_that_waits() {
    let receiver = Receiver::start().await;
    receiver.on_request(|request| match (request.sequence_id, request.attempt) {
        (1, 1) => Reply::with_header(500, "Retry-After", "4"),
        _ => Reply::Status(200),
    });
    let mut served = Served::to(&receiver, Table::new()).await;
    served.insert(1, 1).await;
    receiver.wait_for_count(1).await;
    served.insert(2, 100).await;
    accepted(&receiver, 99).await;
    assert_eq!(served.daemon.stop().await, Some(0));
    assert_eq!(served.cursor("hook").await, 100);
    served.restart().await;
    accepted(&receiver, 100).await;
    served.wait_for_deliveries(&[]).await;
    assert_eq!(receiver.count(), 101);
}

#[tokio::test]
async fn a_reload_adds_changes_and_removes_webhooks_while_the_stream_goes_on() {
    let [kept, removed, before, after, added] = [(); 5].map(|()| Receiver::start());
    let (kept, removed, before) = (kept.await, removed.await, before.await);
    let (after, added) = (after.await, added.await);
    let mut served = Served::with(|rowhook| {
        rowhook
            .webhook_to("kept", &kept, Table::new())
            .webhook_to("removed", &removed, Table::new())
            .webhook_to("moved", &before, Table::new())
    })
    .await;
    served.insert(1, 10).await;
    for receiver in [&kept, &removed, &before] {
        accepted(receiver, 10).await;
    }
    let reader = "select active_pid from pg_replication_slots where database = current_database()";
    let reader_before: i32 = served.client.query_one(reader, &[]).await.unwrap().get(0);

    served.rowhook = served
        .rowhook
        .set("webhook", Value::Array(Vec::new()))
        .webhook_to("kept", &kept, Table::new())
        .webhook_to("moved", &after, Table::new())
        .webhook_to("added", &added, Table::new());
    served.daemon.signal("HUP").await;
    served.daemon.wait_for_log("webhooks reloaded").await;
    served.wait_for_cursor("added", 10).await;
    served.insert(11, 20).await;
    for (receiver, events) in [(&kept, 20), (&after, 10), (&added, 20)] {
        let requests = accepted(receiver, events).await;
        assert_in_order(&requests);
        assert_eq!(requests.len() as i64, events);
    }
    served.wait_for_cursor("kept", 20).await;
    assert_eq!((removed.count(), before.count()), (10, 10));
    let reader_after: i32 = served.client.query_one(reader, &[]).await.unwrap().get(0);
    assert_eq!(reader_before, reader_after);
}

#[tokio::test]
async fn wrong_settings_are_told_and_change_nothing() {
    let receiver = Receiver::start().await;
    let served = Served::to(&receiver, Table::new()).await;
    std::fs::write(served.rowhook.config(), "[source]\nurll = 'x'\n").unwrap();
    served.daemon.signal("HUP").await;
    let line = served.daemon.wait_for_log("were not reloaded").await;
    assert!(line.contains("did you mean `url`"), "{line}");
    served.insert(1, 1).await;
    accepted(&receiver, 1).await;
}

#[tokio::test]
async fn a_reload_waits_for_no_slow_receiver_but_its_own() {
    let (slow, good) = (Receiver::start().await, Receiver::start().await);
    let gate = Gate::closed();
    slow.answer_next([Reply::Held(gate.clone(), Box::new(Reply::Status(200)))]);
    let mut served = Served::with(|rowhook| {
        rowhook
            .webhook_to("slow", &slow, Table::new())
            .webhook_to("good", &good, Table::new())
    })
    .await;
    served.insert(1, 1).await;
    slow.wait_for_count(1).await;
    served.rowhook = served
        .rowhook
        .set("webhook", Value::Array(Vec::new()))
        .webhook_to("slow", &slow, toml! { timeout = "9m" })
        .webhook_to("good", &good, toml! { timeout = "9m" });
    served.daemon.signal("HUP").await;
    served.daemon.wait_for_log("webhooks reloaded").await;
    served.insert(2, 2).await;
    accepted(&good, 2).await;
    // The slow one has not answered yet.
    assert_eq!(slow.count(), 1);
    gate.open();
    accepted(&slow, 2).await;
    assert_eq!(count_of(&slow, 1), 1);
}
