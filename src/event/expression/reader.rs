//! Reads an expression for what it speaks of: variables, their members, functions.

use std::sync::Arc;

use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedEntryExpr, IdedExpr, LiteralValue, operators,
};
use cel::{Context, ExecutionError, Program, Value};

use super::reason::reason;
use super::{ENV, Mistake, Names, Variable};

/// Functions, for near misses.
const FUNCTIONS: &[&str] = &[
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

/// A member that is read of a variable: `new.x`, `new["x"]`, `new.?x`, `has(new.x)`.
pub(super) fn member(expression: &IdedExpr) -> Option<(Variable, &str, bool)> {
    let variable = |of: &IdedExpr| match &of.expr {
        Expr::Ident(name) => Variable::named(name),
        _ => None,
    };
    match &expression.expr {
        Expr::Select(select) => Some((
            variable(&select.operand)?,
            select.field.as_str(),
            select.test,
        )),
        Expr::Call(call) => {
            let asks = match call.func_name.as_str() {
                operators::INDEX => false,
                operators::OPT_INDEX | operators::OPT_SELECT => true,
                _ => return None,
            };
            match call.args.as_slice() {
                [
                    of,
                    IdedExpr {
                        expr: Expr::Literal(LiteralValue::String(name)),
                        ..
                    },
                ] => Some((variable(of)?, name.inner(), asks)),
                _ => None,
            }
        }
        _ => None,
    }
}

/// `a.b.c`, if that is all the expression is.
fn spelled(expression: &IdedExpr) -> Option<String> {
    match &expression.expr {
        Expr::Ident(name) => Some(name.clone()),
        Expr::Select(select) if !select.test => {
            Some(format!("{}.{}", spelled(&select.operand)?, select.field))
        }
        _ => None,
    }
}

/// Whether there is a function of that name. Called without arguments it fails either way: it is
/// the error that tells.
fn is_function(name: &str, of_a_value: bool) -> bool {
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

/// On its way through an expression.
pub(super) struct Reader<'e> {
    names: Names,
    program: &'e Program,
    source: &'e str,
    /// Variables of the loops around.
    locals: Vec<String>,
    loops: usize,
}

impl<'e> Reader<'e> {
    /// Reads a whole program.
    pub(super) fn names_in(program: &'e Program, source: &'e str) -> Result<Names, Mistake> {
        let mut reader = Self {
            names: Names::default(),
            program,
            source,
            locals: Vec::new(),
            loops: 0,
        };
        reader.read(program.expression())?;
        Ok(reader.names)
    }

    fn read(&mut self, expression: &IdedExpr) -> Result<(), Mistake> {
        if let Some((variable, name, guarded)) = member(expression) {
            return self.member(expression, variable, name, guarded);
        }
        match &expression.expr {
            Expr::Unspecified | Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => self.variable(expression, name),
            Expr::Select(select) => match spelled(expression) {
                Some(name) if is_type(&name) => Ok(()),
                _ => self.read(&select.operand),
            },
            Expr::Call(call) => self.call(expression, call),
            Expr::List(list) => list.elements.iter().try_for_each(|part| self.read(part)),
            Expr::Map(map) => self.entries(&map.entries),
            Expr::Struct(message) => {
                let unknown = Mistake::unknown("type", &message.type_name, &[]);
                Err(self.placed(expression, unknown))
            }
            Expr::Comprehension(fold) => self.fold(expression, fold),
        }
    }

    fn entries(&mut self, entries: &[IdedEntryExpr]) -> Result<(), Mistake> {
        entries.iter().try_for_each(|entry| match &entry.expr {
            EntryExpr::StructField(field) => self.read(&field.value),
            EntryExpr::MapEntry(entry) => {
                self.read(&entry.key)?;
                self.read(&entry.value)
            }
        })
    }

    fn member(
        &mut self,
        expression: &IdedExpr,
        variable: Variable,
        name: &str,
        guarded: bool,
    ) -> Result<(), Mistake> {
        if let Some(known) = variable.members()
            && !known.contains(&name)
        {
            let what = format!("member of `{}`:", variable.as_str());
            let unknown = Mistake::unknown(&what, name, known);
            return Err(self.placed_by(expression, 1, unknown));
        }
        let columns = self.names.of_variable_mut(variable);
        columns.named.insert(name.to_owned());
        if guarded {
            columns.guarded.insert(name.to_owned());
        }
        Ok(())
    }

    fn variable(&mut self, expression: &IdedExpr, name: &str) -> Result<(), Mistake> {
        if name.starts_with('@') || self.locals.iter().any(|local| local == name) || is_type(name) {
            return Ok(());
        }
        match Variable::named(name) {
            Some(variable) => {
                self.names.of_variable_mut(variable).whole = true;
                Ok(())
            }
            None => {
                let known = Variable::ALL.map(Variable::as_str);
                let unknown = Mistake::unknown("variable", name, &known);
                Err(self.placed(expression, unknown))
            }
        }
    }

    fn call(&mut self, expression: &IdedExpr, call: &CallExpr) -> Result<(), Mistake> {
        let name = &call.func_name;
        self.names.splits |= name == "split";
        let is_operator = name.contains(|c: char| !c.is_alphanumeric() && c != '_' && c != '.');
        if let Some(target) = &call.target {
            let qualified = spelled(target).map(|target| format!("{target}.{name}"));
            if !qualified.is_some_and(|name| is_function(&name, false)) {
                self.read(target)?;
                self.function(expression, name, true)?;
            }
        } else if !is_operator {
            self.function(expression, name, false)?;
        }
        call.args.iter().try_for_each(|part| self.read(part))?;
        self.constant(expression, call)
    }

    /// What does not depend on the event is tried now: a slip in it would park every event.
    fn constant(&self, expression: &IdedExpr, call: &CallExpr) -> Result<(), Mistake> {
        let is_literal = |part: &IdedExpr| matches!(part.expr, Expr::Literal(_));
        if call.args.is_empty() || !call.args.iter().all(is_literal) {
            return Ok(());
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
            Some(_) => return Ok(()),
        }
        let call = IdedExpr {
            id: 0,
            expr: Expr::Call(call),
        };
        let context = Context::with_env(Arc::clone(&ENV));
        match Value::resolve_val(&call, &context) {
            Ok(_) => Ok(()),
            Err(error) => {
                let says = format!("always fails: {}", reason(&error, &[]));
                Err(self.placed(expression, Mistake::new(says)))
            }
        }
    }

    fn function(&self, at: &IdedExpr, name: &str, of_a_value: bool) -> Result<(), Mistake> {
        if is_function(name, of_a_value) {
            return Ok(());
        }
        // A call's place is its parenthesis.
        let back = isize::try_from(name.len()).unwrap_or(0);
        Err(self.placed_by(at, -back, Mistake::unknown("function", name, FUNCTIONS)))
    }

    fn fold(&mut self, expression: &IdedExpr, fold: &ComprehensionExpr) -> Result<(), Mistake> {
        self.read(&fold.iter_range)?;
        self.read(&fold.accu_init)?;
        let before = self.locals.len();
        let second = fold.iter_var2.as_ref();
        for local in [&fold.iter_var, &fold.accu_var].into_iter().chain(second) {
            if Variable::named(local).is_some() {
                let says =
                    format!("`{local}` is the event's: give the loop's variable another name");
                return Err(self.placed(expression, Mistake::new(says)));
            }
            self.locals.push(local.clone());
        }
        self.loops += 1;
        self.names.loops = self.names.loops.max(self.loops);
        for part in [&fold.loop_cond, &fold.loop_step, &fold.result] {
            self.read(part)?;
        }
        self.loops -= 1;
        self.locals.truncate(before);
        Ok(())
    }

    fn placed(&self, expression: &IdedExpr, mistake: Mistake) -> Mistake {
        self.placed_by(expression, 0, mistake)
    }

    /// With the place this many bytes after the expression's own.
    fn placed_by(&self, expression: &IdedExpr, bytes: isize, mistake: Mistake) -> Mistake {
        match self.program.source_info().offset_for(expression.id) {
            Some((start, _)) => {
                let start = usize::try_from(start).unwrap_or(0);
                mistake.at_byte(self.source, start.saturating_add_signed(bytes))
            }
            None => mistake,
        }
    }
}

fn is_type(name: &str) -> bool {
    let name = name.trim_start_matches('.');
    ENV.types().find_type(name).is_some()
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
