//! Source databases that are not UTF-8, with the log beside the tables or in another database.

use serde_json::json;

use crate::audit::{self, Audited};
use crate::cluster::Database;
use crate::daemon::Rowhook;
use crate::logged::{Logged, wait_for, wait_for_logged};
use crate::receiver::{Receiver, Reply};

const LATIN1: &str = "encoding 'LATIN1' locale 'C' template template0";
const SQL_ASCII: &str = "encoding 'SQL_ASCII' locale 'C' template template0";

/// A receiver that refuses the first event in words that LATIN1 does not have.
async fn refusing() -> Receiver {
    let receiver = Receiver::start().await;
    receiver.on_request(|request| match request.sequence_id {
        1 => Reply::Full(500, Vec::new(), "nö 😀 … „no“".into()),
        _ => Reply::Status(204),
    });
    receiver
}

/// The settings of a webhook that gives up soon.
fn short() -> toml::Table {
    toml::toml! {
        retry = { attempts = 2, initial = "10ms", multiplier = 1, max = "10ms" }
    }
}

async fn latin1_is_captured(log: Option<&Database>) {
    let database = Database::create_with(LATIN1).await;
    let client = database.client().await;
    client
        .batch_execute(
            "create table \"straße ¿\" (\"é\" text primary key, v text, a text[], j json, b jsonb);
             create type m as enum ('ü'); create table t (id int primary key, m m)",
        )
        .await
        .unwrap();
    let audited = [
        Audited {
            table: "\"straße ¿\"",
            key: &["é"],
        },
        Audited {
            table: "t",
            key: &["id"],
        },
    ];
    audit::install(&client, &audited).await;
    let (good, bad) = (Receiver::start().await, refusing().await);
    let mut rowhook = Rowhook::new(&database)
        .set("capture.tables", vec!["public.*"])
        .webhook_to("good", &good, toml::Table::new())
        .webhook_to("bad", &bad, short());
    if let Some(log) = log {
        rowhook = rowhook.set("log.url", log.url());
    }
    rowhook.setup().await;
    let _daemon = rowhook.spawn_ready().await;
    let table = "\"straße ¿\"";
    for sql in [
        &format!(
            r#"insert into {table} values
               ('ké', E'grün \u00a0\u0080', '{{"ñ x",ÿ}}', '{{"é": "\u00e9"}}', '{{"é": 1}}'),
               ('l', null, null, null, null)"#
        ),
        &format!("update {table} set v = 'Ø' where \"é\" = 'l'"),
        &format!("delete from {table} where v = 'Ø'"),
        "insert into t values (1, 'ü')",
        // An escape of what LATIN1 does not have.
        &format!(
            r#"alter table {table} disable trigger audit; insert into {table} values ('m', null, null, '"\u20ac\ud83d\ude00"', null)"#
        ),
    ] {
        client.batch_execute(sql).await.unwrap();
    }
    let log_client = match log {
        Some(log) => log.client().await,
        None => database.client().await,
    };
    let logged = wait_for_logged(&log_client, 6).await;
    let happened = audit::changes(&client).await;
    for (change, event) in happened.iter().zip(&logged) {
        // In LATIN1 the audit cannot hold the escape as jsonb, so the last row is not in it.
        let row = change.new.as_ref().or(change.old.as_ref()).unwrap();
        let row: serde_json::Value = serde_json::from_str(row).unwrap();
        assert_eq!(row, event.record);
        assert_eq!(event.as_text, [""; 0]);
    }
    assert_eq!(logged[0].resource_id.as_deref(), Some("ké"));
    assert_eq!(logged[5].record["j"], "€😀");
    let requests = good.wait_for_count(6).await;
    assert!(
        requests.iter().any(|request| {
            request.json()["event"]["data"]["new"]["a"] == json!(["ñ x", "ÿ"])
        })
    );
    good.assert_all_signed();
    let dead =
        "select count(*) from rowhook.deliveries where state = 'dead' and subscription = 'bad'";
    wait_for(&log_client, "a dead delivery", async || {
        log_client
            .query_one(dead, &[])
            .await
            .unwrap()
            .get::<_, i64>(0)
            == 1
    })
    .await;
    let reason = "select reason from rowhook.deliveries limit 1";
    let reason: String = log_client.query_one(reason, &[]).await.unwrap().get(0);
    let expected = match log {
        Some(_) => "no success within 2 attempts; last: answered 500: nö 😀 … „no“",
        None => "no success within 2 attempts; last: answered 500: n? ? ? ?no?",
    };
    assert_eq!(reason, expected);
    rowhook.succeed(&["check"]).await;
    rowhook
        .succeed(&["webhooks", "pause", "good", "--reason", "weil 😀"])
        .await;
    let status = rowhook.succeed(&["status"]).await;
    assert!(status.contains("weil"), "{status}");
    rowhook.succeed(&["events", "list"]).await;
    let feed = "select count(old), count(changes) from rowhook.event_feed";
    let row = log_client.query_one(feed, &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (2, 6));
}

#[tokio::test]
async fn a_latin1_source_is_captured_beside_its_tables() {
    latin1_is_captured(None).await;
}

#[tokio::test]
async fn a_latin1_source_is_captured_into_a_utf8_log() {
    let log = Database::create().await;
    latin1_is_captured(Some(&log)).await;
}

async fn sql_ascii_is_captured(log: Option<&Database>) -> Vec<Logged> {
    let database = Database::create_with(SQL_ASCII).await;
    let client = database.client().await;
    // The columns' own names are no UTF-8 either, and nor is a table's that nobody asked for.
    client
        .batch_execute(
            r#"do $$ begin
                 execute E'create table t (id text primary key, v text, a text[], j json, "n\xe9" int, "n\xe8" int)';
                 execute E'create table "\xff" (id int primary key)';
                 execute E'create type p as (x int, "\xe9" text)'; alter table t add p p;
               end $$"#,
        )
        .await
        .unwrap();
    let (good, bad) = (Receiver::start().await, refusing().await);
    let mut rowhook = Rowhook::new(&database)
        .webhook_to("good", &good, toml::Table::new())
        .webhook_to("bad", &bad, short());
    if let Some(log) = log {
        rowhook = rowhook.set("log.url", log.url());
    }
    let said = rowhook.succeed(&["setup"]).await;
    assert!(said.contains(r"table public.\xff: not captured"), "{said}");
    let _daemon = rowhook.spawn_ready().await;
    client
        .batch_execute(
            r#"insert into t values (E'\xe9', E'a\\\xffz', array[E'\xfe', 'b'], E'{"k": "\xe9"}', 1, 2, row(1, E'\xe9'));
               insert into t values (E'\xe8', 'ä', '{ü}', '"ö"', 3, 4, row(2, 'é'));
               insert into t values (E'\\xe9', '', null, null, 5, 6, null)"#,
        )
        .await
        .unwrap();
    client
        .batch_execute(r"update t set v = '' where id = E'\xe9'; delete from t where id = E'\xe8'")
        .await
        .unwrap();
    let log_client = match log {
        Some(log) => log.client().await,
        None => database.client().await,
    };
    let logged = wait_for_logged(&log_client, 5).await;
    good.wait_for_count(5).await;
    let dead =
        "select count(*) from rowhook.deliveries where state = 'dead' and subscription = 'bad'";
    wait_for(&log_client, "a dead delivery", async || {
        log_client
            .query_one(dead, &[])
            .await
            .unwrap()
            .get::<_, i64>(0)
            == 1
    })
    .await;
    rowhook.run_command(&["check"]).await;
    logged
}

fn assert_sql_ascii(logged: &[Logged]) {
    let id = |place: usize| logged[place].resource_id.as_deref().unwrap();
    assert_eq!([id(0), id(1), id(2)], [r"\xe9", r"\xe8", r"\xe9"]);
    // A mark tells a byte from a text that looks like one.
    assert_eq!(logged[0].as_text, ["id", "v", "a", "j", "p"]);
    assert_eq!(logged[1].as_text, ["id"]);
    assert_eq!(logged[2].as_text, [""; 0]);
    assert_eq!(
        logged[0].record,
        json!({
            "id": r"\xe9", "v": r"a\\\xffz", "a": [r"\xfe", "b"], "j": r#"{"k": "\xe9"}"#,
            r"n\xe9": 1, r"n\xe8": 2, "p": {"x": 1, r"\xe9": r"\xe9"},
        })
    );
    assert_eq!(
        logged[1].record,
        json!({
            "id": r"\xe8", "v": "ä", "a": ["ü"], "j": "ö", r"n\xe9": 3, r"n\xe8": 4,
            "p": {"x": 2, r"\xe9": "é"},
        })
    );
    assert_eq!(logged[3].previous, json!({"v": r"a\\\xffz"}));
}

#[tokio::test]
async fn invalid_bytes_of_an_sql_ascii_source_are_kept_beside_its_tables() {
    assert_sql_ascii(&sql_ascii_is_captured(None).await);
}

#[tokio::test]
async fn invalid_bytes_of_an_sql_ascii_source_are_kept_in_a_utf8_log() {
    let log = Database::create().await;
    assert_sql_ascii(&sql_ascii_is_captured(Some(&log)).await);
}

/// What the log cannot hold would stop the stream at the first odd character.
#[tokio::test]
async fn a_log_that_cannot_hold_the_sources_characters_is_refused() {
    let (source, log) = (
        Database::create().await,
        Database::create_with(LATIN1).await,
    );
    let rowhook = Rowhook::new(&source).set("log.url", log.url());
    for command in ["setup", "check"] {
        let output = rowhook.run_command(&[command]).await;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        assert!(!output.status.success(), "{said}");
        assert!(
            said.contains("LATIN1") && said.contains("encoding 'UTF8'"),
            "{said}"
        );
    }
}
