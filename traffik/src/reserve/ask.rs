//! [`Reserve`]: a reservation that can still be given a cost, and is made when awaited.

use std::fmt;
use std::future::IntoFuture;

use super::reservation::Reservation;
use crate::backend::Op;
use crate::box_future::BoxFuture;
use crate::decision::{Decision, Throttled};
use crate::error::Error;
use crate::pipeline::{self, Entry, Overrides};
use crate::subject::Subject;
use crate::throttle::Throttle;

/// A reservation, made when awaited.
#[must_use = "nothing is reserved until this is awaited"]
pub struct Reserve<'a> {
    throttle: &'a Throttle,
    subject: Subject<'a>,
    units: Option<u64>,
}

impl<'a> Reserve<'a> {
    pub(crate) fn new(throttle: &'a Throttle, subject: Subject<'a>) -> Self {
        Self { throttle, subject, units: None }
    }

    /// Sets the units to charge up front, overriding the throttle's cost. A cost of 0 passes uncounted, as
    /// always, and leaves nothing to settle.
    pub fn cost(mut self, units: u64) -> Self {
        self.units = Some(units);
        self
    }

    async fn ask(self) -> Result<Reservation, ReserveError> {
        let overrides = Overrides { keeps_receipt: true, ..Overrides::default() };
        let entries = [Entry { throttle: self.throttle, overrides: Some(&overrides) }];
        let decisions = pipeline::decide(&entries, self.subject, Op::Hit, self.units).await;
        let mut decisions = decisions.map_err(|failure| ReserveError::Failed(failure.into()))?;
        let reservation = Reservation::hold([self.throttle], &mut decisions);
        match decisions.into_decision() {
            Decision::Denied(throttled) => Err(ReserveError::Refused(throttled)),
            Decision::Allowed(_) | Decision::Exempt => Ok(reservation),
        }
    }
}

impl<'a> IntoFuture for Reserve<'a> {
    type Output = Result<Reservation, ReserveError>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.ask())
    }
}

impl fmt::Debug for Reserve<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reserve").field("uid", &self.throttle.uid()).finish_non_exhaustive()
    }
}

/// The reason why nothing was reserved. In axum it is also a response: `429` for a refusal, `503` or `500`
/// for a failure.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ReserveError {
    /// The client is over its limit.
    Refused(Throttled),
    /// No decision could be made.
    Failed(Error),
}

impl ReserveError {
    /// Returns the refusal, if it is one.
    #[must_use]
    pub fn throttled(&self) -> Option<&Throttled> {
        match self {
            Self::Refused(throttled) => Some(throttled),
            Self::Failed(_) => None,
        }
    }
}

impl fmt::Display for ReserveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(throttled) => throttled.fmt(f),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ReserveError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Refused(_) => None,
            Self::Failed(error) => error.source(),
        }
    }
}

#[cfg(feature = "tower")]
impl axum_core::response::IntoResponse for ReserveError {
    fn into_response(self) -> axum_core::response::Response {
        match self {
            Self::Refused(throttled) => throttled.into_response(),
            Self::Failed(error) => error.into_response(),
        }
    }
}
