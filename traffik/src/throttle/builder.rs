//! [`ThrottleBuilder`]: all options of a throttle, checked together in `build`.

use std::panic::Location;
use std::sync::Arc;

use super::Throttle;
use crate::backend::SharedBackend;
use crate::error::Error;
use crate::identity::Identity;
use crate::on_cancel::OnCancel;
use crate::policy::Policy;
use crate::rate::{IntoRate, Rate};
use crate::registry::Registry;
use crate::request_fn::{IntoRequestFn, RequestFn, Source};
use crate::resilience::OnError;
use crate::rules::Rule;
use crate::settings::{self, BackendSetting, RateSetting, Settings};
use crate::strategy::{FixedWindow, IntoStrategy, Strategy};

/// Builds a [`Throttle`]. [`build`](ThrottleBuilder::build) reports a mistake in any of the options.
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
/// // The error names the throttle and the mistake.
/// let mistake = Throttle::builder("docs:mistake").rate("100/fortnight").build().unwrap_err();
/// assert!(mistake.to_string().contains("fortnight"), "{mistake}");
/// # Ok::<(), traffik::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `build` is called"]
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
    pub(crate) response: crate::response::ResponseSettings,
}

#[derive(Debug, Clone)]
enum RateChoice {
    Fixed(Result<Rate, Error>),
    Of(RequestFn<Rate>),
}

impl Throttle {
    /// Starts building a throttle with this unique id: at most 64 ASCII letters, digits and `: . _ - / @`,
    /// beginning and ending with a letter or a digit.
    ///
    /// Ids are kept for the life of the process, so don't make them from what clients send: that belongs into the
    /// [`scope`](ThrottleBuilder::scope) or the identity.
    #[track_caller]
    pub fn builder(uid: impl Into<String>) -> ThrottleBuilder {
        ThrottleBuilder::new(uid.into(), Location::caller())
    }
}

impl ThrottleBuilder {
    fn new(uid: String, source: &'static Location<'static>) -> Self {
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
            response: crate::response::ResponseSettings::default(),
        }
    }

    /// Sets the rate: a [`Rate`], or a string such as `"20/min"`.
    pub fn rate(mut self, rate: impl IntoRate) -> Self {
        self.rate = Some(RateChoice::Fixed(rate.into_rate()));
        self
    }

    /// Sets a rate that is computed from each request, sync or async. A hit for any other subject fails
    /// with a configuration error.
    pub fn rate_with<K>(mut self, rate: impl IntoRequestFn<Rate, K>) -> Self {
        self.rate = Some(RateChoice::Of(rate.into_request_fn()));
        self
    }

    /// Sets the cost of a hit, in units of the limit; 1 by default. A hit that costs 0 is not counted, and
    /// its identifier does not run.
    pub fn cost(mut self, units: u64) -> Self {
        self.cost = Source::Fixed(units);
        self
    }

    /// Sets a cost that is computed from each request, sync or async. Other subjects cost 1.
    pub fn cost_with<K>(mut self, cost: impl IntoRequestFn<u64, K>) -> Self {
        self.cost = Source::Of(cost.into_request_fn());
        self
    }

    /// Sets the function that identifies the client of a request, sync or async. By default it is the app's
    /// [`identifier`](crate::TraffikBuilder::identifier), or else the client's IP address.
    pub fn identifier<K>(mut self, identifier: impl IntoRequestFn<Identity, K>) -> Self {
        self.identifier = Some(identifier.into_request_fn());
        self
    }

    /// Sets the strategy that counts hits; [`FixedWindow`] by default.
    pub fn strategy(mut self, strategy: impl IntoStrategy) -> Self {
        self.strategy = strategy.into_strategy();
        self
    }

    /// Adds a scope to the key: hits under the same uid are counted separately for each scope.
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = Some(Source::Fixed(scope.into()));
        self
    }

    /// Adds a scope that is computed from each request. Other subjects have the empty scope.
    pub fn scope_with<K>(mut self, scope: impl IntoRequestFn<String, K>) -> Self {
        self.scope = Some(Source::Of(scope.into_request_fn()));
        self
    }

    /// Sets the backend, whatever the router or the process uses.
    pub fn backend(mut self, backend: impl Into<SharedBackend>) -> Self {
        self.backend = Some(backend.into());
        self
    }

    /// Counts on the backend of the current context, looked up on every hit: the innermost `BackendLayer`
    /// or [`scope`](SharedBackend::scope), then the router's layer, then the installed default. If there is
    /// none, a hit fails with a configuration error.
    pub fn dynamic_backend(mut self) -> Self {
        self.dynamic.get_or_insert(None);
        self
    }

    /// Same as [`dynamic_backend`](Self::dynamic_backend), but calls this function first.
    pub fn dynamic_backend_with<K>(mut self, resolve: impl IntoRequestFn<Option<SharedBackend>, K>) -> Self {
        self.dynamic = Some(Some(resolve.into_request_fn()));
        self
    }

    /// Sets what to do when the backend fails. Defaults to the app's setting, or else
    /// [`OnError::throttle`].
    pub fn on_error(mut self, on_error: OnError) -> Self {
        self.on_error = Some(on_error);
        self
    }

    /// Restricts which requests are counted. If any bypass rule matches, the throttle is skipped; if there
    /// are several `throttle_if` rules, all of them must match.
    pub fn rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Enables shadow mode: the throttle counts and reports, but refuses nobody. See
    /// [`set_shadow`](Throttle::set_shadow) for changing it at run time.
    pub fn shadow(mut self) -> Self {
        self.shadow = true;
        self
    }

    /// Refuses hits over the limit. This is the default, and undoes [`shadow`](Self::shadow).
    pub fn enforce(mut self) -> Self {
        self.shadow = false;
        self
    }

    /// Sets what happens to a [`Reservation`](crate::Reservation) that is dropped unsettled, for example
    /// because the client went away. Defaults to [`OnCancel::Keep`].
    pub fn on_cancel(mut self, rule: OnCancel) -> Self {
        self.on_cancel = rule;
        self
    }

    /// Registers the throttle in this registry instead of the process's, for tests and for several apps in
    /// one process.
    pub fn registry(mut self, registry: &Registry) -> Self {
        self.registry = Some(registry.clone());
        self
    }

    /// Checks all options and creates the throttle.
    ///
    /// # Errors
    /// Fails if the uid is malformed or taken; if the rate is missing, malformed or not countable by the
    /// strategy; if the cost exceeds what a full account holds; if a path pattern or a header is malformed;
    /// or if both `backend` and `dynamic_backend` are set.
    pub fn build(self) -> Result<Throttle, Error> {
        let uid = crate::uid::intern(&self.uid)?;
        let backend = match (self.backend, self.dynamic) {
            (Some(_), Some(_)) => return Err(settings::both_backends(uid)),
            (Some(backend), None) => BackendSetting::Own(backend),
            (None, Some(resolve)) => BackendSetting::Dynamic(resolve),
            (None, None) => BackendSetting::Inherit,
        };
        if let Some(error) = self.rules.iter().find_map(Rule::error) {
            return Err(Error::configuration(format!("throttle {uid:?}: {error}")));
        }
        #[cfg(feature = "tower")]
        if let Some(error) = self.response.headers.as_ref().and_then(crate::Headers::error) {
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
            fast_path: None,
            #[cfg(feature = "tower")]
            response: self.response,
        };
        settings.check_cost(uid)?;
        let throttle = Throttle::new(uid, settings);
        self.registry.as_ref().unwrap_or(Registry::global()).enter(&throttle, self.source)?;
        Ok(throttle)
    }
}

#[cfg(feature = "tower")]
impl ThrottleBuilder {
    /// Sets which rate-limit headers responses carry. Defaults to the app's setting, or else both families.
    pub fn headers(mut self, headers: crate::Headers) -> Self {
        self.response.headers = Some(headers);
        self
    }

    /// Sets the response to refused requests: `Fn(&Parts, &Throttled) -> impl IntoResponse`, sync or async.
    /// Defaults to `429` with problem+json. The function receives the first refusal. Rate-limit headers are
    /// added to its response, and `Retry-After` too if the status is `429` or `503`.
    pub fn on_throttled<K>(mut self, answer: impl crate::response::IntoAnswer<K>) -> Self {
        self.response.on_throttled = Some(crate::response::OnThrottled::Answer(answer.into_answer()));
        self
    }

    /// Runs the handler even for refused requests; it can read the [`Outcome`](crate::Outcome).
    pub fn continue_when_throttled(mut self) -> Self {
        self.response.on_throttled = Some(crate::response::OnThrottled::Continue);
        self
    }

    /// Gives the cost back if the response's status matches.
    pub fn refund_on_status(mut self, matches: fn(http::StatusCode) -> bool) -> Self {
        self.response.refund_on = Some(matches);
        self
    }
}
