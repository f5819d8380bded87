//! A bad endpoint harms only itself, and loses nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use toml::{Table, toml};

use crate::ports::free_port;
use crate::receiver::{Received, Receiver, Reply};
use crate::served::{Prepared, Served, accepted, assert_in_order};

/// Settings that give up after two quick attempts.
fn two_attempts() -> Table {
    toml! { retry = { attempts = 2, initial = "10ms", max = "20ms" } }
}

/// Two webhooks: one to a bad receiver, one to a good one.
async fn beside(bad: &Receiver, more: Table, good: &Receiver) -> Served {
    Served::with(|rowhook| {
        rowhook
            .webhook_to("bad", bad, more)
            .webhook_to("good", good, Table::new())
    })
    .await
}

fn gap(requests: &[Received]) -> Duration {
    requests[1].at - requests[0].at
}

#[tokio::test]
async fn retry_after_is_obeyed() {
    let receiver = Receiver::start().await;
    receiver.answer_next([Reply::with_header(503, "Retry-After", "1")]);
    let served = Served::to(&receiver, Table::new()).await;
    served.insert(1, 1).await;
    let requests = accepted(&receiver, 1).await;
    assert!(gap(&requests) >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_receiver_that_hangs_is_left_after_the_timeout_and_holds_up_nobody_else() {
    let (bad, good) = (Receiver::start().await, Receiver::start().await);
    bad.answer_next([Reply::Hang]);
    // Some hundred times as long as an answer takes.
    let served = beside(&bad, toml! { timeout = "3s" }, &good).await;
    served.insert(1, 1).await;
    let requests = accepted(&bad, 1).await;
    assert!(gap(&requests) >= Duration::from_millis(2_990));
    assert_eq!(requests[1].attempt, 2);
    assert!(accepted(&good, 1).await[0].at < requests[1].at);
}

#[tokio::test]
async fn broken_answers_are_tried_again_and_a_status_of_success_is_enough() {
    let receiver = Receiver::start().await;
    receiver.answer_next([
        Reply::Reset,
        Reply::Close,
        Reply::Garbage(Bytes::from_static(b"\0\x01not http\r\n\r\n")),
        Reply::with_header(302, "Location", "/elsewhere"),
        Reply::Drip(Duration::from_millis(10)),
        Reply::Endless,
    ]);
    let served = Served::to(&receiver, toml! { order = "strict" }).await;
    served.insert(1, 3).await;
    served.wait_for_cursor("hook", 3).await;
    let requests = receiver.requests();
    let attempts: Vec<_> = requests
        .iter()
        .map(|r| (r.sequence_id, r.attempt))
        .collect();
    // 200 is success, whatever the body does after it.
    assert_eq!(
        attempts,
        [(1, 1), (1, 2), (1, 3), (1, 4), (1, 5), (2, 1), (3, 1)]
    );
    // A redirect is an answer like any other.
    assert!(requests.iter().all(|request| request.path == "/hook"));
}

#[tokio::test]
async fn what_is_too_large_is_dead_at_once_and_its_row_goes_on() {
    let receiver = Receiver::start().await;
    receiver.answer_next([Reply::Status(413)]);
    let served = Served::to(&receiver, Table::new()).await;
    served.insert(1, 1).await;
    served.execute("update t set v = 1").await;
    accepted(&receiver, 1).await;
    served.wait_for_cursor("hook", 2).await;
    assert_eq!(receiver.count(), 2);
    assert_eq!(served.deliveries().await, ["1 dead 1"]);
    let query = "select reason from rowhook.deliveries";
    let reason: String = served.client.query_one(query, &[]).await.unwrap().get(0);
    assert!(reason.contains("413 Content Too Large"), "{reason}");
    let list = served.rowhook.json(&["webhooks", "list"]).await;
    assert_eq!(list[0]["dead"], 1);
}

#[tokio::test]
async fn after_the_last_attempt_a_delivery_is_dead_and_the_next_one_goes() {
    let receiver = Receiver::start().await;
    receiver.on_request(|request| Reply::Status(if request.sequence_id == 1 { 500 } else { 200 }));
    let served = Served::to(&receiver, two_attempts()).await;
    served.insert(1, 1).await;
    served.execute("update t set v = 1").await;
    let requests = accepted(&receiver, 1).await;
    let ids: Vec<_> = requests
        .iter()
        .map(|r| (r.sequence_id, r.attempt))
        .collect();
    assert_eq!(ids, [(1, 1), (1, 2), (2, 1)]);
    served.wait_for_cursor("hook", 2).await;
    assert_eq!(served.deliveries().await, ["1 dead 2"]);
}

#[tokio::test]
async fn events_that_a_receiver_cannot_digest_do_not_make_it_look_down() {
    let receiver = Receiver::start().await;
    receiver.on_request(|request| {
        let bad = request.resource_id.parse::<i32>().unwrap() <= 8;
        Reply::Status(if bad { 500 } else { 200 })
    });
    let served = Served::to(&receiver, two_attempts()).await;
    // Enough bad ones in a row to open the breaker, before any good one.
    served.insert(1, 60).await;
    accepted(&receiver, 52).await;
}

#[tokio::test]
async fn a_slow_retry_is_parked_and_survives_kill_9() {
    let receiver = Receiver::start().await;
    receiver.on_request(|request| match (request.sequence_id, request.attempt) {
        (1, 1) => Reply::with_header(500, "Retry-After", "3600"),
        _ => Reply::Status(200),
    });
    let mut served = Served::to(&receiver, Table::new()).await;
    served.insert(1, 1).await;
    served.wait_for_deliveries(&["1 waiting 1"]).await;
    let due = "select due_at - now() > interval '50 minutes' from rowhook.deliveries";
    let due: bool = served.client.query_one(due, &[]).await.unwrap().get(0);
    assert!(due, "not before the receiver said");
    served.execute("update t set v = 1").await;
    served.insert(2, 20).await;
    served.execute("update t set v = 2 where id = 1").await;
    // The cursor passes what is parked, and what waits behind it in its lane; others go on.
    served.wait_for_cursor("hook", 22).await;
    served
        .wait_for_deliveries(&["1 waiting 1", "2 waiting 0", "22 waiting 0"])
        .await;
    served.daemon.kill9().await;
    let due = "update rowhook.deliveries set due_at = now() where sequence_id = 1";
    served.execute(due).await;
    served.restart().await;
    let requests = accepted(&receiver, 22).await;
    assert_in_order(&requests);
    let first: Vec<_> = requests.iter().filter(|r| r.sequence_id == 1).collect();
    assert_eq!((first.len(), first[1].attempt), (2, 2));
    served.wait_for_deliveries(&[]).await;
    assert_eq!(receiver.count(), 23);
}

#[tokio::test]
async fn gone_pauses_and_resume_goes_on_with_nothing_lost() {
    let (gone, good) = (Receiver::start().await, Receiver::start().await);
    gone.answer_next([Reply::Status(410)]);
    let served = beside(&gone, toml! { order = "strict" }, &good).await;
    served.insert(1, 1).await;
    let entry = served.wait_for_state("bad", "paused").await;
    assert!(
        entry["reason"].as_str().unwrap().contains("410 Gone"),
        "{entry}"
    );
    assert_eq!(entry["lag_events"], 1);
    served.insert(2, 5).await;
    accepted(&good, 5).await;
    assert_eq!(gone.count(), 1);
    // At once, before anybody has looked at the tables.
    served.rowhook.succeed(&["webhooks", "resume", "bad"]).await;
    let requests = accepted(&gone, 5).await;
    assert_in_order(&requests);
    assert_eq!(requests.len(), 6);
    served.wait_for_cursor("bad", 5).await;
}

#[tokio::test]
async fn a_pause_holds_from_the_first_moment_of_a_restart_until_resumed() {
    let (held, good) = (Receiver::start().await, Receiver::start().await);
    let mut served = beside(&held, Table::new(), &good).await;
    served.insert(1, 1).await;
    served.wait_for_cursor("bad", 1).await;
    let pause = ["webhooks", "pause", "bad", "--reason", "moving house"];
    served.rowhook.succeed(&pause).await;
    let entry = served.wait_for_state("bad", "paused").await;
    assert_eq!(entry["reason"], "moving house");
    assert_eq!(served.daemon.stop().await, Some(0));
    served.insert(2, 100).await;
    served.restart().await;
    accepted(&good, 100).await;
    assert_eq!(held.count(), 1);
    assert_eq!(served.cursor("bad").await, 1);
    served.rowhook.succeed(&["webhooks", "resume", "bad"]).await;
    assert_in_order(&accepted(&held, 100).await);
    assert_eq!(held.count(), 100);
}

#[tokio::test]
async fn an_endpoint_that_is_down_costs_no_rows_and_holds_up_nobody() {
    let address = format!("127.0.0.1:{}", free_port());
    let good = Receiver::start().await;
    let down = Receiver::start_at(&address).await;
    let prepared = Prepared::with(|rowhook| {
        rowhook
            .webhook_to("bad", &down, Table::new())
            .webhook_to("strict", &down, toml! { order = "strict" })
            .webhook_to("good", &good, Table::new())
    })
    .await;
    drop(down);
    let served = prepared.served().await;
    served.insert(1, 400).await;
    for _ in 0..4 {
        served.execute("update t set v = v + 1").await;
    }
    served.daemon.wait_for_log("counts as down").await;
    let requests = accepted(&good, 2_000).await;
    assert_in_order(&requests);
    served.wait_for_cursor("good", 2_000).await;
    let rows = served.deliveries().await;
    assert!(rows.len() <= 5, "{rows:?}");
    assert!(served.cursor("bad").await < 5);
    assert!(served.cursor("strict").await < 5);

    let back = Receiver::start_at(&address).await;
    let both = back
        .wait_for(|requests| requests.iter().filter(|r| r.accepted()).count() >= 4_000)
        .await;
    for name in ["bad", "strict"] {
        let of_one: Vec<_> = both
            .iter()
            .filter(|r| r.header("x-rowhook-subscription") == Some(name))
            .cloned()
            .collect();
        assert_eq!(of_one.len(), 2_000);
        assert_in_order(&of_one);
        served.wait_for_cursor(name, 2_000).await;
    }
    served.wait_for_deliveries(&[]).await;
}

#[tokio::test]
async fn an_endpoint_that_answers_nothing_but_500_costs_no_rows_either() {
    let receiver = Receiver::start().await;
    let broken = Arc::new(AtomicBool::new(true));
    let is_broken = Arc::clone(&broken);
    receiver.on_request(move |_| {
        let broken = is_broken.load(Ordering::Relaxed);
        Reply::Status(if broken { 500 } else { 200 })
    });
    let served = Served::to(&receiver, two_attempts()).await;
    served.insert(1, 300).await;
    served.daemon.wait_for_log("counts as down").await;
    broken.store(false, Ordering::Relaxed);
    served.wait_for_cursor("hook", 300).await;
    // What was given up before it counted as down.
    let rows = served.deliveries().await;
    assert!(rows.len() <= 5, "{rows:?}");
    assert!(rows.iter().all(|row| row.contains("dead")), "{rows:?}");
    assert_in_order(&accepted(&receiver, 300 - rows.len() as i64).await);
}

#[tokio::test]
async fn a_name_that_nobody_knows_holds_its_events_until_somebody_does() {
    let receiver = Receiver::start().await;
    let url = receiver.url().replace("127.0.0.1", "receiver.test");
    let mut more = Table::new();
    more.insert("url".into(), url.into());
    let prepared = Prepared::with(|rowhook| rowhook.webhook_to("hook", &receiver, more)).await;
    let directory = prepared.rowhook.directory().to_owned();
    let (hosts, switch) = (directory.join("hosts"), directory.join("nsswitch.conf"));
    std::fs::write(&hosts, "127.0.0.1 localhost\n").unwrap();
    std::fs::write(&switch, "passwd: files\nhosts: files\n").unwrap();
    // The daemon alone sees these files in place of the system's.
    let script = "mount --bind \"$1\" /etc/hosts && mount --bind \"$2\" /etc/nsswitch.conf && shift 2 && exec \"$@\"";
    let own_names = |inside: &std::process::Command| {
        let mut command = tokio::process::Command::new("unshare");
        command
            .args(["--mount", "sh", "-c", script, "names"])
            .args([&hosts, &switch])
            .arg(inside.get_program())
            .args(inside.get_args());
        command
    };
    let trial = own_names(&std::process::Command::new("true"))
        .output()
        .await;
    if !trial.is_ok_and(|trial| trial.status.success()) {
        eprintln!("skipped: this user cannot mount, so the daemon cannot have names of its own");
        return;
    }
    let mut daemon = prepared.rowhook.spawn_with(|command| {
        let mut wrapped = own_names(command.as_std());
        for (name, value) in command.as_std().get_envs() {
            match value {
                Some(value) => wrapped.env(name, value),
                None => wrapped.env_remove(name),
            };
        }
        wrapped
            .current_dir(&directory)
            .kill_on_drop(true)
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        *command = wrapped;
    });
    daemon.wait_ready().await;
    let insert = "insert into t select i, 0 from generate_series(1, 20) i";
    prepared.client.batch_execute(insert).await.unwrap();
    let line = daemon.wait_for_log("counts as down").await;
    assert!(line.contains("dns: "), "{line}");
    assert_eq!(receiver.count(), 0);
    std::fs::write(&hosts, "127.0.0.1 localhost receiver.test\n").unwrap();
    accepted(&receiver, 20).await;
    let rows = "select count(*) from rowhook.deliveries";
    let rows: i64 = prepared.client.query_one(rows, &[]).await.unwrap().get(0);
    assert_eq!(rows, 0);
    daemon.stop().await;
}
