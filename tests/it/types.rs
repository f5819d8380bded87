//! Every type's values as Postgres itself makes them: `record` is held against `to_jsonb(row)`.

use crate::cluster::Database;
use crate::daemon::Rowhook;
use crate::logged::{count, wait_for};

/// What the types below are made of.
const DEFINITIONS: &str = r#"
    create extension hstore; create extension citext; create extension ltree;
    create type mood as enum ('sad', 'ok', 'happy "very"');
    create domain positive as int check (value > 0);
    create domain positives as positive[];
    create domain nested_domain as positives;
    create type address as (street text, "zip code" int, tags text[]);
    create type person as (name text, home address, moods mood[], born date);
    create domain home as address;
"#;

/// A type, and values of it as SQL.
const VALUES: [(&str, &[&str]); 66] = [
    ("smallint", &["-32768", "32767"]),
    ("integer", &["-2147483648", "0"]),
    ("bigint", &["9223372036854775807", "-9223372036854775808"]),
    (
        "numeric",
        &[
            "'NaN'",
            "'Infinity'",
            "'-Infinity'",
            "0.00",
            "-1e-30",
            "1e130",
            "123456789012345678901234567890.5",
        ],
    ),
    ("numeric(20,4)", &["12.5", "-0.0001"]),
    (
        "real",
        &["1.1", "'-0'", "'NaN'", "'Infinity'", "1e-45", "3.4e38"],
    ),
    (
        "double precision",
        &[
            "0.1",
            "'-0'",
            "'NaN'",
            "'-Infinity'",
            "5e-324",
            "1.7976931348623157e308",
            "1e22",
        ],
    ),
    ("money", &["12.34", "-1234567.8"]),
    ("boolean", &["true", "false"]),
    ("char(5)", &["'ab'", "''"]),
    ("varchar(9)", &["'Straße'", "''"]),
    ("name", &["'a name'"]),
    ("\"char\"", &["'x'", "''"]),
    (
        "text",
        &[r#"E'\\ \" \b\f\n\r\t\x01\x7f'"#, "'😀 é \u{2028}'", "''"],
    ),
    ("bytea", &[r"'\x00ff5c22'", "''"]),
    (
        "date",
        &[
            "'0044-03-15 BC'",
            "'infinity'",
            "'-infinity'",
            "'5874897-12-31'",
            "'2024-02-29'",
        ],
    ),
    ("time", &["'24:00:00'", "'00:00:00.000001'"]),
    ("timetz", &["'12:00:00+05:30'", "'24:00:00-15:59'"]),
    (
        "timestamp",
        &[
            "'294276-12-31 23:59:59.999999'",
            "'4713-01-01 00:00:00 BC'",
            "'infinity'",
            "'2024-01-01'",
        ],
    ),
    (
        "timestamptz",
        &[
            "'294276-12-31 23:59:59.999999+00'",
            "'4713-01-02 00:00:00+00 BC'",
            "'-infinity'",
            "'2024-06-01 12:00+05:30'",
        ],
    ),
    (
        "interval",
        &["'1 year -2 mons 3 days -04:05:06.789'", "'0'", "'-1 day'"],
    ),
    ("uuid", &["'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"]),
    (
        "json",
        &[
            r#"'{"b": 1,  "a": [1e400, null, "\ud83d\ude00"]}'"#,
            "'3'",
            "'null'",
            "'\"x\"'",
        ],
    ),
    (
        "jsonb",
        &[
            r#"'{"b": 1, "a": [123456789012345678901234567890.10, {}, []]}'"#,
            "'null'",
            "'true'",
        ],
    ),
    ("xml", &["'<a b=\"c\">d</a>'"]),
    ("bit(5)", &["B'10101'"]),
    ("varbit", &["B'1'", "B''"]),
    ("inet", &["'192.168.1.1/24'", "'::1'"]),
    ("cidr", &["'10.0.0.0/8'"]),
    ("macaddr", &["'08:00:2b:01:02:03'"]),
    ("macaddr8", &["'08:00:2b:01:02:03:04:05'"]),
    ("point", &["'(1.5,-2)'"]),
    ("line", &["'{1,2,3}'"]),
    ("lseg", &["'[(0,0),(1,1)]'"]),
    ("box", &["'(1,1),(0,0)'"]),
    ("path", &["'[(0,0),(1,1)]'", "'((0,0),(1,1))'"]),
    ("polygon", &["'((0,0),(1,1),(1,0))'"]),
    ("circle", &["'<(1,2),3>'"]),
    ("pg_lsn", &["'16/B374D848'"]),
    ("txid_snapshot", &["'10:20:10,14,15'"]),
    ("pg_snapshot", &["'10:20:10,14,15'"]),
    ("xid8", &["'42'"]),
    ("oid", &["4294967295"]),
    ("regclass", &["'pg_class'"]),
    ("regtype", &["'integer'"]),
    ("int2vector", &["'1 2 3'"]),
    ("oidvector", &["'1 2'"]),
    ("tsvector", &["'a:1 fat:2,4 ''quoted'''"]),
    ("tsquery", &["'fat & !rat'"]),
    ("int4range", &["'[1,10)'", "'empty'", "'(,)'"]),
    ("tstzrange", &["'[2024-01-01,)'"]),
    ("nummultirange", &["'{[1,2),[3,4)}'", "'{}'"]),
    ("mood", &["'ok'", "'happy \"very\"'"]),
    ("positive", &["7"]),
    ("positives", &["'{1,2}'"]),
    ("nested_domain", &["'{3}'"]),
    (
        "address",
        &[
            r#"row('a "b" \ , ( )', 1, '{x,"y z",NULL}')"#,
            "row(null, null, null)",
            "row('', 0, '{}')",
        ],
    ),
    (
        "person",
        &[r#"row('Ada', row('x, "y"', 2, '{"q\"w"}'), '{ok,"happy \"very\""}', '2024-01-01')"#],
    ),
    ("home", &["row('s', 1, null)"]),
    (
        "address[]",
        &[r#"array[row('a b', 1, '{c}'), null, row('"', null, null)]::address[]"#],
    ),
    ("timestamptz[]", &["'{2024-01-01 00:00+00,NULL,infinity}'"]),
    ("text[]", &[r#"'[0:1][2:3]={{a,"b,c"},{"",NULL}}'"#, "'{}'"]),
    ("box[]", &["'{(1,1),(0,0);(2,2),(1,1)}'"]),
    (
        "hstore",
        &[r#"'"a b"=>"1", "c"=>NULL, "q\"=>"=>"\\"'"#, "''"],
    ),
    ("citext", &["'MiXed'"]),
    ("ltree", &["'top.science'"]),
];

fn table(place: usize) -> String {
    format!("typed_{place:02}")
}

fn statements() -> (String, String, i64) {
    let (mut tables, mut inserts, mut count) = (DEFINITIONS.to_owned(), String::new(), 0);
    for (place, (kind, values)) in VALUES.iter().enumerate() {
        let table = table(place);
        tables += &format!("create table {table} (id int primary key, v {kind});");
        inserts += &format!("insert into {table} values (0, null);");
        for (id, value) in (1..).zip(*values) {
            inserts += &format!("insert into {table} values ({id}, {value});");
        }
        count += i64::try_from(values.len()).unwrap() + 1;
    }
    (tables, inserts, count)
}

#[tokio::test]
async fn every_type_becomes_what_to_jsonb_gives() {
    let database = Database::create().await;
    let client = database.client().await;
    let (tables, inserts, expected) = statements();
    client.batch_execute(&tables).await.unwrap();
    let rowhook = Rowhook::new(&database);
    rowhook.setup().await;
    let _daemon = rowhook.spawn_ready().await;
    client.batch_execute(&inserts).await.unwrap();
    wait_for(&client, "every value", async || {
        count(&client).await == expected
    })
    .await;
    let (mut wrong, mut compared) = (Vec::new(), 0);
    for (place, (kind, _)) in VALUES.iter().enumerate() {
        let table = table(place);
        let sql = format!(
            "select e.record::jsonb::text, to_jsonb(t)::text
               from {table} t join rowhook.events e on e.resource = '{table}' and e.resource_id = t.id::text"
        );
        for row in client.query(&sql, &[]).await.unwrap() {
            let (logged, row): (String, String) = (row.get(0), row.get(1));
            compared += 1;
            if logged != row {
                wrong.push(format!("{kind}: {logged} should be {row}"));
            }
        }
    }
    assert_eq!(compared, expected);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
