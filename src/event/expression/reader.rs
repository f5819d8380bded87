//! Reads an expression for what it speaks of: variables and their members, and that its functions exist.

use cel::Program;
use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedEntryExpr, IdedExpr, LiteralValue, operators,
};

use super::functions::{FUNCTIONS, always_fails, is_function, is_type};
use super::{Mistake, Names, Variable};

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
        match always_fails(call) {
            // A slip in what does not depend on the event would park every event.
            Some(reason) => {
                let says = format!("always fails: {reason}");
                Err(self.placed(expression, Mistake::new(says)))
            }
            None => Ok(()),
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
