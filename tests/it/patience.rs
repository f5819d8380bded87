//! How long a test waits before it gives up.

use std::time::Duration;

/// For whatever has to happen in the end. What takes seconds on a quiet machine takes minutes on one that
/// is full of other work, and a test must not tell the one from the other.
pub(crate) const PATIENCE: Duration = Duration::from_secs(240);
