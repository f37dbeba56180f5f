//! [`QuotaError`]: why work under a quota came to nothing.

use std::fmt;

use crate::decision::Throttled;
use crate::error::Error;
use crate::reserve::ReserveError;

/// Any error, as work returns it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a `run` failed. In axum a response: `429` for a refusal, `503` or `500` for a failure, `500` for
/// the work's own error.
#[derive(Debug)]
#[non_exhaustive]
pub enum QuotaError {
    /// A quota refused, and nothing of it is charged: in the end, or already while the work asked.
    Refused(Throttled),
    /// No decision could be made.
    Failed(Error),
    /// The work failed by itself.
    Work(BoxError),
}

impl QuotaError {
    /// An error of the work, told for what it is: a refusal or a failure that the work met itself, or
    /// that of a context inside it.
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

    /// The refusal, if it is one.
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
            Self::Failed(error) => error.source(),
            Self::Work(error) => Some(&**error),
        }
    }
}

#[cfg(feature = "tower")]
impl axum_core::response::IntoResponse for QuotaError {
    fn into_response(self) -> axum_core::response::Response {
        use crate::resilience::Outage;
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
