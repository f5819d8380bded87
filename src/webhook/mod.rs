//! One event → one signed HTTP request → what came of it. Knows no Postgres.
//!
//! [`Renderer`] writes the body, [`Sender`] signs and sends it where [`guard`] lets it, [`verdict`]
//! says what the answer means for the event. When to try again is [`crate::dispatch::retry`]'s
//! business.

mod endpoint;
pub mod guard;
mod delivery;
mod batch;
mod json;
mod documents;
mod payload;
mod render;
pub mod sign;
mod send;
mod trace;
mod url_tokens;
mod excerpt;
mod retry_after;
mod answer;
mod statuses;

pub use answer::{Cause, Outcome, Verdict, verdict};
pub use batch::Batch;
pub use delivery::{Delivery, delivery_id};
pub use documents::Documents;
pub use endpoint::{Endpoint, Format};
pub use payload::Payload;
pub use render::{Body, Renderer};
pub use send::{ClientTls, NoConnection, Sender, Unresolved, addresses, handshake, is_own_header};
pub use statuses::{StatusAction, Statuses};
pub use url_tokens::without_tokens;
