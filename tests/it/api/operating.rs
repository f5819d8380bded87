//! What operators ask for.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{Caller, answer};
use crate::capture::Captured;
use crate::logged::wait_for;
use crate::receiver::Receiver;

const TABLE: &str = "create table posts (id int primary key)";
const TOKEN: &str = "token-0123456789abcdef";

async fn served(receiver: &Receiver) -> (Captured, Caller) {
    let captured = Captured::with(TABLE, |rowhook| {
        let more = toml::toml! {
            retry = { attempts = 1, initial = "1s", max = "1h" }
        };
        rowhook
            .set("api.token", TOKEN)
            .webhook_to("audit", receiver, more)
    })
    .await;
    let caller = Caller::with(&captured.daemon, TOKEN);
    (captured, caller)
}

async fn wait_until(captured: &Captured, caller: &Caller, pointer: &str, expected: Value) {
    wait_for(&captured.client, pointer, async || {
        let status = caller.json("/v1/status").await;
        status.pointer(pointer) == Some(&expected)
    })
    .await;
}

#[tokio::test]
async fn webhooks_are_looked_at_paused_and_resumed() {
    let receiver = Receiver::start().await;
    let (captured, caller) = served(&receiver).await;
    captured.execute("insert into posts values (1)").await;
    receiver.wait_for_count(1).await;
    wait_until(&captured, &caller, "/webhooks/0/cursor", json!(1)).await;
    let mut status = caller.json("/v1/status").await;
    let mut printed = captured.rowhook.json(&["status"]).await;
    for it in [&mut status, &mut printed] {
        // These go on between the two questions; transactions of other tests hold back WAL as well.
        it["capture"].as_object_mut().unwrap().retain(|key, _| {
            let moves = ["seconds", "bytes", "wal_", "logged_up_to"];
            !moves.iter().any(|part| key.contains(part))
        });
    }
    assert_eq!(status, printed);
    let listed = caller.json("/v1/subscriptions").await;
    assert_eq!(listed["subscriptions"], printed["webhooks"]);
    assert_eq!(
        caller.json("/v1/subscriptions/audit").await,
        printed["webhooks"][0]
    );

    let paused = caller
        .post(
            "/v1/subscriptions/audit/pause",
            &json!({"reason": "a'b\"; --"}),
        )
        .await;
    assert_eq!(
        (paused.status, &paused.json()["state"]),
        (200, &json!("paused")),
        "{paused:?}"
    );
    let shown = caller.json("/v1/subscriptions/audit").await;
    assert_eq!(
        (&shown["state"], &shown["reason"]),
        (&json!("paused"), &json!("a'b\"; --"))
    );
    captured.execute("insert into posts values (2)").await;
    captured.logged(2).await;
    let resumed = caller
        .post("/v1/subscriptions/audit/resume", &json!({}))
        .await;
    assert_eq!(
        (resumed.status, &resumed.json()["state"]),
        (200, &json!("active")),
        "{resumed:?}"
    );
    receiver.wait_for_count(2).await;
    caller
        .get("/v1/subscriptions/other")
        .await
        .problem(404, "not_found");
    caller
        .post("/v1/subscriptions/other/pause", &json!({}))
        .await
        .problem(404, "not_found");
}

#[tokio::test]
async fn deliveries_and_replays_are_asked_for() {
    let receiver = Receiver::start().await;
    receiver.answer_next([crate::receiver::Reply::Status(400)]);
    let (captured, caller) = served(&receiver).await;
    captured.execute("insert into posts values (1), (2)").await;
    wait_until(&captured, &caller, "/webhooks/0/dead", json!(1)).await;
    let listed = caller.json("/v1/deliveries?state=dead&webhook=audit").await;
    let printed = captured.rowhook.json(&["deliveries", "list"]).await;
    assert_eq!(listed["deliveries"], printed);
    assert_eq!(
        caller.json("/v1/deliveries?state=waiting").await["deliveries"],
        json!([])
    );

    let counted = caller
        .post(
            "/v1/deliveries/discard",
            &json!({"all": true, "dry_run": true}),
        )
        .await;
    assert_eq!(
        (counted.status, &counted.json()["requested"]),
        (200, &json!(0)),
        "{counted:?}"
    );
    let asked = caller
        .post("/v1/deliveries/retry", &json!({"webhook": "audit"}))
        .await;
    assert_eq!(
        (asked.status, &asked.json()["requested"]),
        (200, &json!(1)),
        "{asked:?}"
    );
    wait_until(&captured, &caller, "/webhooks/0/dead", json!(0)).await;
    receiver.wait_for_count(3).await;

    let made = caller
        .post(
            "/v1/replays",
            &json!({"webhook": "audit", "after": 0, "types": ["posts.*"]}),
        )
        .await;
    assert_eq!(made.status, 201, "{made:?}");
    receiver.wait_for_count(5).await;
    let place = made.header("location").to_owned();
    wait_for(&captured.client, "the end of the replay", async || {
        caller.json(&place).await["state"] == "done"
    })
    .await;
    let listed = caller.json("/v1/replays").await;
    assert_eq!(listed["replays"][0]["delivered"], 2);
    let late = answer(caller.request("DELETE", &place)).await;
    late.problem(409, "not_open");
    caller.get("/v1/replays/77").await.problem(404, "not_found");
    answer(caller.request("DELETE", "/v1/replays/77"))
        .await
        .problem(404, "not_found");
}

#[tokio::test]
async fn what_an_operator_may_not_say_is_refused() {
    let receiver = Receiver::start().await;
    let (captured, caller) = served(&receiver).await;
    captured.execute("insert into posts values (1)").await;
    receiver.wait_for_count(1).await;
    let pause = "/v1/subscriptions/audit/pause";
    let long = "x".repeat(5_000);
    for (path, body, at) in [
        (pause, json!({"reason": ""}), "reason"),
        (pause, json!({"reason": "a\u{0}b"}), "reason"),
        (pause, json!({"reason": long}), "reason"),
        ("/v1/deliveries/retry", json!({}), ""),
        (
            "/v1/deliveries/retry",
            json!({"webhook": "x\u{0}"}),
            "webhook",
        ),
        (
            "/v1/deliveries/retry",
            json!({"resource_id": "1"}),
            "resource_id",
        ),
        ("/v1/replays", json!({"webhook": "audit"}), ""),
        (
            "/v1/replays",
            json!({"webhook": "audit", "after": -1}),
            "after",
        ),
        (
            "/v1/replays",
            json!({"webhook": "audit", "from": "x"}),
            "from",
        ),
        (
            "/v1/replays",
            json!({"webhook": "audit", "after": 0, "rate": "fast"}),
            "rate",
        ),
    ] {
        let problem = caller.post(path, &body).await.problem(400, "bad_value");
        assert_eq!(problem["at"], at, "{problem}");
    }
    for (path, body) in [
        (pause, json!({"why": "x"})),
        (pause, json!({"reason": 7})),
        ("/v1/subscriptions/audit/resume", json!({"reason": "x"})),
        ("/v1/deliveries/retry", json!({"webhook": "nobody"})),
        ("/v1/deliveries/retry", json!({"events": ["seven"]})),
        ("/v1/deliveries/discard", json!({"state": "gone"})),
        ("/v1/replays", json!({"after": 0})),
        ("/v1/replays", json!({"webhook": "nobody", "after": 0})),
        (
            "/v1/replays",
            json!({"webhook": "audit", "types": ["posts"]}),
        ),
        (
            "/v1/replays",
            json!({"webhook": "audit", "after": 0, "when": "1 +"}),
        ),
    ] {
        caller.post(path, &body).await.problem(400, "bad_value");
    }
    for body in ["", "[]", "{", "null", "{} {}"] {
        let request = caller.request("POST", "/v1/deliveries/discard");
        let got = answer(
            request
                .header("content-type", "application/json")
                .body(body),
        )
        .await;
        got.problem(
            400,
            if body.is_empty() {
                "bad_value"
            } else {
                "not_json"
            },
        );
    }
    let form = caller
        .request("POST", pause)
        .header("content-type", "text/plain")
        .body("{}");
    answer(form).await.problem(415, "not_json");
    answer(caller.request("POST", pause))
        .await
        .problem(415, "not_json");
    // A little too long: who is told so early may not hear it while it sends the rest.
    let huge = format!("{{\"reason\": \"{}\"}}", "x".repeat(1 << 20));
    let request = caller
        .request("POST", pause)
        .header("content-type", "application/json");
    answer(request.body(huge)).await.problem(413, "too_long");
    // Nothing of it did anything, and nobody may do it without the scope.
    assert_eq!(
        caller.json("/v1/subscriptions/audit").await["state"],
        "active"
    );
    let none = Caller::of(&captured.daemon);
    none.post(pause, &json!({})).await.problem(401, "no_token");
    none.post("/v1/replays", &json!({"webhook": "audit", "after": 0}))
        .await
        .problem(401, "no_token");
}

#[tokio::test]
async fn operators_who_meet_a_lock_hold_up_no_reader() {
    let receiver = Receiver::start().await;
    let (captured, caller) = served(&receiver).await;
    captured.execute("insert into posts values (1)").await;
    receiver.wait_for_count(1).await;
    wait_until(&captured, &caller, "/webhooks/0/cursor", json!(1)).await;
    let locker = captured.database.client().await;
    let lock = "begin; select from rowhook.subscriptions for update";
    locker.batch_execute(lock).await.unwrap();
    let asked = json!({});
    let answered = AtomicUsize::new(0);
    let pause = async |_| {
        let answer = caller.post("/v1/subscriptions/audit/pause", &asked).await;
        answered.fetch_add(1, Ordering::Relaxed);
        answer
    };
    let pauses = (0..6).map(pause);
    let reading = async {
        wait_for(&captured.client, "operators who wait for the lock", async || {
            let waiting = "select count(*) from pg_stat_activity \
                            where application_name = 'rowhook api operator' and wait_event_type = 'Lock' \
                              and datname = current_database()";
            captured.client.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) > 0
        })
        .await;
        caller.json("/v1/events").await;
        caller.json("/v1/subscriptions/audit").await;
        answered.load(Ordering::Relaxed)
    };
    // An operator waits for the lock for two seconds, three at a time.
    let (refused, before) = tokio::join!(join_all(pauses), reading);
    assert!(before < 6, "readers waited for all {before} operators");
    for refused in refused {
        assert_eq!(refused.status, 503, "{refused:?}");
    }
    locker.batch_execute("rollback").await.unwrap();
    let paused = caller.post("/v1/subscriptions/audit/pause", &asked).await;
    assert_eq!(paused.status, 200, "{paused:?}");
}

#[tokio::test]
async fn while_the_log_is_away_readers_are_told_to_come_back() {
    let captured = Captured::tables(TABLE).await;
    captured.execute("insert into posts values (1)").await;
    captured.logged(1).await;
    let caller = Caller::of(&captured.daemon);
    assert_eq!(caller.get("/v1/events").await.status, 200);
    // Readers lose their sessions, and get new ones.
    let kill = "select pg_terminate_backend(pid) from pg_stat_activity \
                 where application_name = 'rowhook api' and datname = current_database()";
    captured.execute(kill).await;
    wait_for(
        &captured.client,
        "a reader with a new session",
        async || {
            let got = caller.get("/v1/events").await;
            if got.status != 200 {
                got.problem(503, "unavailable");
                assert_eq!(got.header("retry-after"), "1");
            }
            got.status == 200
        },
    )
    .await;
    captured
        .execute("alter table rowhook.checkpoint rename to away")
        .await;
    let away = caller.get("/v1/events").await;
    away.problem(503, "unavailable");
    assert_eq!(away.header("retry-after"), "1");
    captured
        .execute("alter table rowhook.away rename to checkpoint")
        .await;
    wait_for(&captured.client, "a reader that reads", async || {
        caller.get("/v1/events").await.status == 200
    })
    .await;
}
