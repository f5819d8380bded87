mod rows;

use super::*;
use crate::decode::{Message, Relation, RelationColumn, decode};

/// A relation of texts and numbers: a trailing `#` makes a column an integer, a leading `*` puts it
/// into the replica identity.
fn relation(identity: u8, columns: &[&str]) -> Relation {
    let column = |spec: &&str| RelationColumn {
        in_identity: spec.starts_with('*') || identity == b'f',
        name: spec.trim_matches(['*', '#']).to_owned(),
        type_oid: if spec.ends_with('#') { 23 } else { 25 },
        type_modifier: -1,
    };
    Relation {
        oid: 1,
        schema: "public".into(),
        name: "posts".into(),
        identity,
        columns: columns.iter().map(column).collect(),
    }
}

const UNCHANGED: Option<&str> = Some("\u{1}unchanged");

fn tuple(out: &mut Vec<u8>, tag: u8, fields: &[Option<&str>]) {
    out.push(tag);
    out.extend(u16::try_from(fields.len()).unwrap().to_be_bytes());
    for field in fields {
        match field {
            None => out.push(b'n'),
            Some(_) if *field == UNCHANGED => out.push(b'u'),
            Some(text) => {
                out.push(b't');
                out.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
                out.extend(text.as_bytes());
            }
        }
    }
}

fn drafted(shape: &Shape, kind: u8, tuples: &[(u8, &[Option<&str>])]) -> String {
    let mut bytes = vec![kind, 0, 0, 0, 1];
    for (tag, fields) in tuples {
        tuple(&mut bytes, *tag, fields);
    }
    let Ok(Message::Change(change)) = decode(&bytes) else {
        panic!("not a change")
    };
    let mut drafter = Drafter::default();
    let draft = drafter.draft(shape, &change.row, None).unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let unknown: Vec<_> = draft
        .unknown
        .iter()
        .map(|index| shape.column_name(*index))
        .collect();
    format!(
        "{} {} {} previous {} old row {} unknown {unknown:?}",
        shape.event_type(draft.action),
        draft.resource_id.map_or("-".into(), text),
        draft.record.map_or("-".into(), text),
        draft.previous.map_or("-".into(), text),
        draft.old_row.as_str(),
    )
}

fn shape(relation: &Relation, rule: Option<&ResourceRule>) -> Shape {
    let known = KnownKeys {
        today: vec!["id".to_owned()],
        ..KnownKeys::default()
    };
    let rows = RowsOf {
        xid: 1,
        committed_at: 0,
    };
    let key = key_of(relation, rule, &known, rows);
    Shape::new(relation, rule, &key, &TypeCatalog::default())
}

fn rule() -> ResourceRule {
    ResourceRule::of(TableName {
        schema: "public".into(),
        name: "posts".into(),
    })
}

#[test]
fn an_insert_carries_the_row() {
    let shape = shape(&relation(b'f', &["id#", "title"]), None);
    insta::assert_snapshot!(
        drafted(&shape, b'I', &[(b'N', &[Some("7"), None])]),
        @r#"posts.created 7 {"id":7,"title":null} previous - old row absent unknown []"#
    );
}

#[test]
fn a_full_old_row_gives_the_old_values_of_what_changed_and_untouched_toast() {
    let shape = shape(&relation(b'f', &["id#", "title", "body"]), None);
    insta::assert_snapshot!(
        drafted(&shape, b'U', &[
            (b'O', &[Some("7"), Some("a"), Some("long")]),
            (b'N', &[Some("7"), Some("b"), UNCHANGED]),
        ]),
        @r#"posts.updated 7 {"id":7,"title":"b","body":"long"} previous {"title":"a"} old row full unknown []"#
    );
}

#[test]
fn without_the_old_row_nothing_is_claimed_about_it() {
    let shape = shape(&relation(b'd', &["*id#", "title", "body"]), None);
    insta::assert_snapshot!(
        drafted(&shape, b'U', &[(b'N', &[Some("7"), Some("b"), UNCHANGED])]),
        @r#"posts.updated 7 {"id":7,"title":"b"} previous - old row absent unknown ["body"]"#
    );
    insta::assert_snapshot!(
        drafted(&shape, b'U', &[(b'K', &[Some("7"), None, None]), (b'N', &[Some("8"), Some("b"), UNCHANGED])]),
        @r#"posts.updated 8 {"id":8,"title":"b"} previous {"id":7} old row key unknown ["body"]"#
    );
    insta::assert_snapshot!(
        drafted(&shape, b'D', &[(b'K', &[Some("7"), None, None])]),
        @r#"posts.deleted 7 {"id":7} previous - old row key unknown ["title", "body"]"#
    );
}

#[test]
fn a_large_key_that_the_update_did_not_touch_is_taken_from_the_old_row() {
    let shape = shape(&relation(b'd', &["*id", "title", "body"]), None);
    insta::assert_snapshot!(
        drafted(&shape, b'U', &[(b'K', &[Some("long"), None, None]), (b'N', &[UNCHANGED, Some("b"), UNCHANGED])]),
        @r#"posts.updated long {"id":"long","title":"b"} previous {} old row key unknown ["body"]"#
    );
    let shape = self::shape(&relation(b'f', &["id", "title", "body"]), None);
    insta::assert_snapshot!(
        drafted(&shape, b'U', &[(b'O', &[Some("long"), None, None]), (b'N', &[UNCHANGED, Some("b"), None])]),
        @r#"posts.updated long {"id":"long","title":"b","body":null} previous {"title":null} old row full unknown []"#
    );
}

#[test]
fn a_key_that_the_identity_does_not_carry_is_not_known() {
    let shape = shape(&relation(b'i', &["id#", "*code"]), None);
    insta::assert_snapshot!(
        drafted(&shape, b'U', &[(b'N', &[Some("7"), Some("b")])]),
        @r#"posts.updated 7 {"id":7,"code":"b"} previous - old row absent unknown []"#
    );
    insta::assert_snapshot!(
        drafted(&shape, b'D', &[(b'K', &[None, Some("b")])]),
        @r#"posts.deleted - {"code":"b"} previous - old row key unknown ["id"]"#
    );
}

#[test]
fn excluded_columns_leave_no_trace_and_redacted_ones_only_their_change() {
    let rule = ResourceRule {
        exclude: vec!["search".into()],
        redact: vec![
            ("email".into(), Redaction::Hash),
            ("ssn".into(), Redaction::Mask),
        ],
        ..rule()
    };
    let shape = shape(
        &relation(b'f', &["id#", "search", "email", "ssn"]),
        Some(&rule),
    );
    insta::assert_snapshot!(
        drafted(&shape, b'U', &[
            (b'O', &[Some("7"), Some("x"), Some("a@b.c"), Some("1")]),
            (b'N', &[Some("7"), Some("y"), None, Some("2")]),
        ]),
        @r#"posts.updated 7 {"id":7,"email":null,"ssn":"***"} previous {"email":"sha256:d648b243a3e817eaa3309e00e183483f2867baadf522099f0c2121770536b25a","ssn":"***"} old row full unknown []"#
    );
}

#[test]
fn a_composite_key_joins_its_parts_without_ambiguity() {
    let relation = relation(b'f', &["id#", "a", "b"]);
    let rule = ResourceRule {
        key: Some(vec!["b".into(), "a".into()]),
        name: Some("entries".into()),
        ..rule()
    };
    let shape = shape(&relation, Some(&rule));
    insta::assert_snapshot!(
        drafted(&shape, b'I', &[(b'N', &[Some("7"), Some("x,y"), Some("z\\")])]),
        @r#"entries.created z\\,x\,y {"id":7,"a":"x,y","b":"z\\"} previous - old row absent unknown []"#
    );
}

#[test]
fn a_partition_that_carries_the_key_alone_makes_no_null_of_the_rest() {
    let root = relation(b'f', &["id#", "title", "body"]);
    let shape = shape(&root, None).in_partitions(&["id".to_owned()]);
    insta::assert_snapshot!(
        drafted(&shape, b'D', &[(b'O', &[Some("7"), None, None])]),
        @r#"posts.deleted 7 {"id":7} previous - old row key unknown ["title", "body"]"#
    );
    insta::assert_snapshot!(
        drafted(&shape, b'U', &[
            (b'O', &[Some("7"), None, None]),
            (b'N', &[Some("8"), Some("x"), UNCHANGED]),
        ]),
        @r#"posts.updated 8 {"id":8,"title":"x"} previous {"id":7} old row key unknown ["body"]"#
    );
    insta::assert_snapshot!(
        drafted(&shape, b'D', &[(b'O', &[Some("7"), Some("x"), None])]),
        @r#"posts.deleted 7 {"id":7,"title":"x","body":null} previous - old row full unknown []"#
    );
}

#[test]
fn a_key_that_the_stream_does_not_carry_is_not_known() {
    let index = relation(b'i', &["id#", "*email", "body"]);
    insta::assert_snapshot!(
        drafted(&shape(&index, None), b'D', &[(b'K', &[None, Some("a@b.c"), None])]),
        @r#"posts.deleted - {"email":"a@b.c"} previous - old row key unknown ["id", "body"]"#
    );
    let rule = ResourceRule {
        key: Some(vec!["body".into()]),
        ..rule()
    };
    let untouched: &[Option<&str>] = &[Some("7"), Some("y"), UNCHANGED];
    let full = relation(b'f', &["id#", "email", "body"]);
    insta::assert_snapshot!(
        drafted(&shape(&full, Some(&rule)), b'U', &[
            (b'O', &[Some("7"), Some("x"), Some("long")]),
            (b'N', untouched),
        ]),
        @r#"posts.updated long {"id":7,"email":"y","body":"long"} previous {"email":"x"} old row full unknown []"#
    );
    insta::assert_snapshot!(
        drafted(&shape(&index, Some(&rule)), b'U', &[(b'N', untouched)]),
        @r#"posts.updated - {"id":7,"email":"y"} previous - old row absent unknown ["body"]"#
    );
}

#[test]
fn a_row_that_does_not_fit_its_relation_is_refused() {
    let shape = shape(&relation(b'f', &["id#", "title"]), None);
    let mut bytes = vec![b'I', 0, 0, 0, 1];
    tuple(&mut bytes, b'N', &[Some("7")]);
    let Ok(Message::Change(change)) = decode(&bytes) else {
        panic!("not a change")
    };
    let error = Drafter::default()
        .draft(&shape, &change.row, None)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "a row of public.posts has 1 columns where its relation has 2"
    );
}

#[test]
fn a_resource_is_named_after_its_table_and_a_foreign_schema() {
    assert_eq!(resource_name("public", "posts", None), "posts");
    assert_eq!(resource_name("sales", "posts", None), "sales.posts");
}

#[test]
fn a_row_that_is_too_large_loses_its_longest_values_and_says_so() {
    let shape = shape(&relation(b'f', &["id#", "a", "b\"", "c"]), None);
    let long = "x".repeat(100);
    let (mut bytes, fields) = (
        vec![b'U', 0, 0, 0, 1],
        [Some("7"), Some("a"), None, Some("c")],
    );
    tuple(
        &mut bytes,
        b'O',
        &[Some("7"), Some("a"), Some(&long), Some("d")],
    );
    tuple(&mut bytes, b'N', &fields);
    let Ok(Message::Change(change)) = decode(&bytes) else {
        panic!("not a change")
    };
    let mut drafter = Drafter::default();
    let draft = drafter.draft(&shape, &change.row, None).unwrap();
    let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
    assert!(Cut::of(&draft, &shape, 1000).is_none());
    let cut = Cut::of(&draft, &shape, 100).unwrap();
    assert_eq!(cut.unknown(&shape), ["b\""]);
    let left = cut.draft(&draft);
    assert_eq!(text(left.record), r#"{"id":7,"a":"a","c":"c"}"#);
    // Not `{"b":…}` alone, which would say that it was null before.
    assert_eq!(text(left.previous), r#"{"c":"d"}"#);
    let cut = Cut::of(&draft, &shape, 0).unwrap();
    let left = cut.draft(&draft);
    assert_eq!(text(left.record), "{}");
    assert_eq!(left.unknown, [0, 1, 2, 3]);
}

#[test]
fn bytes_that_are_no_utf8_are_marked_and_keep_keys_apart() {
    let shape = shape(&relation(b'f', &["id", "n"]), None);
    let drafted = |key: &[u8], old: &[u8]| {
        let mut bytes = b"U\0\0\0\x01".to_vec();
        for (tag, value) in [(b'O', old), (b'N', b"v".as_slice())] {
            bytes.extend([tag, 0, 2]);
            for field in [key, value] {
                bytes.push(b't');
                bytes.extend(u32::try_from(field.len()).unwrap().to_be_bytes());
                bytes.extend(field);
            }
        }
        let Ok(Message::Change(change)) = decode(&bytes) else {
            panic!("not a change")
        };
        let mut drafter = Drafter::default();
        let draft = drafter.draft(&shape, &change.row, None).unwrap();
        (
            String::from_utf8(draft.resource_id.unwrap().to_vec()).unwrap(),
            draft.as_text.to_vec(),
        )
    };
    assert_eq!(drafted(b"k", b"v"), ("k".to_owned(), Vec::new()));
    assert_eq!(drafted(b"\xe9", b"v"), (r"\xe9".to_owned(), vec![0]));
    assert_eq!(drafted(b"\xe8", b"\xff"), (r"\xe8".to_owned(), vec![0, 1]));
    // A value that stands in `previous` alone is marked, too.
    assert_eq!(drafted(b"k", b"\xff").1, [1]);
}
