//! axum: the gate that `#[throttle]` puts in front of a handler, its extractors, `serve`, and
//! guarded WebSockets.

mod gate;
mod serve;
#[cfg(feature = "ws")]
mod socket;
mod stack;

pub use crate::tower::{Outcome, OutcomeRejection};
pub use gate::{Gate, Gated, respond};
pub use serve::{Serve, serve};
#[cfg(feature = "ws")]
pub use socket::{GuardedSocket, SocketAction};
pub use stack::{Applied, Stack};
