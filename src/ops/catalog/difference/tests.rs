use super::*;
use crate::ops::catalog::tests::shop;
use crate::ops::catalog::{
    Attribute, Catalog, Column, Form, NamedType, OldRows, Text, TypeBody, json_schema,
};

fn differences(change: impl FnOnce(&mut Catalog)) -> Vec<String> {
    let old = json_schema(&shop());
    let mut catalog = shop();
    change(&mut catalog);
    let new = json_schema(&catalog);
    let changes = compare(("old.json", &old), ("new.json", &new)).unwrap();
    let told = |change: &Change| {
        let Change {
            impact,
            about,
            what,
        } = change;
        format!("{}: {about} {what}", impact.as_str())
    };
    changes.iter().map(told).collect()
}

/// A column of `orders`.
fn of_orders<'a>(catalog: &'a mut Catalog, name: &str) -> &'a mut Column {
    let orders = catalog.resources.iter_mut().find(|it| it.name == "orders");
    let mut columns = orders.unwrap().columns.iter_mut();
    columns.find(|column| column.name == name).unwrap()
}

/// Gives a column of `orders` another type.
fn turn(catalog: &mut Catalog, name: &str, sql: &str, form: Form) {
    let column = of_orders(catalog, name);
    column.sql = sql.to_owned();
    column.form = form;
}

fn patterned(pattern: &'static str) -> Form {
    Form::Text(Text {
        pattern: Some(pattern),
        ..Text::default()
    })
}

fn long(longest: i32) -> Form {
    Form::Text(Text {
        longest: Some(longest),
        ..Text::default()
    })
}

/// A rule: a change, and what is told of it.
type Rule = (fn(&mut Catalog), &'static [&'static str]);

const RULES: &[Rule] = &[
    (|_| {}, &[]),
    (|it| of_orders(it, "total").comment = None, &[]),
    (
        |it| it.resources.retain(|resource| resource.name != "orders"),
        &["breaking: orders is gone, and so are its events"],
    ),
    (
        |it| {
            it.resources[0]
                .events
                .retain(|event| !event.event_type.ends_with("deleted"))
        },
        &["breaking: notes.deleted is gone"],
    ),
    (
        |it| {
            it.resources[0].name = "remarks".into();
            it.resources[0].events.clear();
        },
        &[
            "breaking: notes is gone, and so are its events",
            "compatible: remarks is new",
        ],
    ),
    (
        |it| it.resources[0].key = vec!["text".into()],
        &["breaking: notes `resourceId` is made of text, and was made of id"],
    ),
    (
        |it| it.resources[0].table.schema = "archive".into(),
        &["note: notes its rows are those of archive.notes, and were those of public.notes"],
    ),
    (
        |it| {
            it.resources[1]
                .columns
                .retain(|column| column.name != "total")
        },
        &["breaking: orders.total is gone"],
    ),
    (
        |it| of_orders(it, "total").name = "sum".into(),
        &[
            "breaking: orders.total is gone",
            "compatible: orders.sum is new",
        ],
    ),
    (
        |it| of_orders(it, "total").nullable = true,
        &["breaking: orders.total may be null now"],
    ),
    (
        |it| of_orders(it, "status").nullable = true,
        &["breaking: orders.status may be null now"],
    ),
    (
        |it| of_orders(it, "card").nullable = false,
        &["compatible: orders.card is never null any more"],
    ),
    (
        |it| turn(it, "total", "text", Form::Text(Text::default())),
        &[
            "breaking: orders.total may be other text than -Infinity or Infinity or NaN now (numeric → text)",
        ],
    ),
    (
        |it| turn(it, "id", "text", Form::Text(Text::default())),
        &["breaking: orders.id is string, and was integer (bigint → text)"],
    ),
    (
        |it| turn(it, "id", "numeric", Form::Number),
        &["breaking: orders.id is number or string, and was integer (bigint → numeric)"],
    ),
    (
        |it| turn(it, "total", "integer", Form::Integer(Some((0, 9)))),
        &["note: orders.total its type is integer, and was numeric"],
    ),
    (
        |it| turn(it, "id", "integer", Form::Integer(Some((0, 9)))),
        &["note: orders.id its type is integer, and was bigint"],
    ),
    (
        |it| turn(it, "total", "jsonb", Form::Json),
        &["breaking: orders.total is any JSON, and was number or string (numeric → jsonb)"],
    ),
    (
        |it| turn(it, "card", "text", Form::Text(Text::default())),
        &["breaking: orders.card may be other text than *** now (redacted: mask → text)"],
    ),
    (
        |it| it.resources[0].columns[0].form = patterned("^x$"),
        &[
            "breaking: notes.id its text may break the format \"uuid\" now",
            "note: notes.id its text has the pattern \"^x$\" now",
        ],
    ),
    (|it| it.resources[0].columns[2].form = long(9), &[]),
    (
        |it| {
            turn(
                it,
                "tags",
                "integer[]",
                Form::Array(Box::new(Form::Integer(None)), 1),
            )
        },
        &["breaking: orders.tags[] is array or integer, and was array or string"],
    ),
    (
        |it| attributes(it).clear(),
        &["breaking: type address.street is gone"],
    ),
    (
        |it| labels(it).push("sent".into()),
        &["note: type status may be \"sent\" now"],
    ),
    (
        |it| labels(it).retain(|label| label != "paid"),
        &["compatible: type status is never \"paid\" any more"],
    ),
    (
        |it| {
            let body = TypeBody::Enum(vec!["new".into(), "lost".into()]);
            let fate = NamedType {
                comment: None,
                body,
            };
            it.types.insert("fate".into(), fate);
            turn(it, "status", "fate", Form::Named("fate".into()));
        },
        &[
            "note: orders.status may be \"lost\" now",
            "compatible: orders.status is never \"paid\" any more",
        ],
    ),
    (
        |it| it.resources[1].old_rows = OldRows::Partial,
        &[
            "breaking: orders.status.changed.data.changes may be missing now",
            "breaking: orders.status.changed.data.new.card may be missing now",
            "breaking: orders.status.changed.data.old may be missing now",
            "breaking: orders.status.changed.previousValues may be missing now",
            "breaking: orders.updated.data.changes may be missing now",
            "breaking: orders.updated.data.new.card may be missing now",
            "breaking: orders.updated.data.old may be missing now",
            "breaking: orders.updated.previousValues may be missing now",
        ],
    ),
];

fn attributes(catalog: &mut Catalog) -> &mut Vec<Attribute> {
    match &mut catalog.types.get_mut("address").unwrap().body {
        TypeBody::Composite(attributes) => attributes,
        TypeBody::Enum(_) => panic!("address is a composite"),
    }
}

fn labels(catalog: &mut Catalog) -> &mut Vec<String> {
    match &mut catalog.types.get_mut("status").unwrap().body {
        TypeBody::Enum(labels) => labels,
        TypeBody::Composite(_) => panic!("status is an enum"),
    }
}

#[test]
fn each_change_is_told_by_what_it_does_to_receivers() {
    for (place, (change, expected)) in RULES.iter().enumerate() {
        assert_eq!(differences(change), *expected, "rule {place}");
    }
}
