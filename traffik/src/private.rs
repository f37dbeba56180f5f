//! Items that expansions of `#[throttle]` refer to. Not part of the public API; they may change without
//! notice.

pub use axum_core::response::Response;
pub use http::StatusCode;

pub use crate::axum::gate::{Alone, Gate, Gated, respond};
pub use crate::axum::stack::{Applied, Stack};

/// `refund_on = "5xx"`.
#[must_use]
pub fn is_5xx(status: StatusCode) -> bool {
    status.is_server_error()
}

/// `refund_on = "error"`.
#[must_use]
pub fn is_error(status: StatusCode) -> bool {
    status.is_client_error() || status.is_server_error()
}
