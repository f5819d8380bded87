//! What the log tells of one row: its story, and how it was.

use serde_json::{Value, json};

use crate::capture::Captured;

const POSTS: &str = "create table posts (id int primary key, title text, body text);
     alter table posts alter body set storage external";

/// `events at` for row `id` behind an event: the exit code and the answer.
async fn at(captured: &Captured, id: &str, more: &[&str]) -> (i32, Value) {
    let arguments = ["events", "at", "--json", "--resource", "posts", "--id", id];
    let output = captured
        .rowhook
        .run_command(&[&arguments, more].concat())
        .await;
    let text = String::from_utf8(output.stdout).unwrap();
    let answer = serde_json::from_str(&text).unwrap_or_else(|error| {
        panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr))
    });
    (output.status.code().unwrap(), answer)
}

async fn behind(captured: &Captured, id: &str, sequence_id: &str) -> (i32, Value) {
    at(captured, id, &["--sequence-id", sequence_id]).await
}

#[tokio::test]
async fn a_row_is_shown_as_it_was() {
    let captured = Captured::tables(POSTS).await;
    for sql in [
        "insert into posts values (1, 'one', 'a'), (2, 'other', null)",
        "update posts set title = 'two' where id = 1",
        "delete from posts where id = 1",
        "insert into posts values (1, 'again', null)",
        "update posts set id = 7 where id = 1",
        "truncate posts",
        "insert into posts values (2, 'new', 'b')",
    ] {
        captured.execute(sql).await;
    }
    let events = captured.logged(8).await;
    for (id, event, code, standing, title) in [
        ("1", "1", 0, "present", json!("one")),
        ("1", "2", 0, "present", json!("one")),
        ("1", "3", 0, "present", json!("two")),
        ("1", "4", 1, "deleted", json!(null)),
        ("1", "5", 0, "present", json!("again")),
        ("1", "6", 1, "renamed", json!(null)),
        ("1", "8", 1, "renamed", json!(null)),
        ("7", "5", 1, "not_yet", json!(null)),
        ("7", "6", 0, "present", json!("again")),
        ("7", "7", 1, "truncated", json!(null)),
        ("2", "0", 1, "before_log", json!(null)),
        ("2", "1", 1, "not_yet", json!(null)),
        ("2", "6", 0, "present", json!("other")),
        ("2", "7", 1, "truncated", json!(null)),
        ("2", "8", 0, "present", json!("new")),
        ("9", "8", 1, "unknown", json!(null)),
    ] {
        let (exit, was) = behind(&captured, id, event).await;
        assert_eq!(was["standing"], standing, "{id} behind {event}: {was:#}");
        assert_eq!(
            was["record"]["title"], title,
            "{id} behind {event}: {was:#}"
        );
        assert_eq!(exit, code, "{id} behind {event}: {was:#}");
        assert_eq!(was["notes"], json!([]), "{id} behind {event}: {was:#}");
    }
    let (_, was) = behind(&captured, "1", "8").await;
    assert_eq!(was["endedBy"]["resourceId"], "7", "{was:#}");
    assert_eq!(was["endedBy"]["sequenceId"], 6, "{was:#}");

    // By time: commits are told apart by it.
    let time = |event: usize| {
        events[event]
            .created_at
            .replace(' ', "T")
            .replace("+00", "Z")
    };
    let (_, was) = at(&captured, "1", &["--time", &time(2)]).await;
    assert_eq!(was["record"]["title"], "two", "{was:#}");
    let (_, was) = at(&captured, "2", &[]).await;
    assert_eq!(was["record"]["title"], "new", "{was:#}");
    let (_, was) = at(&captured, "2", &["--time", "3d"]).await;
    assert_eq!(was["standing"], "before_log", "{was:#}");

    let row = ["events", "at", "--resource", "posts", "--id"];
    let text = captured.rowhook.succeed(&[&row[..], &["2"]].concat()).await;
    assert!(
        text.contains("was there") && text.contains("\"new\""),
        "{text}"
    );
    let text = captured.rowhook.fail(&[&row[..], &["1"]].concat(), 1).await;
    assert!(text.contains("new key    7, by event 6"), "{text}");
    for wrong in [
        ["--sequence-id", "9"],
        ["--time", "yesterday"],
        ["--sequence-id", "-1"],
    ] {
        let arguments = [&row[..], &["1"], &wrong].concat();
        let output = captured.rowhook.run_command(&arguments).await;
        assert!(matches!(output.status.code(), Some(2 | 78)), "{output:?}");
    }
}

#[tokio::test]
async fn what_an_update_did_not_carry_is_told_by_earlier_events_or_unknown() {
    let before = format!("{POSTS}; insert into posts values (8, 'eight', null)");
    let captured = Captured::with(&before, |rowhook| {
        rowhook.set("source.replica_identity", "keep")
    })
    .await;
    captured
        .execute("insert into posts values (1, 'one', repeat('x', 5000)), (3, 'three', repeat('y', 5000))")
        .await;
    captured
        .execute("update posts set title = 'two' where id = 1")
        .await;
    captured
        .execute("update posts set id = 4 where id = 3")
        .await;
    captured
        .execute("update posts set title = 'four' where id = 4")
        .await;
    captured
        .execute("update posts set title = 'acht' where id = 8")
        .await;
    captured.logged(6).await;
    let (code, was) = behind(&captured, "1", "3").await;
    assert_eq!(code, 0);
    assert_eq!(was["record"]["title"], "two");
    assert_eq!(was["record"]["body"].as_str().unwrap().len(), 5000);
    assert_eq!(was["toldEarlier"], json!({"body": 1}));
    assert_eq!(was["unknown"], json!([]));
    // Under its new key nothing tells the body: it is unknown, and not null.
    let (code, was) = behind(&captured, "4", "5").await;
    assert_eq!(code, 0);
    assert_eq!(was["record"], json!({"id": 4, "title": "four"}), "{was:#}");
    assert_eq!(was["unknown"], json!(["body"]));
    let (_, was) = behind(&captured, "3", "5").await;
    assert_eq!(was["standing"], "renamed", "{was:#}");
    // Of a row from before capture an update tells that it was there.
    let (code, was) = behind(&captured, "8", "5").await;
    assert_eq!(
        (code, &was["standing"], &was["record"]),
        (0, &json!("present"), &Value::Null)
    );
    assert!(
        was["notes"][0].as_str().unwrap().contains("not its values"),
        "{was:#}"
    );
    let text = captured
        .rowhook
        .succeed(&["events", "at", "--resource", "posts", "--id", "4"])
        .await;
    assert!(text.contains("(not known)"), "{text}");
}

#[tokio::test]
async fn the_events_of_one_row_read_as_its_story() {
    let captured = Captured::tables(POSTS).await;
    for sql in [
        "insert into posts values (1, 'one', null), (2, 'two', null)",
        "begin; select rowhook.set_context('{\"user_id\": 7, \"role\": \"editor\"}'); update posts set title = 'uno' where id = 1; commit",
        "delete from posts where id = 1",
    ] {
        captured.execute(sql).await;
    }
    captured.logged(4).await;
    let list = ["events", "list", "--resource", "posts", "--id", "1"];
    let story = captured.rowhook.succeed(&list).await;
    let lines: Vec<&str> = story.lines().collect();
    assert!(
        lines[0].starts_with("#1  ") && lines[0].ends_with("posts.created"),
        "{story}"
    );
    assert!(
        story.contains("title   \"one\" → \"uno\"") || story.contains("title  \"one\" → \"uno\""),
        "{story}"
    );
    assert!(
        story.contains("posts.updated  by role=editor user_id=7"),
        "{story}"
    );
    assert!(lines.last().unwrap().ends_with("posts.deleted"), "{story}");
    assert!(!story.contains("two"), "{story}");
    let newest = captured
        .rowhook
        .succeed(&[&list[..], &["--limit", "1"]].concat())
        .await;
    assert!(
        newest.starts_with("#4  ") && newest.lines().count() == 1,
        "{newest}"
    );

    let shown = captured.rowhook.succeed(&["events", "show", "3"]).await;
    for part in [
        "by         role=editor user_id=7",
        "rowhook explain 3",
        "\"uno\"",
    ] {
        assert!(shown.contains(part), "no {part} in\n{shown}");
    }
}

#[tokio::test]
async fn nothing_is_filled_in_over_a_gap_and_the_gap_is_told() {
    let mut captured = Captured::with(POSTS, |rowhook| {
        rowhook.set("source.replica_identity", "keep")
    })
    .await;
    let publication = captured.database.publication();
    captured
        .execute("insert into posts values (1, 'one', repeat('x', 5000)), (2, 'two', null)")
        .await;
    captured.logged(2).await;
    captured
        .execute(&format!("alter publication {publication} drop table posts"))
        .await;
    captured
        .execute("update posts set body = repeat('unseen', 1000) where id = 1")
        .await;
    captured
        .execute(&format!("alter publication {publication} add table posts"))
        .await;
    assert_eq!(captured.daemon.wait_exit().await, Some(70));
    captured.rowhook.succeed(&["setup", "--accept-gap"]).await;
    captured.daemon = captured.rowhook.spawn_ready().await;
    captured
        .execute("update posts set title = 'uno' where id = 1")
        .await;
    captured.logged(4).await;
    let (code, was) = behind(&captured, "1", "4").await;
    assert_eq!(
        (code, &was["record"]),
        (0, &json!({"id": 1, "title": "uno"})),
        "{was:#}"
    );
    assert_eq!(was["unknown"], json!(["body"]));
    let (_, was) = behind(&captured, "2", "4").await;
    assert_eq!(was["standing"], "present");
    assert!(
        was["notes"][0].as_str().unwrap().contains("event 3"),
        "{was:#}"
    );
}
