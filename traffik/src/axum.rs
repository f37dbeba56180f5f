//! axum: the gate that `#[throttle]` puts in front of a handler, its extractors, and `serve`.

mod extract;
mod gate;
mod serve;

pub use extract::{Outcome, OutcomeRejection};
pub use gate::{Applied, Gate, Gated, Stack, respond};
pub use serve::serve;
