//! Days on which much goes wrong for long.

use toml::toml;

use crate::logged::{count, wait_for};
use crate::receiver::{Gate, Receiver, Reply};
use crate::served::{Prepared, accepted, assert_in_order};

#[tokio::test]
async fn a_webhook_far_behind_holds_up_nobody_at_the_head_and_needs_little_memory() {
    const BEHIND: i64 = 100_000;
    let (slow, head) = (Receiver::start().await, Receiver::start().await);
    slow.forget_bodies();
    let gate = Gate::closed();
    let held = gate.clone();
    slow.on_request(move |_| Reply::Held(held.clone(), Box::new(Reply::Status(200))));
    let prepared = Prepared::with(|rowhook| {
        rowhook
            .webhook_to(
                "behind",
                &slow,
                toml! { start = "beginning" concurrency = 2 timeout = "5m" },
            )
            .webhook_to("head", &head, toml! { start = 100_001 })
    })
    .await;
    let backlog = format!("insert into t select i, 0 from generate_series(1, {BEHIND}) i");
    prepared.client.batch_execute(&backlog).await.unwrap();
    let mut served = prepared.served().await;
    wait_for(&served.client, "the backlog in the log", async || {
        count(&served.client).await == BEHIND
    })
    .await;
    slow.wait_for_count(2).await;
    // One after the other: each has to arrive before the next one is written.
    for number in 1..=50 {
        let id = 1_000_000 + number;
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
