//! Which members of a variable an expression speaks of.

use std::collections::BTreeSet;

/// Members of one variable.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Columns {
    /// The variable itself is used, so every member may be.
    pub whole: bool,
    /// Members that are named.
    pub named: BTreeSet<String>,
    /// Those of them whose presence is asked for: `has(new.x)`, `new.?x`.
    pub guarded: BTreeSet<String>,
}

impl Columns {
    /// Whether nothing of the variable is needed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.whole && self.named.is_empty()
    }

    /// Whether this member may be needed.
    #[must_use]
    pub fn contain(&self, name: &str) -> bool {
        self.whole || self.named.contains(name)
    }
}
