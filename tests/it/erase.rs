//! The values of one row go from the log, from memory, and from what receivers answered.

use serde_json::{Value, json};

use crate::capture::Captured;
use crate::logged::{assert_dense, events, wait_for};
use crate::receiver::{Receiver, Reply};

const USERS: &str =
    "create table users (id int primary key, email text, phone text, visits int default 0)";

const SECRET: &str = "ann@example.com";

async fn erase(captured: &Captured, more: &[&str]) -> Value {
    let arguments = ["events", "erase", "--resource", "users", "--id", "7"];
    captured.rowhook.json(&[&arguments, more].concat()).await
}

/// Where in rowhook's tables a text still stands.
async fn holders(captured: &Captured, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for table in ["events", "attempts", "deliveries", "erasures", "event_feed"] {
        let sql = format!("select count(*) from rowhook.{table} t where strpos(t::text, $1) > 0");
        let row = captured.client.query_one(&sql, &[&text]).await.unwrap();
        if row.get::<_, i64>(0) > 0 {
            found.push(table.to_owned());
        }
    }
    found
}

async fn write(captured: &Captured) {
    for sql in [
        &format!(
            "begin; select rowhook.set_context('{{\"user\": \"{SECRET}\"}}'); insert into users values (7, '{SECRET}', '1'), (8, 'bob', '2'); commit"
        ),
        &format!("update users set email = 'new {SECRET}', visits = 1 where id = 7"),
        "update users set visits = 2 where id = 7",
        "delete from users where id = 7",
        "update users set email = 'bob@' where id = 8",
    ] {
        captured.execute(sql).await;
    }
}

#[tokio::test]
async fn the_values_of_one_row_go_and_its_events_stay_in_their_places() {
    let captured = Captured::tables(USERS).await;
    write(&captured).await;
    let before = captured.logged(6).await;
    let wrong = ["events", "erase", "--resource", "users", "--id"];
    captured
        .rowhook
        .fail(&[&wrong[..], &["9"]].concat(), 1)
        .await;
    let said = captured
        .rowhook
        .fail(&[&wrong[..], &["7"]].concat(), 78)
        .await;
    assert!(said.contains("--yes"), "{said}");
    for (field, why) in [("id", "part of the key"), ("emial", "one of: ")] {
        let arguments = [&wrong[..], &["7", "--yes", "--fields", field]].concat();
        let said = captured.rowhook.fail(&arguments, 78).await;
        assert!(said.contains(why), "{said}");
    }
    let found = erase(&captured, &["--dry-run"]).await;
    assert_eq!(found["found"]["notes"], json!([]), "{found:#}");
    let by_type = json!({"users.created": 1, "users.deleted": 1, "users.updated": 2});
    assert_eq!(found["found"]["by_type"], by_type, "{found:#}");
    assert_eq!(events(&captured.client).await, before);

    let done = erase(&captured, &["--yes", "--vacuum"]).await;
    assert_eq!(
        (&done["erased"], &done["logged"]),
        (&json!(4), &json!(true)),
        "{done:#}"
    );
    let after = captured.logged(7).await;
    assert_dense(&after);
    assert_eq!(after[6].event_type, "rowhook.erased");
    assert_eq!(after[6].record["resource_id"], "7");
    assert_eq!(after[6].record["events"], 4);
    let of_others = |event: &&crate::logged::Logged| event.resource_id.as_deref() == Some("8");
    let others =
        |all: &[crate::logged::Logged]| all.iter().filter(of_others).cloned().collect::<Vec<_>>();
    assert_eq!(others(&after), others(&before));
    for (was, is) in before
        .iter()
        .zip(&after)
        .filter(|(was, _)| was.resource_id.as_deref() == Some("7"))
    {
        assert_eq!(
            (&was.event_id, was.sequence_id, &was.event_type),
            (&is.event_id, is.sequence_id, &is.event_type)
        );
        assert_eq!(is.record, json!({"id": 7}));
        assert!(is.unknown.contains(&"email".to_owned()), "{is:?}");
        assert_eq!(is.context, Value::Null);
        let known = if is.action == "created" {
            "absent"
        } else {
            "key"
        };
        assert_eq!(is.old_row, known, "{is:?}");
    }
    // The context of the one transaction stands with row 8, too: that is another row.
    let sql = "update rowhook.events set context = null where resource_id = '8'";
    captured.execute(sql).await;
    assert_eq!(holders(&captured, SECRET).await, Vec::<String>::new());
    let shown = captured.rowhook.json(&["events", "show", "3"]).await;
    assert!(shown["erasedAt"].is_string(), "{shown:#}");
    let row = captured.client.query_one("select old is null, changes is null, erased_at is not null from rowhook.event_feed where sequence_id = 3", &[]).await.unwrap();
    assert_eq!((row.get(0), row.get(1), row.get(2)), (true, true, true));

    let again = erase(&captured, &["--yes"]).await;
    assert_eq!(
        (&again["erased"], &again["erasure"]),
        (&json!(0), &json!(null))
    );
    let was = captured
        .rowhook
        .fail(
            &[
                "events",
                "at",
                "--resource",
                "users",
                "--id",
                "7",
                "--sequence-id",
                "3",
            ],
            0,
        )
        .await;
    assert!(
        was.contains("values were erased") && was.contains("(not known)"),
        "{was}"
    );
}

#[tokio::test]
async fn single_fields_go_while_no_daemon_runs_and_it_logs_that_later_once() {
    let mut captured = Captured::tables(USERS).await;
    write(&captured).await;
    captured.logged(6).await;
    assert_eq!(captured.daemon.stop().await, Some(0));
    let done = erase(&captured, &["--yes", "--fields", "email,phone"]).await;
    assert_eq!(
        (&done["erased"], &done["logged"]),
        (&json!(4), &json!(false)),
        "{done:#}"
    );
    let after = events(&captured.client).await;
    assert_eq!(after[0].record, json!({"id": 7, "visits": 0}));
    assert_eq!(after[2].previous, json!({"visits": 0}));
    assert_eq!(
        (&*after[2].old_row, &*after[3].old_row),
        ("partial", "partial")
    );
    assert_eq!(after[0].context["sessionVariables"]["user"], SECRET);
    // One was cut off; and the last daemon ended before it could note that it had logged both.
    captured
        .execute("insert into rowhook.erasures (resource, resource_id, up_to_id, events, updated_at) values ('users', '8', 6, 2, now() - interval '1 hour')")
        .await;
    for _ in 0..2 {
        captured.daemon = captured.rowhook.spawn_ready().await;
        wait_for(
            &captured.client,
            "what was erased to be logged",
            async || {
                let sql = "select count(*) from rowhook.erasures where state = 'logged'";
                captured
                    .client
                    .query_one(sql, &[])
                    .await
                    .unwrap()
                    .get::<_, i64>(0)
                    == 2
            },
        )
        .await;
        assert_eq!(captured.daemon.stop().await, Some(0));
        captured
            .execute("update rowhook.erasures set state = 'done'")
            .await;
    }
    let all = events(&captured.client).await;
    let mut notes = all
        .iter()
        .filter(|event| event.event_type == "rowhook.erased");
    let (first, second) = (notes.next().unwrap(), notes.next().unwrap());
    assert!(notes.next().is_none());
    assert_eq!(first.record["fields"], json!(["email", "phone"]));
    assert_eq!(
        (&first.record["complete"], &second.record["complete"]),
        (&json!(true), &json!(false))
    );
}

#[tokio::test]
async fn many_events_go_in_batches_beside_the_writer_and_one_command_at_a_time() {
    let captured = Captured::with(USERS, |rowhook| rowhook.set("log.segment_size", 100)).await;
    captured
        .execute(&format!(
            "insert into users values (7, '{SECRET}', null);
             do $$ begin for i in 1..450 loop update users set visits = i where id = 7; end loop; end $$"
        ))
        .await;
    captured.logged(451).await;
    let other = captured.database.client().await;
    let lock = "select pg_advisory_lock(8245940733168544513)";
    other.batch_execute(lock).await.unwrap();
    let arguments = [
        "events",
        "erase",
        "--resource",
        "users",
        "--id",
        "7",
        "--yes",
    ];
    let said = captured.rowhook.fail(&arguments, 75).await;
    assert!(said.contains("another `rowhook events erase`"), "{said}");
    other
        .batch_execute(&lock.replace("lock(", "unlock("))
        .await
        .unwrap();

    let writing = async {
        for id in 100..300 {
            captured
                .execute(&format!("insert into users values ({id}, 'x', 'y')"))
                .await;
        }
    };
    let (done, ()) = tokio::join!(erase(&captured, &["--yes"]), writing);
    assert_eq!(
        (&done["erased"], &done["logged"]),
        (&json!(451), &json!(true)),
        "{done:#}"
    );
    let all = captured.logged(652).await;
    assert_dense(&all);
    assert_eq!(holders(&captured, SECRET).await, Vec::<String>::new());
    let sql = "select events from rowhook.erasures";
    let row = captured.client.query_one(sql, &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 451);
}

#[tokio::test]
async fn what_waits_in_memory_or_as_a_row_goes_out_erased() {
    let receiver = Receiver::start().await;
    receiver.on_request(|request| Reply::Full(503, Vec::new(), request.body.clone()));
    let captured = Captured::with(USERS, |rowhook| {
        rowhook.webhook_to(
            "strict",
            &receiver,
            toml::toml! {
                order = "strict"
                retry = { attempts = 1000, initial = "50ms", multiplier = 1, max = "50ms" }
            },
        )
    })
    .await;
    // Row 8 is sent again and again; what comes behind it is held in memory.
    captured
        .execute("insert into users values (8, 'bob', null)")
        .await;
    captured
        .execute(&format!("insert into users values (7, '{SECRET}', null)"))
        .await;
    captured
        .execute(&format!(
            "update users set visits = 1, phone = '{SECRET}' where id = 7"
        ))
        .await;
    captured.logged(3).await;
    receiver.wait_for_count(3).await;
    let done = erase(&captured, &["--yes"]).await;
    assert_eq!(done["logged"], true, "{done:#}");
    receiver.on_request(|_| Reply::Status(200));
    let all = receiver
        .wait_for(|requests| requests.iter().filter(|r| r.accepted()).count() >= 4)
        .await;
    let sent: Vec<_> = all.iter().filter(|request| request.accepted()).collect();
    let ids: Vec<i64> = sent.iter().map(|request| request.sequence_id).collect();
    assert_eq!(ids, [1, 2, 3, 4]);
    for request in &sent[1..3] {
        let text = String::from_utf8_lossy(&request.body);
        assert!(!text.contains(SECRET), "{text}");
        assert_eq!(
            request.json()["event"]["data"]["new"],
            json!({"id": 7}),
            "{text}"
        );
        assert!(request.json()["event"]["erasedAt"].is_string(), "{text}");
    }
}

#[tokio::test]
async fn what_receivers_answered_to_it_goes() {
    let receiver = Receiver::start().await;
    receiver.on_request(|request| {
        Reply::Full(
            if request.resource == "users" {
                400
            } else {
                200
            },
            Vec::new(),
            request.body.clone(),
        )
    });
    let captured = Captured::with(USERS, |rowhook| {
        let retry = toml::toml! { retry = { attempts = 1 } };
        rowhook.webhook_to("echo", &receiver, retry)
    })
    .await;
    captured
        .execute(&format!("insert into users values (7, '{SECRET}', null)"))
        .await;
    wait_for(
        &captured.client,
        "its attempt and its dead delivery",
        async || {
            let held = holders(&captured, SECRET).await;
            held.contains(&"attempts".to_owned()) && held.contains(&"deliveries".to_owned())
        },
    )
    .await;
    let done = erase(&captured, &["--yes"]).await;
    assert_eq!(
        (&done["answers"], &done["reasons"]),
        (&json!(1), &json!(1)),
        "{done:#}"
    );
    assert_eq!(holders(&captured, SECRET).await, Vec::<String>::new());
}

#[tokio::test]
async fn old_values_from_the_log_do_not_make_up_what_was_erased() {
    let captured = Captured::with(USERS, |rowhook| {
        let from_log = toml::toml! { table = "public.users"
        previous = "log" };
        rowhook.resource(from_log)
    })
    .await;
    let mut captured = captured;
    captured
        .execute(&format!("insert into users values (7, '{SECRET}', '1')"))
        .await;
    captured.logged(1).await;
    erase(&captured, &["--yes", "--fields", "email"]).await;
    // The daemon has forgotten the row: it does not know what the log does not tell.
    captured
        .execute("update users set phone = '2' where id = 7")
        .await;
    let events = captured.logged(3).await;
    assert_eq!(
        (&events[2].previous, &*events[2].old_row),
        (&Value::Null, "absent")
    );
    erase(&captured, &["--yes", "--fields", "email"]).await;
    captured.logged(4).await;
    // What was in memory is gone: the log is asked.
    assert_eq!(captured.daemon.stop().await, Some(0));
    captured.daemon = captured.rowhook.spawn_ready().await;
    captured
        .execute("update users set email = 'new', phone = '3' where id = 7")
        .await;
    let events = captured.logged(5).await;
    assert_eq!(events[4].previous, json!({"phone": "2"}));
    assert_eq!(events[4].old_row, "partial");
    assert_eq!(events[4].record["email"], "new");
}

#[tokio::test]
async fn other_keys_of_the_row_are_told() {
    let captured = Captured::tables(USERS).await;
    for sql in [
        "insert into users values (5, 'ann', null)",
        "update users set id = 7 where id = 5",
        "update users set id = 9 where id = 7",
        "insert into users values (7, 'bob', null)",
    ] {
        captured.execute(sql).await;
    }
    captured.logged(4).await;
    let found = erase(&captured, &["--dry-run"]).await;
    let notes = found["found"]["notes"].as_array().unwrap();
    assert_eq!(notes.len(), 2, "{found:#}");
    assert!(
        notes[0]
            .as_str()
            .unwrap()
            .ends_with("the one that it had, id = 5"),
        "{found:#}"
    );
    assert!(
        notes[1]
            .as_str()
            .unwrap()
            .starts_with("event 3 gave the row another key"),
        "{found:#}"
    );
    assert!(notes[1].as_str().unwrap().ends_with("users 9"), "{found:#}");
    // The old key is one of the ids that stay.
    erase(&captured, &["--yes"]).await;
    let events = captured.logged(5).await;
    assert_eq!(
        (&events[1].record, &events[1].previous),
        (&json!({"id": 7}), &json!({"id": 5}))
    );
    assert_eq!(
        events[2].record,
        json!({"id": 9, "email": "ann", "phone": null, "visits": 0})
    );
}
