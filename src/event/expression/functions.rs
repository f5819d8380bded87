//! The functions of the environment.

use std::sync::Arc;

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue};
use cel::{Context, ExecutionError, Value};

use super::ENV;
use super::reason::reason;

/// Functions, for near misses.
pub(super) const FUNCTIONS: &[&str] = &[
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "has",
    "all",
    "exists",
    "exists_one",
    "map",
    "filter",
    "int",
    "uint",
    "double",
    "string",
    "bool",
    "bytes",
    "timestamp",
    "duration",
    "type",
    "dyn",
    "getFullYear",
    "getMonth",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getHours",
    "getMinutes",
    "getSeconds",
    "getMilliseconds",
    "charAt",
    "indexOf",
    "lastIndexOf",
    "join",
    "lowerAscii",
    "upperAscii",
    "trim",
    "replace",
    "split",
    "substring",
    "format",
    "reverse",
    "orValue",
    "hasValue",
];

/// Whether there is a function of that name. Called without arguments it fails either way: it is
/// the error that tells.
pub(super) fn is_function(name: &str, of_a_value: bool) -> bool {
    let literal = |expr| IdedExpr { id: 0, expr };
    let target = of_a_value.then(|| Box::new(literal(Expr::Literal(LiteralValue::Null))));
    let call = literal(Expr::Call(CallExpr {
        func_name: name.to_owned(),
        target,
        args: Vec::new(),
    }));
    let context = Context::with_env(Arc::clone(&ENV));
    let outcome = Value::resolve_val(&call, &context);
    !matches!(outcome, Err(ExecutionError::UndeclaredReference(_)))
}

/// Whether a name is a type's, as in `type(new.x) == int`.
pub(super) fn is_type(name: &str) -> bool {
    let name = name.trim_start_matches('.');
    ENV.types().find_type(name).is_some()
}

/// Why a call of literals alone has no value, if it has none: it does not depend on the event.
pub(super) fn always_fails(call: &CallExpr) -> Option<String> {
    let is_literal = |part: &IdedExpr| matches!(part.expr, Expr::Literal(_));
    if call.args.is_empty() || !call.args.iter().all(is_literal) {
        return None;
    }
    let mut call = call.clone();
    match call.target.as_deref() {
        None => {}
        Some(target) if is_literal(target) => {}
        // The pattern is right or wrong whatever it is held against.
        Some(_) if call.func_name == "matches" => {
            let text = Expr::Literal(LiteralValue::String("".into()));
            call.target = Some(Box::new(IdedExpr { id: 0, expr: text }));
        }
        Some(_) => return None,
    }
    let call = IdedExpr {
        id: 0,
        expr: Expr::Call(call),
    };
    let context = Context::with_env(Arc::clone(&ENV));
    let outcome = Value::resolve_val(&call, &context);
    outcome.err().map(|error| reason(&error, &[]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_that_is_offered_exists() {
        let macros = ["has", "all", "exists", "exists_one", "map", "filter"];
        for name in FUNCTIONS.iter().filter(|name| !macros.contains(name)) {
            assert!(
                is_function(name, false) || is_function(name, true),
                "{name}"
            );
        }
        assert!(!is_function("sise", false) && !is_function("sise", true));
    }
}
