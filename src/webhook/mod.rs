//! One event → one signed HTTP request → what came of it. Knows no Postgres.

mod endpoint;
pub mod sign;

pub use endpoint::{Endpoint, Format};
