//! From text to a program: bounded in size and depth, its names checked.

use std::thread;

use cel::common::ast::{EntryExpr, Expr, IdedExpr};
use cel::{ParseErrors, Program};

use super::names::Names;
use super::{ENV, Mistake};

/// Bytes of an expression.
const LONGEST: usize = 8192;
/// Levels of an expression: the interpreter goes down one call for each, on the stack of the task
/// that delivers.
pub(super) const DEEPEST: usize = 40;
/// The parser has no such bound where operators follow each other, so it gets a stack that the
/// longest expression cannot use up. Only what is used of it takes memory.
const STACK_BYTES: usize = 64 << 20;

/// Compiles in a thread of its own, so that nothing in the text can end the process.
pub(super) fn compile(source: &str) -> Result<(Program, Names), Mistake> {
    if source.trim().is_empty() {
        return Err(Mistake::new("is empty"));
    }
    if source.len() > LONGEST {
        return Err(Mistake::new(format!(
            "is {} bytes long; at most {LONGEST} are taken",
            source.len()
        )));
    }
    thread::scope(|scope| {
        let parser = thread::Builder::new()
            .name("expression".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, || parse(source))
            .map_err(|error| Mistake::new(format!("cannot start a thread to parse it: {error}")))?;
        parser
            .join()
            .unwrap_or_else(|_| Err(Mistake::new("the parser gave up on it in the middle")))
    })
}

fn parse(source: &str) -> Result<(Program, Names), Mistake> {
    let program = ENV
        .compile(source)
        .map_err(|errors| syntax(&errors, source))?;
    let depth = depth(program.expression());
    if depth > DEEPEST {
        return Err(Mistake::new(format!(
            "is {depth} levels deep; at most {DEEPEST} are taken (a chain such as a + b + c has a \
             level for each operator: parentheses around parts of it make it flatter)"
        )));
    }
    let names = Names::of(&program, source)?;
    Ok((program, names))
}

/// The first error of the parser; the others follow from it.
fn syntax(errors: &ParseErrors, source: &str) -> Mistake {
    let Some(error) = errors.errors.first() else {
        return Mistake::new("cannot be parsed");
    };
    let says = error.msg.trim_start_matches("Syntax error: ");
    // What was expected is half of the grammar.
    let says = says.split(" expecting {").next().unwrap_or(says);
    let mistake = Mistake::new(match says.contains("Recursion limit") {
        true => "is nested too deeply from here on".to_owned(),
        false => format!("syntax error: {says}"),
    });
    let place = |number| usize::try_from(number).ok().filter(|number| *number > 0);
    match (place(error.pos.0), place(error.pos.1)) {
        (Some(line), Some(column)) => mistake.at(source, line, column),
        _ => mistake,
    }
}

/// Levels of an expression. By recursion, on the large stack.
fn depth(expression: &IdedExpr) -> usize {
    let deepest = |parts: &[&IdedExpr]| parts.iter().map(|part| depth(part)).max().unwrap_or(0);
    let entries = |entries: &[cel::common::ast::IdedEntryExpr]| {
        let parts: Vec<_> = entries
            .iter()
            .flat_map(|entry| match &entry.expr {
                EntryExpr::StructField(field) => vec![&field.value],
                EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
            })
            .collect();
        deepest(&parts)
    };
    1 + match &expression.expr {
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => 0,
        Expr::Select(select) => depth(&select.operand),
        Expr::Call(call) => {
            let parts: Vec<_> = call
                .target
                .as_deref()
                .into_iter()
                .chain(&call.args)
                .collect();
            deepest(&parts)
        }
        Expr::List(list) => deepest(&list.elements.iter().collect::<Vec<_>>()),
        Expr::Map(map) => entries(&map.entries),
        Expr::Struct(message) => entries(&message.entries),
        Expr::Comprehension(fold) => deepest(&[
            &fold.iter_range,
            &fold.accu_init,
            &fold.loop_cond,
            &fold.loop_step,
            &fold.result,
        ]),
    }
}
