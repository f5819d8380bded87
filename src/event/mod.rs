//! Row changes become events. Pure.

mod logged;
mod resource;

pub use logged::{Action, Event, OldRow, Origin};
pub use resource::{Capture, Redaction, ResourceRule, TableName, TablePattern};
