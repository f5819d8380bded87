//! Values and names at the edges: what cannot be read as its type, what is very large or very deep,
//! and what looks like syntax.

use tokio_postgres::Client;

use crate::audit::{self, Audited};
use crate::cluster::Database;
use crate::daemon::Rowhook;
use crate::logged::{count, events, wait_for, wait_for_logged};
use crate::receiver::Receiver;

#[tokio::test]
async fn a_value_of_a_type_that_is_gone_stays_text_and_is_marked_everywhere() {
    let database = Database::create().await;
    let client = database.client().await;
    client
        .batch_execute(
            "create type mood as enum ('ok', 'sad'); create type pair as (a int, b text);
             create domain positive as int;
             create table t (id int primary key, m mood, p pair, n positive, u uuid, ms mood[])",
        )
        .await
        .unwrap();
    let receiver = Receiver::start().await;
    let rowhook = Rowhook::new(&database).webhook_to("billing", &receiver, toml::Table::new());
    rowhook.setup().await;
    let uuid = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
    for sql in [
        &format!("insert into t values (1, 'ok', row(1, 'x y'), 7, '{uuid}', '{{ok}}')"),
        "update t set m = null, p = null, n = 8, ms = null",
        "alter table t drop m, drop p, drop n, drop ms; drop type mood, pair; drop domain positive",
        &format!("insert into t values (2, '{uuid}')"),
    ] {
        client.batch_execute(sql).await.unwrap();
    }
    let _daemon = rowhook.spawn_ready().await;
    let logged = wait_for_logged(&client, 3).await;
    assert_eq!(logged[0].as_text, ["m", "p", "n", "ms"]);
    assert_eq!(
        logged[0].record.to_string(),
        format!(r#"{{"id":1,"m":"ok","p":"(1,\"x y\")","n":"7","u":"{uuid}","ms":"{{ok}}"}}"#)
    );
    // The old values count, too.
    assert_eq!(logged[1].as_text, ["n", "m", "p", "ms"]);
    assert_eq!(logged[2].as_text, [""; 0]);
    let requests = receiver.wait_for_count(3).await;
    for request in requests {
        let marked = request.json()["event"].get("asText").cloned();
        let expected = match request.sequence_id {
            1 => Some(serde_json::json!(["m", "p", "n", "ms"])),
            2 => Some(serde_json::json!(["n", "m", "p", "ms"])),
            _ => None,
        };
        assert_eq!(marked, expected);
    }
    let shown = rowhook.succeed(&["events", "show", "1"]).await;
    assert!(shown.contains("as text    m, p, n, ms"), "{shown}");
    let shown = rowhook.json(&["events", "show", "1"]).await;
    assert_eq!(shown["asText"], serde_json::json!(["m", "p", "n", "ms"]));
}

/// Runs statements, one transaction each, against a table that triggers audit, and holds the log
/// against the audit.
async fn told_as_it_happened(definitions: &str, tables: &[Audited], statements: &[&str]) {
    let database = Database::create().await;
    let client = database.client().await;
    client.batch_execute(definitions).await.unwrap();
    audit::install(&client, tables).await;
    let rowhook = Rowhook::new(&database).set("capture.tables", vec!["*.*", "!audit.*"]);
    rowhook.setup().await;
    let _daemon = rowhook.spawn_ready().await;
    for (place, sql) in statements.iter().enumerate() {
        client
            .batch_execute(sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        // One after the other: what the catalogs say changes between them.
        let expected = audit::count(&client).await;
        wait_for(&client, &format!("statement {place}"), async || {
            count(&client).await >= expected
        })
        .await;
    }
    audit::assert_log_equals_audit(&client, tables).await;
    for event in events(&client).await {
        assert_eq!(event.as_text, [""; 0], "{event:?}");
    }
}

const T: Audited = Audited {
    table: "public.t",
    key: &["id"],
};

#[tokio::test]
async fn types_may_change_while_the_stream_runs() {
    told_as_it_happened(
        "create type mood as enum ('ok'); create type pair as (a int, b text);
         create table t (id int primary key, m mood, ms mood[], p pair, ps pair[])",
        &[T],
        &[
            "insert into t values (1, 'ok', '{ok}', row(1, 'x'), array[row(1, 'x')]::pair[])",
            "alter type mood add value 'great'",
            "insert into t values (2, 'great', '{great,ok}', null, null)",
            "alter type mood rename value 'ok' to 'fine'",
            "update t set m = 'fine', ms = '{fine}'",
            "alter type pair add attribute c bool",
            "insert into t values (3, null, null, row(1, 'x', true), array[row(1, 'x', false)]::pair[])",
            "update t set m = 'great'",
            "alter type pair drop attribute a",
            "insert into t values (4, null, null, row('x', true), array[row('x', false)]::pair[])",
            "delete from t",
        ],
    )
    .await;
}

#[tokio::test]
async fn sixteen_hundred_columns_fit() {
    let columns = (3..=1600).map(|number| match number % 4 {
        0 => format!("c{number} boolean"),
        1 => format!("c{number} text"),
        _ => format!("c{number} int"),
    });
    let columns: Vec<String> = columns.collect();
    let values = (3..=1600).map(|number| match number % 4 {
        0 => "true".to_owned(),
        1 => "null".to_owned(),
        _ => format!("-{number}"),
    });
    let values: Vec<String> = values.collect();
    let (columns, values) = (columns.join(","), values.join(","));
    let key = "primary key (c2, c1)";
    told_as_it_happened(
        &format!("create table t (c1 text, c2 int, {columns}, {key})"),
        &[Audited {
            table: "public.t",
            key: &["c1", "c2"],
        }],
        &[
            &format!("insert into t values ('a,b', 1, {values}), ('c', 2, {values})"),
            "update t set c5 = 'x', c1600 = false where c2 = 1",
            "update t set c1 = 'd' where c2 = 2",
            "delete from t",
        ],
    )
    .await;
}

#[tokio::test]
async fn names_may_hold_any_character() {
    let names = [
        "a \"quoted\" name",
        "dotted.name",
        "MiXed",
        "back\\slash",
        "😀 emoji",
        "{\"json\":null}",
        "comma, 'single' $1 %s",
        "tab\tand\nline",
        "\u{1}\u{7f}",
        "Ünïcödé",
        "select",
    ];
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let mut definitions = String::new();
    let (mut tables, mut statements) = (Vec::new(), Vec::new());
    for name in names {
        let (id, literal) = (quoted(name), name.replace('\'', "''"));
        definitions += &format!(
            "create schema {id}; create type {id}.\"e{rest} as enum ('{literal}');
             create type {id}.pair as ({id} {id}.\"e{rest}, n int);
             create table {id}.{id} ({id} int primary key, \"b{rest} {id}.\"e{rest}, p {id}.pair, ps {id}.pair[]);",
            rest = &id[1..]
        );
        let table = format!("{id}.{id}");
        statements.push(format!(
            "insert into {table} values (1, '{literal}', row('{literal}', 1), array[row('{literal}', 2)]::{id}.pair[]),
                                        (2, null, null, null);
             update {table} set \"b{rest} = null where {id} = 1; delete from {table} where {id} = 2",
            rest = &id[1..]
        ));
        tables.push(Audited {
            table: table.leak(),
            key: Vec::leak(vec![name]),
        });
    }
    let database = Database::create().await;
    let client = database.client().await;
    client.batch_execute(&definitions).await.unwrap();
    audit::install(&client, &tables).await;
    let receiver = Receiver::start().await;
    let rowhook = Rowhook::new(&database)
        .set("capture.tables", vec!["*.*", "!audit.*"])
        .webhook_to("all", &receiver, toml::Table::new());
    rowhook.setup().await;
    let _daemon = rowhook.spawn_ready().await;
    for sql in &statements {
        client.batch_execute(sql).await.unwrap();
    }
    let expected = audit::count(&client).await;
    let logged = wait_for_logged(&client, expected).await;
    // The audit names tables as they are, and so does the log.
    let unquoted: Vec<Audited> = names
        .iter()
        .map(|name| Audited {
            table: format!("{name}.{name}").leak(),
            key: Vec::leak(vec![*name]),
        })
        .collect();
    audit::assert_log_equals_audit(&client, &unquoted).await;
    assert!(logged.iter().all(|event| event.as_text.is_empty()));
    let requests = receiver
        .wait_for_count(usize::try_from(expected).unwrap())
        .await;
    for (place, name) in names.iter().enumerate() {
        let mut bodies = requests
            .iter()
            .map(|request| request.json()["event"].clone());
        let created = |event: &serde_json::Value| {
            event["type"] == format!("{name}.{name}.created") && event["resourceId"] == "1"
        };
        let event = bodies.find(created);
        let event = event.unwrap_or_else(|| panic!("no event for name {place}"));
        assert_eq!(event["data"]["new"][name], 1);
        assert_eq!(event["data"]["new"][format!("b{name}")], *name);
        assert_eq!(event["data"]["new"]["p"][name], *name);
    }
    let feed =
        "select count(*) from rowhook.event_feed where old is not null or changes is not null";
    let told: i64 = client.query_one(feed, &[]).await.unwrap().get(0);
    assert_eq!(told, expected);
}

/// `json` holds what `jsonb` refuses, so here the text itself is the oracle.
#[tokio::test]
async fn json_keeps_what_no_text_can_hold() {
    let values = [
        r#"{"a": "\u0000", "a" : ["\ud800", "\udc00\ud800", "\\u0000", "\\\u0000"]}"#,
        r#""\u0000\u0000\ud83d\ude00""#,
        r#"{"\u0000": 1, "k\\": "\u001a"}"#,
        "1e400000",
        "-0",
        "[ ]",
    ];
    let database = Database::create().await;
    let client = database.client().await;
    client
        .batch_execute(r#"create table t (id int primary key, "v\u0001""" json, o json)"#)
        .await
        .unwrap();
    let receiver = Receiver::start().await;
    let rowhook = Rowhook::new(&database).webhook_to("billing", &receiver, toml::Table::new());
    rowhook.setup().await;
    let _daemon = rowhook.spawn_ready().await;
    for (id, value) in values.iter().enumerate() {
        let sql = format!("insert into t values ({id}, '{value}', '{value}')");
        client.batch_execute(&sql).await.unwrap();
    }
    client
        .batch_execute(r#"update t set o = null; delete from t"#)
        .await
        .unwrap();
    let expected = 3 * values.len();
    wait_for(&client, "every value", async || {
        count(&client).await == expected as i64
    })
    .await;
    let rows = client
        .query(
            "select record::text, previous::text, new::text, old::text, changes::text
               from rowhook.event_feed join rowhook.events using (sequence_id) order by sequence_id",
            &[],
        )
        .await
        .unwrap_err();
    assert!(rows.as_db_error().is_some());
    let rows = client
        .query(
            "select e.record::text, e.previous::text, f.new::text, f.old::text, f.changes::text
               from rowhook.event_feed f join rowhook.events e using (sequence_id) order by sequence_id",
            &[],
        )
        .await
        .unwrap();
    let key = r#""v\\u0001\"""#;
    let changed = |list: &str, key: &str| {
        ["added", "updated", "removed"]
            .map(|name| format!(r#""{name}" : [{}]"#, if name == list { key } else { "" }))
            .join(", ")
    };
    for (place, value) in values.iter().enumerate() {
        let texts = |place: usize| -> [Option<String>; 5] {
            [0, 1, 2, 3, 4].map(|column| rows[place].get(column))
        };
        let whole = format!(r#"{{"id":{place},{key}:{value},"o":{value}}}"#);
        let all = format!(r#""id", {key}, "o""#);
        let [record, _, new, old, changes] = texts(place);
        assert_eq!(record.as_deref(), Some(whole.as_str()));
        assert_eq!((new, old), (record, None));
        assert_eq!(changes, Some(format!("{{{}}}", changed("added", &all))));
        let [record, previous, _, old, changes] = texts(place + values.len());
        assert_eq!(
            record,
            Some(format!(r#"{{"id":{place},{key}:{value},"o":null}}"#))
        );
        assert_eq!(previous, Some(format!(r#"{{"o":{value}}}"#)));
        assert_eq!(
            old,
            Some(format!(
                r#"{{ "id" : {place}, {key} : {value}, "o" : {value} }}"#
            ))
        );
        assert_eq!(
            changes,
            Some(format!("{{{}}}", changed("updated", r#""o""#)))
        );
        let [record, _, _, old, changes] = texts(place + 2 * values.len());
        let left = format!(r#"{{"id":{place},{key}:{value},"o":null}}"#);
        assert_eq!((record.as_deref(), &old), (Some(left.as_str()), &record));
        assert_eq!(changes, Some(format!("{{{}}}", changed("removed", &all))));
    }
    let requests = receiver.wait_for_count(expected).await;
    let new = format!(
        r#""new":{{"id":0,{key}:{value},"o":{value}}}"#,
        value = values[0]
    );
    let bodies = requests
        .iter()
        .map(|request| String::from_utf8_lossy(&request.body));
    assert_eq!(bodies.filter(|body| body.contains(&new)).count(), 1);
}

#[tokio::test]
async fn json_that_the_log_could_not_take_apart_is_logged_as_text() {
    let database = Database::create().await;
    let client = database.client().await;
    client
        .batch_execute("create table t (id int primary key, v json, b jsonb)")
        .await
        .unwrap();
    let rowhook = Rowhook::new(&database);
    rowhook.setup().await;
    let _daemon = rowhook.spawn_ready().await;
    // More than Postgres takes at its default, less than it takes at this.
    client
        .batch_execute(
            "set max_stack_depth = '7MB';
             insert into t values (1, (repeat('[', 20000) || repeat(']', 20000))::json, null);
             insert into t values (2, null, (repeat('[', 20000) || repeat(']', 20000))::jsonb);
             insert into t values (3, '[1]', '[1]')",
        )
        .await
        .unwrap();
    let logged = wait_for_logged(&client, 3).await;
    assert_eq!(logged[0].as_text, ["v"]);
    assert_eq!(logged[1].as_text, ["b"]);
    assert_eq!(logged[2].as_text, [""; 0]);
    assert_eq!(logged[0].record["v"].as_str().map(str::len), Some(40000));
}

/// In versions before 15 the type shows a byte beyond ASCII as it is.
#[tokio::test]
async fn a_char_that_is_no_character_is_kept() {
    let database = Database::create().await;
    let client = database.client().await;
    client
        .batch_execute("create table t (id int primary key, v \"char\")")
        .await
        .unwrap();
    let rowhook = Rowhook::new(&database);
    rowhook.setup().await;
    let _daemon = rowhook.spawn_ready().await;
    client
        .batch_execute("insert into t values (1, 'é'), (2, 'e')")
        .await
        .unwrap();
    let logged = wait_for_logged(&client, 2).await;
    let shown = &logged[0].record["v"];
    let version: String = client
        .query_one("show server_version_num", &[])
        .await
        .unwrap()
        .get(0);
    if version.as_str() < "150000" {
        assert_eq!(
            (shown, &logged[0].as_text),
            (&r"\xc3".into(), &vec!["v".to_owned()])
        );
    } else {
        assert_eq!(shown, r"\303");
    }
    assert_eq!(logged[1].record["v"], "e");
}

#[tokio::test]
async fn a_key_that_fills_its_index_is_no_obstacle() {
    let database = Database::create().await;
    let client = database.client().await;
    let incompressible =
        "(select string_agg(sha512(i::text::bytea), '') from generate_series(1, 40) i)";
    client
        .batch_execute("create table t (id bytea primary key, v int); create table u (a text, b text, primary key (a, b))")
        .await
        .unwrap();
    let rowhook = Rowhook::new(&database);
    rowhook.setup().await;
    let _daemon = rowhook.spawn_ready().await;
    client
        .batch_execute(&format!(
            "insert into t values ({incompressible}, 1); insert into t values ({incompressible} || '\\x00', 2);
             update t set v = 3; delete from t;
             insert into u values (repeat('x', 100000), repeat('é', 30000))"
        ))
        .await
        .unwrap();
    let logged = wait_for_logged(&client, 7).await;
    let id = |place: usize| logged[place].resource_id.clone().unwrap();
    assert_ne!(id(0), id(1));
    assert_eq!((id(0), id(1)), (id(2), id(3)));
    assert!(id(0).starts_with(r"\x4dff4ea3"), "{}", id(0));
    assert!(id(0).len() < 1200 && id(6).len() < 1200);
    assert_eq!(
        logged[0].record["id"].as_str().map(str::len),
        Some(2 + 2 * 40 * 64)
    );
}

#[tokio::test]
async fn generated_columns_are_left_out_and_identity_columns_are_not() {
    let database = Database::create().await;
    let client = database.client().await;
    client
        .batch_execute(
            "create table t (id int generated always as identity primary key, n int generated by default as identity,
                             a int, twice int generated always as (a * 2) stored)",
        )
        .await
        .unwrap();
    let rowhook = Rowhook::new(&database);
    rowhook.setup().await;
    let _daemon = rowhook.spawn_ready().await;
    client
        .batch_execute("insert into t (a) values (5); update t set a = 6; delete from t")
        .await
        .unwrap();
    let logged = wait_for_logged(&client, 3).await;
    // Up to version 17 pgoutput never sends them; from 18 on, not unless the publication says so.
    let records: Vec<String> = logged
        .iter()
        .map(|event| event.record.to_string())
        .collect();
    assert_eq!(
        records,
        [
            r#"{"id":1,"n":1,"a":5}"#,
            r#"{"id":1,"n":1,"a":6}"#,
            r#"{"id":1,"n":1,"a":6}"#
        ]
    );
    assert_eq!(logged[1].previous.to_string(), r#"{"a":5}"#);
    assert!(logged.iter().all(|event| event.unknown.is_empty()));
}

/// Whether the server has an extension. One that was chosen with `PG_BIN` may lack it; the one that
/// `tests/run.sh` installs must not.
async fn has_extension(client: &Client, name: &str) -> bool {
    let sql = "select exists (select from pg_available_extensions where name = $1)";
    let has: bool = client.query_one(sql, &[&name]).await.unwrap().get(0);
    if !has {
        assert!(
            std::env::var_os("PG_BIN").is_some(),
            "this server has no {name}: run tests/run.sh, which installs it"
        );
        println!("skipped: the server in PG_BIN has no {name}");
    }
    has
}

/// `to_jsonb` calls the type's cast to json, which is code of the extension; the stream has its text.
#[tokio::test]
async fn a_geometry_is_its_ewkb_as_everywhere_but_in_to_jsonb() {
    let database = Database::create().await;
    let client = database.client().await;
    if !has_extension(&client, "postgis").await {
        return;
    }
    client
        .batch_execute(
            "create extension postgis;
             create table t (id int primary key, g geometry, p geometry(point, 4326), h geography, gs geometry[],
                             b box2d)",
        )
        .await
        .unwrap();
    let rowhook = Rowhook::new(&database).set("capture.tables", vec!["public.t"]);
    rowhook.setup().await;
    let _daemon = rowhook.spawn_ready().await;
    client
        .batch_execute(
            "insert into t values (1, 'SRID=3857;POLYGON((0 0,1 1,1 0,0 0))', 'SRID=4326;POINT(1.5 -2)',
                                   'POINT(8.5 47.4)', array['POINT(1 2)', null]::geometry[], 'BOX(1 2,3 4)')",
        )
        .await
        .unwrap();
    let logged = wait_for_logged(&client, 1).await;
    let row = client
        .query_one(
            "select g::text, p::text, h::text, b::text, gs[1]::text from t",
            &[],
        )
        .await
        .unwrap();
    let text = |column: usize| -> String { row.get(column) };
    let expected = serde_json::json!({
        "id": 1, "g": text(0), "p": text(1), "h": text(2), "b": text(3), "gs": [text(4), null],
    });
    assert_eq!(logged[0].record, expected);
    // It is the value as every client reads it, and no guess: nothing is marked.
    assert_eq!(logged[0].as_text, [""; 0]);
    let same = "select ST_Equals((record->>'g')::geometry, g) from rowhook.events, t";
    assert!(client.query_one(same, &[]).await.unwrap().get::<_, bool>(0));
}

/// Waits until the log holds so many events, for as long as a build without optimisation may take on
/// a machine that is busy.
async fn wait_long(client: &Client, events: i64) {
    let began = std::time::Instant::now();
    while count(client).await < events {
        assert!(began.elapsed().as_secs() < 600, "no event {events}");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}

/// Values of 100 MB are ordinary values that take longer.
#[tokio::test]
async fn a_value_of_100_megabytes_is_logged_as_it_is() {
    let database = Database::create().await;
    let client = database.client().await;
    client
        .batch_execute("create table t (id int primary key, n int, v text, b bytea)")
        .await
        .unwrap();
    let rowhook = Rowhook::new(&database).set("source.silence_timeout", "10m");
    rowhook.setup().await;
    let daemon = rowhook.spawn_ready().await;
    let text = "repeat(E'0123456789 abcdefghi\\n\"é', 4600000)";
    let bytes = "decode(repeat('00ff10', 34952533), 'hex')";
    for (place, sql) in (1..).zip([
        &format!("insert into t values (1, 1, {text}, null)"),
        // Untouched, and yet known: from the old row.
        "update t set n = 2",
        "update t set v = reverse(v)",
        &format!("insert into t values (2, 1, null, {bytes})"),
    ]) {
        client.batch_execute(sql).await.unwrap();
        wait_long(&client, place).await;
    }
    let same = "select e.sequence_id, length(e.record->>'v'), length(e.record->>'b'),
                       case
                         when e.sequence_id < 3 then md5(reverse(e.record->>'v')) = md5(t.v)
                         when e.sequence_id = 3 then md5(e.record->>'v') = md5(t.v)
                                                 and md5(reverse(e.previous->>'v')) = md5(t.v)
                         else md5(e.record->>'b') = md5(t.b::text)
                       end,
                       e.previous->>'n'
                  from rowhook.events e join t on t.id = (e.record->>'id')::int
                 where e.unknown is null and e.as_text is null order by 1";
    let rows = client.query(same, &[]).await.unwrap();
    let seen: Vec<(i64, bool)> = rows.iter().map(|row| (row.get(0), row.get(3))).collect();
    assert_eq!(seen, [1, 2, 3, 4].map(|id| (id, true)));
    assert_eq!(rows[0].get::<_, i32>(1), 23 * 4_600_000);
    assert_eq!(rows[3].get::<_, i32>(2), 2 + 2 * 3 * 34_952_533);
    let previous: Vec<Option<&str>> = rows.iter().map(|row| row.get(4)).collect();
    assert_eq!(previous, [None, Some("1"), None, None]);
    println!("peak memory: {} MiB", daemon.peak_memory() >> 20);
}
