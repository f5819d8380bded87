//! What the rules of a resource add to row changes.

use super::*;

fn soft(columns: &[&str], identity: u8) -> Shape {
    let rule = ResourceRule {
        deleted_at: Some("gone".into()),
        ..rule()
    };
    shape(&relation(identity, columns), Some(&rule))
}

fn full_update(shape: &Shape, old: Option<&str>, new: Option<&str>) -> String {
    let (before, after) = ([Some("7"), old], [Some("7"), new]);
    drafted(shape, b'U', &[(b'O', &before), (b'N', &after)])
}

#[test]
fn a_mark_that_is_set_deletes_and_one_that_is_taken_away_restores() {
    let shape = soft(&["id#", "gone"], b'f');
    insta::assert_snapshot!(
        full_update(&shape, None, Some("t")),
        @r#"posts.deleted 7 {"id":7,"gone":"t"} previous {"gone":null} old row full unknown []"#
    );
    insta::assert_snapshot!(
        full_update(&shape, Some("t"), None),
        @r#"posts.restored 7 {"id":7,"gone":null} previous {"gone":"t"} old row full unknown []"#
    );
    for (old, new) in [
        (None, None),
        (Some("t"), Some("u")),
        (Some("t"), UNCHANGED),
        // A default that the server lost is not null, and an old value that it left out is not known.
        (UNCHANGED, None),
        (UNCHANGED, Some("t")),
    ] {
        let told = full_update(&shape, old, new);
        assert!(told.starts_with("posts.updated"), "{told}");
    }
    // A partition that carries the key alone has null for everything else.
    let sparse = soft(&["id#", "gone"], b'f').in_partitions(&["id".to_owned()]);
    let told = full_update(&sparse, None, Some("t"));
    assert!(told.starts_with("posts.updated"), "{told}");
    let lost = shape.losing_defaults(&["gone".to_owned()]);
    let told = full_update(&lost, None, Some("t"));
    assert!(told.starts_with("posts.updated"), "{told}");
}

#[test]
fn an_old_value_that_is_not_carried_makes_no_deletion() {
    let shape = soft(&["*id#", "gone"], b'd');
    for tuples in [
        &[(b'N', &[Some("7"), Some("t")] as &[_])][..],
        &[(b'N', &[Some("7"), None])],
        // The other columns of an old key are placeholders.
        &[(b'K', &[Some("7"), None]), (b'N', &[Some("8"), Some("t")])],
    ] {
        let told = drafted(&shape, b'U', tuples);
        assert!(told.starts_with("posts.updated"), "{told}");
    }
    let told = drafted(&shape, b'I', &[(b'N', &[Some("7"), Some("t")])]);
    assert!(told.starts_with("posts.created"), "{told}");
    let told = drafted(&shape, b'D', &[(b'K', &[Some("7"), None])]);
    insta::assert_snapshot!(told, @r#"posts.deleted 7 {"id":7} previous - old row key unknown ["gone"]"#);
}

/// The events of a change: types, old values, whose it is and what it names.
fn told(shape: &Shape, kind: u8, tuples: &[(u8, &[Option<&str>])]) -> Vec<String> {
    let mut bytes = vec![kind, 0, 0, 0, 1];
    for (tag, fields) in tuples {
        tuple(&mut bytes, *tag, fields);
    }
    let Ok(Message::Change(change)) = decode(&bytes) else {
        panic!("not a change")
    };
    let mut drafter = Drafter::default();
    let draft = drafter.draft(shape, &change.row, None).unwrap();
    let text = |bytes: Option<&[u8]>| {
        bytes.map_or("-".into(), |bytes| {
            String::from_utf8(bytes.to_vec()).unwrap()
        })
    };
    let line = |place: u64, shape: &Shape, draft: &Draft<'_>| {
        format!(
            "{place} {} {} tenant {} related {}",
            shape.event_type(draft.action),
            text(draft.previous),
            text(draft.tenant),
            text(draft.related)
        )
    };
    let mut lines = vec![line(0, shape, &draft)];
    for (place, field) in shape.field_events(&draft) {
        let draft = draft.as_field_event();
        assert_eq!(
            (draft.action, &field.resource),
            (Action::Changed, &shape.resource)
        );
        lines.push(line(place, field, &draft));
    }
    lines
}

fn announcing(identity: u8) -> Shape {
    let rule = ResourceRule {
        fields: ["stage", "value", "none"].map(str::to_owned).to_vec(),
        deleted_at: Some("gone".into()),
        ..rule()
    };
    let columns = ["*id#", "value#", "stage", "gone"];
    shape(&relation(identity, &columns), Some(&rule))
}

#[test]
fn a_field_that_changes_is_an_event_behind_the_rows() {
    let shape = announcing(b'f');
    assert_eq!(
        shape.field_places(),
        2,
        "a column that is not there has no place"
    );
    let update = |old: [Option<&str>; 3], new: [Option<&str>; 3]| {
        fn row([stage, value, gone]: [Option<&str>; 3]) -> [Option<&str>; 4] {
            [Some("7"), value, stage, gone]
        }
        told(&shape, b'U', &[(b'O', &row(old)), (b'N', &row(new))]).join("\n")
    };
    insta::assert_snapshot!(
        update([Some("new"), Some("1"), None], [Some("won"), Some("2"), None]),
        @r#"
        0 posts.updated {"value":1,"stage":"new"} tenant - related -
        1 posts.stage.changed {"value":1,"stage":"new"} tenant - related -
        2 posts.value.changed {"value":1,"stage":"new"} tenant - related -
        "#
    );
    insta::assert_snapshot!(
        update([Some("new"), Some("1"), None], [Some("new"), None, None]),
        @r#"
        0 posts.updated {"value":1} tenant - related -
        2 posts.value.changed {"value":1} tenant - related -
        "#
    );
    insta::assert_snapshot!(
        update([Some("new"), Some("1"), Some("t")], [Some("won"), Some("1"), None]),
        @r#"
        0 posts.restored {"stage":"new","gone":"t"} tenant - related -
        1 posts.stage.changed {"stage":"new","gone":"t"} tenant - related -
        "#
    );
    for (old, new) in [
        // What did not change, is not known, or is gone with the row.
        ([Some("new"), Some("1"), None], [UNCHANGED, Some("1"), None]),
        ([UNCHANGED, Some("1"), None], [Some("won"), Some("1"), None]),
        ([Some("new"), None, None], [Some("won"), None, Some("t")]),
    ] {
        let told = update(old, new);
        assert!(!told.contains("changed"), "{told}");
    }
    let row: &[_] = &[Some("7"), Some("1"), Some("new"), None];
    assert_eq!(told(&shape, b'I', &[(b'N', row)]).len(), 1);
    assert_eq!(told(&shape, b'D', &[(b'O', row)]).len(), 1);
    let without_old_rows = announcing(b'd');
    assert_eq!(told(&without_old_rows, b'U', &[(b'N', row)]).len(), 1);
}

fn owned(identity: u8, columns: &[&str]) -> Shape {
    let rule = ResourceRule {
        tenant: Some("org".into()),
        exclude: vec!["hidden".into()],
        redact: vec![("masked".into(), Redaction::Mask)],
        ..rule()
    };
    let keys = [
        "author_id",
        "org,no",
        "hidden",
        "masked",
        "org,hidden",
        "author",
        "gone",
        "authorId",
    ];
    let keys = keys.map(|key| key.split(',').map(str::to_owned).collect());
    shape(&relation(identity, columns), Some(&rule)).referring(&keys)
}

const OWNED: [&str; 8] = [
    "*id#",
    "org",
    "author_id#",
    "no#",
    "hidden",
    "masked",
    "author",
    "authorId",
];

#[test]
fn whose_a_row_is_and_what_it_names_stand_in_the_envelope() {
    let shape = owned(b'f', &OWNED);
    let row: [Option<&str>; 8] = [
        Some("7"),
        Some("a,\"b\\"),
        Some("5"),
        Some("3"),
        Some("h"),
        Some("m"),
        Some("x"),
        Some("z"),
    ];
    let nobody = [
        Some("7"),
        None,
        None,
        Some("3"),
        Some("h"),
        Some("m"),
        None,
        None,
    ];
    insta::assert_snapshot!(told(&shape, b'I', &[(b'N', &row)]).concat(), @r#"0 posts.created - tenant a,"b\ related {"authorId":"5","orgNoId":"a\\,\"b\\\\,3"}"#);
    insta::assert_snapshot!(told(&shape, b'U', &[(b'O', &row), (b'N', &nobody)]).concat(), @r#"0 posts.updated {"org":"a,\"b\\","author_id":5,"author":"x","authorId":"z"} tenant - related -"#);
    insta::assert_snapshot!(told(&shape, b'D', &[(b'O', &row)]).concat(), @r#"0 posts.deleted - tenant a,"b\ related {"authorId":"5","orgNoId":"a\\,\"b\\\\,3"}"#);
    // A large value that the update did not touch stands in the old row.
    let untouched = [
        Some("7"),
        UNCHANGED,
        Some("6"),
        UNCHANGED,
        None,
        None,
        None,
        None,
    ];
    insta::assert_snapshot!(told(&shape, b'U', &[(b'O', &row), (b'N', &untouched)]).concat(), @r#"0 posts.updated {"author_id":5,"masked":"***","author":"x","authorId":"z"} tenant a,"b\ related {"authorId":"6","orgNoId":"a\\,\"b\\\\,3"}"#);
    // What is not carried is left out.
    let shape = owned(b'd', &OWNED);
    insta::assert_snapshot!(told(&shape, b'U', &[(b'N', &untouched)]).concat(), @r#"0 posts.updated - tenant - related {"authorId":"6"}"#);
    let key = [Some("7"), None, None, None, None, None, None, None];
    insta::assert_snapshot!(told(&shape, b'D', &[(b'K', &key)]).concat(), @r"0 posts.deleted - tenant - related -");
}

#[test]
fn a_tenant_that_nobody_may_see_is_none() {
    for column in ["hidden", "masked"] {
        let rule = ResourceRule {
            tenant: Some(column.into()),
            exclude: vec!["hidden".into()],
            redact: vec![("masked".into(), Redaction::Hash)],
            ..rule()
        };
        let shape = shape(&relation(b'f', &["*id#", "hidden", "masked"]), Some(&rule));
        let told = told(&shape, b'I', &[(b'N', &[Some("7"), Some("h"), Some("m")])]);
        assert_eq!(told, ["0 posts.created - tenant - related -"]);
    }
}
