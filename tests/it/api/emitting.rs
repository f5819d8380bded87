//! Events of the application's own, by HTTP.

use serde_json::{Value, json};

use super::{Answer, Caller, answer};
use crate::capture::{Captured, types};
use crate::emit::said;
use crate::logged::events;

const TABLE: &str = "create table posts (id int primary key, title text)";

const TOKEN: &str = "token-0123456789abcdef";

async fn captured() -> (Captured, Caller) {
    let captured = Captured::with(TABLE, |rowhook| rowhook.set("api.token", TOKEN)).await;
    let caller = Caller::with(&captured.daemon, TOKEN);
    (captured, caller)
}

async fn keyed(caller: &Caller, key: &str, body: &str) -> Answer {
    let request = caller.request("POST", "/v1/events");
    let request = request
        .header("content-type", "application/json")
        .header("Idempotency-Key", key);
    answer(request.body(body.to_owned())).await
}

#[tokio::test]
async fn an_event_that_is_posted_is_logged_at_once_under_the_id_that_was_told() {
    let (captured, caller) = captured().await;
    captured
        .execute("insert into posts values (1, 'one')")
        .await;
    let body = json!({
        "type": "posts.shared", "data": {"with": ["a'; drop table posts; --"]},
        "resource": "posts", "resource_id": "1", "context": {"user_id": 7},
    });
    let accepted = caller.post("/v1/events", &body).await;
    assert_eq!(accepted.status, 202, "{}", accepted.text);
    let said = said(&captured.client, 2).await;
    let (event_type, _, id, record, data, context) = &said[1];
    assert_eq!(
        (event_type.as_str(), id.as_deref()),
        ("posts.shared", Some("1"))
    );
    assert_eq!(record, &json!({"id": 1, "title": "one"}));
    assert_eq!(data, &body["data"]);
    assert_eq!(context, &json!({"sessionVariables": {"user_id": 7}}));
    let id = accepted.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(events(&captured.client).await[1].event_id, id);
    let one = caller.json(accepted.header("location")).await;
    assert_eq!((&one["state"], &one["id"]), (&json!("logged"), &json!(id)));
    let event = caller.json(&format!("/v1/events/{id}")).await;
    assert_eq!(event["data"], body["data"]);
}

#[tokio::test]
async fn a_key_asks_once_and_what_waits_can_be_listed_and_cancelled() {
    let (captured, caller) = captured().await;
    let body = r#"{"type": "a.later", "delay": 3600, "timestamp": "2026-01-01T00:00:00Z", "data": [1.50]}"#;
    let late = r#"{"type": "a.late", "delay": "3000d"}"#;
    let past = keyed(&caller, "k-1", body).await;
    let again = keyed(&caller, "k-1", body).await;
    assert_eq!((past.status, again.status), (202, 202));
    assert_eq!(past.json()["id"], again.json()["id"]);
    assert_eq!(
        (&past.json()["new"], &again.json()["new"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(past.json()["due_at"], "2026-01-01T01:00:00Z");
    keyed(&caller, "k-1", late).await.problem(409, "key_used");
    let late = keyed(&caller, "k-2", late).await.json()["id"].clone();
    assert_eq!(types(&captured.logged(1).await), ["a.later"]);
    let listed = caller.json("/v1/scheduled-events").await;
    assert_eq!(listed["events"].as_array().unwrap().len(), 1);
    assert_eq!(listed["events"][0]["id"], late);
    let path = format!("/v1/scheduled-events/{}", late.as_str().unwrap());
    let cancelled = answer(caller.request("DELETE", &path)).await;
    assert_eq!(
        (cancelled.status, &cancelled.json()["state"]),
        (200, &json!("cancelled"))
    );
    answer(caller.request("DELETE", &path))
        .await
        .problem(409, "not_waiting");
    assert_eq!(
        caller.json("/v1/scheduled-events").await,
        json!({"events": [], "more": false})
    );
}

#[tokio::test]
async fn what_waits_says_what_was_written() {
    let (captured, caller) = captured().await;
    let data = r#"{"b":1e400,"a":123456789012345678901234567890.10,"c":"\ud800"}"#;
    let body = format!(r#"{{"type": "a.later", "delay": 3600, "data": {data}}}"#);
    let accepted = keyed(&caller, "k", &body).await;
    assert_eq!(accepted.status, 202, "{}", accepted.text);
    let said = format!("\"data\":{data}");
    for path in ["/v1/scheduled-events", accepted.header("location")] {
        let shown = caller.get(path).await;
        assert_eq!(shown.header("content-type"), "application/json");
        assert!(shown.text.contains(&said), "{path}: {}", shown.text);
    }
    let printed = ["events", "scheduled", "--json"];
    let printed = captured.rowhook.succeed(&printed).await;
    assert!(printed.contains(data), "{printed}");
}

#[tokio::test]
async fn a_list_of_what_waits_ends_after_some_megabytes_and_says_so() {
    let (_captured, caller) = captured().await;
    let body = json!({"type": "a.later", "delay": 3600, "data": "x".repeat(1_000_000)});
    for _ in 0..10 {
        assert_eq!(caller.post("/v1/events", &body).await.status, 202);
    }
    for (query, count, more) in [
        ("?limit=10000", 9, true),
        ("?limit=1", 1, true),
        ("", 9, true),
    ] {
        let listed = caller.json(&format!("/v1/scheduled-events{query}")).await;
        let events = listed["events"].as_array().unwrap().len();
        assert_eq!((events, &listed["more"]), (count, &json!(more)), "{query}");
    }
}

#[tokio::test]
async fn what_is_no_event_is_a_problem_that_names_its_part() {
    let (_captured, caller) = captured().await;
    for (body, at) in [
        (json!({"type": "posts.created"}), Some("type")),
        (json!({"type": "sent"}), Some("type")),
        (
            json!({"type": "a.b", "resource_id": "1"}),
            Some("resource_id"),
        ),
        (
            json!({"type": "a.b", "resource": "\u{0}"}),
            Some("resource"),
        ),
        (json!({"type": "a.b", "context": [1]}), Some("context")),
        (json!({"type": "a.b", "delay": "soon"}), Some("delay")),
        (
            json!({"type": "a.b", "timestamp": "soon"}),
            Some("timestamp"),
        ),
        (
            json!({"type": "a.b", "timestamp": 1_587_902_400}),
            Some("timestamp"),
        ),
        (
            json!({"type": "a.b", "timestamp": "2999-01-01T00:00:00Z"}),
            Some("timestamp"),
        ),
        (json!({"type": "a.b", "delay": -1}), None),
        (json!({"type": "a.b", "more": 1}), None),
        (json!({"type": 7}), None),
        (json!({}), None),
        (json!([]), None),
    ] {
        let refused = caller.post("/v1/events", &body).await;
        let code = if body.is_array() {
            "not_json"
        } else {
            "bad_value"
        };
        let problem = refused.problem(400, code);
        assert_eq!(problem["at"].as_str(), at, "{body} {problem}");
    }
    let long = json!({"type": "a.b", "data": "x".repeat(2_000_000)});
    caller
        .post("/v1/events", &long)
        .await
        .problem(413, "too_long");
    let key = "k".repeat(300);
    let refused = keyed(&caller, &key, r#"{"type": "a.b"}"#).await;
    assert_eq!(refused.problem(400, "bad_value")["at"], "Idempotency-Key");
    for path in ["/v1/scheduled-events/x", "/v1/scheduled-events?limit=0"] {
        caller.get(path).await.problem(400, "bad_value");
    }
    let none = "/v1/scheduled-events/00000000-0000-0000-0000-000000000000";
    caller.get(none).await.problem(404, "not_found");
    let waiting = caller.json("/v1/scheduled-events").await;
    assert_eq!(waiting["events"], Value::Array(Vec::new()));
}

#[tokio::test]
async fn only_a_token_that_may_emit_emits() {
    let (reader, emitter) = ("reader-0123456789abcdef", "emitter-0123456789abcdef");
    let captured = Captured::with(TABLE, |rowhook| {
        let token = |secret: &str, scope: &str| {
            let mut token = toml::Table::new();
            token.insert("name".into(), scope.into());
            token.insert("secret".into(), secret.into());
            token.insert("scopes".into(), vec![scope].into());
            toml::Value::Table(token)
        };
        let tokens = vec![token(reader, "read"), token(emitter, "emit")];
        rowhook.set("api.tokens", tokens)
    })
    .await;
    let body = json!({"type": "a.b"});
    let (reader, emitter) = (
        Caller::with(&captured.daemon, reader),
        Caller::with(&captured.daemon, emitter),
    );
    reader.post("/v1/events", &body).await.problem(403, "scope");
    let nobody = Caller::of(&captured.daemon);
    nobody
        .post("/v1/events", &body)
        .await
        .problem(401, "no_token");
    assert_eq!(emitter.post("/v1/events", &body).await.status, 202);
    captured.logged(1).await;
}
