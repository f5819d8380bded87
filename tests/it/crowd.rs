//! Deliveries in large numbers, and what others do to their rows meanwhile.

use toml::{Table, toml};

use crate::daemon::Rowhook;
use crate::logged::wait_for;
use crate::receiver::{Receiver, Reply};
use crate::served::{Prepared, Served};

#[tokio::test]
async fn a_request_for_many_deliveries_is_many_small_transactions() {
    let receiver = Receiver::start().await;
    let prepared =
        Prepared::with(|rowhook| rowhook.webhook_to("hook", &receiver, Table::new())).await;
    let dead = "
        insert into rowhook.subscriptions (name, cursor) values ('hook', 2500);
        insert into rowhook.deliveries (subscription, sequence_id, event_id, lane, state, attempts)
        select 'hook', i, gen_random_uuid(), 't/' || i, 'dead', 10 from generate_series(1, 2500) i";
    prepared.client.batch_execute(dead).await.unwrap();
    // Somebody holds one of the rows for a while.
    let other = prepared.database.client().await;
    let lock = "begin; select from rowhook.deliveries where sequence_id = 1500 for update";
    other.batch_execute(lock).await.unwrap();
    let retry = ["deliveries", "retry", "--webhook", "hook"];
    let release = async {
        let waiting = "select 1 from pg_stat_activity where datname = current_database() \
                        and application_name = 'rowhook deliveries' and wait_event_type = 'Lock'";
        wait_for(&prepared.client, "a request that waits", async || {
            let row = prepared.client.query_opt(waiting, &[]).await;
            row.unwrap().is_some()
        })
        .await;
        other.batch_execute("rollback").await.unwrap();
    };
    let (asked, ()) = tokio::join!(prepared.rowhook.json(&retry), release);
    assert_eq!(asked["requested"], 2_500);
    let sql = "select count(*), max(rows) from (
        select count(*) as rows from rowhook.deliveries where request = 'retry' group by xmin::text
        ) by_transaction";
    let row = prepared.client.query_one(sql, &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (3, 1_000));
}

#[tokio::test]
async fn a_lock_on_one_webhooks_row_holds_up_no_other_webhook() {
    let (locked, other) = (Receiver::start().await, Receiver::start().await);
    let settings = |rowhook: Rowhook| {
        rowhook
            .webhook_to("locked", &locked, Table::new())
            .webhook_to("other", &other, Table::new())
    };
    let served = Served::with(settings).await;
    served.insert(1, 1).await;
    served.wait_for_cursor("locked", 1).await;
    let operator = served.database.client().await;
    let lock = "begin; select from rowhook.subscriptions where name = 'locked' for update";
    operator.batch_execute(lock).await.unwrap();
    served.insert(2, 100).await;
    served.daemon.wait_for_log("lock timeout").await;
    served.wait_for_cursor("other", 100).await;
    assert_eq!(served.cursor("locked").await, 1);
    operator.batch_execute("rollback").await.unwrap();
    served.wait_for_cursor("locked", 100).await;
}

#[tokio::test]
async fn many_dead_deliveries_are_told_as_a_number() {
    let receiver = Receiver::start().await;
    receiver.on_request(|_| Reply::Status(404));
    let more = toml! {
        retry = { attempts = 1, statuses = { "404" = "dead" } }
    };
    let mut served = Served::to(&receiver, more).await;
    served.insert(1, 40).await;
    served.wait_for_cursor("hook", 40).await;
    served.daemon.stop().await;
    let logs = served.daemon.logs();
    let lines = |text: &str| {
        let lines = logs.lines().filter(|line| line.contains(text));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let (one_by_one, more) = (
        lines("a delivery is dead"),
        lines("more deliveries are dead"),
    );
    assert_eq!((one_by_one.len(), more.len()), (5, 1), "{logs}");
    assert!(more[0].contains("\"deliveries\":35"), "{}", more[0]);
}
