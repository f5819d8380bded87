//! Every type's values as Postgres itself makes them: the log is held against `to_jsonb(row)`, and
//! `docs/types.md` against the log.

use std::fmt::Write as _;

use crate::audit::{self, Audited};
use crate::cluster::Database;
use crate::daemon::Rowhook;
use crate::logged::{count, wait_for};
use crate::type_values::{DEFINITIONS, VALUES};

/// The table of a type, named after its place in the list.
fn table(place: usize) -> String {
    format!("typed_{place:03}")
}

fn tables() -> String {
    let tables = VALUES.iter().enumerate().map(|(place, (kind, _))| {
        let table = table(place);
        format!(
            "create table {table} (id int primary key, v {kind});
             alter table {table} replica identity full;"
        )
    });
    tables.collect()
}

/// Each value is inserted, replaced by the next one of its type (null is one, too), and deleted.
fn changes() -> Vec<String> {
    let mut changes = Vec::new();
    for (place, (_, values)) in VALUES.iter().enumerate() {
        let table = table(place);
        let all: Vec<&str> = ["null"].iter().chain(*values).copied().collect();
        let mut sql = String::new();
        for (id, value) in all.iter().enumerate() {
            let _ = write!(sql, "insert into {table} values ({id}, {value});");
        }
        for (id, value) in all.iter().cycle().skip(1).take(all.len()).enumerate() {
            let _ = write!(sql, "update {table} set v = {value} where id = {id};");
        }
        let _ = write!(sql, "delete from {table};");
        changes.push(sql);
    }
    changes
}

#[tokio::test]
async fn every_type_becomes_what_to_jsonb_gives() {
    let database = Database::create().await;
    let client = database.client().await;
    client.batch_execute(DEFINITIONS).await.unwrap();
    client.batch_execute(&tables()).await.unwrap();
    let audited: Vec<Audited> = (0..VALUES.len())
        .map(|place| Audited {
            table: format!("public.{}", table(place)).leak(),
            key: &["id"],
        })
        .collect();
    audit::install(&client, &audited).await;
    let rowhook = Rowhook::new(&database).set("capture.tables", vec!["public.typed_*"]);
    rowhook.setup().await;
    let _daemon = rowhook.spawn_ready().await;
    for (sql, (kind, _)) in changes().iter().zip(VALUES) {
        let done = client.batch_execute(sql).await;
        done.unwrap_or_else(|error| panic!("{kind}: {error:?}"));
    }
    let expected = audit::count(&client).await;
    wait_for(&client, "every value", async || {
        count(&client).await == expected
    })
    .await;
    audit::assert_log_equals_audit(&client, &audited).await;
    let marked = "select string_agg(resource, ' ') from rowhook.events
                   where as_text is not null or unknown is not null or old_row <> 'full' and action <> 'created'";
    let marked: Option<String> = client.query_one(marked, &[]).await.unwrap().get(0);
    assert_eq!(marked, None);
    assert_documented(&generated_table(&client).await);
}

/// Longer ones say nothing more and do not fit into a table.
const LONGEST_EXAMPLE: usize = 90;
const MOST_EXAMPLES: usize = 3;
const MARKER: &str = "<!-- From here on the test `types` writes, with ROWHOOK_BLESS=1. -->\n";

/// A line for each example: the type, the kind of JSON, the value in SQL, and the value in `record`.
async fn generated_table(client: &tokio_postgres::Client) -> String {
    let mut text =
        String::from("\n| type | JSON | in SQL | in `record` |\n| --- | --- | --- | --- |\n");
    for (place, (kind, values)) in VALUES.iter().enumerate() {
        let sql = format!(
            "select json_typeof(record->'v'), (record->'v')::text from rowhook.events
              where resource = '{}' and action = 'created' order by sequence_id",
            table(place)
        );
        let rows = client.query(&sql, &[]).await.unwrap();
        // The first one is null.
        let examples = values.iter().zip(rows.iter().skip(1));
        let examples = examples
            .map(|(value, row)| -> (&str, String, String) { (value, row.get(0), row.get(1)) });
        let short = examples.filter(|(value, _, json)| {
            let fits = |text: &str| {
                text.len() <= LONGEST_EXAMPLE
                    && !text.contains(|char: char| char.is_control() || char == '\u{2028}')
            };
            fits(value) && fits(json)
        });
        for (value, typeof_json, json) in short.take(MOST_EXAMPLES) {
            let cells = [*kind, value, &json].map(code);
            let [kind, value, json] = &cells;
            let _ = writeln!(text, "| {kind} | {typeof_json} | {value} | {json} |");
        }
    }
    let definitions: Vec<&str> = DEFINITIONS.lines().map(str::trim).collect();
    let _ = writeln!(text, "\n```sql\n{}\n```", definitions.join("\n").trim());
    text
}

/// Code in a cell of a Markdown table.
fn code(text: &str) -> String {
    let fence = if text.contains('`') { "``" } else { "`" };
    format!("{fence}{}{fence}", text.replace('|', "\\|"))
}

/// Holds the document against what was generated; writes it where that is asked for.
fn assert_documented(generated: &str) {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/types.md");
    let text = std::fs::read_to_string(file).unwrap();
    let (intro, table) = text
        .split_once(MARKER)
        .expect("docs/types.md lost its marker");
    if std::env::var_os("ROWHOOK_BLESS").is_some() {
        std::fs::write(file, format!("{intro}{MARKER}{generated}")).unwrap();
    } else if let Some((line, new)) = table
        .lines()
        .chain(std::iter::repeat("(nothing)"))
        .zip(generated.lines().chain(["(nothing)"]))
        .find(|(old, new)| old != new)
    {
        panic!(
            "docs/types.md has\n{line}\nwhere it should have\n{new}\nrun this test with ROWHOOK_BLESS=1"
        );
    }
}
