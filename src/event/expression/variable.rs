//! The variables that an expression sees.

/// A variable that an expression sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variable {
    /// The row after the change.
    New,
    /// The row before it.
    Old,
    /// Which columns were added, updated, removed.
    Changes,
    /// What the application attached to its transaction.
    Context,
    /// What the event says of itself.
    Event,
}

impl Variable {
    /// All of them.
    pub(super) const ALL: [Self; 5] = [
        Self::New,
        Self::Old,
        Self::Changes,
        Self::Context,
        Self::Event,
    ];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Old => "old",
            Self::Changes => "changes",
            Self::Context => "context",
            Self::Event => "event",
        }
    }

    /// Its members, where they are always the same.
    pub(super) fn members(self) -> Option<&'static [&'static str]> {
        match self {
            Self::New | Self::Old | Self::Context => None,
            Self::Changes => Some(&["added", "updated", "removed"]),
            Self::Event => Some(&[
                "id",
                "type",
                "resource",
                "resource_id",
                "action",
                "sequence_id",
                "created_at",
                "schema",
                "table",
                "tenant",
                "data",
            ]),
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|variable| variable.as_str() == name.trim_start_matches('.'))
    }
}
