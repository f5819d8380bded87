//! Parts of `[[webhook]]`: batches, and what answers mean.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Several events in one request.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Batch {
    /// Events in one request at the most. From 2 on every body is a list.
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) max_events: u16,
    /// How long to wait for more when fewer are ready; "0s" sends what there is.
    pub(crate) max_wait: String,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            max_events: 1,
            max_wait: "0s".into(),
        }
    }
}

/// What an answer means for its event.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StatusAction {
    /// Try again.
    Retry,
    /// Give the event up and keep it as dead.
    Dead,
    /// Count it as delivered.
    Settle,
    /// Stop the webhook until somebody resumes it.
    Pause,
}
