//! Which columns are documents: their previous values are told key by key.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The document columns of resources. Cloning shares them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Documents(Arc<BTreeMap<String, BTreeSet<String>>>);

impl Documents {
    /// Resources with their columns; none where it was said that there are none.
    pub fn of(resources: impl IntoIterator<Item = (String, BTreeSet<String>)>) -> Self {
        Self(Arc::new(resources.into_iter().collect()))
    }

    /// The columns of a resource; `None` where nothing was said of it.
    pub(super) fn columns(&self, resource: &str) -> Option<&BTreeSet<String>> {
        self.0.get(resource)
    }
}
