//! [`Outcome`]: what the throttles decided, for handlers that run either way.

use std::convert::Infallible;
use std::fmt;

use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};
use http::StatusCode;

use crate::Parts;
use crate::decision::Throttled;

/// What the throttles decided, for handlers under `on_throttled = "continue"`: an extractor, and an extension of
/// the request where there are no extractors.
///
/// Throttles without that setting still refuse, and the handler then doesn't run. Where no throttle has the setting,
/// `Outcome` is rejected with `500`, and `Option<Outcome>` is `None`.
///
/// ```
/// # use traffik::{Outcome, throttle};
/// #[throttle("docs:outcome", rate = "5/min", on_throttled = "continue")]
/// async fn prices(outcome: Outcome) -> &'static str {
///     if outcome.is_throttled() { "yesterday's prices" } else { "today's prices" }
/// }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome(Option<Throttled>);

/// For handlers that are called as functions in tests.
impl From<Option<Throttled>> for Outcome {
    fn from(throttled: Option<Throttled>) -> Self {
        Self(throttled)
    }
}

impl Outcome {
    /// Whether a throttle would have refused the request.
    #[must_use]
    pub fn is_throttled(&self) -> bool {
        self.0.is_some()
    }

    /// Returns the refusal, or the outermost one of several.
    #[must_use]
    pub fn throttled(&self) -> Option<&Throttled> {
        self.0.as_ref()
    }

    /// Leaves the outcome for the handler. A refusal left by a layer further out stays.
    pub(crate) fn leave(parts: &mut Parts, throttled: Option<Throttled>) {
        if !parts.extensions.get::<Self>().is_some_and(Self::is_throttled) {
            parts.extensions.insert(Self(throttled));
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Outcome {
    type Rejection = OutcomeRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, OutcomeRejection> {
        parts.extensions.get::<Self>().cloned().ok_or(OutcomeRejection)
    }
}

/// `None` where no throttle sets `on_throttled = "continue"`, for code that runs in both places.
impl<S: Sync> OptionalFromRequestParts<S> for Outcome {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, Infallible> {
        Ok(<Self as FromRequestParts<S>>::from_request_parts(parts, state).await.ok())
    }
}

/// The rejection of a handler that takes an [`Outcome`] where no throttle says `on_throttled = "continue"`. In axum
/// its response is a `500`; the log says how to fix it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutcomeRejection;

impl fmt::Display for OutcomeRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a handler takes an Outcome, but no throttle on it sets on_throttled = \"continue\"")
    }
}

impl std::error::Error for OutcomeRejection {}

impl IntoResponse for OutcomeRejection {
    fn into_response(self) -> Response {
        tracing::error!(target: "traffik", "{self}");
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}
