//! Extractors that a gate provides.

use axum_core::extract::FromRequestParts;
use axum_core::response::{IntoResponse, Response};
use http::StatusCode;

use crate::Parts;
use crate::decision::Throttled;

/// What the gate decided, for handlers under `on_throttled = "continue"`.
///
/// ```
/// # use traffik::{Outcome, throttle};
/// #[throttle("docs:outcome", rate = "5/min", on_throttled = "continue")]
/// async fn prices(outcome: Outcome) -> &'static str {
///     if outcome.is_throttled() { "yesterday's prices" } else { "today's prices" }
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome(pub(crate) Option<Throttled>);

impl Outcome {
    /// Whether a throttle would have refused the request.
    #[must_use]
    pub fn is_throttled(&self) -> bool {
        self.0.is_some()
    }

    /// The refusal.
    #[must_use]
    pub fn throttled(&self) -> Option<&Throttled> {
        self.0.as_ref()
    }
}

impl<S: Sync> FromRequestParts<S> for Outcome {
    type Rejection = OutcomeRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, OutcomeRejection> {
        parts.extensions.get::<Self>().cloned().ok_or(OutcomeRejection)
    }
}

/// [`Outcome`] was asked for where no throttle says `on_throttled = "continue"`.
#[derive(Debug, Clone, Copy)]
pub struct OutcomeRejection;

impl IntoResponse for OutcomeRejection {
    fn into_response(self) -> Response {
        tracing::error!(
            target: "traffik",
            "a handler takes an Outcome, but no throttle on it says on_throttled = \"continue\""
        );
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}
