//! [`QuotaError`]: why work under a quota failed.

use std::fmt;

use crate::decision::Throttled;
use crate::error::Error;
use crate::reserve::ReserveError;

/// Any error, as returned by the work.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The reason why a `run` failed. In axum it is also a response: `429` for a refusal, `503` or `500` for a
/// failure, `500` for the work's own error.
#[derive(Debug)]
#[non_exhaustive]
pub enum QuotaError {
    /// The quota was refused, at the end or already within the work, and nothing of it is charged.
    Refused(Throttled),
    /// No decision could be made.
    Failed(Error),
    /// The work itself failed.
    Work(BoxError),
}

impl QuotaError {
    /// Classifies an error of the work: it may be a refusal or a failure that the work ran into, or the
    /// error of a nested context.
    pub(super) fn of(error: BoxError) -> Self {
        let error = match error.downcast::<Self>() {
            Ok(inside) => return *inside,
            Err(error) => error,
        };
        let error = match error.downcast::<ReserveError>() {
            Ok(refused) => match *refused {
                ReserveError::Refused(throttled) => return Self::Refused(throttled),
                ReserveError::Failed(error) => return Self::Failed(error),
            },
            Err(error) => error,
        };
        match error.downcast::<Throttled>() {
            Ok(throttled) => Self::Refused(*throttled),
            Err(error) => error.downcast::<Error>().map_or_else(Self::Work, |error| Self::Failed(*error)),
        }
    }

    /// Returns the refusal, if it is one.
    #[must_use]
    pub fn throttled(&self) -> Option<&Throttled> {
        match self {
            Self::Refused(throttled) => Some(throttled),
            Self::Failed(_) | Self::Work(_) => None,
        }
    }
}

impl fmt::Display for QuotaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(throttled) => throttled.fmt(f),
            Self::Failed(error) => error.fmt(f),
            Self::Work(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for QuotaError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Refused(_) => None,
            // As with a failure, the message is the inner error's own, which is therefore not repeated as a source.
            Self::Failed(error) => error.source(),
            Self::Work(error) => error.source(),
        }
    }
}

#[cfg(feature = "tower")]
impl axum_core::response::IntoResponse for QuotaError {
    fn into_response(self) -> axum_core::response::Response {
        use crate::outage::Outage;
        match self {
            Self::Refused(throttled) => throttled.into_response(),
            Self::Failed(error) => error.into_response(),
            Self::Work(error) => {
                tracing::error!(target: "traffik", %error, "work under a quota failed");
                crate::response::outage(Outage::Raise, None)
            }
        }
    }
}
