//! axum integration: the gate that `#[throttle]` puts in front of a handler, its extractors, `serve`, and
//! guarded WebSockets.
//!
//! # Combining `#[throttle]` with other attributes
//!
//! | attribute | above `#[throttle]` | below it |
//! |---|---|---|
//! | `#[axum::debug_handler]` | no: it checks the signature without the gate (E0061) | yes |
//! | `#[tracing::instrument]` | yes | yes; the span's fields then include the gate, unless `skip_all` |
//! | `#[tracing::instrument(err)]` | yes | no: the output is already a `Response` (E0308) |
//! | `#[utoipa::path]` | yes | yes |
//!
//! In either order, a refused request does not enter the span of `instrument`: the gate is an extractor,
//! and rejects the request before the handler is called. The gate does not appear in OpenAPI schemas: not
//! in utoipa's and, with the feature `aide`, not in those of `aide`.
//!
//! The throttled handler returns a `Response`, whatever type is written. Where `aide` would read a schema off that
//! type, describe it: `get_with(users, |operation| operation.response::<200, Json<Users>>())`. For utoipa's
//! `auto_into_responses`, put `#[utoipa::path]` above.
//!
//! The gate is the handler's first argument. If something else requires that position, such as the typed
//! paths of `axum-extra` under `typed_get`, register the handler with `.route(Users::PATH, get(users))`,
//! where a typed path may be at any position, or put a [`ThrottleLayer`](crate::ThrottleLayer) around the
//! route. The gate of a handler without parameters takes the request as a whole, and therefore cannot be on
//! the left of `axum-extra`'s `or`; with any parameter it can. To `or`, a refusal on its left is a rejection like any
//! other, and leads to its right: a throttle on the left alone doesn't limit the route. Put one on both, or a
//! `ThrottleLayer` around the route.
//!
//! A unit test can call a throttled handler directly with an open gate, from the feature `test-kit`:
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
