//! Row changes become events. Pure.

mod carried;
mod context;
mod cut;
mod deletion;
mod draft;
mod emitted;
mod envelope;
mod erasure;
pub mod expression;
mod field;
mod fields;
mod id;
mod json;
mod key;
mod kind;
mod logged;
mod long_id;
mod member;
mod nested;
pub mod past;
mod recalled;
mod reference;
mod resource;
mod selection;
mod shape;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;

pub use context::{CONTEXT_PREFIX, merged as merged_context};
pub use cut::Cut;
pub use draft::{Draft, Drafter, MisfitRow};
pub(crate) use emitted::shallow;
pub use emitted::{EMIT_PREFIX, Emitted, Unfit};
pub use erasure::{Erasure, Remains};
pub use expression::Expression;
pub use fields::{Fields, Member};
pub use id::{EventIds, postgres_micros, rfc3339, unix_micros};
pub(crate) use json::write_text;
pub use key::{KnownKeys, NotedKey, RowsOf, key_of};
pub use kind::{Kind, TypeCatalog};
pub use logged::{Action, Event, OldRow, Origin};
pub use reference::name_of as reference_name;
pub use resource::{Capture, PreviousFrom, Redaction, ResourceRule, TableName, TablePattern};
pub use selection::Selection;
pub use shape::{Shape, resource_name};
