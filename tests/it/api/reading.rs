//! Pages of events and single ones.

use serde_json::{Value, json};

use super::{Caller, answer};
use crate::capture::Captured;
use crate::logged::wait_for;
use crate::receiver::Receiver;

const TABLES: &str = "create table posts (id int primary key, title text); \
    create table \"odd 'name\" (id text primary key)";

fn ids(page: &Value) -> Vec<i64> {
    let events = page["events"].as_array().unwrap();
    events
        .iter()
        .map(|event| event["sequenceId"].as_i64().unwrap())
        .collect()
}

#[tokio::test]
async fn events_are_read_by_page_and_by_name_as_the_command_line_prints_them() {
    let captured = Captured::tables(TABLES).await;
    captured
        .execute("insert into posts select i, 'p' || i from generate_series(1, 6) i")
        .await;
    captured
        .execute("update posts set title = 'x' where id = 2; delete from posts where id = 3")
        .await;
    captured
        .execute("insert into \"odd 'name\" values ('a b&c=/ü')")
        .await;
    let logged = captured.logged(9).await;
    let caller = Caller::of(&captured.daemon);
    for (query, expected) in [
        ("", (1..=9).collect::<Vec<i64>>()),
        ("?limit=2", vec![8, 9]),
        ("?limit=2&before=8", vec![6, 7]),
        ("?limit=2&after=0", vec![1, 2]),
        ("?after=7", vec![8, 9]),
        ("?after=9", vec![]),
        ("?after=2&before=5", vec![3, 4]),
        ("?type=posts.updated", vec![7]),
        ("?type=posts.updated&type=posts.deleted", vec![7, 8]),
        ("?type=*.created&limit=3", vec![5, 6, 9]),
        ("?type=*.created&limit=3&after=0", vec![1, 2, 3]),
        ("?type=posts.*&after=6", vec![7, 8]),
        ("?type=nothing.*", vec![]),
        ("?resource=posts&resource_id=2", vec![2, 7]),
        (
            "?resource=odd+%27name&resource_id=a+b%26c%3D%2F%C3%BC",
            vec![9],
        ),
        ("?from=2000-01-01T00:00:00Z&limit=1", vec![9]),
        ("?to=2000-01-01T00:00:00Z", vec![]),
        (
            "?from=0001-01-01T00:00:00Z&to=9000-12-31T00:00:00Z&after=0&limit=1",
            vec![1],
        ),
        ("?undispatched=true", vec![]),
    ] {
        let page = caller.json(&format!("/v1/events{query}")).await;
        assert_eq!(ids(&page), expected, "{query}: {page:#}");
    }

    let printed = captured
        .rowhook
        .succeed(&["events", "list", "--json"])
        .await;
    let printed: Vec<Value> = printed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let page = caller.json("/v1/events").await;
    assert_eq!(page["events"], json!(printed));
    let some = [
        "--type",
        "*.created",
        "--from",
        "2000-01-01T00:00:00Z",
        "--to",
        "2999-01-01T00:00:00Z",
    ];
    let arguments = [&["events", "list", "--json", "--after", "4"][..], &some].concat();
    let lines = captured.rowhook.succeed(&arguments).await;
    assert_eq!(lines.lines().count(), 3, "{lines}");
    let by_id = caller
        .json(&format!("/v1/events/{}", logged[6].event_id))
        .await;
    assert_eq!(by_id, printed[6]);
    assert_eq!(caller.json("/v1/events/7").await, printed[6]);
    caller.get("/v1/events/10").await.problem(404, "not_found");
    caller
        .get("/v1/events/0190b1ce-0000-8000-8000-000000000000")
        .await
        .problem(404, "not_found");
}

#[tokio::test]
async fn links_lead_through_the_whole_log_in_both_directions() {
    let captured = Captured::tables(TABLES).await;
    captured
        .execute("insert into posts select i from generate_series(1, 7) i")
        .await;
    captured.execute("delete from posts").await;
    captured.logged(14).await;
    let caller = Caller::of(&captured.daemon);
    let follow = async |start: &str, relation: &str| {
        let (mut path, mut seen) = (start.to_owned(), Vec::new());
        loop {
            let got = caller.get(&path).await;
            let page = got.json();
            seen.push(ids(&page));
            let links = got.header("link").to_owned();
            let link = links
                .split(", ")
                .find(|link| link.ends_with(&format!("rel=\"{relation}\"")));
            let Some(link) = link.filter(|_| page["more"] == true) else {
                return (seen, page["next"].as_i64().unwrap());
            };
            path = link[1..link.find('>').unwrap()].to_owned();
        }
    };
    let (seen, next) = follow(
        "/v1/events?after=0&limit=4&type=*.created&resource=posts",
        "next",
    )
    .await;
    assert_eq!(seen, [vec![1, 2, 3, 4], vec![5, 6, 7]]);
    assert_eq!(next, 14);
    let (seen, _) = follow("/v1/events?limit=6", "prev").await;
    assert_eq!(
        seen,
        [
            vec![9, 10, 11, 12, 13, 14],
            vec![3, 4, 5, 6, 7, 8],
            vec![1, 2]
        ]
    );
    // What was looked at is not looked at again.
    let page = caller.json("/v1/events?after=0&type=none.created").await;
    assert_eq!((ids(&page), &page["next"]), (vec![], &json!(14)));
}

#[tokio::test]
async fn what_webhooks_still_have_to_deal_with_can_be_asked_for() {
    let receiver = Receiver::start().await;
    receiver.fail_for("1", 500);
    let captured = Captured::with(TABLES, |rowhook| {
        let more = toml::toml! {
            events = ["posts.*"]
            retry = { attempts = 1, initial = "1h", max = "1h" }
        };
        rowhook.webhook_to("audit", &receiver, more)
    })
    .await;
    let caller = Caller::of(&captured.daemon);
    captured.execute("insert into posts values (1)").await;
    wait_for(&captured.client, "the dead delivery", async || {
        captured.rowhook.json(&["status"]).await["webhooks"][0]["dead"] == 1
    })
    .await;
    assert_eq!(
        ids(&caller.json("/v1/events?undispatched=true").await),
        [0; 0]
    );
    captured
        .rowhook
        .succeed(&["webhooks", "pause", "audit"])
        .await;
    wait_for(
        &captured.client,
        "the daemon to see the pause",
        async || {
            let (_, text) = captured.daemon.get("/metrics").await;
            text.contains("rowhook_webhook_paused{webhook=\"audit\"} 1")
        },
    )
    .await;
    captured.execute("insert into posts values (2), (3)").await;
    captured.logged(3).await;
    for (query, expected) in [
        ("", vec![2, 3]),
        ("&after=2", vec![3]),
        ("&after=0&limit=1", vec![2]),
        ("&limit=1", vec![3]),
        ("&before=3", vec![2]),
        ("&type=posts.deleted", vec![]),
    ] {
        let page = caller
            .json(&format!("/v1/events?undispatched=true{query}"))
            .await;
        assert_eq!(ids(&page), expected, "{query}");
    }
    // A delivery that waits for a retry is owed, wherever the cursor is.
    captured
        .execute("update rowhook.subscriptions set cursor = 3; update rowhook.deliveries set state = 'waiting'")
        .await;
    for query in ["", "&limit=1", "&after=0&limit=1"] {
        let page = caller
            .json(&format!("/v1/events?undispatched=true{query}"))
            .await;
        assert_eq!(ids(&page), [1], "{query}");
    }
    let lines = captured
        .rowhook
        .succeed(&["events", "list", "--undispatched", "--json"])
        .await;
    assert_eq!(lines.lines().count(), 1, "{lines}");
}

#[tokio::test]
async fn what_a_request_may_not_say_is_refused() {
    let captured = Captured::tables(TABLES).await;
    captured.execute("insert into posts values (1)").await;
    captured.logged(1).await;
    let caller = Caller::of(&captured.daemon);
    let long = "x".repeat(9_000);
    for (path, status, code) in [
        ("/v1/events?limit=0", 400, "bad_value"),
        ("/v1/events?limit=1001", 400, "bad_value"),
        ("/v1/events?limit=ten", 400, "bad_value"),
        ("/v1/events?after=-1", 400, "bad_value"),
        ("/v1/events?after=99999999999999999999", 400, "bad_value"),
        ("/v1/events?after=1&after=2", 400, "bad_value"),
        ("/v1/events?before=0", 400, "bad_value"),
        ("/v1/events?type=", 400, "bad_value"),
        ("/v1/events?type=posts", 400, "bad_value"),
        ("/v1/events?resource=", 400, "bad_value"),
        ("/v1/events?resource_id=1", 400, "bad_value"),
        ("/v1/events?from=yesterday", 400, "bad_value"),
        ("/v1/events?from=-009999-01-01T00:00:00Z", 400, "bad_value"),
        ("/v1/events?undispatched=1", 400, "bad_value"),
        ("/v1/events?resource=%00", 400, "bad_query"),
        ("/v1/events?resource=%ff", 400, "bad_query"),
        ("/v1/events?offset=1", 400, "unknown_parameter"),
        ("/v1/events/1?x=1", 400, "unknown_parameter"),
        ("/v1/events/seven", 400, "bad_value"),
        ("/v1/events/1'%20or%20'1'='1", 400, "bad_value"),
        ("/v1/nothing", 404, "not_found"),
        ("/", 404, "not_found"),
        (&format!("/v1/events?resource={long}"), 414, "too_long"),
    ] {
        let problem = caller.get(path).await.problem(status, code);
        assert!(!problem["detail"].as_str().unwrap().is_empty(), "{problem}");
    }
    let problem = caller
        .get("/v1/events?resourceId=1")
        .await
        .problem(400, "unknown_parameter");
    assert_eq!(problem["next_step"], "did you mean resource_id?");
    let refused = answer(caller.request("PUT", "/v1/events/1")).await;
    refused.problem(405, "method_not_allowed");
    assert!(refused.header("allow").contains("GET"), "{refused:?}");
    let refused = answer(caller.request("POST", "/healthz")).await;
    refused.problem(405, "method_not_allowed");
    let head = caller
        .request("GET", "/v1/events")
        .header("x-long", "x".repeat(200_000));
    assert_eq!(answer(head).await.status, 431);
    for text in [
        "'; drop table rowhook.events; --",
        "$1",
        "%'",
        "\\",
        "{{}}",
        "a\" or 1=1",
    ] {
        let text: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let path = format!("/v1/events?resource={text}&resource_id={text}");
        assert_eq!(ids(&caller.json(&path).await), [0; 0]);
    }
    assert_eq!(ids(&caller.json("/v1/events").await), [1]);
}
