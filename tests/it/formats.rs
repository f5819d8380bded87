//! One stored event in the formats of other systems, as real requests; CloudEvents are read by the
//! SDKs of others. What each format holds byte for byte is tested where it is written.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tokio::process::Command;
use toml::{Table, toml};

use crate::logged::wait_for_logged;
use crate::receiver::{Receiver, Reply};
use crate::served::{Served, accepted};
use crate::verifiers::{Example, installed};

fn format(name: &str) -> Table {
    toml! { format = name }
}

/// The key of the event's type in each format, what it says of an update of `t`, and the media type.
const FORMATS: [(&str, &str, &str, &str); 9] = [
    ("rowhook", "/event/type", "t.updated", "application/json"),
    ("snaapi", "/event/type", "t.updated", "application/json"),
    ("hasura", "/event/op", "UPDATE", "application/json"),
    (
        "cloudevents",
        "/type",
        "t.updated",
        "application/cloudevents+json",
    ),
    (
        "cloudevents-batch",
        "/0/type",
        "t.updated",
        "application/cloudevents-batch+json",
    ),
    ("sharetribe", "/eventType", "t/updated", "application/json"),
    (
        "sharetribe-api",
        "/attributes/eventType",
        "t/updated",
        "application/json",
    ),
    ("stelace", "/type", "t__updated", "application/json"),
    (
        "thena",
        "/eventType",
        "custom-object:t:updated",
        "application/json",
    ),
];

#[tokio::test]
async fn one_stored_event_has_many_renderings() {
    let mut receivers = Vec::new();
    for _ in FORMATS {
        receivers.push(Receiver::start().await);
    }
    let served = Served::with(|rowhook| {
        let webhooks = FORMATS.iter().zip(&receivers);
        webhooks.fold(rowhook, |rowhook, ((name, ..), receiver)| {
            rowhook.webhook_to(name, receiver, format(name))
        })
    })
    .await;
    served.execute("insert into t values (7, 1)").await;
    served.execute("update t set v = 2").await;
    let logged = wait_for_logged(&served.client, 2).await;
    for ((name, key, word, content_type), receiver) in FORMATS.iter().zip(&receivers) {
        let requests = accepted(receiver, 2).await;
        let update = &requests[1];
        assert_eq!(update.event_id, logged[1].event_id, "{name}");
        assert_eq!(update.header("content-type"), Some(*content_type), "{name}");
        assert_eq!(
            update.json().pointer(key),
            Some(&Value::from(*word)),
            "{name}"
        );
        receiver.assert_all_signed();
    }
}

/// What Hasura's own triggers note of a change, in its words: `row_to_json` of both rows.
const HASURA: &str = "
    create schema hasura;
    create table hasura.noted (place bigint generated always as identity, op text, data text);
    create function hasura.note() returns trigger language plpgsql set timezone = 'UTC' as $$
    begin
      insert into hasura.noted (op, data) values (tg_op, json_build_object(
        'old', case when tg_op <> 'INSERT' then row_to_json(old) end,
        'new', case when tg_op <> 'DELETE' then row_to_json(new) end));
      return null;
    end $$;
    alter table t add column big bigint, add column amount numeric(20, 2), add column at timestamptz,
      add column local timestamp, add column day date, add column doc jsonb, add column raw bytea,
      add column ok boolean, add column tags text[], add column half real, add column note text;
    create trigger note after insert or update or delete on t for each row execute function hasura.note();
";

#[tokio::test]
async fn a_handler_of_hasuras_events_gets_what_hasura_would_send() {
    let receiver = Receiver::start().await;
    receiver.answer_next([Reply::Status(500)]);
    let served = Served::to(&receiver, format("hasura")).await;
    served.execute(HASURA).await;
    for change in [
        "insert into t values (7, 1, 9007199254740993, 1.50, '2024-06-24 14:22:32.128413+02', '2024-06-24 14:22:32',
           '2024-06-24', '{\"b\": [1, null], \"a\": {\"c\": \"\u{fc}\"}}', '\\x00ff', true, '{a,NULL,\"b c\"}', 0.1, E'\"\\n')",
        "update t set v = 2, doc = null, amount = 'NaN', at = 'infinity'",
        "delete from t",
    ] {
        served.execute(change).await;
    }
    let requests = accepted(&receiver, 3).await;
    let noted = "
        select event_id::text, to_char(created_at at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.US'), op, noted.data
          from (select *, row_number() over (order by sequence_id) as place from rowhook.events) e
          join hasura.noted using (place) order by place";
    let rows = served.client.query(noted, &[]).await.unwrap();
    assert_eq!((rows.len(), requests.len()), (3, 4));
    // The first event is there twice: its first attempt failed.
    let tries = [(0, 0), (0, 1), (1, 0), (2, 0)];
    for ((row, retry), request) in tries.into_iter().zip(&requests) {
        let (id, time, op, data): (&str, &str, &str, &str) = (
            rows[row].get(0),
            rows[row].get(1),
            rows[row].get(2),
            rows[row].get(3),
        );
        let expected = json!({
            "id": id,
            "created_at": time,
            "table": { "schema": "public", "name": "t" },
            "trigger": { "name": "hook" },
            "delivery_info": { "current_retry": retry, "max_retries": 9 },
            "event": {
                "op": op,
                "data": serde_json::from_str::<Value>(data).unwrap(),
                "session_variables": null,
                "trace_context": null,
            },
        });
        assert_eq!(request.json(), expected);
    }
    let insert = std::str::from_utf8(&requests[0].body).unwrap();
    for digits in ["9007199254740993", "1.50"] {
        assert!(insert.contains(digits), "{digits} in {insert}");
    }
}

#[tokio::test]
async fn a_backfilled_row_is_a_manual_event_for_hasura() {
    let receiver = Receiver::start().await;
    let served = Served::to(&receiver, format("hasura")).await;
    served.execute("insert into t values (1, 2)").await;
    accepted(&receiver, 1).await;
    served.rowhook.succeed(&["backfill", "t"]).await;
    let requests = accepted(&receiver, 2).await;
    let event = requests[1].json()["event"].take();
    assert_eq!(event["op"], "MANUAL");
    assert_eq!(
        event["data"],
        json!({ "old": null, "new": { "id": 1, "v": 2 } })
    );
}

#[tokio::test]
async fn a_binary_cloudevent_has_its_attributes_in_headers() {
    let receiver = Receiver::start().await;
    let mut settings = format("cloudevents-binary");
    settings.extend(toml! { headers = { ce-environment = "test" } });
    let served = Served::to(&receiver, settings).await;
    let rename = "alter table t alter column id type text; alter table t rename to \"t ä\"";
    served.execute(rename).await;
    served
        .execute("insert into \"t ä\" values ('50% \"ü\"', 1)")
        .await;
    let request = accepted(&receiver, 1).await.swap_remove(0);
    let logged = wait_for_logged(&served.client, 1).await;
    let source = format!("/rowhook/{}/public.t%20%C3%A4", served.database.name);
    for (name, value) in [
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-id", &logged[0].event_id),
        ("ce-source", &source.replace('%', "%25")),
        ("ce-type", "t%20%C3%A4.created"),
        ("ce-subject", "50%25%20%22%C3%BC%22"),
        ("ce-sequence", "0000000000000000001"),
        ("ce-partitionkey", "t%20%C3%A4/50%25%20%22%C3%BC%22"),
        ("ce-environment", "test"),
    ] {
        assert_eq!(request.header(name), Some(value), "{name}");
    }
    assert_eq!(request.header("ce-datacontenttype"), None);
    let row = json!({ "id": "50% \"ü\"", "v": 1 });
    let changes = json!({ "added": ["id", "v"], "updated": [], "removed": [] });
    let data = json!({ "old": null, "new": row, "changes": changes });
    assert_eq!(request.json(), data);
    receiver.assert_all_signed();
}

const MODES: [&str; 3] = ["cloudevents", "cloudevents-batch", "cloudevents-binary"];

/// An SDK reads a row's life in each mode. `decode`: whether it decodes headers, as the HTTP binding
/// says.
async fn reads_real_cloudevents(receiver: Command, decodes: bool) {
    let mut receiver = Example::start(receiver, "none").await;
    let url = receiver.url.trim_end_matches("hook").to_owned();
    let served = Served::with(|rowhook| {
        MODES.iter().fold(rowhook, |rowhook, mode| {
            let url = format!("{url}{mode}");
            let name = *mode;
            rowhook.webhook(
                toml! { name = name url = url format = name start = "beginning" order = "strict" },
            )
        })
    })
    .await;
    served
        .execute("alter table t alter column id type text")
        .await;
    for change in [
        "insert into t values ('50% ü', 1)",
        "update t set v = 2",
        "delete from t",
        "truncate t",
    ] {
        served.execute(change).await;
    }
    let mut lines = Vec::new();
    for _ in 0..4 * MODES.len() {
        lines.push(receiver.line().await);
    }
    // Each mode's events come in their order, the modes as it happens.
    lines.sort_by_key(|line| line.split(' ').next().map(str::to_owned));
    let mut expected = Vec::new();
    for mode in MODES {
        let id = if mode == "cloudevents-binary" && !decodes {
            "50%25%20%C3%BC"
        } else {
            "50% ü"
        };
        let changes = [
            (
                "created",
                format!("{id} 0000000000000000001 t/{id}"),
                r#"{"old":null,"new":{"id":"50% ü","v":1},"changes":{"added":["id","v"],"updated":[],"removed":[]}}"#,
            ),
            (
                "updated",
                format!("{id} 0000000000000000002 t/{id}"),
                r#"{"old":{"id":"50% ü","v":1},"new":{"id":"50% ü","v":2},"changes":{"added":[],"updated":["v"],"removed":[]}}"#,
            ),
            (
                "deleted",
                format!("{id} 0000000000000000003 t/{id}"),
                r#"{"old":{"id":"50% ü","v":2},"new":null,"changes":{"added":[],"updated":[],"removed":["id","v"]}}"#,
            ),
            (
                "truncated",
                "- 0000000000000000004 t".to_owned(),
                r#"{"old":null,"new":null,"changes":{"added":[],"updated":[],"removed":[]}}"#,
            ),
        ];
        for (action, about, data) in changes {
            let source = format!("/rowhook/{}/public.t", served.database.name);
            expected.push(format!(
                "/{mode} application/json {source} t.{action} {about} 0.0 {data}"
            ));
        }
    }
    assert_eq!(lines, expected);
}

fn receiver(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/receivers")
        .join(name)
}

#[tokio::test]
async fn the_python_sdk_reads_real_cloudevents() {
    let Some(python) = installed("ROWHOOK_TEST_PYTHON") else {
        return;
    };
    let mut command = Command::new(python);
    command.arg(receiver("read_cloudevents.py"));
    reads_real_cloudevents(command, true).await;
}

#[tokio::test]
async fn the_node_sdk_reads_real_cloudevents_and_its_schema_fits_them() {
    let Some(directory) = installed("ROWHOOK_TEST_NODE_CLOUDEVENTS") else {
        return;
    };
    let mut command = Command::new("node");
    command.arg(Path::new(&directory).join("read_cloudevents.mjs"));
    reads_real_cloudevents(command, false).await;
}
