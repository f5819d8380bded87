//! What on-call people see and do: the attempt log, parked and dead deliveries, explanations, endpoints
//! that are down, numbers.

use std::time::Duration;

use serde_json::Value;
use toml::{Table, toml};

use crate::cluster::Database;
use crate::daemon::Rowhook;
use crate::logged::wait_for;
use crate::ports::free_port;
use crate::receiver::{Gate, Receiver, Reply};
use crate::served::{Prepared, Served, accepted};

/// One failure and the delivery is dead.
fn one_attempt() -> Table {
    toml! { retry = { attempts = 1 } }
}

fn dead_at_once(receiver: &Receiver, resource: &str) {
    receiver.fail_for(resource, 500);
}

/// The attempt log: sequence id, attempt, outcome, status, error or answer.
async fn attempts(served: &Served) -> Vec<String> {
    let query = "
        select concat_ws(' ', subscription, sequence_id, attempt, outcome, status, answer, error)
          from rowhook.attempts order by at, sequence_id";
    let rows = served.client.query(query, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

async fn wait_for_attempts(served: &Served, count: usize) -> Vec<String> {
    let what = format!("{count} attempts");
    wait_for(&served.client, &what, async || {
        attempts(served).await.len() >= count
    })
    .await;
    attempts(served).await
}

async fn metrics(served: &Served) -> String {
    served.daemon.get("/metrics").await.1
}

/// The line of a webhook in `explain`.
fn of<'a>(explained: &'a Value, webhook: &str) -> &'a Value {
    let mut webhooks = explained["webhooks"].as_array().unwrap().iter();
    webhooks.find(|one| one["webhook"] == webhook).unwrap()
}

#[tokio::test]
async fn every_attempt_is_on_record_with_its_answer_and_no_secret() {
    let receiver = Receiver::start().await;
    receiver.answer_next([
        Reply::Full(503, Vec::new(), "busy ü\0 token-12345678".into()),
        Reply::After(Duration::from_millis(40), Box::new(Reply::Status(204))),
    ]);
    let more = toml! { headers = { X-Token = "token-12345678" } };
    let served = Served::to(&receiver, more).await;
    served.insert(1, 1).await;
    let seen = wait_for_attempts(&served, 2).await;
    assert_eq!(
        seen,
        [
            "hook 1 1 refused 503 busy ü  [redacted]",
            "hook 1 2 delivered 204"
        ]
    );
    let sql = "select duration_us, event_id::text, at <= now() and at > now() - interval '1 hour'
                 from rowhook.attempts where outcome = 'delivered'";
    let row = served.client.query_one(sql, &[]).await.unwrap();
    let micros: i64 = row.get(0);
    assert!((40_000..60_000_000).contains(&micros), "{micros}");
    assert_eq!(
        row.get::<_, String>(1),
        accepted(&receiver, 1).await[0].event_id
    );
    assert!(row.get::<_, bool>(2));
}

#[tokio::test]
async fn failures_alone_are_kept_where_that_is_asked_for_and_a_stop_loses_none() {
    let (all, failing) = (Receiver::start().await, Receiver::start().await);
    failing.answer_next([Reply::Reset, Reply::Hang]);
    let mut served = Served::with(|rowhook| {
        rowhook.webhook_to("all", &all, Table::new()).webhook_to(
            "failing",
            &failing,
            toml! { attempts = "failures" timeout = "3s" concurrency = 1 },
        )
    })
    .await;
    served.insert(1, 300).await;
    accepted(&all, 300).await;
    accepted(&failing, 300).await;
    assert_eq!(served.daemon.stop().await, Some(0));
    let seen = attempts(&served).await;
    let of_all = seen.iter().filter(|line| line.starts_with("all "));
    assert_eq!(of_all.count(), 300);
    let mut of_failing: Vec<_> = seen
        .iter()
        .filter(|line| line.starts_with("failing "))
        .map(|line| line.split(' ').nth(3).unwrap())
        .collect();
    of_failing.sort_unstable();
    assert_eq!(of_failing, ["broken", "timeout"]);
}

#[tokio::test]
async fn an_attempt_that_ends_while_the_daemon_stops_is_on_record() {
    let receiver = Receiver::start().await;
    let gate = Gate::closed();
    let held = Reply::Held(gate.clone(), Box::new(Reply::Status(200)));
    receiver.answer_next([held]);
    let mut served = Served::to(&receiver, Table::new()).await;
    served.insert(1, 1).await;
    receiver.wait_for_count(1).await;
    served.daemon.term().await;
    served.daemon.wait_for_log("stopping").await;
    gate.open();
    assert_eq!(served.daemon.wait_exit().await, Some(0));
    assert_eq!(attempts(&served).await, ["hook 1 1 delivered 200"]);
}

/// Waits for the next day, in UTC, where it is about to begin: it would, in the middle of a test of days.
async fn far_from_midnight() {
    const TEST: i64 = 300;
    let left = 86_400 - jiff::Timestamp::now().as_second() % 86_400;
    if left < TEST {
        tokio::time::sleep(Duration::from_secs(left as u64 + 1)).await;
    }
}

#[tokio::test]
async fn a_day_without_a_partition_gets_one_and_old_days_go() {
    far_from_midnight().await;
    let receiver = Receiver::start().await;
    let prepared =
        Prepared::with(|rowhook| rowhook.webhook_to("hook", &receiver, Table::new())).await;
    let days = async |client: &tokio_postgres::Client| -> Vec<String> {
        let sql = "select relname::text from pg_class
                    where relnamespace = 'rowhook'::regnamespace and relname ~ '^attempts_[0-9]+$' order by 1";
        let rows = client.query(sql, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    };
    let old = "select rowhook.add_attempt_days((now() at time zone 'UTC')::date - 9, (now() at time zone 'UTC')::date - 6)";
    prepared.client.batch_execute(old).await.unwrap();
    let before = days(&prepared.client).await;
    assert_eq!(before.len(), 4);
    let served = prepared.served().await;
    // Seven days are kept: the last of the four, and the one that is over for less than that.
    wait_for(&served.client, "the old days' end", async || {
        let left = days(&served.client).await;
        !left.contains(&before[0]) && !left.contains(&before[1])
    })
    .await;
    let left = days(&served.client).await;
    assert!(
        left.contains(&before[2]) && left.contains(&before[3]),
        "{left:?}"
    );

    served.insert(1, 1).await;
    wait_for_attempts(&served, 1).await;
    let today = days(&served.client).await;
    assert_eq!(today.len(), 4, "today and tomorrow: {today:?}");
    // Somebody drops the day that is written to.
    served
        .execute(&format!("drop table rowhook.{}", today[2]))
        .await;
    served.insert(2, 2).await;
    assert_eq!(
        wait_for_attempts(&served, 1).await,
        ["hook 2 1 delivered 200"]
    );
}

#[tokio::test]
async fn a_new_day_and_a_write_wait_for_no_reader() {
    let receiver = Receiver::start().await;
    let served = Served::to(&receiver, Table::new()).await;
    let reader = served.database.client().await;
    reader
        .batch_execute("begin; select count(*) from rowhook.attempts")
        .await
        .unwrap();
    served.insert(1, 1).await;
    assert_eq!(
        wait_for_attempts(&served, 1).await,
        ["hook 1 1 delivered 200"]
    );
    reader.batch_execute("commit").await.unwrap();
}

#[tokio::test]
async fn deliveries_go_on_while_attempts_cannot_be_recorded() {
    let receiver = Receiver::start().await;
    let served = Served::to(&receiver, Table::new()).await;
    served
        .execute("alter table rowhook.attempts rename to away")
        .await;
    served.insert(1, 50).await;
    accepted(&receiver, 50).await;
    served.wait_for_cursor("hook", 50).await;
    served
        .daemon
        .wait_for_log("attempts are not recorded")
        .await;
    served.insert(51, 100).await;
    accepted(&receiver, 100).await;
    wait_for(
        &served.client,
        "the dropped ones to be counted",
        async || {
            metrics(&served)
                .await
                .contains("rowhook_attempts_dropped_total 100\n")
        },
    )
    .await;
    served
        .execute("alter table rowhook.away rename to attempts")
        .await;
    served.insert(101, 101).await;
    assert_eq!(
        wait_for_attempts(&served, 1).await,
        ["hook 101 1 delivered 200"]
    );
    let warnings = served.daemon.logs();
    assert_eq!(warnings.matches("attempts are not recorded").count(), 1);
}

#[tokio::test]
async fn answers_that_the_logs_encoding_lacks_are_recorded_plainly() {
    let receiver = Receiver::start().await;
    receiver.answer_next([Reply::Full(500, Vec::new(), "nö 😀".into())]);
    let database = Database::create_with("encoding 'LATIN1' locale 'C' template template0").await;
    let client = database.client().await;
    client
        .batch_execute("create table t (id int primary key, v int)")
        .await
        .unwrap();
    let rowhook = Rowhook::new(&database).webhook_to("hook", &receiver, Table::new());
    rowhook.setup().await;
    let served = Served {
        daemon: rowhook.spawn_ready().await,
        rowhook,
        client,
        database,
    };
    served.insert(1, 1).await;
    assert_eq!(
        wait_for_attempts(&served, 2).await,
        ["hook 1 1 refused 500 n? ?", "hook 1 2 delivered 200"]
    );
}

#[tokio::test]
async fn dead_deliveries_are_listed_sent_again_and_discarded_while_the_daemon_runs() {
    let receiver = Receiver::start().await;
    dead_at_once(&receiver, "2");
    let served = Served::to(&receiver, one_attempt()).await;
    served.insert(1, 3).await;
    served.wait_for_deliveries(&["2 dead 1"]).await;
    let rowhook = &served.rowhook;
    let list = rowhook.json(&["deliveries", "list"]).await;
    let entry = &list[0];
    assert_eq!(list.as_array().unwrap().len(), 1);
    for (key, value) in [
        ("webhook", "hook"),
        ("state", "dead"),
        ("type", "t.created"),
        ("resource", "t"),
        ("resource_id", "2"),
    ] {
        assert_eq!(entry[key], value, "{entry:#}");
    }
    assert_eq!(
        (&entry["sequence_id"], &entry["attempts"]),
        (&2.into(), &1.into())
    );
    assert!(entry["reason"].as_str().unwrap().contains("answered 500"));
    for (filter, fits) in [
        (["--state", "dead"], 1),
        (["--state", "waiting"], 0),
        (["--type", "t.created"], 1),
        (["--type", "t.deleted"], 0),
        (["--reason", "ANSWERED 500"], 1),
        (["--reason", "timeout"], 0),
        (["--webhook", "hook"], 1),
    ] {
        let found = rowhook
            .json(&["deliveries", "list", filter[0], filter[1]])
            .await;
        assert_eq!(found.as_array().unwrap().len(), fits, "{filter:?}");
    }
    let table = rowhook.succeed(&["deliveries", "list"]).await;
    assert!(
        table.contains("t.created") && table.contains("dead"),
        "{table}"
    );

    // Still bad: it is dead again, and was tried once more.
    rowhook.succeed(&["deliveries", "retry", "2"]).await;
    receiver
        .wait_for(|requests| requests.iter().filter(|r| r.sequence_id == 2).count() == 2)
        .await;
    served.wait_for_deliveries(&["2 dead 1"]).await;
    wait_for(&served.client, "the request's end", async || {
        rowhook.json(&["deliveries", "list"]).await[0]["request"].is_null()
    })
    .await;
    // Mended: it goes out, and its row goes.
    receiver.on_request(|_| Reply::Status(200));
    let said = rowhook
        .json(&["deliveries", "retry", "--webhook", "hook"])
        .await;
    assert_eq!(
        (&said["requested"], &said["daemon_runs"]),
        (&1.into(), &true.into())
    );
    let requests = accepted(&receiver, 3).await;
    assert_eq!(requests.last().unwrap().attempt, 1);
    served.wait_for_deliveries(&[]).await;

    dead_at_once(&receiver, "4");
    served.insert(4, 4).await;
    served.wait_for_deliveries(&["4 dead 1"]).await;
    let dry = rowhook
        .json(&["deliveries", "discard", "--all", "--dry-run"])
        .await;
    assert_eq!(
        (&dry["requested"], &dry["found"][0]["count"]),
        (&0.into(), &1.into())
    );
    let refused = rowhook.fail(&["deliveries", "discard", "--all"], 78).await;
    assert!(refused.contains("--yes"), "{refused}");
    served.wait_for_deliveries(&["4 dead 1"]).await;
    rowhook
        .succeed(&["deliveries", "discard", "--all", "--yes"])
        .await;
    served.wait_for_deliveries(&[]).await;
    let explained = rowhook.json(&["explain", "4"]).await;
    assert_eq!(of(&explained, "hook")["state"], "discarded");
    let nothing = rowhook.succeed(&["deliveries", "retry", "--all"]).await;
    assert!(nothing.contains("no delivery fits"), "{nothing}");
}

#[tokio::test]
async fn what_waits_can_be_sent_at_once_or_discarded_and_its_lane_goes_on() {
    let receiver = Receiver::start().await;
    let gate = Gate::closed();
    receiver.on_request({
        let gate = gate.clone();
        move |request| match (request.sequence_id, request.attempt) {
            (1 | 3, 1) => Reply::with_header(500, "Retry-After", "3600"),
            (5, _) => Reply::Held(gate.clone(), Box::new(Reply::Status(200))),
            _ => Reply::Status(200),
        }
    });
    let served = Served::to(&receiver, Table::new()).await;
    served.insert(1, 1).await;
    served.execute("update t set v = 1 where id = 1").await;
    served.insert(2, 2).await;
    served.execute("update t set v = 1 where id = 2").await;
    let all = ["1 waiting 1", "2 waiting 0", "3 waiting 1", "4 waiting 0"];
    served.wait_for_deliveries(&all).await;
    let rowhook = &served.rowhook;
    let explained = rowhook.json(&["explain", "4"]).await;
    let behind = of(&explained, "hook");
    assert_eq!(
        (&behind["state"], &behind["behind"]),
        (&"waiting".into(), &3.into())
    );

    rowhook.succeed(&["deliveries", "retry", "1"]).await;
    served
        .wait_for_deliveries(&["3 waiting 1", "4 waiting 0"])
        .await;
    rowhook
        .succeed(&["deliveries", "discard", "3", "--yes"])
        .await;
    served.wait_for_deliveries(&[]).await;
    let requests = accepted(&receiver, 3).await;
    let ids: Vec<i64> = requests.iter().map(|request| request.sequence_id).collect();
    let of_second: Vec<_> = ids.iter().filter(|id| **id > 2).collect();
    assert_eq!(of_second, [&3, &4]);
    gate.open();
    served.wait_for_cursor("hook", 4).await;
}

#[tokio::test]
async fn requests_made_while_no_daemon_runs_are_done_when_one_starts() {
    let receiver = Receiver::start().await;
    receiver.on_request(|request| match request.resource_id.as_str() {
        // Holds the cursor before the others.
        "0" => Reply::Hang,
        "1" | "2" => Reply::Status(413),
        "3" => Reply::with_header(500, "Retry-After", "3600"),
        _ => Reply::Status(200),
    });
    let mut served = Served::to(&receiver, Table::new()).await;
    served.insert(0, 3).await;
    let rows = ["2 dead 1", "3 dead 1", "4 waiting 1"];
    served.wait_for_deliveries(&rows).await;
    served.daemon.kill9().await;
    assert_eq!(served.cursor("hook").await, 0);
    // Due already, so that a daemon that starts would send it at once.
    served
        .execute("update rowhook.deliveries set due_at = now() where state = 'waiting'")
        .await;
    let rowhook = &served.rowhook;
    let said = rowhook.succeed(&["deliveries", "retry", "2"]).await;
    assert!(said.contains("no daemon runs"), "{said}");
    let discard = ["deliveries", "discard", "3", "4", "--yes"];
    rowhook.succeed(&discard).await;
    let list = rowhook.json(&["deliveries", "list"]).await;
    assert_eq!(list[2]["request"], "discard");
    let before = receiver.count();
    receiver.on_request(|_| Reply::Status(200));
    served.restart().await;
    served.wait_for_cursor("hook", 4).await;
    served.wait_for_deliveries(&[]).await;
    let requests = receiver.requests().split_off(before);
    let mut ids: Vec<i64> = requests.iter().map(|request| request.sequence_id).collect();
    ids.sort_unstable();
    assert_eq!(ids, [1, 2]);
}

#[tokio::test]
async fn pause_and_resume_answer_programs_and_refuse_unknown_names() {
    let receiver = Receiver::start().await;
    let served = Served::to(&receiver, Table::new()).await;
    served.wait_for_cursor("hook", 0).await;
    let rowhook = &served.rowhook;
    let said = rowhook
        .json(&["webhooks", "pause", "hook", "--reason", "why not"])
        .await;
    for (key, value) in [
        ("webhook", "hook"),
        ("state", "paused"),
        ("reason", "why not"),
    ] {
        assert_eq!(said[key], value, "{said}");
    }
    let gauge = async |value: i64| {
        let line = format!("rowhook_webhook_paused{{webhook=\"hook\"}} {value}\n");
        metrics(&served).await.contains(&line)
    };
    wait_for(&served.client, "the gauge", async || gauge(1).await).await;
    let said = rowhook.json(&["webhooks", "resume", "hook"]).await;
    wait_for(&served.client, "the gauge", async || gauge(0).await).await;
    assert_eq!(
        (&said["state"], &said["reason"]),
        (&"active".into(), &Value::Null)
    );
    assert!(said["since"].is_string());
    for command in ["pause", "resume", "test"] {
        let said = rowhook.fail(&["webhooks", command, "hock"], 78).await;
        assert!(said.contains("no webhook \"hock\""), "{said}");
    }
}

#[tokio::test]
async fn nothing_happens_to_deliveries_that_nobody_named() {
    let receiver = Receiver::start().await;
    let served = Served::to(&receiver, Table::new()).await;
    let rowhook = &served.rowhook;
    let said = rowhook.fail(&["deliveries", "retry"], 78).await;
    assert!(said.contains("--all"), "{said}");
    let said = rowhook.fail(&["deliveries", "retry", "seven"], 78).await;
    assert!(
        said.contains("neither an event id nor a sequence id"),
        "{said}"
    );
    let said = rowhook
        .fail(&["deliveries", "list", "--webhook", "hock"], 78)
        .await;
    assert!(
        said.contains("no webhook \"hock\"") && said.contains("hook"),
        "{said}"
    );
    let said = rowhook.fail(&["explain", "999"], 1).await;
    assert!(said.contains("no event 999"), "{said}");
}

#[tokio::test]
async fn an_endpoint_that_is_down_shows_in_status_until_it_is_back() {
    let address = format!("127.0.0.1:{}", free_port());
    let down = Receiver::start_at(&address).await;
    let prepared = Prepared::with(|rowhook| rowhook.webhook_to("hook", &down, Table::new())).await;
    drop(down);
    let mut served = prepared.served().await;
    served.insert(1, 20).await;
    wait_for(
        &served.client,
        "the endpoint to count as down",
        async || {
            let list = served.rowhook.json(&["webhooks", "list"]).await;
            !list[0]["breaker"].is_null()
        },
    )
    .await;
    let status = served.rowhook.json(&["status"]).await;
    let breaker = &status["webhooks"][0]["breaker"];
    assert!(
        breaker["since"].is_string() && breaker["next_probe_at"].is_string(),
        "{status:#}"
    );
    let last = breaker["last_error"].as_str().unwrap();
    assert!(last.starts_with("connect:"), "{last}");
    let table = served.rowhook.succeed(&["webhooks", "list"]).await;
    assert!(
        table.contains("endpoint down") && table.contains("next probe"),
        "{table}"
    );
    let explained = served.rowhook.json(&["explain", "20"]).await;
    let entry = of(&explained, "hook");
    assert_eq!(entry["state"], "not_reached");
    assert!(
        entry["because"]
            .as_str()
            .unwrap()
            .contains("endpoint is down"),
        "{entry}"
    );
    // Shown at the next turn of the daemon's loop.
    wait_for(&served.client, "the breaker in the metrics", async || {
        metrics(&served)
            .await
            .contains("rowhook_breaker_open{webhook=\"hook\"} 1\n")
    })
    .await;
    let text = metrics(&served).await;
    let lag = text
        .lines()
        .find(|line| line.starts_with("rowhook_subscription_lag_seconds{"));
    let lag: f64 = lag.unwrap().rsplit_once(' ').unwrap().1.parse().unwrap();
    assert!(lag > 0.0 && lag < 3600.0, "{lag}");

    // A daemon that starts knows nothing of it, and says so.
    served.daemon.kill9().await;
    let back = Receiver::start_at(&address).await;
    served.restart().await;
    accepted(&back, 20).await;
    wait_for(
        &served.client,
        "the endpoint to count as back",
        async || {
            let list = served.rowhook.json(&["webhooks", "list"]).await;
            list[0]["breaker"].is_null() && list[0]["cursor"] == 20
        },
    )
    .await;
    wait_for(&served.client, "no lag", async || {
        metrics(&served)
            .await
            .contains("rowhook_subscription_lag_seconds{webhook=\"hook\"} 0.0\n")
    })
    .await;
}

#[tokio::test]
async fn an_explanation_tells_of_each_webhook_what_became_of_an_event_and_why() {
    let (good, bad) = (Receiver::start().await, Receiver::start().await);
    good.answer_next([Reply::Full(503, Vec::new(), "busy".into())]);
    bad.on_request(|_| Reply::Status(413));
    let settings = |rowhook: Rowhook| {
        rowhook
            .webhook_to("good", &good, Table::new())
            .webhook_to("deletes", &good, toml! { events = ["*.deleted"] })
            .webhook_to("bad", &bad, Table::new())
            .webhook_to("late", &good, toml! { start = 2 })
            .webhook_to("quiet", &good, toml! { attempts = "failures" })
            .webhook_to("paused", &good, Table::new())
    };
    let mut served = Served::with(settings).await;
    served.wait_for_cursor("paused", 0).await;
    served
        .rowhook
        .succeed(&["webhooks", "pause", "paused", "--reason", "moving house"])
        .await;
    served.wait_for_state("paused", "paused").await;
    // The daemon has looked at it as well.
    assert_eq!(served.daemon.stop().await, Some(0));
    served.restart().await;
    served.insert(1, 1).await;
    for name in ["good", "deletes", "bad", "quiet"] {
        served.wait_for_cursor(name, 1).await;
    }
    // good: 503 and 200, or quiet had the 503; bad: 413; late: nothing.
    wait_for_attempts(&served, 2).await;
    assert_eq!(served.daemon.stop().await, Some(0));
    let rowhook = &served.rowhook;
    let explained = rowhook.json(&["explain", "1"]).await;
    let event = &explained["event"];
    assert_eq!(
        (&event["type"], &event["resourceId"]),
        (&"t.created".into(), &"1".into())
    );
    assert_eq!(event["source"]["table"], "t");
    assert!(event.get("record").is_none());
    let delivered = of(&explained, "good");
    assert_eq!(
        (&delivered["state"], &delivered["status"]),
        (&"delivered".into(), &200.into())
    );
    let filtered = of(&explained, "deletes");
    assert_eq!(
        (&filtered["state"], &filtered["rule"]),
        (&"filtered".into(), &"events".into())
    );
    let dead = of(&explained, "bad");
    assert_eq!(
        (&dead["state"], &dead["attempts"]),
        (&"dead".into(), &1.into())
    );
    assert!(
        dead["last_error"].as_str().unwrap().contains("413"),
        "{dead}"
    );
    let late = of(&explained, "late");
    assert_eq!(
        (&late["state"], &late["start_after"]),
        (&"before_start".into(), &1.into())
    );
    let quiet = of(&explained, "quiet");
    assert_eq!(quiet["state"], "not_known");
    assert!(
        quiet["because"]
            .as_str()
            .unwrap()
            .contains("failures alone"),
        "{quiet}"
    );
    let paused = of(&explained, "paused");
    assert_eq!(
        (&paused["state"], &paused["cursor"]),
        (&"not_reached".into(), &0.into())
    );
    assert!(
        paused["because"].as_str().unwrap().contains("moving house"),
        "{paused}"
    );
    let by_id = rowhook
        .json(&["explain", event["id"].as_str().unwrap()])
        .await;
    assert_eq!(by_id, explained);
    let text = rowhook.succeed(&["explain", "1"]).await;
    for part in [
        "t.created",
        "public.t",
        "delivered",
        "not reached",
        "answered 503: busy",
    ] {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
    // What is not in the settings any more, and what was never served.
    let other = Rowhook::new(&served.database).webhook_to("new", &good, Table::new());
    let explained = other.json(&["explain", "1"]).await;
    assert_eq!(of(&explained, "new")["state"], "never_served");
    assert_eq!(of(&explained, "paused")["state"], "removed");
    assert_eq!(of(&explained, "good")["state"], "delivered");
}

#[tokio::test]
async fn attempts_are_counted_by_outcome_and_class_and_timed() {
    let receiver = Receiver::start().await;
    receiver.answer_next([Reply::Status(500), Reply::Close]);
    let served = Served::to(&receiver, Table::new()).await;
    served.insert(1, 1).await;
    served.wait_for_cursor("hook", 1).await;
    // Shown at the next turn of the daemon's loop.
    let shown = "rowhook_subscription_lag_seconds{webhook=\"hook\"} 0.0";
    let text = served.daemon.wait_for_metric(shown).await;
    for line in [
        "rowhook_attempts_total{webhook=\"hook\",outcome=\"refused\",class=\"5xx\"} 1\n",
        "rowhook_attempts_total{webhook=\"hook\",outcome=\"broken\",class=\"none\"} 1\n",
        "rowhook_attempts_total{webhook=\"hook\",outcome=\"delivered\",class=\"2xx\"} 1\n",
        "rowhook_attempt_duration_seconds_count{webhook=\"hook\"} 3\n",
        "rowhook_attempts_dropped_total 0\n",
    ] {
        assert!(text.contains(line), "no {line} in\n{text}");
    }
}

#[tokio::test]
async fn an_event_that_the_retention_took_is_explained_by_what_is_left() {
    let receiver = Receiver::start().await;
    receiver.on_request(|request| match request.sequence_id {
        2 => Reply::Status(404),
        _ => Reply::Status(200),
    });
    let settings = |rowhook: Rowhook| {
        rowhook
            .set("log.segment_size", 10)
            .set("log.retention", "1d")
            .webhook_to(
                "hook",
                &receiver,
                toml! { retry = { statuses = { "404" = "dead" } } },
            )
    };
    let mut served = Served::with(settings).await;
    served.insert(1, 15).await;
    served.wait_for_cursor("hook", 15).await;
    let id = "select event_id::text from rowhook.events where sequence_id = 1";
    let id: String = served.client.query_one(id, &[]).await.unwrap().get(0);
    assert_eq!(served.daemon.stop().await, Some(0));
    served
        .execute("update rowhook.events set created_at = now() - interval '2 days' where sequence_id <= 10")
        .await;
    served.restart().await;
    served.daemon.wait_for_log("dropped old segments").await;
    let said = served.rowhook.fail(&["explain", &id], 1).await;
    for part in [
        "the log holds events 11 to 15",
        "delivered",
        "answered 200, attempt 1",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    let said = served.rowhook.fail(&["explain", "2", "--json"], 1).await;
    let told: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(told["log"], serde_json::json!({"oldest": 11, "newest": 15}));
    assert_eq!(of(&told, "hook")["state"], "dead");
    assert_eq!(told["attempts"][0]["status"], 404);
    let said = served.rowhook.fail(&["explain", "16"], 1).await;
    assert!(said.contains("the log holds no event 16"), "{said}");
}
