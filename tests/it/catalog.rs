//! `rowhook catalog`: what it says of events is true of real ones, and tools that others wrote take it.
//!
//! `tests/run.sh` installs those tools and says where; without them their parts are skipped, and say so.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tokio::process::Command;
use tokio_postgres::Client;

use crate::cluster::Database;
use crate::daemon::Rowhook;
use crate::receiver::{Received, Receiver};
use crate::type_values::{DEFINITIONS, VALUES};
use crate::verifiers::installed;

const SHOP: &str = r#"
    create type status as enum ('new', 'paid');
    create table orders (
        id bigint primary key, status status not null default 'new', total numeric(12,2) not null,
        tags text[], details jsonb, placed timestamptz not null default '2026-01-31 12:30+01', secret text);
    comment on table orders is 'What customers buy.';
    comment on column orders.total is 'With taxes */';
    create table customers (id uuid primary key, name varchar(40), email text not null);
    create schema sales;
    create table sales."odd näme/x" (k text, n int, v date, primary key (k, n));
"#;

/// Settings under which the tables above have events of every kind.
fn shop(database: &Database) -> Rowhook {
    let customers = toml::toml! {
        table = "public.customers"
        redact = { email = "hash", name = "mask" }
    };
    Rowhook::new(database)
        .set("capture.tables", vec!["public.*", "sales.*"])
        .resource(toml::toml! { table = "public.orders" exclude = ["secret"] })
        .resource(customers)
}

async fn database_with(sql: &str) -> (Database, Client) {
    let database = Database::create().await;
    let client = database.client().await;
    client.batch_execute(sql).await.unwrap();
    (database, client)
}

async fn catalog(rowhook: &Rowhook) -> Value {
    serde_json::from_str(&rowhook.succeed(&["catalog"]).await).unwrap()
}

fn version(catalog: &Value) -> &str {
    let version = &catalog["$defs"]["catalog"]["const"]["version"];
    version.as_str().unwrap()
}

#[tokio::test]
async fn equal_tables_have_equal_catalogs_whatever_the_database_is_called() {
    let (one, client) = database_with(SHOP).await;
    let (other, _other) = database_with(SHOP).await;
    let (one, other) = (shop(&one), shop(&other));
    for format in ["json-schema", "asyncapi", "typescript"] {
        let written = one.succeed(&["catalog", "--format", format]).await;
        let again = other.succeed(&["catalog", "--format", format]).await;
        assert_eq!(written, again);
        assert!(!written.contains("secret"), "{written}");
    }
    let before = catalog(&one).await;
    let orders = &before["$defs"]["columns.orders"]["properties"];
    assert_eq!(orders["total"]["description"], "With taxes */");
    assert_eq!(
        before["$defs"]["type.status"]["enum"],
        serde_json::json!(["new", "paid"])
    );

    // Nothing was made in the source for it.
    let sql = "select count(*) from pg_publication_tables";
    assert_eq!(
        client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0),
        0
    );

    client
        .batch_execute("comment on column orders.total is 'Net'")
        .await
        .unwrap();
    assert_ne!(version(&catalog(&one).await), version(&before));
}

#[tokio::test]
async fn diff_tells_what_breaks_receivers_and_ends_with_1() {
    let (database, client) = database_with(SHOP).await;
    let rowhook = shop(&database);
    let file = rowhook.directory().join("events.json");
    let file = file.to_str().unwrap();
    rowhook.succeed(&["catalog", "--output", file]).await;
    let said = rowhook.succeed(&["catalog", "diff", file]).await;
    assert_eq!(said, "no differences\n");

    let compatible = "alter table orders add note text; alter type status add value 'sent';
                      create table extra (id int primary key)";
    client.batch_execute(compatible).await.unwrap();
    let said = rowhook.succeed(&["catalog", "diff", file]).await;
    assert!(
        said.contains("0 breaking, 1 to note, 2 compatible"),
        "{said}"
    );

    let breaking = "alter table orders drop tags, alter total drop not null; drop table customers";
    client.batch_execute(breaking).await.unwrap();
    let said = rowhook
        .fail(&["catalog", "diff", file, "live", "--json"], 1)
        .await;
    let said: Value = serde_json::from_str(&said).unwrap();
    let breaking = said["changes"].as_array().unwrap().iter();
    let breaking: Vec<_> = breaking
        .filter(|change| change["impact"] == "breaking")
        .map(|change| {
            format!(
                "{} {}",
                change["about"].as_str().unwrap(),
                change["what"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(
        breaking,
        [
            "customers is gone, and so are its events",
            "orders.tags is gone",
            "orders.total may be null now",
        ]
    );

    // Two files need no database, and no settings.
    let only = rowhook.directory().join("only.json");
    let only = only.to_str().unwrap();
    rowhook
        .succeed(&["catalog", "--resource", "orders", "--output", only])
        .await;
    let rowhook = rowhook.set("source.url", "postgres://nobody@127.0.0.1:1/nothing");
    rowhook.fail(&["catalog", "diff", file, only], 1).await;
    rowhook.succeed(&["catalog", "diff", only, only]).await;
}

#[tokio::test]
async fn what_cannot_be_done_says_why() {
    let (database, _client) = database_with(SHOP).await;
    let hook =
        toml::toml! { name = "other" url = "http://127.0.0.1:9/" events = ["*"] format = "snaapi" };
    let rowhook = shop(&database).webhook(hook);
    let directory = rowhook.directory().to_owned();
    let file = |name: &str, text: &str| {
        let path = directory.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let newer = r#"{"$defs": {"catalog": {"const": {"form": 2}}}}"#;
    let asyncapi = rowhook.succeed(&["catalog", "--format", "asyncapi"]).await;
    for (path, why) in [
        ("/nowhere/events.json".to_owned(), "cannot be read"),
        (file("text.json", "events"), "is not JSON"),
        (
            file("schema.json", "{}"),
            "is not a JSON Schema that `rowhook catalog` wrote",
        ),
        (file("newer.json", newer), "newer rowhook"),
        (file("asyncapi.json", &asyncapi), "is an AsyncAPI document"),
    ] {
        let said = rowhook.fail(&["catalog", "diff", &path], 78).await;
        assert!(said.contains(&path) && said.contains(why), "{said}");
    }
    for (arguments, why) in [
        (["--resource", "order"], "did you mean \"orders\"?"),
        (["--webhook", "othr"], "did you mean \"other\"?"),
        (["--webhook", "other"], "another format than `rowhook`"),
        (
            ["--output", "/nowhere/events.json"],
            "cannot write /nowhere/events.json",
        ),
    ] {
        let said = rowhook
            .fail(&["catalog", arguments[0], arguments[1]], 78)
            .await;
        assert!(said.contains(why), "{said}");
    }
    let rowhook = rowhook.set("source.url", "postgres://nobody@127.0.0.1:1/nothing");
    rowhook.fail(&["catalog"], 75).await;
}

/// A table with a column for every type, and statements that give each of its values a row of its own.
fn every_type() -> (String, Vec<String>) {
    let mut table = String::from("create table every (id int primary key, told bool");
    let (mut rows, mut id) = (Vec::new(), 0);
    for (place, (kind, values)) in VALUES.iter().enumerate() {
        let _ = write!(table, ", c{place} {kind}");
        // JavaScript reads a number of so many digits as infinite, which is no JSON number.
        for value in values.iter().filter(|value| !value.contains("131072")) {
            id += 1;
            rows.push(format!(
                "insert into every (id, c{place}) values ({id}, {value})"
            ));
        }
    }
    (format!("{table});"), rows)
}

/// The tools that `tests/run.sh` installed.
struct Tools(PathBuf);

impl Tools {
    fn installed() -> Option<Self> {
        let directory = installed("ROWHOOK_TEST_NODE_CATALOGS")?;
        Some(Self(Path::new(&directory).join("check.mjs")))
    }

    async fn check(&self, arguments: &[&str]) -> String {
        let output = Command::new("node")
            .arg(&self.0)
            .args(arguments)
            .output()
            .await
            .unwrap();
        assert!(
            output.status.success(),
            "{arguments:?}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

/// Events of every kind, of tables of every kind.
async fn real_events(
    client: &Client,
    rowhook: &Rowhook,
    receiver: &Receiver,
    every: &[String],
) -> usize {
    for sql in [
        "select rowhook.set_context('{\"user_id\": 7}'); insert into orders values (1, 'new', 12.5, '{a,NULL}', '{\"a\": 1}')",
        "update orders set status = 'paid', total = 'NaN', details = null where id = 1",
        "update orders set id = 2 where id = 1",
        "delete from orders where id = 2",
        "insert into orders values (3, 'new', 1)",
        "truncate orders",
        "insert into customers values (gen_random_uuid(), 'Ada', 'ada@example.com')",
        "update customers set name = null",
        "insert into sales.\"odd näme/x\" values ('a,b', 1, 'infinity')",
        "update sales.\"odd näme/x\" set v = '0044-03-15 BC'",
        // Their old rows are not known, and one has a large value that the stream leaves out.
        "update kept set v = 2",
        "update kept set v = 3",
        "delete from kept where id = 1",
        "update parts set v = 2",
        "insert into posts values (1, 'acme', 'new', null)",
        "update posts set state = 'old', author = (select id from customers)",
        "update posts set gone = 'now'",
        "update posts set gone = null, state = null",
        "update posts set gone = 'now'; delete from posts",
        "select rowhook.emit('orders.shipped', '{\"to\": \"Bergen\"}', 'orders', '1')",
        "delete from parts",
    ] {
        client
            .batch_execute(sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }
    for sql in every {
        client
            .batch_execute(sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }
    client
        .batch_execute("update every set told = true; delete from every")
        .await
        .unwrap();
    rowhook.succeed(&["backfill", "kept"]).await;
    let sql = "select count(*) from rowhook.events";
    let logged: i64 = client.query_one(sql, &[]).await.unwrap().get(0);
    receiver.wait_for_count(logged as usize).await.len()
}

/// A file of JSON texts. They may hold line breaks: a value of type json is the text that it was.
fn texts(path: &Path, texts: impl IntoIterator<Item = String>) -> String {
    let text: String = texts.into_iter().map(|text| text + "\x1e").collect();
    std::fs::write(path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn real_events_are_what_the_catalog_says() {
    let Some(tools) = Tools::installed() else {
        return;
    };
    let (table, every) = every_type();
    let others = "create table kept (id int primary key, v int, large text);
                  alter table kept alter large set storage external;
                  insert into kept select i, 1, repeat('x', 9000) from generate_series(1, 3) i;
                  create table parts (id int primary key, v int) partition by range (id);
                  create table part1 partition of parts for values from (0) to (10);
                  insert into parts values (1, 1);
                  create table posts (id int primary key, org text, state text, gone text, author uuid references customers);";
    let (database, client) = database_with(&format!("{SHOP}{DEFINITIONS}{table}{others}")).await;
    let receiver = Receiver::start().await;
    let posts = toml::toml! { table = "public.posts" deleted_at = "gone" fields = ["state"] tenant = "org" };
    let rowhook = shop(&database)
        .resource(posts)
        .resource(toml::toml! { table = "public.kept" previous = "log" })
        .webhook_to("all", &receiver, toml::Table::new());
    rowhook.setup().await;
    let mut daemon = rowhook.spawn_ready().await;
    let count = real_events(&client, &rowhook, &receiver, &every).await;

    let directory = rowhook.directory();
    let written = directory.join("catalog.json");
    let written = written.to_str().unwrap();
    rowhook.succeed(&["catalog", "-o", written]).await;
    let bodies: Vec<String> = (receiver.requests().iter())
        .map(|request| String::from_utf8(request.body.to_vec()).unwrap())
        .collect();
    let sent = texts(&directory.join("sent"), bodies.clone());
    assert_eq!(
        tools.check(&["schema", written, &sent]).await,
        format!("{count} valid")
    );

    let logged = rowhook
        .succeed(&["events", "list", "--json", "--limit", "10000"])
        .await;
    const FIRST: &str = "{\"sequenceId\":";
    let logged = logged
        .split(FIRST)
        .skip(1)
        .map(|rest| format!("{FIRST}{rest}"));
    let logged = texts(&directory.join("logged"), logged);
    let pointer = "#/$defs/logged";
    let valid = tools.check(&["schema", written, &logged, pointer]).await;
    assert_eq!(valid, format!("{count} valid"));

    let wrong = texts(&directory.join("wrong"), broken(&bodies));
    assert_eq!(
        tools.check(&["refused", written, &wrong]).await,
        "7 refused"
    );
    assert_eq!(daemon.stop().await, Some(0));
}

/// Real bodies with one thing wrong in each.
fn broken(bodies: &[String]) -> Vec<String> {
    let of = |event_type: &str| -> Value {
        let event = bodies
            .iter()
            // One is deeper than serde_json reads.
            .filter_map(|body| serde_json::from_str::<Value>(body).ok());
        let mut event = event.filter(|body| body["event"]["type"] == event_type);
        event.next().unwrap_or_else(|| panic!("no {event_type}"))
    };
    let with = |event_type: &str, pointer: &str, value: Value| {
        let mut body = of(event_type);
        *body.pointer_mut(pointer).unwrap() = value;
        body.to_string()
    };
    let mut incomplete = of("orders.updated");
    incomplete["event"]["data"]["new"]
        .as_object_mut()
        .unwrap()
        .remove("total");
    vec![
        incomplete.to_string(),
        with("orders.created", "/event/data/new/total", true.into()),
        with("orders.created", "/event/data/new/status", "sent".into()),
        with("orders.created", "/event/type", "order.created".into()),
        with(
            "customers.created",
            "/event/data/new/email",
            "ada@example.com".into(),
        ),
        with("orders.deleted", "/event/resourceId", Value::Null),
        with(
            "posts.state.changed",
            "/event/fieldChange/newValue",
            7.into(),
        ),
    ]
}

#[tokio::test]
async fn public_tools_take_the_asyncapi_document_and_the_types() {
    let Some(tools) = Tools::installed() else {
        return;
    };
    let (table, _) = every_type();
    let posts = "create table posts (id int primary key, org text, state text, gone text, author uuid references customers)";
    let (database, client) = database_with(&format!("{SHOP}{DEFINITIONS}{table}{posts}")).await;
    let receiver = Receiver::start().await;
    let posts = toml::toml! { table = "public.posts" deleted_at = "gone" fields = ["state"] tenant = "org" };
    let rowhook = shop(&database)
        .resource(posts)
        .webhook_to("all", &receiver, toml::Table::new());
    let directory = rowhook.directory().to_owned();
    let path = |name: &str| directory.join(name).to_str().unwrap().to_owned();

    let asyncapi = path("asyncapi.json");
    rowhook
        .succeed(&["catalog", "--format", "asyncapi", "-o", &asyncapi])
        .await;
    assert_eq!(tools.check(&["asyncapi", &asyncapi]).await, "27 messages");

    rowhook.setup().await;
    let mut daemon = rowhook.spawn_ready().await;
    client
        .batch_execute(
            "insert into orders values (1, 'new', 12.5, '{a,NULL}', '{\"a\": 1}');
             update orders set status = 'paid', total = 'NaN' where id = 1; delete from orders; truncate orders;
             insert into sales.\"odd näme/x\" values ('a,b', 1, 'infinity');
             insert into posts values (1, 'acme', 'new', null); update posts set state = 'old';
             update posts set gone = 'now'; update posts set gone = null",
        )
        .await
        .unwrap();
    let requests = receiver.wait_for_count(10).await;
    assert_eq!(daemon.stop().await, Some(0));
    let bodies: Vec<&str> = (requests.iter())
        .map(|request| std::str::from_utf8(&request.body).unwrap())
        .collect();
    let reader = format!(
        "import type {{ OrdersUpdated, PgNumber, RowhookEvent, RowhookRequest }} from './catalog';
         export const requests: RowhookRequest[] = [{}];
         export function total(event: RowhookEvent): PgNumber | undefined {{
           if (event.type === \"orders.updated\") {{
             const old: \"new\" | \"paid\" = event.data.old.status;
             const same: OrdersUpdated = event;
             return old && same && event.data.new.total;
           }}
           if (event.type === \"orders.deleted\") {{
             // @ts-expect-error a deleted row is not there any more
             return event.data.new.total;
           }}
           // @ts-expect-error there is no such event
           return event.type === \"orders.emptied\" ? 1 : undefined;
         }}",
        bodies.join(",\n")
    );
    let (types, uses) = (path("catalog.ts"), path("reader.ts"));
    std::fs::write(&uses, reader).unwrap();
    rowhook
        .succeed(&["catalog", "--format", "typescript", "-o", &types])
        .await;
    assert_eq!(tools.check(&["types", &types, &uses]).await, "2 compiled");
}

#[tokio::test]
async fn a_webhook_gets_what_its_part_of_the_catalog_says() {
    let Some(tools) = Tools::installed() else {
        return;
    };
    let (database, client) = database_with(SHOP).await;
    let receiver = Receiver::start().await;
    let narrow = toml::toml! {
        events = ["orders.created", "orders.updated"]
        fields = ["status", "total"]
        batch = { max_events = 10, max_wait = "100ms" }
    };
    let rowhook = shop(&database).webhook_to("narrow", &receiver, narrow);
    rowhook.setup().await;
    let mut daemon = rowhook.spawn_ready().await;
    let sql = "insert into orders values (1, 'new', 12.5); update orders set status = 'paid', secret = 'x';
               delete from orders; insert into orders values (2, 'new', 1)";
    client.batch_execute(sql).await.unwrap();
    let events = |requests: &[Received]| -> usize {
        let bodies = requests.iter().map(Received::json);
        bodies.map(|body| body.as_array().unwrap().len()).sum()
    };
    let requests = receiver.wait_for(|requests| events(requests) == 3).await;
    assert_eq!(daemon.stop().await, Some(0));

    let directory = rowhook.directory();
    let written = directory.join("narrow.json");
    let written = written.to_str().unwrap();
    let part = ["catalog", "--webhook", "narrow", "--output", written];
    rowhook.succeed(&part).await;
    let narrow: Value = serde_json::from_str(&std::fs::read_to_string(written).unwrap()).unwrap();
    let resources = &narrow["$defs"]["catalog"]["const"]["resources"];
    assert_eq!(resources.as_object().unwrap().len(), 1);
    let events = serde_json::json!(["orders.created", "orders.updated"]);
    assert_eq!(resources["orders"]["events"], events);
    let columns = &narrow["$defs"]["columns.orders"]["properties"];
    let columns: Vec<_> = columns.as_object().unwrap().keys().collect();
    assert_eq!(columns, ["status", "total"]);
    assert!(narrow["$defs"].get("note").is_none());

    let bodies = requests
        .iter()
        .map(|it| String::from_utf8(it.body.to_vec()).unwrap());
    let sent = texts(&directory.join("sent"), bodies);
    let valid = tools
        .check(&["schema", written, &sent, "#/$defs/batch"])
        .await;
    assert_eq!(valid, format!("{} valid", requests.len()));
}
