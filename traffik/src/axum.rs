//! axum: the gate that `#[throttle]` puts in front of a handler, its extractors, `serve`, and
//! guarded WebSockets.
//!
//! # The attribute and its neighbours
//!
//! | attribute | above `#[throttle]` | below it |
//! |---|---|---|
//! | `#[axum::debug_handler]` | no: it checks the signature from before the gate (E0061) | yes |
//! | `#[tracing::instrument]` | yes | yes; its fields then name the gate, unless `skip_all` |
//! | the same with `err` | yes | no: the output is a `Response` by then (E0308) |
//! | `#[utoipa::path]` | yes | yes |
//!
//! A refused request enters no span of `instrument` in either order: the gate is an extractor, and
//! turns it away before the handler is called. The gate shows in no OpenAPI schema, neither utoipa's
//! nor, with the feature `aide`, that of `aide`.
//!
//! The gate is the handler's first argument. Where something else insists on that place, such as
//! the typed paths of `axum-extra` under `typed_get`, register the handler by
//! `.route(Users::PATH, get(users))`, where a typed path may stand anywhere, or put a
//! [`ThrottleLayer`](crate::ThrottleLayer) around the route. The gate of a handler without parameters takes the
//! request as a whole, and so cannot stand on the left of `axum-extra`'s `or`; with any parameter it can.
//!
//! A unit test calls a throttled handler directly with an open gate, from the feature `test-kit`:
//! `users(open_gate(), State(state)).await`.

pub(crate) mod gate;
mod serve;
#[cfg(feature = "ws")]
mod socket;
pub(crate) mod stack;

pub use crate::tower::{Charge, ChargeRejection, Outcome, OutcomeRejection};
pub use gate::{Alone, Before, Gate};
pub use serve::{Serve, serve};
#[cfg(feature = "ws")]
pub use socket::{GuardedSocket, SocketAction};
