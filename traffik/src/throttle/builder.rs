//! [`ThrottleBuilder`]: everything a throttle can be told, checked together at the end.

use std::panic::Location;
use std::sync::Arc;

use super::Throttle;
use crate::backend::SharedBackend;
use crate::error::Error;
use crate::identity::Identity;
use crate::policy::Policy;
use crate::rate::{IntoRate, Rate};
use crate::registry::Registry;
use crate::request_fn::{IntoRequestFn, RequestFn, Source};
use crate::reserve::OnCancel;
use crate::resilience::OnError;
use crate::rules::Rule;
use crate::settings::{BackendSetting, RateSetting, Settings};
use crate::strategy::{FixedWindow, IntoStrategy, Strategy};

/// Builds a [`Throttle`]. A mistake in any part is reported by [`build`](ThrottleBuilder::build).
///
/// ```
/// use traffik::strategy::TokenBucket;
/// use traffik::{Identity, MemoryBackend, OnError, Parts, Throttle, bypass_if};
///
/// fn by_key(parts: &Parts) -> Identity {
///     Identity::from(parts.headers.get("x-api-key").and_then(|key| key.to_str().ok()))
/// }
///
/// let exports = Throttle::builder("docs:exports")
///     .rate("100/hour")
///     .strategy(TokenBucket::new().burst(20))
///     .identifier(by_key)
///     .cost_with(|parts: &Parts| if parts.uri.path().ends_with(".pdf") { 5 } else { 1 })
///     .rule(bypass_if().path("/health"))
///     .backend(MemoryBackend::new())
///     .on_error(OnError::allow())
///     .build()?;
///
/// // A mistake is an error that says where and what.
/// let mistake = Throttle::builder("docs:mistake").rate("100/fortnight").build().unwrap_err();
/// assert!(mistake.to_string().contains("fortnight"), "{mistake}");
/// # Ok::<(), traffik::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `build`"]
pub struct ThrottleBuilder {
    uid: String,
    source: &'static Location<'static>,
    registry: Option<Registry>,
    rate: Option<RateChoice>,
    cost: Source<u64>,
    identifier: Option<RequestFn<Identity>>,
    strategy: Arc<dyn Strategy>,
    scope: Option<Source<String>>,
    backend: Option<SharedBackend>,
    dynamic: Option<Option<RequestFn<Option<SharedBackend>>>>,
    on_error: Option<OnError>,
    rules: Vec<Rule>,
    shadow: bool,
    on_cancel: OnCancel,
    #[cfg(feature = "tower")]
    pub(crate) answers: crate::response::Answers,
}

#[derive(Debug, Clone)]
enum RateChoice {
    Fixed(Result<Rate, Error>),
    Of(RequestFn<Rate>),
}

impl ThrottleBuilder {
    pub(super) fn new(uid: String, source: &'static Location<'static>) -> Self {
        Self {
            uid,
            source,
            registry: None,
            rate: None,
            cost: Source::Fixed(1),
            identifier: None,
            strategy: Arc::new(FixedWindow::new()),
            scope: None,
            backend: None,
            dynamic: None,
            on_error: None,
            rules: Vec::new(),
            shadow: false,
            on_cancel: OnCancel::Keep,
            #[cfg(feature = "tower")]
            answers: crate::response::Answers::default(),
        }
    }

    /// The rate: a [`Rate`], or a string such as `"20/min"`.
    pub fn rate(mut self, rate: impl IntoRate) -> Self {
        self.rate = Some(RateChoice::Fixed(rate.into_rate()));
        self
    }

    /// A rate computed from each request, sync or async. Other subjects than requests have none.
    pub fn rate_with<K>(mut self, rate: impl IntoRequestFn<Rate, K>) -> Self {
        self.rate = Some(RateChoice::Of(rate.into_request_fn()));
        self
    }

    /// What a hit costs, in units of the limit. By default 1. A cost of 0 is not counted, and the identifier not run.
    pub fn cost(mut self, units: u64) -> Self {
        self.cost = Source::Fixed(units);
        self
    }

    /// A cost computed from each request, sync or async; other subjects cost 1.
    pub fn cost_with<K>(mut self, cost: impl IntoRequestFn<u64, K>) -> Self {
        self.cost = Source::Of(cost.into_request_fn());
        self
    }

    /// On whose account a request goes, sync or async. The client's address if not said.
    pub fn identifier<K>(mut self, identifier: impl IntoRequestFn<Identity, K>) -> Self {
        self.identifier = Some(identifier.into_request_fn());
        self
    }

    /// How hits are counted. [`FixedWindow`] if not said.
    pub fn strategy(mut self, strategy: impl IntoStrategy) -> Self {
        self.strategy = strategy.into_strategy();
        self
    }

    /// An extra part of the key: one uid, counted apart per scope.
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = Some(Source::Fixed(scope.into()));
        self
    }

    /// A scope computed from each request; other subjects have the empty one.
    pub fn scope_with<K>(mut self, scope: impl IntoRequestFn<String, K>) -> Self {
        self.scope = Some(Source::Of(scope.into_request_fn()));
        self
    }

    /// Where to count, whatever the router or the process says.
    pub fn backend(mut self, backend: impl Into<SharedBackend>) -> Self {
        self.backend = Some(backend.into());
        self
    }

    /// Counts on the backend of the current context, looked up at every hit: the innermost
    /// `BackendLayer` or [`scope`](SharedBackend::scope), then the router's layer, then the
    /// installed default. Without any, a hit is a configuration error.
    pub fn dynamic_backend(mut self) -> Self {
        self.dynamic.get_or_insert(None);
        self
    }

    /// As [`dynamic_backend`](Self::dynamic_backend), asking this function first.
    pub fn dynamic_backend_with<K>(mut self, resolve: impl IntoRequestFn<Option<SharedBackend>, K>) -> Self {
        self.dynamic = Some(Some(resolve.into_request_fn()));
        self
    }

    /// What to do when the backend fails. By default what the app says, or else
    /// [`OnError::throttle`].
    pub fn on_error(mut self, on_error: OnError) -> Self {
        self.on_error = Some(on_error);
        self
    }

    /// Restricts which requests are counted. Any bypass that matches skips the throttle; of several `throttle_if`, all must
    /// match.
    pub fn rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Counts and reports, and refuses nobody.
    pub fn shadow(mut self) -> Self {
        self.shadow = true;
        self
    }

    /// Refuses what is over the limit: the default, and what takes [`shadow`](Self::shadow) back.
    pub fn enforce(mut self) -> Self {
        self.shadow = false;
        self
    }

    /// What becomes of a [`Reservation`](crate::Reservation) that is dropped unsettled, such as when
    /// the client goes away. [`OnCancel::Keep`] if not said.
    pub fn on_cancel(mut self, rule: OnCancel) -> Self {
        self.on_cancel = rule;
        self
    }

    /// Enters another registry than the process's, for tests and for several apps in one process.
    pub fn registry(mut self, registry: &Registry) -> Self {
        self.registry = Some(registry.clone());
        self
    }

    /// Checks everything and makes the throttle.
    ///
    /// # Errors
    /// When the uid is malformed or taken, the rate missing, malformed or not countable by the
    /// strategy, the cost more than a full account holds, a path pattern or a header malformed, or both
    /// `backend` and `dynamic_backend` are set.
    pub fn build(self) -> Result<Throttle, Error> {
        let uid = crate::uid::intern(&self.uid)?;
        let backend = match (self.backend, self.dynamic) {
            (Some(_), Some(_)) => return Err(both_backends(uid)),
            (Some(backend), None) => BackendSetting::Own(backend),
            (None, Some(resolve)) => BackendSetting::Dynamic(resolve),
            (None, None) => BackendSetting::Inherit,
        };
        if let Some(error) = self.rules.iter().find_map(Rule::error) {
            return Err(Error::configuration(format!("throttle {uid:?}: {error}")));
        }
        #[cfg(feature = "tower")]
        if let Some(error) = self.answers.headers.as_ref().and_then(crate::Headers::error) {
            return Err(Error::configuration(format!("throttle {uid:?}: {error}")));
        }
        let rate = match self.rate {
            None => {
                return Err(Error::configuration(format!(
                    "throttle {uid:?} has no rate; give it one, such as .rate(\"20/min\")"
                )));
            }
            Some(RateChoice::Of(function)) => RateSetting::Of(function, self.strategy),
            Some(RateChoice::Fixed(rate)) => {
                let rate =
                    rate.map_err(|error| Error::configuration(format!("throttle {uid:?}: {error}")))?;
                RateSetting::Fixed(Policy::new(uid, rate, self.strategy)?)
            }
        };
        let settings = Settings {
            rate,
            cost: self.cost,
            identifier: self.identifier,
            scope: self.scope,
            backend,
            on_error: self.on_error,
            rules: self.rules.into(),
            shadow: self.shadow,
            on_cancel: self.on_cancel,
            is_immediate: false,
            #[cfg(feature = "memory")]
            lane: None,
            #[cfg(feature = "tower")]
            answers: self.answers,
        };
        settings.check_cost(uid)?;
        let throttle = Throttle::new(uid, settings);
        self.registry.as_ref().unwrap_or(Registry::global()).enter(&throttle, self.source)?;
        Ok(throttle)
    }
}

pub(super) fn both_backends(uid: &str) -> Error {
    Error::configuration(format!(
        "throttle {uid:?} has both a backend of its own and a dynamic one; keep `backend` to count in one place, \
         or `dynamic_backend` to look the place up at every request"
    ))
}

#[cfg(feature = "tower")]
impl ThrottleBuilder {
    /// Which rate-limit headers answers carry. By default the app's, or else both families.
    pub fn headers(mut self, headers: crate::Headers) -> Self {
        self.answers.headers = Some(headers);
        self
    }

    /// What refused requests are answered: `Fn(&Parts, &Throttled) -> impl IntoResponse`, sync or
    /// async. `429` with problem+json if not said. It is told of the first refusal; rate-limit headers, and
    /// to a `429` or `503` `Retry-After`, are added to its answer.
    pub fn on_throttled<K>(mut self, answer: impl crate::response::IntoAnswer<K>) -> Self {
        self.answers.on_throttled = Some(crate::response::OnThrottled::Answer(answer.into_answer()));
        self
    }

    /// Runs the handler even when refused; it reads the [`Outcome`](crate::Outcome).
    pub fn continue_when_throttled(mut self) -> Self {
        self.answers.on_throttled = Some(crate::response::OnThrottled::Continue);
        self
    }

    /// Gives the cost back when the response's status matches.
    pub fn refund_on_status(mut self, matches: fn(http::StatusCode) -> bool) -> Self {
        self.answers.refund_on = Some(matches);
        self
    }
}
