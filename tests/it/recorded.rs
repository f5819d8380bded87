//! Records what a real server sends, as seeds for the fuzzing of `src/event/fuzz.rs`.

use tokio_postgres::Client;

use crate::cluster::Database;
use crate::type_values::{DEFINITIONS, VALUES};

/// Longer messages only make the files large.
const LONGEST_MESSAGE: usize = 2048;

/// Writes `tests/data/pgoutput.bin` (each message behind its length, 32 bits, big-endian) and
/// `tests/data/types.json` (what the catalogs say of the types, a line for each):
/// `cargo test --test it recorded:: -- --ignored`.
#[tokio::test]
#[ignore = "rewrites tests/data"]
async fn messages_of_every_kind() {
    let database = Database::create().await;
    let client = database.client().await;
    client.batch_execute(DEFINITIONS).await.unwrap();
    let (slot, publication) = (database.slot(), database.publication());
    client
        .batch_execute(&format!(
            "create publication {publication} for all tables with (publish_via_partition_root = true)"
        ))
        .await
        .unwrap();
    let sql = "select pg_create_logical_replication_slot($1, 'pgoutput')";
    client.execute(sql, &[&slot]).await.unwrap();
    happen(&client).await;
    let sql = "select data from pg_logical_slot_get_binary_changes($1, null, null,
                 'proto_version', '1', 'publication_names', $2, 'messages', 'true')";
    let rows = client.query(sql, &[&slot, &publication]).await.unwrap();
    let mut recorded = Vec::new();
    let mut kinds = std::collections::BTreeSet::new();
    for row in rows {
        let message: &[u8] = row.get(0);
        if message.len() <= LONGEST_MESSAGE {
            kinds.insert(char::from(message[0]));
            recorded.extend((message.len() as u32).to_be_bytes());
            recorded.extend(message);
        }
    }
    assert_eq!(kinds.into_iter().collect::<String>(), "BCDIMORTUY");
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data");
    std::fs::write(format!("{directory}/pgoutput.bin"), recorded).unwrap();
    std::fs::write(format!("{directory}/types.json"), types(&client).await).unwrap();
}

/// Something of every kind.
async fn happen(client: &Client) {
    for (place, (kind, values)) in VALUES.iter().enumerate() {
        let table = format!("typed_{place:03}");
        let (first, last) = (values[0], values[values.len() - 1]);
        let sql = format!(
            "create table {table} (id int primary key, v {kind}); alter table {table} replica identity full;
             insert into {table} values (1, {first}), (2, null); update {table} set v = {last}; delete from {table}"
        );
        client.batch_execute(&sql).await.unwrap();
    }
    for sql in [
        "create table keyed (a int, b text, big text, primary key (b, a))",
        "alter table keyed alter big set storage external",
        "insert into keyed values (1, 'x,y', repeat('z', 3000)), (2, 'y', 'short')",
        "update keyed set a = 3 where a = 1",
        "update keyed set b = 'q'",
        "update keyed set big = 's'",
        "delete from keyed where a = 2",
        "alter table keyed add c int, drop big",
        "insert into keyed values (9, 'n', 1)",
        "create table parts (id int primary key) partition by range (id)",
        "create table part partition of parts for values from (0) to (10)",
        "insert into parts values (1)",
        "truncate keyed, parts cascade",
        "truncate keyed restart identity",
        "select pg_logical_emit_message(true, 'app', 'hello')",
        "select pg_logical_emit_message(false, 'app', '')",
        "select pg_replication_origin_create('rowhook recorded')",
        "select pg_replication_origin_session_setup('rowhook recorded')",
        "begin; select pg_replication_origin_xact_setup('0/1234', now()); insert into parts values (2); commit",
        "select pg_replication_origin_session_reset(); select pg_replication_origin_drop('rowhook recorded')",
    ] {
        client.batch_execute(sql).await.unwrap();
    }
}

/// What `sql/source_types.sql` gives for every type that a table uses.
async fn types(client: &Client) -> String {
    let used = "select array_agg(distinct atttypid) from pg_attribute
                 where attnum > 0 and not attisdropped and attrelid >= 16384";
    let used: Vec<u32> = client.query_one(used, &[]).await.unwrap().get(0);
    let sql = format!(
        "select json_build_object('oid', t.oid::bigint, 'base', t.base::bigint, 'element', t.element::bigint,
                'delimiter', t.delimiter, 'names', t.names, 'types', t.types::bigint[], 'hstore', t.hstore)::text
           from ({}) t (oid, base, element, delimiter, names, types, hstore) order by t.oid",
        include_str!("../../sql/source_types.sql")
    );
    let rows = client.query(&sql, &[&used]).await.unwrap();
    rows.iter()
        .map(|row| format!("{}\n", row.get::<_, String>(0)))
        .collect()
}
