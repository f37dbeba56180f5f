//! [`Throttle`]: one limit under one uid, and what can be asked of it.

#[cfg(feature = "tower")]
mod answers;
mod builder;

use std::convert::Infallible;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

pub use builder::ThrottleBuilder;

use crate::attempt::{Attempt, Check, StatOf};
use crate::backend::{Op, SharedBackend};
use crate::error::Error;
use crate::policy::Policy;
use crate::quota::Quota;
use crate::rate::{IntoRate, Rate};
use crate::request_fn::Source;
use crate::reserve::{OnCancel, Reserve};
use crate::rules::Rule;
use crate::settings::{BackendSetting, Current, Present, RateSetting, Settings};
use crate::strategy::{IntoStrategy, Strategy};
use crate::subject::IntoSubject;
use crate::{pipeline, resilience::OnError};

/// One limit: a uid, a rate, a strategy, and on whose account hits go.
///
/// A cheap handle; clones are the same throttle. Made by [`Throttle::builder`], usually once, in a
/// `static LazyLock<Throttle>`.
///
/// ```
/// use std::sync::LazyLock;
/// use traffik::Throttle;
///
/// static MAIL: LazyLock<Throttle> = LazyLock::new(|| {
///     Throttle::builder("docs:mail").rate("2/hour").build().expect("a valid throttle")
/// });
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// assert!(MAIL.hit("ann").await?.is_allowed());
/// assert_eq!(MAIL.stat("ann").await?.map(|stat| stat.remaining), Some(1));
///
/// assert!(!MAIL.check("ann").cost(2).await?.is_allowed(), "asks, and charges nothing");
/// assert!(MAIL.hit("ann").await?.is_allowed());
///
/// // With `?`, a refusal is an error that axum answers with 429.
/// let refused = MAIL.hit("ann").await?.into_result().unwrap_err();
/// assert!(refused.retry_after().is_some_and(|wait| wait.as_secs() <= 3600));
///
/// MAIL.refund("ann", 1).await?;
/// assert!(MAIL.hit("ann").await?.is_allowed());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Throttle(Arc<Inner>);

struct Inner {
    uid: &'static str,
    enabled: AtomicBool,
    #[cfg(feature = "metrics")]
    meter: crate::metrics::Meter,
    settings: Current,
}

pub(crate) struct WeakThrottle(Weak<Inner>);

impl WeakThrottle {
    pub(crate) fn upgrade(&self) -> Option<Throttle> {
        self.0.upgrade().map(Throttle)
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.0.strong_count() > 0
    }
}

impl Throttle {
    /// Starts a throttle of this unique id: ASCII letters, digits and `: . _ - / @`, at most 64.
    #[track_caller]
    pub fn builder(uid: impl Into<String>) -> ThrottleBuilder {
        ThrottleBuilder::new(uid.into(), std::panic::Location::caller())
    }

    fn new(uid: &'static str, settings: Settings) -> Self {
        Self(Arc::new(Inner {
            uid,
            enabled: AtomicBool::new(true),
            #[cfg(feature = "metrics")]
            meter: crate::metrics::Meter::default(),
            settings: Current::new(settings),
        }))
    }

    pub(crate) fn downgrade(&self) -> WeakThrottle {
        WeakThrottle(Arc::downgrade(&self.0))
    }

    /// Whether both handles are one throttle.
    pub(crate) fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    #[cfg(feature = "metrics")]
    pub(crate) fn meter(&self) -> &crate::metrics::Meter {
        &self.0.meter
    }

    #[inline]
    pub(crate) fn settings(&self) -> Present<'_> {
        self.0.settings.load()
    }

    /// The settings, if they were never changed.
    #[inline]
    #[cfg(feature = "memory")]
    pub(crate) fn built(&self) -> Option<&Settings> {
        self.0.settings.built()
    }

    /// The unique id.
    #[must_use]
    pub fn uid(&self) -> &'static str {
        self.0.uid
    }

    /// Whether hits are counted at all; see [`Registry::disable`](crate::Registry::disable).
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.0.enabled.load(Ordering::Relaxed)
    }

    /// Switches the throttle off or on. While off, every hit passes uncounted.
    pub fn set_enabled(&self, enabled: bool) {
        self.0.enabled.store(enabled, Ordering::Relaxed);
    }

    /// The rate, unless it is computed from each request.
    #[must_use]
    pub fn rate(&self) -> Option<Rate> {
        match &self.settings().rate {
            RateSetting::Fixed(policy) => Some(*policy.rate()),
            RateSetting::Of(..) => None,
        }
    }

    /// The default cost, unless it is computed from each request.
    #[must_use]
    pub fn cost(&self) -> Option<u64> {
        match self.settings().cost {
            Source::Fixed(cost) => Some(cost),
            Source::Of(_) => None,
        }
    }

    /// The strategy.
    #[must_use]
    pub fn strategy(&self) -> Arc<dyn Strategy> {
        self.settings().strategy().clone()
    }

    /// The backend of its own, if it has one; otherwise the router, the process or the context says.
    #[must_use]
    pub fn backend(&self) -> Option<SharedBackend> {
        match &self.settings().backend {
            BackendSetting::Own(backend) => Some(backend.clone()),
            BackendSetting::Inherit | BackendSetting::Dynamic(_) => None,
        }
    }

    // ---- asking -------------------------------------------------------------------------------

    /// Charges one hit, all or nothing.
    ///
    /// A subject that is a request (`&Parts`) brings its own identity, cost and rules; any other is
    /// the identity itself. Await it, or set a [`cost`](Attempt::cost) first.
    ///
    /// # Errors
    /// When the backend cannot be asked, or the throttle cannot be used as it is set up. Never
    /// because the client is over its limit: that is a [`Decision`](crate::Decision).
    pub fn hit<'a>(&'a self, subject: impl IntoSubject<'a>) -> Attempt<'a> {
        Attempt::new(self, subject.into_subject())
    }

    /// Says what [`hit`](Throttle::hit) would, and charges nothing.
    ///
    /// # Errors
    /// As [`hit`](Throttle::hit).
    pub fn check<'a>(&'a self, subject: impl IntoSubject<'a>) -> Check<'a> {
        Check::new(self, subject.into_subject())
    }

    /// The state of the subject's account; `None` if it is exempt.
    ///
    /// # Errors
    /// As [`hit`](Throttle::hit).
    pub fn stat<'a>(&'a self, subject: impl IntoSubject<'a>) -> StatOf<'a> {
        StatOf::new(self, subject.into_subject())
    }

    /// Charges a cost that is not known yet: what is likely, or the most that it can be. What was
    /// used is told to the [`Reservation`](crate::Reservation) in the end.
    ///
    /// # Errors
    /// When the subject is over its limit, and as [`hit`](Throttle::hit).
    pub fn reserve<'a>(&'a self, subject: impl IntoSubject<'a>) -> Reserve<'a> {
        Reserve::new(self, subject.into_subject())
    }

    /// Queues hits about one subject, to be charged together in the end, or not at all.
    pub fn quota<'a>(&self, subject: impl IntoSubject<'a>) -> Quota<'a> {
        Quota::new(self, subject)
    }

    /// Gives units back: never above a full account, and only into the present window.
    ///
    /// # Errors
    /// When the backend cannot be asked; whether anything was given back is then unknown.
    pub async fn refund<'a>(&'a self, subject: impl IntoSubject<'a>, units: u64) -> Result<(), Error> {
        let entries = [pipeline::Entry::account(self)];
        pipeline::decide(&entries, subject.into_subject(), Op::Refund { at: None }, Some(units)).await?;
        Ok(())
    }

    /// Forgets what the subject has used.
    ///
    /// # Errors
    /// When the backend cannot be asked.
    pub async fn reset<'a>(&'a self, subject: impl IntoSubject<'a>) -> Result<(), Error> {
        let entries = [pipeline::Entry::account(self)];
        pipeline::decide(&entries, subject.into_subject(), Op::Reset, Some(1)).await?;
        Ok(())
    }

    // ---- changing at run time -----------------------------------------------------------------

    /// Changes the settings as a whole: a hit sees all of the change or none of it. What is the user's goes in as a clone,
    /// so that it is let go of after the lock if it is refused: it may know the throttle.
    fn change(&self, change: impl FnOnce(&mut Settings) -> Result<(), Error>) -> Result<(), Error> {
        self.0.settings.change(change)
    }

    /// The same of a change that cannot fail.
    fn adjust(&self, change: impl FnOnce(&mut Settings)) {
        let Ok(()) = self.0.settings.change(|settings| {
            change(settings);
            Ok::<(), Infallible>(())
        });
    }

    /// Changes the rate. Whether what clients have used carries over is each strategy's to say.
    ///
    /// # Errors
    /// When the rate is not valid, the strategy cannot count it, or the default cost could never pass under it; nothing is
    /// changed then.
    pub fn set_rate(&self, rate: impl IntoRate) -> Result<(), Error> {
        let rate = rate.into_rate()?;
        self.change(|settings| {
            let strategy = settings.strategy().clone();
            settings.rate = RateSetting::Fixed(Policy::new(self.uid(), rate, strategy)?);
            settings.check_cost(self.uid())
        })
    }

    /// Changes the default cost. One that can never pass refuses everybody, and is logged as an error.
    pub fn set_cost(&self, cost: u64) {
        let mut checked = Ok(());
        self.adjust(|settings| {
            settings.cost = Source::Fixed(cost);
            checked = settings.check_cost(self.uid());
        });
        // Not under the lock: whoever listens may know the throttle.
        if let Err(error) = checked {
            tracing::error!(target: "traffik", %error, "a cost was set that refuses every request");
        }
    }

    /// Changes the strategy; clients start afresh unless it counts as the old one did.
    ///
    /// # Errors
    /// When it cannot count the rate, or the default cost could never pass under it; nothing is changed then.
    pub fn set_strategy(&self, strategy: impl IntoStrategy) -> Result<(), Error> {
        let strategy = strategy.into_strategy();
        self.change(|settings| {
            settings.rate = match &settings.rate {
                RateSetting::Fixed(policy) => {
                    RateSetting::Fixed(Policy::new(self.uid(), *policy.rate(), strategy.clone())?)
                }
                RateSetting::Of(function, _) => RateSetting::Of(function.clone(), strategy.clone()),
            };
            settings.check_cost(self.uid())
        })
    }

    /// Changes the backend. Counters are not carried over.
    ///
    /// # Errors
    /// On a throttle with a dynamic backend: it has none of its own to change.
    pub fn set_backend(&self, backend: impl Into<SharedBackend>) -> Result<(), Error> {
        let backend = backend.into();
        self.change(|settings| {
            if matches!(settings.backend, BackendSetting::Dynamic(_)) {
                return Err(builder::both_backends(self.uid()));
            }
            settings.backend = BackendSetting::Own(backend.clone());
            Ok(())
        })
    }

    /// Changes what happens when the backend fails.
    pub fn set_on_error(&self, on_error: OnError) {
        self.adjust(|settings| settings.on_error = Some(on_error));
    }

    /// Changes what becomes of reservations that are dropped unsettled; those made before go by what
    /// was said then.
    pub fn set_on_cancel(&self, rule: OnCancel) {
        self.adjust(|settings| settings.on_cancel = rule);
    }

    /// Adds a rule.
    ///
    /// # Errors
    /// When its path pattern is not valid; nothing is changed then.
    pub fn add_rule(&self, rule: Rule) -> Result<(), Error> {
        if let Some(error) = rule.error() {
            return Err(error.clone());
        }
        self.change(|settings| {
            settings.rules = settings.rules.iter().cloned().chain([rule]).collect();
            Ok(())
        })
    }
}

impl fmt::Debug for Throttle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Throttle")
            .field("uid", &self.uid())
            .field("enabled", &self.is_enabled())
            .field("settings", &*self.settings())
            .finish()
    }
}
