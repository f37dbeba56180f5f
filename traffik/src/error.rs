//! [`Error`]: a failure to reach a decision. A refusal is not an error.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::outage::Outage;

/// The reason why no decision could be made, or why a throttle could not be built.
///
/// Opaque: use the `is_…` predicates to tell causes apart. Being over the limit is never an `Error`, and a
/// failing backend is never a refusal.
#[derive(Clone)]
pub struct Error(
    // Not an `Arc`: its out-of-line drop takes the error's address, which would keep any `Result` that
    // holds the error in memory rather than in registers.
    Box<Kind>,
);

#[derive(Debug, Clone)]
enum Kind {
    Configuration(String),
    Backend {
        error: Arc<BackendError>,
        /// The throttle that had to be decided, if it was about one.
        uid: Option<&'static str>,
        /// How the throttle's `on_error` handles it.
        outage: Outage,
    },
}

impl Error {
    pub(crate) fn configuration(message: impl Into<String>) -> Self {
        Self(Box::new(Kind::Configuration(message.into())))
    }

    pub(crate) fn backend(error: BackendError) -> Self {
        let outage = Outage::Unavailable;
        Self(Box::new(Kind::Backend { error: Arc::new(error), uid: None, outage }))
    }

    /// The same error, about this throttle.
    pub(crate) fn about(mut self, throttle: &'static str) -> Self {
        if let Kind::Backend { uid, .. } = &mut *self.0 {
            *uid = Some(throttle);
        }
        self
    }

    /// The throttle that the backend could not decide.
    pub(crate) fn uid(&self) -> Option<&'static str> {
        match *self.0 {
            Kind::Backend { uid, .. } => uid,
            Kind::Configuration(_) => None,
        }
    }

    /// The same error, under a throttle that handles outages as `told`.
    pub(crate) fn under(mut self, told: Outage) -> Self {
        if let Kind::Backend { outage, .. } = &mut *self.0 {
            *outage = told;
        }
        self
    }

    /// How to respond for a handler that returns this error.
    #[cfg(feature = "tower")]
    pub(crate) fn outage(&self) -> Outage {
        match *self.0 {
            Kind::Backend { outage, .. } => outage,
            Kind::Configuration(_) => Outage::Raise,
        }
    }

    /// Returns `true` if the backend could not decide, for example because the store was unreachable or did
    /// not answer.
    #[must_use]
    pub fn is_backend(&self) -> bool {
        matches!(*self.0, Kind::Backend { .. })
    }

    /// Returns `true` if the store did not answer within the deadline. Implies [`Error::is_backend`].
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(&*self.0, Kind::Backend { error, .. } if error.is_timeout())
    }

    /// Returns `true` if the store is healthy, but other callers kept changing the same keys: a client had
    /// more hits at once than the store can decide one after the other. Nothing was charged. Implies
    /// [`Error::is_backend`], but `on_error` does not apply. See `docs::failure` in the guide.
    #[must_use]
    pub fn is_contention(&self) -> bool {
        matches!(&*self.0, Kind::Backend { error, .. } if error.is_contention())
    }

    /// Returns `true` if no call was made because a [`CircuitBreaker`](crate::CircuitBreaker) is open. Implies
    /// [`Error::is_backend`].
    #[must_use]
    pub fn is_breaker_open(&self) -> bool {
        matches!(&*self.0, Kind::Backend { error, .. } if error.why == Why::BreakerOpen)
    }

    /// Returns `true` if something is misconfigured: an invalid rate, a duplicate uid, a missing backend.
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
    BreakerOpen,
}

/// The reason why a [`Backend`](crate::Backend) could not decide.
#[derive(Debug)]
pub struct BackendError {
    message: String,
    why: Why,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl BackendError {
    /// Creates a failure with a message for the operator. The message reaches logs, never clients.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), why: Why::Failure, source: None }
    }

    /// Creates the error for a call without an answer within `deadline`. Whether the hit was charged is
    /// unknown.
    #[must_use]
    pub fn timeout(backend: &str, deadline: Duration) -> Self {
        Self::timeout_at(backend, None, deadline)
    }

    /// The same for a backend whose address may be known.
    pub(crate) fn timeout_at(backend: &str, address: Option<&str>, deadline: Duration) -> Self {
        let message = match address {
            Some(address) => format!("the {backend} backend at {address} did not answer within {deadline:?}"),
            None => format!("the {backend} backend did not answer within {deadline:?}"),
        };
        Self { message, why: Why::Timeout, source: None }
    }

    /// Creates the error for a store that is up, but whose keys others kept changing for as long as there
    /// was time to try. Use it only for calls that are certain to have charged nothing.
    ///
    /// This is not an outage: whatever `on_error` says, the client is told to come back later, no fallback
    /// is asked, the call is not retried, and a [`CircuitBreaker`](crate::CircuitBreaker) counts it as an
    /// answer. Otherwise a client that hammers one key could pass uncounted, or make the breaker shut the
    /// store off for everybody.
    pub fn contention(message: impl Into<String>) -> Self {
        Self { message: message.into(), why: Why::Contention, source: None }
    }

    /// The error for a call that was not made because a circuit breaker is open.
    pub(crate) fn breaker_open(message: String) -> Self {
        Self { message, why: Why::BreakerOpen, source: None }
    }

    /// Adds the underlying cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Returns `true` if the deadline passed.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        self.why == Why::Timeout
    }

    /// Returns `true` if others kept changing the same keys; see [`contention`](BackendError::contention).
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
