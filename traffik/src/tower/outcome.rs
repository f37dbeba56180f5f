//! [`Outcome`]: what the throttles decided, for the handler.

use std::convert::Infallible;
use std::fmt;

use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};
use http::{Extensions, StatusCode};

use super::layer_context::LayerContext;
use super::layer_records::LayerRecords;
use crate::Parts;
use crate::decision::{Decision, Stat, Throttled};

/// What the throttles decided: an extractor for handlers that show clients what they have left, or that run under
/// `on_throttled = "continue"`.
///
/// The attribute recognizes the parameter by its type, so write the name `Outcome`, not an alias of it. Handlers
/// without one pay nothing for the feature. Where no throttle applies, `Outcome` is rejected with `500`, and
/// `Option<Outcome>` is `None`. Where there are no extractors, [`of`](Self::of) reads it from the request.
///
/// ```
/// # use traffik::{Outcome, throttle};
/// #[throttle("docs:outcome:left", rate = "5/min")]
/// async fn quota(outcome: Outcome) -> String {
///     outcome.nearest().map_or("no limit".into(), |stat| format!("{} of {} left", stat.remaining, stat.limit))
/// }
///
/// // Under this setting, the handler also runs for requests that are over the limit.
/// #[throttle("docs:outcome", rate = "5/min", on_throttled = "continue")]
/// async fn prices(outcome: Outcome) -> &'static str {
///     if outcome.is_throttled() { "yesterday's prices" } else { "today's prices" }
/// }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    throttled: Option<Throttled>,
    /// As an extension of a request, only those of gates: layers leave theirs in their records.
    stats: Vec<Stat>,
}

/// For handlers that are called as functions in tests.
impl From<Option<Throttled>> for Outcome {
    fn from(throttled: Option<Throttled>) -> Self {
        throttled.map(Decision::Denied).into_iter().collect()
    }
}

/// The outcome under several throttles, outermost first.
impl FromIterator<Decision> for Outcome {
    fn from_iter<I: IntoIterator<Item = Decision>>(decisions: I) -> Self {
        let mut outcome = Self::default();
        for decision in decisions {
            outcome.stats.extend(decision.stat().cloned());
            outcome.throttled = outcome.throttled.or(decision.into_result().err());
        }
        outcome
    }
}

impl Outcome {
    /// Reads the outcome from the extensions of a request that a [`ThrottleLayer`](crate::ThrottleLayer) has let in, or
    /// an attribute on a function that takes an `Outcome`; `None` if no throttle applied.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Option<Self> {
        let gates = extensions.get::<Self>();
        let records = LayerContext::records(extensions);
        if gates.is_none() && records.is_none() {
            return None;
        }
        let gates = gates.cloned().unwrap_or_default();
        let layers = records.into_iter().flat_map(LayerRecords::stats).cloned();
        Some(Self { throttled: gates.throttled, stats: layers.chain(gates.stats).collect() })
    }

    /// Whether a throttle would have refused the request.
    #[must_use]
    pub fn is_throttled(&self) -> bool {
        self.throttled.is_some()
    }

    /// Returns the refusal, or the outermost one of several.
    #[must_use]
    pub fn throttled(&self) -> Option<&Throttled> {
        self.throttled.as_ref()
    }

    /// Returns the state of each account that counted the request, as it was right after: those of layers outermost
    /// first, then those of attributes from top to bottom. Throttles in shadow mode and those that the client is exempt
    /// from are left out, as in the response's headers. A middleware with an attribute of its own is included if it
    /// takes an `Outcome` as well.
    #[must_use]
    pub fn stats(&self) -> &[Stat] {
        &self.stats
    }

    /// Returns the state of the client's account under the throttle with this uid, if it counted the request. If it did
    /// so in two scopes, this is the inner one.
    #[must_use]
    pub fn stat(&self, uid: &str) -> Option<&Stat> {
        self.stats.iter().rev().find(|stat| stat.uid == uid)
    }

    /// Returns the state of the account with the fewest units left, the first of several; `None` if none counted the
    /// request.
    #[must_use]
    pub fn nearest(&self) -> Option<&Stat> {
        self.stats.iter().min_by_key(|stat| stat.remaining)
    }

    /// Adds to what is left for the handler. A refusal left by a layer further out stays.
    pub(super) fn leave(
        parts: &mut Parts,
        throttled: Option<Throttled>,
        stats: impl IntoIterator<Item = Stat>,
    ) {
        let mut outcome = parts.extensions.remove::<Self>().unwrap_or_default();
        outcome.throttled = outcome.throttled.or(throttled);
        outcome.stats.extend(stats);
        parts.extensions.insert(outcome);
    }
}

impl<S: Sync> FromRequestParts<S> for Outcome {
    type Rejection = OutcomeRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, OutcomeRejection> {
        Self::of(&parts.extensions).ok_or(OutcomeRejection)
    }
}

/// `None` where no throttle applies, for code that runs in both places.
impl<S: Sync> OptionalFromRequestParts<S> for Outcome {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, Infallible> {
        Ok(<Self as FromRequestParts<S>>::from_request_parts(parts, state).await.ok())
    }
}

/// The rejection of a handler that takes an [`Outcome`] where no throttle applies. In axum its response is a `500`; the
/// log says how to fix it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutcomeRejection;

impl fmt::Display for OutcomeRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a handler takes an Outcome, but no throttle provided one: put #[throttle] on it, and write the \
             parameter's type as Outcome",
        )
    }
}

impl std::error::Error for OutcomeRejection {}

impl IntoResponse for OutcomeRejection {
    fn into_response(self) -> Response {
        tracing::error!(target: "traffik", "{self}");
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}
