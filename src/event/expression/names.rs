//! What an expression speaks of.

use cel::Program;

use super::reader::Reader;
use super::{Columns, Mistake, Variable};

/// Loops in loops that are taken: each multiplies the time by the length of a list.
const DEEPEST_LOOPS: usize = 2;

/// What an expression speaks of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Columns of `new`.
    pub new: Columns,
    /// Columns of `old`.
    pub old: Columns,
    /// Members of `changes`.
    pub changes: Columns,
    /// Keys of `context`.
    pub context: Columns,
    /// Members of `event`.
    pub event: Columns,
    /// How deep loops (`all`, `exists`, `map`, …) stand in each other.
    pub loops: usize,
    /// Whether a text is cut into a list.
    pub(super) splits: bool,
}

impl Names {
    /// Those of a program.
    pub(super) fn of(program: &Program, source: &str) -> Result<Self, Mistake> {
        let names = Reader::names_in(program, source)?;
        if names.loops > DEEPEST_LOOPS {
            return Err(Mistake::new(format!(
                "has loops {} deep in each other; at most {DEEPEST_LOOPS} are taken",
                names.loops
            )));
        }
        if names.loops > 1 && names.splits {
            return Err(Mistake::new(
                "has a loop in a loop and split(): that would take too long for a long text",
            ));
        }
        Ok(names)
    }

    /// What is spoken of a variable.
    #[must_use]
    pub fn of_variable(&self, variable: Variable) -> &Columns {
        match variable {
            Variable::New => &self.new,
            Variable::Old => &self.old,
            Variable::Changes => &self.changes,
            Variable::Context => &self.context,
            Variable::Event => &self.event,
        }
    }

    pub(super) fn of_variable_mut(&mut self, variable: Variable) -> &mut Columns {
        match variable {
            Variable::New => &mut self.new,
            Variable::Old => &mut self.old,
            Variable::Changes => &mut self.changes,
            Variable::Context => &mut self.context,
            Variable::Event => &mut self.event,
        }
    }
}
