//! CEL over an event: a condition that it meets or not, or a value made of it. Pure.
//!
//! Source: the Common Expression Language, <https://github.com/google/cel-spec>. An expression is
//! compiled once. It sees the variables `new`, `old`, `changes`, `context` and `event`; of an event,
//! only the columns that it speaks of are read.

mod columns;
mod compile;
mod functions;
mod mistake;
mod names;
mod reader;
mod reason;
mod value;
mod variable;
mod variables;
mod write;
#[cfg(test)]
mod tests;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};

use cel::common::types::CelBool;
use cel::{Context, Env, Program, Value, extensions};

pub use columns::Columns;
pub use mistake::Mistake;
pub use names::Names;
pub use variable::Variable;

use self::reason::reason;
use self::variables::Scene;
use super::Event;

/// The standard functions, and those on strings.
static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib();
    // It fails only where a name is taken, and these names are the extension's own.
    let _unique = env.add_extension(extensions::strings);
    Arc::new(env)
});

/// A compiled expression. Cloning shares it.
#[derive(Clone)]
pub struct Expression(Arc<Compiled>);

struct Compiled {
    source: String,
    program: Program,
    names: Names,
}

impl Expression {
    /// Compiles an expression.
    ///
    /// # Errors
    /// What is wrong with it, and where: its syntax, a name that nothing has, or its size.
    pub fn compile(source: &str) -> Result<Self, Mistake> {
        let (program, names) = compile::compile(source)?;
        Ok(Self(Arc::new(Compiled {
            source: source.to_owned(),
            program,
            names,
        })))
    }

    /// As it was written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// What it speaks of.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.0.names
    }

    /// Whether an event meets it.
    ///
    /// # Errors
    /// Why it cannot be told: it reads what the event does not have, or is not true or false.
    pub fn holds(&self, event: &Event) -> Result<bool, String> {
        self.evaluated(event, |scene, context| {
            let value = Value::resolve_val(self.0.program.expression(), context)
                .map_err(|error| reason(&error, &scene.unreadable))?;
            match value.downcast_ref::<CelBool>() {
                Some(verdict) => Ok(*verdict.inner()),
                None => Err(format!(
                    "it gives a value of type {}, not true or false",
                    value.get_type().name()
                )),
            }
        })
    }

    /// Its value for an event, as JSON text. Objects that are written out in the expression keep
    /// the order of their keys, others are sorted by key; a column that is taken over as it is
    /// keeps its text.
    ///
    /// # Errors
    /// Why it has no value, or none that JSON has.
    pub fn json(&self, event: &Event) -> Result<Vec<u8>, String> {
        self.evaluated(event, |scene, context| {
            let mut out = Vec::new();
            write::write(&mut out, self.0.program.expression(), context, scene)?;
            Ok(out)
        })
    }

    /// A panic of the interpreter is one event's failure, not the daemon's.
    fn evaluated<T>(
        &self,
        event: &Event,
        evaluate: impl for<'v> FnOnce(&Scene<'v>, &Context<'_, 'v>) -> Result<T, String>,
    ) -> Result<T, String> {
        catch_unwind(AssertUnwindSafe(|| {
            let mut context = Context::with_env(Arc::clone(&ENV));
            let scene = Scene::set(&mut context, event, &self.0.names);
            evaluate(&scene, &context)
        }))
        .unwrap_or_else(|_| Err("the interpreter gave up on it in the middle".to_owned()))
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.0.source).finish()
    }
}

/// Two are equal if they are written alike.
impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.0.source == other.0.source
    }
}

impl Eq for Expression {}
