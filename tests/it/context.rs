//! What applications say of their transactions goes with the events.

use serde_json::{Value, json};

use crate::capture::Captured;
use crate::cluster::Database;
use crate::logged::count;

const TABLE: &str = "create table t (id int primary key, v int)";

async fn contexts(captured: &Captured, wanted: i64) -> Vec<Value> {
    captured.logged(wanted).await;
    let query = "select context::text from rowhook.events order by sequence_id";
    let rows = captured.client.query(query, &[]).await.unwrap();
    let read =
        |text: Option<&str>| text.map_or(Value::Null, |text| serde_json::from_str(text).unwrap());
    rows.iter().map(|row| read(row.get(0))).collect()
}

#[tokio::test]
async fn a_context_holds_from_where_it_is_set_to_the_transactions_end() {
    let captured = Captured::tables(TABLE).await;
    captured
        .execute(
            r#"begin;
            insert into t values (1, 0);
            select rowhook.set_context('{"user_id": 7, "role": "editor", "name": "Käthe", "traceparent": "00-a-b-01"}');
            insert into t values (2, 0);
            savepoint s;
            select rowhook.set_context('{"role": "admin"}');
            insert into t values (3, 0);
            rollback to s;
            select rowhook.set_context('{"request_id": "r-1", "name": null}');
            update t set v = 1;
            commit;
            insert into t values (4, 0)"#,
        )
        .await;
    let first = json!({"sessionVariables": {"role": "editor", "user_id": 7, "name": "Käthe"}, "traceContext": {"traceparent": "00-a-b-01"}});
    let then = json!({"sessionVariables": {"role": "editor", "user_id": 7, "request_id": "r-1"}, "traceContext": {"traceparent": "00-a-b-01"}});
    assert_eq!(
        contexts(&captured, 5).await,
        [Value::Null, first, then.clone(), then, Value::Null]
    );
}

#[tokio::test]
async fn any_role_may_say_it_and_what_is_no_context_is_refused() {
    let captured = Captured::tables(TABLE).await;
    let role = format!("app_{}", captured.database.name);
    captured
        .execute(&format!(
            "create role {role}; grant all on t to {role}; set role {role}"
        ))
        .await;
    captured
        .execute("begin; select rowhook.set_context('{\"user_id\": 1}'); insert into t values (1, 1); commit")
        .await;
    for wrong in [
        "'[1]'",
        "'7'",
        "null",
        "jsonb_build_object('x', repeat('x', 70000))",
    ] {
        let call = format!("select rowhook.set_context({wrong})");
        let error = captured.client.batch_execute(&call).await.unwrap_err();
        let said = error.as_db_error().unwrap().message();
        assert!(said.starts_with("rowhook.set_context takes"), "{said}");
    }
    let read = captured
        .client
        .batch_execute("select from rowhook.events")
        .await;
    assert!(read.is_err(), "the log is nobody else's to read");
    captured.execute("reset role").await;
    assert_eq!(
        contexts(&captured, 1).await,
        [json!({"sessionVariables": {"user_id": 1}})]
    );
    captured
        .execute(&format!("drop owned by {role}; drop role {role}"))
        .await;
}

#[tokio::test]
async fn a_message_that_says_nothing_is_left_out_and_stops_nothing() {
    let captured = Captured::tables(TABLE).await;
    captured
        .execute(
            r#"begin;
            select pg_logical_emit_message(true, 'rowhook.context', '{"user_id": 1}');
            select pg_logical_emit_message(true, 'rowhook.context', 'not json');
            select pg_logical_emit_message(true, 'rowhook.context', '\xff00'::bytea);
            select pg_logical_emit_message(false, 'rowhook.context', '{"user_id": 2}');
            insert into t values (1, 1);
            commit"#,
        )
        .await;
    assert_eq!(
        contexts(&captured, 1).await,
        [json!({"sessionVariables": {"user_id": 1}})]
    );
    captured.daemon.wait_for_log("a context is left out").await;
}

#[tokio::test]
async fn the_function_is_made_in_the_source_where_the_log_is_elsewhere() {
    let log = Database::create().await;
    let captured = Captured::with(TABLE, |rowhook| rowhook.set("log.url", log.url())).await;
    captured
        .execute("begin; select rowhook.set_context('{\"user_id\": 1}'); insert into t values (1, 1); commit")
        .await;
    let client = log.client().await;
    crate::logged::wait_for(&client, "the event", async || count(&client).await == 1).await;
    let query = "select context::text from rowhook.events";
    let context: String = client.query_one(query, &[]).await.unwrap().get(0);
    assert_eq!(context, r#"{"sessionVariables":{"user_id":1}}"#);
}
