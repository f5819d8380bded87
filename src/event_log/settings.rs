//! Where the log lives and how long it keeps events.

use std::time::Duration;

use crate::wal::Target;

/// The log's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// The log database.
    pub target: Target,
    /// Whether that is the source itself.
    pub in_source: bool,
    /// Age at which events may go; `None` keeps them for ever.
    pub retention: Option<Duration>,
    /// For how long after that they are kept for a webhook that has not come to them; `None` for ever.
    pub retention_max_lag: Option<Duration>,
    /// How long attempts are kept; `None` keeps them for ever.
    pub attempts_retention: Option<Duration>,
    /// How many sequence ids one segment (partition) holds.
    pub segment_size: i64,
}
