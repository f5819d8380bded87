//! A log in a database that compares texts by the rules of a language.

use tokio_postgres::Client;

use crate::capture::Captured;
use crate::cluster::{Cluster, Database};
use crate::daemon::Rowhook;
use crate::logged::wait_for_logged;
use crate::segments::wait_until_indexed;

/// By their bytes "Zebra" is before "apple"; by the rules of English it is behind.
const TABLES: &str = r#"create table "Zebra" (id text primary key, v int);
    create table apple (id text primary key, v int);
    create table other (id text collate "ucs_basic" primary key);
    create table number (id int primary key);"#;
const ROWS: &str = r#"insert into "Zebra" values ('a', 1), ('B', 1), ('ä', 1);
    insert into apple values ('a', 1), ('7', 1);
    insert into other values ('a');
    insert into number values (7);"#;

/// Its locale is English where the server can do that: since 15 if it was built with ICU.
async fn english() -> Database {
    let server = Cluster::shared().await.client("postgres").await;
    let can = "select current_setting('server_version_num')::int >= 150000
                  and exists (select from pg_collation where collprovider = 'i')";
    let can: bool = server.query_one(can, &[]).await.unwrap().get(0);
    let options = "locale_provider icu icu_locale 'en-US' template template0";
    Database::create_with(if can { options } else { "" }).await
}

/// Everything is logged.
async fn captured() -> Captured {
    let database = english().await;
    let client = database.client().await;
    client.batch_execute(TABLES).await.unwrap();
    let rowhook = Rowhook::new(&database);
    rowhook.setup().await;
    let daemon = rowhook.spawn_ready().await;
    client.batch_execute(ROWS).await.unwrap();
    wait_for_logged(&client, 7).await;
    Captured {
        daemon,
        rowhook,
        client,
        database,
    }
}

#[tokio::test]
async fn events_are_found_by_type_and_row_whatever_the_databases_locale() {
    let captured = captured().await;
    for (arguments, expected) in [
        (&["--type", "*.created"][..], 7),
        (&["--type", "Zebra.*"], 3),
        (&["--type", "apple.*"], 2),
        (&["--resource", "Zebra"], 3),
        (&["--resource", "Zebra", "--id", "ä"], 1),
        (&["--resource", "Zebra", "--id", "b"], 0),
    ] {
        let arguments = [&["events", "list", "--json"], arguments].concat();
        let lines = captured.rowhook.succeed(&arguments).await;
        assert_eq!(lines.lines().count(), expected, "{arguments:?}");
    }
}

#[tokio::test]
async fn applications_join_their_tables_to_the_log_without_naming_a_collation() {
    let captured = captured().await;
    for (condition, expected) in [
        (
            "apple o on e.resource = 'apple' and e.resource_id = o.id",
            2,
        ),
        // A column with a collation of its own.
        (
            "other o on e.resource = 'other' and e.resource_id = o.id",
            1,
        ),
        (
            "number o on e.resource = 'number' and e.resource_id = o.id::text",
            1,
        ),
        (
            "number o on e.event_type = 'apple.created' and e.resource_id = o.id::text",
            1,
        ),
        (
            "unnest('{Zebra,apple}'::text[]) o (name) on e.resource = o.name",
            5,
        ),
    ] {
        for join in ["nestloop", "hashjoin", "mergejoin"] {
            let sql = format!(
                "set enable_nestloop = off; set enable_hashjoin = off; set enable_mergejoin = off;
                 set enable_{join} = on"
            );
            captured.execute(&sql).await;
            let sql = format!("select count(*) from rowhook.events e join {condition}");
            let row = captured.client.query_one(&sql, &[]).await.unwrap();
            assert_eq!(row.get::<_, i64>(0), expected, "{join}: {condition}");
        }
    }
}

/// What a server does that finds a table large and takes no detour.
async fn plan(client: &Client, query: &str) -> String {
    let settings = "set enable_seqscan = off; set enable_bitmapscan = off; set enable_sort = off";
    client.batch_execute(settings).await.unwrap();
    let explain = format!("explain (costs off) select sequence_id from rowhook.events {query}");
    let rows = client.query(&explain, &[]).await.unwrap();
    let lines: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    lines.join("\n")
}

#[tokio::test]
async fn the_logs_indexes_compare_bytes_and_serve_what_asks_for_equality() {
    let captured = captured().await;
    let client = &captured.client;
    wait_until_indexed(client).await;
    let sql = "select i.indexrelid::regclass::text
                 from pg_index i, unnest(i.indclass) c (class)
                 join pg_opclass o on o.oid = c.class
                where i.indrelid in (select relid from pg_partition_tree('rowhook.events'))
                  and o.opcintype = 'text'::regtype and o.opcname <> 'text_pattern_ops'";
    let others = client.query(sql, &[]).await.unwrap();
    let others: Vec<String> = others.iter().map(|row| row.get(0)).collect();
    assert!(others.is_empty(), "{others:?} compare by the locale");
    let of_row = "where resource = 'apple' and resource_id = '7' order by sequence_id desc limit 1";
    for (query, condition) in [
        (of_row, "(resource_id = '7'::text)"),
        (
            "where event_type = 'apple.created' order by sequence_id limit 1",
            "(event_type = 'apple.created'::text)",
        ),
        ("order by event_type using ~<~ limit 1", "_by_type"),
    ] {
        let plan = plan(client, query).await;
        assert!(plan.contains(condition), "{plan}");
        assert!(!plan.contains("Sort"), "{plan}");
        assert!(!plan.contains("Filter"), "{plan}");
    }
}
