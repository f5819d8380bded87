use super::*;
use crate::event::{Action, OldRow, Origin};

mod hostile;

fn event(action: Action, record: &str, previous: Option<&str>) -> Event {
    Event {
        sequence_id: 7,
        event_id: uuid::Uuid::from_u128(7),
        event_type: format!("orders.{}", action.as_str()).into(),
        resource: "orders".into(),
        resource_id: Some("1".into()),
        action,
        created_at: 1_767_225_600_000_000,
        record: Some(record.into()),
        previous: previous.map(Into::into),
        context: None,
        data: None,
        tenant: None,
        related: None,
        old_row: match previous {
            Some(_) => OldRow::Full,
            None => OldRow::Absent,
        },
        unknown: Vec::new(),
        as_text: Vec::new(),
        erased_at: None,
        origin: Origin {
            schema: "public".into(),
            table: "orders".into(),
            xid: 1,
            commit_lsn: "0/1".parse().unwrap(),
            index: 0,
        },
    }
}

fn updated(record: &str, previous: &str) -> Event {
    event(Action::Updated, record, Some(previous))
}

fn compiled(source: &str) -> Expression {
    Expression::compile(source).unwrap_or_else(|mistake| panic!("{source}: {mistake}"))
}

fn holds(source: &str, event: &Event) -> Result<bool, String> {
    compiled(source).holds(event)
}

fn json(source: &str, event: &Event) -> Result<String, String> {
    let json = compiled(source).json(event)?;
    Ok(String::from_utf8(json).unwrap())
}

fn mistake(source: &str) -> String {
    Expression::compile(source).unwrap_err().to_string()
}

#[test]
fn an_update_shows_both_sides_and_what_changed() {
    let event = updated(
        r#"{"id":1,"total":100.50,"status":"paid"}"#,
        r#"{"status":"new"}"#,
    );
    for source in [
        "new.total > 100 && old.status != new.status",
        "old.total == new.total",
        "'status' in changes.updated && !('total' in changes.updated)",
        "changes.added.size() == 0 && size(changes.removed) == 0",
        "event.type == 'orders.updated' && event.action == 'updated' && event.resource == 'orders'",
        "event.resource_id == '1' && event.sequence_id == 7 && event.table == 'orders'",
        "event.id == '00000000-0000-0000-0000-000000000007' && event.schema == 'public'",
        "event.created_at == timestamp('2026-01-01T00:00:00Z')",
        "event.created_at.getFullYear() == 2026",
        "old != null && new != null",
        "new['status'].upperAscii() == 'PAID' && new.status.matches('^p.*d$')",
        "!has(new.tenant) && !has(context.user_id) && context.size() == 0",
        "new.?tenant.orValue('none') == 'none'",
    ] {
        assert_eq!(holds(source, &event), Ok(true), "{source}");
    }
}

#[test]
fn what_is_not_there_is_null() {
    let row = r#"{"id":1,"status":"paid","total":null}"#;
    for action in [Action::Created, Action::Snapshot] {
        let event = event(action, row, None);
        for source in [
            "old == null || old.status != new.status",
            "changes.added == ['id', 'status', 'total'] && changes.updated == []",
            "new.total == null",
            "old == null ? new.status == 'paid' : false",
        ] {
            assert_eq!(holds(source, &event), Ok(true), "{source}");
        }
        let reason = holds("old.status != new.status", &event).unwrap_err();
        assert!(reason.contains("a member of null"), "{reason}");
    }
    let event = event(Action::Deleted, row, None);
    let source = "new == null && old.status == 'paid' && changes.removed.size() == 3";
    assert_eq!(holds(source, &event), Ok(true));
    assert!(holds("new.status == 'paid'", &event).is_err());
}

#[test]
fn what_is_not_known_is_an_error_and_never_false() {
    let mut event = event(Action::Updated, r#"{"id":1,"v":2}"#, None);
    for (source, part) in [
        ("new.body == 'x'", "there is no `body`"),
        ("old.v == 1", "there is no `v`"),
        ("changes.updated.size() > 0", "`changes` is not known"),
        ("context.user_id == 7", "there is no `user_id`"),
    ] {
        let reason = holds(source, &event).unwrap_err();
        assert!(reason.contains(part), "{source}: {reason}");
    }
    assert_eq!(holds("has(old.v)", &event), Ok(false));
    assert_eq!(holds("old == null", &event), Ok(false), "there is one");
    assert_eq!(holds("new.v == 2 || old.v == 1", &event), Ok(true));

    event.old_row = OldRow::Key;
    event.previous = Some(r#"{"id":0}"#.into());
    assert_eq!(holds("old.id == 0", &event), Ok(true));
    assert!(holds("old.v == 1", &event).is_err());
    assert!(holds("'id' in changes.updated", &event).is_err());
}

#[test]
fn the_context_is_read_by_key() {
    let mut event = updated(r#"{"id":1}"#, "{}");
    event.context = Some(
        r#"{"sessionVariables":{"user_id":7,"role":"editor"},"traceContext":{"traceId":"t"}}"#
            .into(),
    );
    let source =
        "context.user_id == 7 && context.role in ['editor', 'admin'] && context.traceId == 't'";
    assert_eq!(holds(source, &event), Ok(true));
}

#[test]
fn numbers_are_compared_across_their_kinds() {
    let event = updated(
        r#"{"i":5,"d":5.00,"big":9223372036854775807,"bigger":9223372036854775808,"huge":1e400,"e":1e2,"neg":-0}"#,
        "{}",
    );
    for source in [
        "new.i == 5 && new.d == 5 && new.i == new.d && new.d > 4",
        "type(new.i) == int && type(new.d) == double && type(new.e) == double",
        "new.big == 9223372036854775807 && type(new.bigger) == double",
        "new.bigger > 9.2e18 && new.huge > 1.0e308",
        "new.neg == 0 && double(new.i) * 1.5 == 7.5",
    ] {
        assert_eq!(holds(source, &event), Ok(true), "{source}");
    }
    for (source, part) in [
        ("new.big + 1 > 0", "does not fit"),
        ("new.i / 0 == 1", "divides by zero"),
        ("new.i % 0 == 1", "divides by zero"),
        ("-(-new.big - 1) > 0", "does not fit"),
        ("new.i * 1.5 > 1.0", "does not go with int and"),
        ("new.i > '4'", "does not go with int and string"),
        ("new.i", "of type int, not true or false"),
        ("new.i + 1 > [1]", "does not go with"),
        ("[1][new.i] == 1", "past the end"),
        ("int(new.huge) > 1", "int"),
        ("'x'.charAt(new.big) == ''", "charAt"),
        ("timestamp(string(new.i)) > event.created_at", "timestamp"),
        ("'x'.matches('(' + string(new.i))", "no regular expression"),
        ("new.i.matches('a')", "matches"),
    ] {
        let reason = holds(source, &event).unwrap_err();
        assert!(reason.contains(part), "{source}: {reason}");
    }
}

#[test]
fn odd_records_are_read() {
    let event = updated(
        r#"{"käse \"x\"":"Grüße 🧀","n":"a\u0000b","half":"\ud800","k":1,"k":2,
            "nested":[[1,[2,{"a":[null,true,1.5]}]],[]],"k\u00fc":3,"raw": {"a b":1} }"#,
        "{}",
    );
    for source in [
        r#"new['käse "x"'] == 'Grüße 🧀' && new['käse "x"'].size() == 7"#,
        r"new.n == 'a\u0000b' && size(new.n) == 3",
        "new.half != '' && new.k == 2",
        "new.nested[0][1][1].a == [null, true, 1.5] && new.nested[1] == []",
        "new['kü'] == 3 && new.raw['a b'] == 1",
        "new.nested.exists(x, x == []) && new.map(k, k).size() == 7",
    ] {
        assert_eq!(holds(source, &event), Ok(true), "{source}");
    }
}

#[test]
fn a_value_that_is_too_deep_fails_whoever_reads_it_and_nobody_else() {
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    let event = updated(&format!(r#"{{"deep":{deep},"v":1}}"#), "{}");
    assert_eq!(holds("new.v == 1", &event), Ok(true));
    let reason = holds("new.deep == []", &event).unwrap_err();
    assert!(
        reason.contains("`new.deep` cannot be read: it is nested deeper"),
        "{reason}"
    );
    let taken_over = json("{'deep': new.deep}", &event).unwrap();
    assert_eq!(taken_over, format!(r#"{{"deep":{deep}}}"#));
}

#[test]
fn a_loop_in_a_loop_takes_no_long_list() {
    let list = vec!["1"; 1001].join(",");
    let event = updated(&format!(r#"{{"xs":[{list}],"ys":[1]}}"#), "{}");
    assert_eq!(holds("new.xs.all(x, x == 1)", &event), Ok(true));
    let reason = holds("new.xs.all(x, new.ys.all(y, x == y))", &event).unwrap_err();
    assert!(reason.contains("more than 1000 items"), "{reason}");
    let source = "new.a.all(a, new.b.all(b, new.c.all(c, true)))";
    assert!(mistake(source).contains("loops 3 deep"));
    let source = "new.a.split('').all(a, new.a.split('').all(b, a == b))";
    assert!(mistake(source).contains("split()"));
}

#[test]
fn a_reason_tells_no_values() {
    let event = updated(r#"{"card":"4111-1111","n":1}"#, r#"{"card":"4222-2222"}"#);
    for source in [
        "new.card > 1",
        "new.card + 1 == 2",
        "new.card",
        "new[new.card] == 1",
        "new.card.foo == 1",
        "!new.card",
        "{new.card: 1, old.card: 2}[1] == 2",
    ] {
        let reason = holds(source, &event).unwrap_err();
        let told = reason.contains("4111") || reason.contains("4222");
        // What a map is asked for by a computed key is the one value that is told.
        assert!(!told || source.starts_with("new[new"), "{source}: {reason}");
    }
}

#[test]
fn a_mistake_is_found_when_it_is_compiled_and_shows_its_place() {
    for (source, expected) in [
        (
            "nw.total > 1",
            "column 1: unknown variable `nw`\n    nw.total > 1\n    ^",
        ),
        (
            "new.x == 'üü' && nw.y",
            "column 18: unknown variable `nw`\n    new.x == 'üü' && nw.y\n                     ^",
        ),
        (
            "new.x == 1 &&\n  event.typ == 2",
            "line 2, column 9: unknown member of `event`: `typ`\n      event.typ == 2\n            ^",
        ),
        (
            "new.x.startWith('a')",
            "column 7: unknown function `startWith`\n    new.x.startWith('a')\n          ^",
        ),
        (
            "new.total >",
            "column 12: syntax error: mismatched input '<EOF>'\n    new.total >\n               ^",
        ),
        ("", "is empty"),
    ] {
        assert_eq!(mistake(source), expected);
    }
    for (source, part) in [
        ("has(nw.x)", "unknown variable `nw`"),
        ("new.xs.all(new, new > 1)", "another name"),
        ("new.xs.all(x, y > 1)", "unknown variable `y`"),
        ("changes.update == []", "unknown member of `changes`"),
        ("Order{id: 1}", "unknown type `Order`"),
        ("if(new.x)", "reserved"),
        (
            "new.x.matches('(')",
            "column 14: always fails: matches(): its pattern is no regular expression",
        ),
        (
            "event.created_at > timestamp('2026-13-01')",
            "always fails: timestamp()",
        ),
        ("new.x > 1 / 0", "always fails: it divides by zero"),
        (
            "new.x > '1' + 1",
            "always fails: `add` does not go with string and int",
        ),
    ] {
        let mistake = mistake(source);
        assert!(mistake.contains(part), "{source}: {mistake}");
    }
}

#[test]
fn a_body_keeps_the_order_of_its_keys_and_the_text_of_columns() {
    let event = updated(
        r#"{"id":1,"total":100.50,"doc":{"z":1,"a":[1.0,{"k":"\u00e9"}]},"big":123456789012345678901234567890,"tags":["b","a"]}"#,
        r#"{"total":99.00}"#,
    );
    for (source, expected) in [
        (
            r#"{"text": "order " + string(new.id)}"#,
            r#"{"text":"order 1"}"#,
        ),
        (
            r#"{"z": new.total, "a": old.total, "m": {"y": new.big, "b": [new.doc.a, new.doc]}}"#,
            r#"{"z":100.50,"a":99.00,"m":{"y":123456789012345678901234567890,"b":[[1.0,{"k":"\u00e9"}],{"z":1,"a":[1.0,{"k":"\u00e9"}]}]}}"#,
        ),
        (
            r#"new.id == 1 ? {"z": 1, "a": 2} : {"none": true}"#,
            r#"{"z":1,"a":2}"#,
        ),
        (
            r#"new.tags.map(t, {"name": t, "at": event.created_at})"#,
            r#"[{"at":"2026-01-01T00:00:00Z","name":"b"},{"at":"2026-01-01T00:00:00Z","name":"a"}]"#,
        ),
        (
            "[old.doc, null, true, 1.5, 3.0, 7u]",
            r#"[{"z":1,"a":[1.0,{"k":"\u00e9"}]},null,true,1.5,3.0,7]"#,
        ),
        (
            "[duration('90m'), duration('-1.5s'), b'ab']",
            r#"["5400s","-1.5s","YWI="]"#,
        ),
        (
            r#"{"a": new.?none, ?"b": new.?none, ?"c": new.?id}"#,
            r#"{"a":null,"c":1}"#,
        ),
        (
            r#""a \"quoted\" " + new.tags.join(", ")"#,
            r#""a \"quoted\" b, a""#,
        ),
        ("changes.updated", r#"["total"]"#),
    ] {
        assert_eq!(json(source, &event).as_deref(), Ok(expected), "{source}");
    }
    let whole = r#"{"id":1,"total":99.00,"doc":{"z":1,"a":[1.0,{"k":"\u00e9"}]},"big":123456789012345678901234567890,"tags":["b","a"]}"#;
    assert_eq!(json("old", &event).as_deref(), Ok(whole));
    for (source, part) in [
        ("{'a': new.none}", "there is no `none`"),
        ("{'a': 1.0 / 0.0}", "JSON does not have"),
        ("{'a': 1, 'a': 2}", "same key twice"),
        ("{'a': new.id ? 1 : 2}", "before `?`"),
    ] {
        let reason = json(source, &event).unwrap_err();
        assert!(reason.contains(part), "{source}: {reason}");
    }
}

#[test]
fn what_an_expression_speaks_of_is_told() {
    let expression = compiled(
        "has(new.a) && old['b c'] == 1 && new.xs.exists(x, x.y == old.?d.orValue(1)) && size(context) > 0",
    );
    let names = expression.names();
    let named = |columns: &Columns| columns.named.iter().cloned().collect::<Vec<_>>();
    assert_eq!(named(&names.new), ["a", "xs"]);
    assert_eq!(named(&names.old), ["b c", "d"]);
    assert!(names.new.guarded.contains("a") && !names.new.guarded.contains("xs"));
    assert!(names.context.whole && !names.new.whole);
    assert!(names.event.is_empty() && names.changes.is_empty());
    assert_eq!(names.loops, 1);
}

#[test]
fn the_expressions_of_the_documentation_compile() {
    let page = include_str!("../../../docs/webhooks.md");
    let mut found = 0;
    for line in page
        .lines()
        .filter_map(|line| line.strip_prefix("when = '"))
    {
        let (source, _) = line.rsplit_once('\'').unwrap();
        compiled(source);
        found += 1;
    }
    let (_, body) = page.split_once("body = \"\"\"").unwrap();
    let (body, _) = body.split_once("\"\"\"").unwrap();
    let event = updated(r#"{"id":1,"status":"paid"}"#, "{}");
    let expected = r#"{"text":"order 1 is paid","blocks":[{"type":"section","text":{"type":"mrkdwn","text":"*orders.updated*"}}]}"#;
    assert_eq!(json(body, &event).as_deref(), Ok(expected));
    assert_eq!(found, 6);
}

#[test]
fn what_the_documentation_says_of_operators_is_so() {
    let event = updated(
        r#"{"none":null,"n":1.5,"i":2,"at":"2026-01-01T00:00:00+00:00","day":"2026-01-01T00:00:00"}"#,
        "{}",
    );
    for (source, verdict) in [
        ("new.missing == 1 && false", false),
        ("new.missing == 1 || true", true),
        ("false && new.missing == 1", false),
        ("double(new.i) * new.n == 3.0 && new.i > new.n", true),
        (
            "timestamp(new.at) <= event.created_at - duration('0h')",
            true,
        ),
        ("timestamp(new.day + 'Z') == timestamp(new.at)", true),
        ("new.?missing.orValue('') == ''", true),
        ("new.none != null && new.none > 100", false),
        (&vec!["true"; 800].join(" && "), true),
        (&vec!["false"; 800].join(" || "), false),
    ] {
        assert_eq!(holds(source, &event), Ok(verdict), "{source}");
    }
    for source in ["has(new.none.x)", "new.none > 100", "new.i * new.n > 1.0"] {
        assert!(holds(source, &event).is_err(), "{source}");
    }
}

#[test]
fn what_a_custom_event_says_is_a_member_of_the_event() {
    let custom = Event {
        event_type: "invoice.sent".into(),
        action: Action::Custom,
        data: Some(r#"{"to":["a@b"],"total":1.50}"#.into()),
        ..event(Action::Created, r#"{"id":1}"#, None)
    };
    for (source, verdict) in [
        ("event.data.total > 1.0 && event.data.to[0] == 'a@b'", true),
        ("has(event.data.cc)", false),
        ("event.action == 'custom' && new.id == 1", true),
        ("old == null", true),
    ] {
        let holds = Expression::compile(source).unwrap().holds(&custom);
        assert_eq!(holds, Ok(verdict), "{source}");
    }
    let body = Expression::compile("{'said': event.data, 'total': event.data.total}").unwrap();
    let json = String::from_utf8(body.json(&custom).unwrap()).unwrap();
    assert_eq!(json, r#"{"said":{"to":["a@b"],"total":1.50},"total":1.50}"#);
    let row = Expression::compile("event.data == null").unwrap();
    assert_eq!(row.holds(&event(Action::Created, "{}", None)), Ok(true));
    let deep = Event {
        data: Some(format!("{}{}", "[".repeat(100), "]".repeat(100)).into()),
        ..custom
    };
    let reason = Expression::compile("event.data[0] == 1")
        .unwrap()
        .holds(&deep);
    assert!(reason.unwrap_err().contains("nested deeper"));
}
