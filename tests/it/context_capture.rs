//! Context without touching the application: triggers read what frameworks leave in settings.

use serde_json::{Value, json};

use crate::capture::Captured;
use crate::logged::Logged;

const TABLES: &str = r#"
    create table posts (id int primary key, v int);
    create table "Other, too" (id int primary key)"#;

async fn capturing(more: &str) -> Captured {
    let captured = Captured::tables(TABLES).await;
    captured
        .execute("select rowhook.capture_context('public.posts')")
        .await;
    captured.execute(more).await;
    captured
}

fn contexts(events: &[Logged]) -> Vec<&Value> {
    events.iter().map(|event| &event.context).collect()
}

fn session(variables: Value) -> Value {
    json!({ "sessionVariables": variables })
}

#[tokio::test]
async fn what_postgrest_and_hasura_leave_in_settings_is_said_without_the_application() {
    let captured = capturing("").await;
    for transaction in [
        // PostgREST and Supabase: claims and headers; nothing of the token itself, no secrets.
        r#"set local request.jwt.claims = '{"sub": "u-1", "role": "authenticated", "email": "a@b.c", "exp": 1, "app_metadata": {"plan": 1}}';
           set local request.headers = '{"authorization": "Bearer x", "x-request-id": "r-1", "traceparent": "00-x"}'"#,
        // PostgREST before version 9.
        r#"set local request.jwt.claim.sub = 'u-2'; set local request.jwt.claim.role = 'anon'"#,
        r#"set local "hasura.user" = '{"x-hasura-role": "user", "X-Hasura-User-Id": "3", "x-hasura-admin-secret": "s"}';
           set local "hasura.tracecontext" = '{"trace_id": "4", "span_id": "5"}'"#,
        r#"set local rowhook.context = '{"user_id": 6, "traceId": "t"}'"#,
        "select 1",
    ] {
        let sql = format!(
            "begin; {transaction}; insert into posts select coalesce(max(id), 0) + 1, 0 from posts; commit"
        );
        captured.execute(&sql).await;
    }
    let events = captured.logged(5).await;
    let wanted = [
        json!({
            "sessionVariables": {"sub": "u-1", "role": "authenticated", "email": "a@b.c", "requestId": "r-1"},
            "traceContext": {"traceparent": "00-x"}
        }),
        session(json!({"sub": "u-2", "role": "anon"})),
        json!({
            "sessionVariables": {"x-hasura-role": "user", "x-hasura-user-id": "3"},
            "traceContext": {"trace_id": "4", "span_id": "5"}
        }),
        json!({"sessionVariables": {"user_id": 6}, "traceContext": {"traceId": "t"}}),
        Value::Null,
    ];
    assert_eq!(contexts(&events), wanted.iter().collect::<Vec<_>>());
}

/// The messages of all transactions since, as text, from a slot of the test's own.
async fn messages(captured: &Captured, work: &str) -> Vec<String> {
    let slot = format!("messages_{}", captured.database.name);
    let make = format!("select pg_create_logical_replication_slot('{slot}', 'test_decoding')");
    captured.execute(&make).await;
    captured.execute(work).await;
    let read =
        "select data from pg_logical_slot_get_changes($1, null, null) where data like 'message: %'";
    let rows = captured.client.query(read, &[&slot]).await.unwrap();
    let drop = format!("select pg_drop_replication_slot('{slot}')");
    captured.execute(&drop).await;
    rows.iter()
        .map(|row| {
            row.get::<_, &str>(0)
                .split_once("content:")
                .unwrap()
                .1
                .to_owned()
        })
        .collect()
}

#[tokio::test]
async fn a_value_is_said_once_in_a_transaction_and_again_when_it_changes() {
    let captured =
        capturing(r#"select rowhook.capture_context('"Other, too"', settings => '{app.tenant}')"#)
            .await;
    let said = messages(
        &captured,
        r#"begin;
        set local rowhook.context = '{"user_id": 1, "ip": "::1"}';
        set local app.tenant = 'acme';
        insert into posts values (1, 0);
        insert into posts values (2, 0) on conflict (id) do update set v = 1;
        insert into "Other, too" values (1);
        update posts set v = 2;
        savepoint s;
        set local rowhook.context = '{"user_id": 2}';
        update posts set v = 3;
        rollback to s;
        update posts set v = 4;
        set local rowhook.context = '{"user_id": 3}';
        delete from posts;
        insert into "Other, too" values (2);
        commit;
        insert into posts values (5, 0)"#,
    )
    .await;
    assert_eq!(
        said,
        [
            r#"{"ip": "::1", "user_id": 1}"#,
            r#"{"tenant": "acme"}"#,
            r#"{"ip": null, "user_id": 3}"#,
        ]
    );
    // In the end the log says of each change what held when it was made.
    let events = captured.logged(11).await;
    let one = session(json!({"user_id": 1, "ip": "::1"}));
    let with_tenant = session(json!({"user_id": 1, "ip": "::1", "tenant": "acme"}));
    let three = session(json!({"user_id": 3, "tenant": "acme"}));
    assert_eq!((&events[0].context, &events[1].context), (&one, &one));
    let rest = events[2..10].iter().map(|event| &event.context);
    assert_eq!(
        rest.collect::<Vec<_>>(),
        [&[&with_tenant; 5][..], &[&three; 3]].concat()
    );
    assert_eq!(events[10].context, Value::Null);
}

#[tokio::test]
async fn what_the_application_says_itself_wins_key_by_key() {
    let captured = capturing("").await;
    captured
        .execute(
            r#"begin;
            set local request.jwt.claims = '{"sub": "u", "role": "anon", "email": "a@b.c"}';
            select rowhook.set_context('{"role": "own", "email": null}');
            insert into posts values (1, 0);
            set local request.jwt.claims = '{"sub": "v", "role": "other", "email": "d@e.f"}';
            insert into posts values (2, 0);
            select rowhook.set_context('{"sessionVariables": {"sub": "own"}}');
            set local request.jwt.claims = '';
            insert into posts values (3, 0);
            commit"#,
        )
        .await;
    let events = captured.logged(3).await;
    let wanted = [
        session(json!({"sub": "u", "role": "own"})),
        session(json!({"sub": "v", "role": "own"})),
        session(json!({"sub": "own", "role": "own"})),
    ];
    assert_eq!(contexts(&events), wanted.iter().collect::<Vec<_>>());
}

#[tokio::test]
async fn no_setting_fails_a_statement_whatever_it_holds_and_whoever_runs_it() {
    let captured = Captured::tables(TABLES).await;
    let role = format!("app_{}", captured.database.name);
    captured
        .execute(&format!(
            "create role {role}; grant all on posts to {role};
             select rowhook.capture_context('posts', '{{app.user_id, who=app.name}}');
             revoke usage on schema rowhook from public;
             revoke execute on all functions in schema rowhook from public"
        ))
        .await;
    let long = "x".repeat(70_000);
    for (id, settings) in [
        r#"set local request.jwt.claims = '{"sub": '"#.to_owned(),
        r#"set local request.jwt.claims = '["sub"]'; set local request.headers = '7'"#.to_owned(),
        r#"set local "hasura.user" = '{"x-hasura-role": "\u0000"}'"#.to_owned(),
        r#"set local "hasura.user" = 'null'; set local rowhook.seen = '{"named": 1}'"#.to_owned(),
        r#"set local rowhook.said = '{'; set local rowhook.texts = ''"#.to_owned(),
        r#"set local rowhook.context = '{"traceContext": 7, "sessionVariables": [1]}'"#.to_owned(),
        format!("set local rowhook.context = '{{\"long\": \"{long}\"}}'"),
        "set local app.user_id = ''; set local app.name = ''".to_owned(),
    ]
    .iter()
    .enumerate()
    {
        captured
            .execute(&format!(
                "begin; {settings}; insert into posts values ({id}, 0); commit"
            ))
            .await;
    }
    captured
        .execute(&format!(
            "begin; set local role {role}; set local app.user_id = '7'; set local app.name = 'Käthe \"x\"';
             insert into posts values (8, 0); commit"
        ))
        .await;
    let events = captured.logged(9).await;
    for event in &events[..8] {
        assert_eq!(event.context, Value::Null, "{:?}", event.resource_id);
    }
    let wanted = json!({"role": role, "user_id": "7", "who": "Käthe \"x\""});
    assert_eq!(events[8].context, session(wanted));
    captured
        .execute(&format!("drop owned by {role}; drop role {role}"))
        .await;
}

#[tokio::test]
async fn only_a_table_s_owner_puts_the_trigger_on_it_and_bad_names_are_refused() {
    let captured = Captured::tables(TABLES).await;
    let role = format!("app_{}", captured.database.name);
    captured
        .execute(&format!(
            "create role {role}; grant all on posts to {role};
             create view seen as select * from posts;
             select rowhook.capture_context('posts', '{{a.id}}')"
        ))
        .await;
    for (call, wanted) in [
        (
            "capture_context('seen')",
            "takes a table, and public.seen is none",
        ),
        ("capture_context(null)", "takes a table, and null is none"),
        (
            "capture_context('posts', '{data_directory}')",
            "names of settings of your own",
        ),
        (
            "capture_context('posts', '{search_path}')",
            "names of settings of your own",
        ),
        (
            r#"capture_context('posts', array['a.b'');--'])"#,
            "names of settings of your own",
        ),
        (
            "capture_context('posts', '{null}')",
            "names of settings of your own, not NULL",
        ),
        (
            "capture_context('posts', '{a.id, b.id}')",
            "would be called \"id\"",
        ),
        ("capture_context('nowhere')", "does not exist"),
    ] {
        let call = format!("select rowhook.{call}");
        let error = captured.client.batch_execute(&call).await.unwrap_err();
        let said = error.as_db_error().unwrap().message();
        assert!(said.contains(wanted), "{call}: {said}");
    }
    for call in ["capture_context('posts')", "release_context('posts')"] {
        let call = format!("set local role {role}; select rowhook.{call}");
        let error = captured.client.batch_execute(&call).await.unwrap_err();
        let code = error.code().unwrap().code();
        assert_eq!(code, "42501", "{call}: {error:?}");
    }
    assert_eq!(triggered(&captured).await, ["posts"]);
    let owner =
        "reset role; select rowhook.release_context('posts'), rowhook.release_context('posts')";
    captured.execute(owner).await;
    assert!(triggered(&captured).await.is_empty());
    captured
        .execute(&format!("drop owned by {role}; drop role {role}"))
        .await;
}

/// The tables that have the trigger.
async fn triggered(captured: &Captured) -> Vec<String> {
    let query = "select tgrelid::regclass::text from pg_trigger where tgname = 'rowhook_context' order by 1";
    let rows = captured.client.query(query, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn check_and_setup_tell_of_the_triggers_and_teardown_takes_them_away() {
    let mut captured = capturing(
        r#"select rowhook.capture_context('"Other, too"', '{app.user_id, application_name}');
           select rowhook.capture_context('"Other, too"')"#,
    )
    .await;
    let finding = async |captured: &Captured, about: &str| {
        let report = captured.rowhook.json(&["check"]).await;
        let findings = report["findings"].as_array().unwrap().clone();
        let mut found = findings
            .into_iter()
            .filter(|finding| finding["about"] == about);
        found
            .next()
            .unwrap_or_else(|| panic!("{about}: {report:#}"))
    };
    let good = finding(&captured, "rowhook.capture_context").await;
    assert_eq!(
        good["message"],
        "triggers on public.\"Other, too\", public.posts"
    );

    captured
        .execute(
            "create or replace function rowhook.context_of(settings jsonb, named text[]) returns jsonb language sql as 'select null::jsonb';
             alter table posts disable trigger rowhook_context",
        )
        .await;
    let old = finding(&captured, "rowhook.capture_context").await;
    assert_eq!(old["level"], "warning");
    assert!(
        old["message"]
            .as_str()
            .unwrap()
            .ends_with(": rowhook.context_of"),
        "{old}"
    );
    let off = finding(&captured, "table public.posts").await;
    assert!(
        off["message"].as_str().unwrap().contains("disabled"),
        "{off}"
    );
    let said = captured.rowhook.succeed(&["setup"]).await;
    assert!(
        said.contains("trigger rowhook_context on public.posts: calls this version's functions"),
        "{said}"
    );
    assert_eq!(
        finding(&captured, "rowhook.capture_context").await["level"],
        "ok"
    );

    captured.stop().await;
    assert_eq!(triggered(&captured).await, ["\"Other, too\"", "posts"]);
    let said = captured.rowhook.succeed(&["teardown", "--yes"]).await;
    assert!(
        said.contains("trigger rowhook_context on public.\"Other, too\": removed"),
        "{said}"
    );
    assert!(triggered(&captured).await.is_empty());
}

#[tokio::test]
async fn the_same_value_of_another_tables_setting_is_another_thing_to_say() {
    let captured = capturing(
        r#"select rowhook.release_context('public.posts');
           select rowhook.capture_context('public.posts', settings => '{app.user_id}');
           select rowhook.capture_context('public."Other, too"', settings => '{app.org_id}')"#,
    )
    .await;
    captured
        .execute(
            r#"begin; set local app.user_id = '1'; set local app.org_id = '1';
               insert into posts values (1, 0); insert into "Other, too" values (1); commit"#,
        )
        .await;
    let events = captured.logged(2).await;
    let wanted = [
        session(json!({"user_id": "1"})),
        session(json!({"user_id": "1", "org_id": "1"})),
    ];
    assert_eq!(contexts(&events), wanted.iter().collect::<Vec<_>>());
}

#[tokio::test]
async fn a_context_that_nests_too_deep_for_the_log_is_left_out_and_stops_nothing() {
    let captured = capturing("").await;
    captured
        .execute(
            r#"begin;
               select pg_logical_emit_message(true, 'rowhook.context',
                        '{"a":' || repeat('[', 32000) || repeat(']', 32000) || '}');
               insert into posts values (1, 0);
               commit"#,
        )
        .await;
    assert_eq!(contexts(&captured.logged(1).await), [&Value::Null]);
    let deep = "select rowhook.set_context(('{\"a\":' || repeat('[', 200) || repeat(']', 200) || '}')::jsonb)";
    let refused = captured.client.batch_execute(deep).await.unwrap_err();
    let said = refused.as_db_error().unwrap().message().to_owned();
    assert!(said.contains("at most 100"), "{said}");
}
