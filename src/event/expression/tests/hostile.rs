//! Expressions and values that were written, or came about, to break something.

use proptest::prelude::*;
use serde_json::value::RawValue;

use super::*;

/// Each of these would end the process, or take for ever, if it were not refused.
#[test]
fn nasty_expressions_are_refused_or_survived() {
    let nested = |open: &str, close: &str, levels| {
        format!("{}1{}", open.repeat(levels), close.repeat(levels))
    };
    for source in [
        nested("(", ")", 4000),
        nested("[", "]", 4000),
        nested("{1:", "}", 1900),
        "[".repeat(8000),
        "{".repeat(8000),
        vec!["1"; 4000].join("+"),
        vec!["1"; 2700].join("=="),
        vec!["true"; 900].join("?1:"),
        format!("new{}", ".a".repeat(4000)),
        format!("new{}", "[0]".repeat(2000)),
        format!("new{}", ".a()".repeat(2000)),
        format!("'{}", "x".repeat(8000)),
        "x".repeat(8193),
    ] {
        assert!(Expression::compile(&source).is_err(), "{}", &source[..20]);
    }
    let mut event = updated(r#"{"id":1}"#, "{}");
    event.context = Some("{}".into());
    for source in [
        format!("{}true", "!".repeat(8000)),
        format!("{}1 == 1", "- ".repeat(4000)),
        vec!["true"; 1300].join("&&"),
        vec!["1"; 40].join("+"),
    ] {
        if let Ok(expression) = Expression::compile(&source) {
            let _ = expression.holds(&event);
        }
    }
}

#[test]
fn the_deepest_expression_fits_on_the_stack_of_a_task() {
    let fold = |first: &str, wrap: fn(String) -> String, levels| {
        (0..levels).fold(first.to_owned(), |inner, _| wrap(inner))
    };
    let levels = crate::event::expression::compile::DEEPEST - 3;
    for source in [
        vec!["1"; levels].join("+") + " > 0",
        fold("1", |e| format!("(true ? {e} : 2)"), levels) + " == 1",
        fold("'a'", |e| format!("{e}.trim()"), levels) + " == 'a'",
        fold("'a'", |e| format!("string({e})"), levels) + " == 'a'",
        fold("1", |e| format!("[{e}][0]"), levels / 2) + " == 1",
        fold("new.xs", |e| format!("{e}.map(x, x)"), levels / 3) + " == [1]",
        format!("{} == null", fold("1", |e| format!("{{'a': {e}}}"), levels)),
    ] {
        let expression = compiled(&source);
        let event = updated(r#"{"xs":[1]}"#, "{}");
        // Three quarters of what a task has: the rest is for what calls it.
        let thread = std::thread::Builder::new().stack_size(3 << 19);
        let thread = thread.spawn(move || (expression.holds(&event), expression.json(&event)));
        let (verdict, json) = thread.unwrap().join().unwrap();
        assert!(verdict.is_ok() && json.is_ok(), "{verdict:?}");
    }
}

/// The interpreter is tried where others panicked: at the ends of its numbers, times and texts.
#[test]
fn the_ends_of_every_kind_of_value_are_errors_and_no_panics() {
    let event = updated(
        r#"{"min":-9223372036854775808,"s":"é🧀","inf":1e999,"d":"2562047h","t":"9999-12-31T23:59:59Z"}"#,
        "{}",
    );
    for source in [
        "new.min % -1",
        "new.min / -1",
        "-new.min",
        "new.min - 1",
        "int(new.inf)",
        "uint(new.min)",
        "timestamp(new.min)",
        "timestamp(new.t) + duration('1h')",
        "timestamp(new.t) - timestamp('0001-01-01T00:00:00Z')",
        "duration(new.d) + duration(new.d)",
        "duration('-1h') - duration(new.d) - duration(new.d)",
        "duration('9' + new.d)",
        "new.s.substring(new.min)",
        "new.s.substring(1, 0)",
        "new.s.charAt(-1)",
        "new.s.indexOf('x', 100)",
        "[1][new.min]",
        "[1][new.inf]",
        "('%.9999999999f' + new.s).format([1.0])",
        "('%' + new.s).format([1])",
        "event.created_at.getHours(new.s)",
        "event.created_at.getHours('+99:' + new.s)",
        "new.s.matches('(\\\\w{1000}){1000}' + new.s)",
        "optional.none().value()",
    ] {
        let reason = json(source, &event).unwrap_err();
        assert!(!reason.contains("gave up"), "{source}: {reason}");
    }
}

proptest! {
    #[test]
    fn no_text_breaks_the_compiler(source in ".{0,60}") {
        let _ = Expression::compile(&source);
    }

    #[test]
    fn no_mix_of_pieces_breaks_compiler_or_interpreter(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "new", ".x", ".y", "old", "[0]", "['x']", "==", "+", "-", "&&", "?", ":", "(", ")",
            "1", "1.5", "'a'", "null", "[", "]", "{", "}", ",", ".map(i, i)", ".size()", "has(",
            "!", "in", "changes.updated", "event.created_at", ".?x", "duration('1s')", "*", "/",
            "9223372036854775807", "timestamp(", "int(", "double(", "string(", "<", "bytes(",
        ]), 1..12),
    ) {
        let event = updated(r#"{"x":[1,"a"],"y":-9223372036854775808}"#, r#"{"x":null}"#);
        if let Ok(expression) = Expression::compile(&pieces.concat()) {
            let _ = expression.holds(&event);
            if let Ok(json) = expression.json(&event) {
                prop_assert!(serde_json::from_slice::<&RawValue>(&json).is_ok());
            }
        }
    }

    #[test]
    fn a_value_means_the_same_in_json_and_in_cel(value in json_value()) {
        let event = updated(&format!(r#"{{"v":{value}}}"#), "{}");
        // Worked out, not taken over: `dyn` hides the column.
        let json = json("dyn(new.v)", &event).unwrap();
        let read: serde_json::Value = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(read, value);
        prop_assert_eq!(holds("new.v == old.v", &event), Ok(true));
    }
}

fn json_value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        (-8000..8000_i32).prop_map(|eighths| (f64::from(eighths) / 8.0).into()),
        ".{0,8}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::btree_map(".{0,4}", inner, 0..4)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}
