//! [`Error`]: what went wrong around a decision. A refusal is not an error.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::resilience::Outage;

/// Why no decision could be made, or why a throttle could not be built.
///
/// Opaque: ask it with the `is_…` predicates. A client over its limit is never an `Error`, and a
/// broken backend never a refusal.
#[derive(Clone)]
pub struct Error(
    // Not an `Arc`, whose drop would be told where the error lies, and so keep the result that it may be part of
    // in memory.
    Box<Kind>,
);

#[derive(Debug, Clone)]
enum Kind {
    Configuration(String),
    Backend {
        error: Arc<BackendError>,
        /// What the throttle's `on_error` makes of it.
        outage: Outage,
    },
}

impl Error {
    pub(crate) fn configuration(message: impl Into<String>) -> Self {
        Self(Box::new(Kind::Configuration(message.into())))
    }

    pub(crate) fn backend(error: BackendError) -> Self {
        Self(Box::new(Kind::Backend { error: Arc::new(error), outage: Outage::Unavailable }))
    }

    /// The same under a throttle that answers outages so.
    pub(crate) fn under(mut self, told: Outage) -> Self {
        if let Kind::Backend { outage, .. } = &mut *self.0 {
            *outage = told;
        }
        self
    }

    /// No call was made, since a circuit breaker is open.
    #[cfg(feature = "tower")]
    pub(crate) fn is_left_alone(&self) -> bool {
        matches!(&*self.0, Kind::Backend { error, .. } if error.why == Why::LeftAlone)
    }

    /// How a handler answers that gives up for it.
    #[cfg(feature = "tower")]
    pub(crate) fn outage(&self) -> Outage {
        match *self.0 {
            Kind::Backend { outage, .. } => outage,
            Kind::Configuration(_) => Outage::Raise,
        }
    }

    /// The store could not be asked, or did not answer.
    #[must_use]
    pub fn is_backend(&self) -> bool {
        matches!(*self.0, Kind::Backend { .. })
    }

    /// The store did not answer within the deadline. Implies [`Error::is_backend`].
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(&*self.0, Kind::Backend { error, .. } if error.is_timeout())
    }

    /// The store is well, but others kept changing the same keys: of one client there were more hits at once than it
    /// can decide one after the other. Nothing was charged. Implies [`Error::is_backend`]; what `on_error` says of
    /// outages does not hold. More of it in the guide's `docs::failure`.
    #[must_use]
    pub fn is_contention(&self) -> bool {
        matches!(&*self.0, Kind::Backend { error, .. } if error.is_contention())
    }

    /// Something was set up wrongly: a bad rate, a doubled uid, no backend where one is needed.
    #[must_use]
    pub fn is_configuration(&self) -> bool {
        matches!(*self.0, Kind::Configuration(_))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Kind::Configuration(message) => f.write_str(message),
            Kind::Backend { error, .. } => error.fmt(f),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &*self.0 {
            Kind::Configuration(_) => None,
            Kind::Backend { error, .. } => error.source(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    Failure,
    Timeout,
    Contention,
    LeftAlone,
}

/// Why a [`Backend`](crate::Backend) could not decide.
#[derive(Debug)]
pub struct BackendError {
    message: String,
    why: Why,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl BackendError {
    /// A failure with a sentence for the operator. It reaches logs, never clients.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), why: Why::Failure, source: None }
    }

    /// No answer within `deadline`; whether the hit was charged is unknown.
    #[must_use]
    pub fn timeout(backend: &str, deadline: Duration) -> Self {
        Self {
            message: format!("the {backend} backend did not answer within {deadline:?}"),
            why: Why::Timeout,
            source: None,
        }
    }

    /// The store answered, but others kept changing the same keys, for as long as there was time to try. Only for calls
    /// that have surely charged nothing.
    ///
    /// That is no outage: the client is told to come back later whatever `on_error` says, no fallback is asked, the
    /// call is not repeated, and a [`CircuitBreaker`](crate::CircuitBreaker) takes it for an answer. Otherwise
    /// whoever hammers one key would pass uncounted, or turn the store off for everybody.
    pub fn contention(message: impl Into<String>) -> Self {
        Self { message: message.into(), why: Why::Contention, source: None }
    }

    /// No call was made, since a circuit breaker is open.
    pub(crate) fn left_alone(message: String) -> Self {
        Self { message, why: Why::LeftAlone, source: None }
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Whether the deadline passed.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        self.why == Why::Timeout
    }

    /// Whether others kept changing the same keys: see [`contention`](BackendError::contention).
    #[must_use]
    pub fn is_contention(&self) -> bool {
        self.why == Why::Contention
    }
}

impl fmt::Display for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Some(source) => write!(f, "{}: {source}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl StdError for BackendError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
