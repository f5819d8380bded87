//! Days on which much goes wrong for long.

use toml::{Table, toml};

use crate::logged::{count, wait_for};
use crate::receiver::{Gate, Receiver, Reply};
use crate::served::{Prepared, accepted, assert_in_order};

#[tokio::test]
async fn a_webhook_far_behind_holds_up_nobody_at_the_head_and_needs_little_memory() {
    let fill = "insert into t select i, 0 from generate_series(1, 100000) i";
    far_behind(100_000, fill).await;
}

#[tokio::test]
#[ignore = "takes minutes and gigabytes of disk"]
async fn a_webhook_five_million_behind_holds_up_nobody_at_the_head_and_needs_little_memory() {
    // Straight into the log, as no daemon writes it yet.
    let fill = "
        select rowhook.add_segments(5000001, 1000000);
        insert into rowhook.events (sequence_id, event_id, event_type, resource, resource_id, action, created_at,
                                    record, old_row, table_schema, table_name, xid, commit_lsn, commit_index)
        select i, gen_random_uuid(), 't.created', 't', i::text, 'created', now(),
               json_build_object('id', i, 'v', 0), 'absent', 'public', 't', 1, '0/1', i
          from generate_series(1, 5000000) i;
        update rowhook.checkpoint set next_sequence_id = 5000001;
        analyze rowhook.events";
    far_behind(5_000_000, fill).await;
}

/// One webhook has so many events before it and a slow receiver, another one is at the head.
async fn far_behind(behind: i64, fill: &str) {
    let (slow, head) = (Receiver::start().await, Receiver::start().await);
    slow.forget_bodies();
    let gate = Gate::closed();
    let held = gate.clone();
    slow.on_request(move |_| Reply::Held(held.clone(), Box::new(Reply::Status(200))));
    let mut at_head = Table::new();
    at_head.insert("start".into(), (behind + 1).into());
    let prepared = Prepared::with(|rowhook| {
        rowhook
            .webhook_to(
                "behind",
                &slow,
                toml! { start = "beginning" concurrency = 2 timeout = "5m" },
            )
            .webhook_to("head", &head, at_head)
    })
    .await;
    prepared.client.batch_execute(fill).await.unwrap();
    let mut served = prepared.served().await;
    wait_for(&served.client, "the backlog in the log", async || {
        count(&served.client).await == behind
    })
    .await;
    slow.wait_for_count(2).await;
    // One after the other: each has to arrive before the next one is written.
    for number in 1..=50 {
        let id = 10_000_000 + number;
        served.insert(id, id).await;
        accepted(&head, i64::from(number)).await;
    }
    assert_eq!(slow.accepted_events(), 0);
    assert_eq!(served.cursor("behind").await, 0);
    let peak = served.daemon.peak_memory() / (1 << 20);
    assert!(peak < 150, "{peak} MB");
    gate.open();
    let requests = slow
        .wait_for(|requests| requests.iter().filter(|r| r.accepted()).count() >= 3_000)
        .await;
    assert_in_order(&requests);
    served.daemon.kill9().await;
}
