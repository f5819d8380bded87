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
