//! [`Throttle`]: one rate limit under one uid, with its settings and their changes at run time.

pub(crate) mod builder;
#[cfg(feature = "tower")]
mod response;

use std::convert::Infallible;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use crate::backend::SharedBackend;
use crate::error::Error;
use crate::observe::HitReporter;
use crate::on_cancel::OnCancel;
use crate::policy::Policy;
use crate::rate::{IntoRate, Rate};
use crate::request_fn::Source;
use crate::resilience::OnError;
use crate::rules::Rule;
use crate::settings::{BackendSetting, RateSetting, Settings, SettingsCell, SettingsRef};
use crate::strategy::{IntoStrategy, Strategy};

/// A rate limit: a uid, a rate, a strategy, and a way to tell which client a hit is charged to.
///
/// A cheap handle: clones refer to the same throttle. Create one with [`Throttle::builder`], usually once,
/// in a `static LazyLock<Throttle>`.
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
/// // With `?`, a refusal becomes an error, which axum turns into a 429 response.
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
    /// Holds the uid as well.
    reporter: HitReporter,
    /// Not one of the settings: a change of those would take the throttle off its fastest path for good.
    enabled: AtomicBool,
    settings: SettingsCell,
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
    fn new(uid: &'static str, settings: Settings) -> Self {
        Self(Arc::new(Inner {
            reporter: HitReporter::new(uid),
            enabled: AtomicBool::new(true),
            settings: SettingsCell::new(settings),
        }))
    }

    pub(crate) fn downgrade(&self) -> WeakThrottle {
        WeakThrottle(Arc::downgrade(&self.0))
    }

    /// Whether both handles refer to the same throttle.
    pub(crate) fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    #[inline]
    pub(crate) fn reporter(&self) -> &HitReporter {
        &self.0.reporter
    }

    #[inline]
    pub(crate) fn settings(&self) -> SettingsRef<'_> {
        self.0.settings.load()
    }

    /// The settings, if they have never been changed.
    #[inline]
    #[cfg(feature = "memory")]
    pub(crate) fn unchanged_settings(&self) -> Option<&Settings> {
        self.0.settings.unchanged()
    }

    /// Returns the unique id.
    #[must_use]
    pub fn uid(&self) -> &'static str {
        self.0.reporter.uid()
    }

    /// Returns `true` unless the throttle has been switched off; see
    /// [`Registry::disable`](crate::Registry::disable).
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.0.enabled.load(Ordering::Relaxed)
    }

    /// Switches the throttle on or off. While it is off, every hit passes uncounted.
    pub fn set_enabled(&self, enabled: bool) {
        self.0.enabled.store(enabled, Ordering::Relaxed);
    }

    /// Returns `true` if the throttle is in shadow mode: it counts and reports, but refuses nobody.
    #[must_use]
    pub fn is_shadow(&self) -> bool {
        self.settings().shadow
    }

    /// Returns the rate, or `None` if it is computed from each request.
    #[must_use]
    pub fn rate(&self) -> Option<Rate> {
        match &self.settings().rate {
            RateSetting::Fixed(policy) => Some(*policy.rate()),
            RateSetting::Of(..) => None,
        }
    }

    /// Returns the default cost, or `None` if it is computed from each request.
    #[must_use]
    pub fn cost(&self) -> Option<u64> {
        match self.settings().cost {
            Source::Fixed(cost) => Some(cost),
            Source::Of(_) => None,
        }
    }

    /// Returns the strategy.
    #[must_use]
    pub fn strategy(&self) -> Arc<dyn Strategy> {
        self.settings().strategy().clone()
    }

    /// Returns the throttle's own backend, if it has one. Otherwise the router, the process or the context
    /// provides the backend.
    #[must_use]
    pub fn backend(&self) -> Option<SharedBackend> {
        match &self.settings().backend {
            BackendSetting::Own(backend) => Some(backend.clone()),
            BackendSetting::Inherit | BackendSetting::Dynamic(_) => None,
        }
    }

    /// Returns the rules, in the order in which they were added.
    #[must_use]
    pub fn rules(&self) -> Vec<Rule> {
        self.settings().rules.to_vec()
    }

    /// Returns what happens when the backend fails, or `None` if that is up to the app.
    #[must_use]
    pub fn on_error(&self) -> Option<OnError> {
        self.settings().on_error.clone()
    }

    /// Returns what happens to reservations that are dropped unsettled.
    #[must_use]
    pub fn on_cancel(&self) -> OnCancel {
        self.settings().on_cancel
    }

    /// Changes the settings as a whole: a hit sees all of the change or none of it. Pass in clones of
    /// user-provided values: if the change is rejected, the caller's original is dropped only after the
    /// lock is released, and its destructor may call back into the throttle.
    fn change(&self, change: impl FnOnce(&mut Settings) -> Result<(), Error>) -> Result<(), Error> {
        self.0.settings.change(change)
    }

    /// Same as `change`, for changes that cannot fail.
    fn adjust(&self, change: impl FnOnce(&mut Settings)) {
        let Ok(()) = self.0.settings.change(|settings| {
            change(settings);
            Ok::<(), Infallible>(())
        });
    }

    /// Changes the rate. Whether clients keep what they have used depends on the strategy.
    ///
    /// # Errors
    /// Fails, and changes nothing, if the rate is invalid, if the strategy cannot count it, or if the
    /// default cost could never pass under it.
    pub fn set_rate(&self, rate: impl IntoRate) -> Result<(), Error> {
        let rate = rate.into_rate()?;
        self.change(|settings| {
            let strategy = settings.strategy().clone();
            settings.rate = RateSetting::Fixed(Policy::new(self.uid(), rate, strategy)?);
            settings.check_cost(self.uid())
        })
    }

    /// Changes the default cost. A cost that can never pass refuses every hit, and is logged as an error.
    pub fn set_cost(&self, cost: u64) {
        let mut checked = Ok(());
        self.adjust(|settings| {
            settings.cost = Source::Fixed(cost);
            checked = settings.check_cost(self.uid());
        });
        // After the lock is released: the subscriber may call back into the throttle.
        if let Err(error) = checked {
            tracing::error!(target: "traffik", %error, "a throttle was given a cost that refuses every request");
        }
    }

    /// Changes the strategy. Clients start afresh unless the new strategy counts the same way as the old
    /// one.
    ///
    /// # Errors
    /// Fails, and changes nothing, if the strategy cannot count the rate, or if the default cost could
    /// never pass under it.
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
    /// Fails if the throttle has a dynamic backend, since it then has no backend of its own to change.
    pub fn set_backend(&self, backend: impl Into<SharedBackend>) -> Result<(), Error> {
        let backend = backend.into();
        self.change(|settings| {
            if matches!(settings.backend, BackendSetting::Dynamic(_)) {
                return Err(crate::settings::no_own_backend(self.uid()));
            }
            settings.backend = BackendSetting::Own(backend.clone());
            Ok(())
        })
    }

    /// Changes what happens when the backend fails.
    pub fn set_on_error(&self, on_error: OnError) {
        self.adjust(|settings| settings.on_error = Some(on_error));
    }

    /// Switches shadow mode on or off. In shadow mode the throttle counts and reports, but refuses nobody. An attribute
    /// that sets its own `mode` is not affected.
    pub fn set_shadow(&self, shadow: bool) {
        self.adjust(|settings| settings.shadow = shadow);
    }

    /// Changes what happens to reservations that are dropped unsettled. Reservations made earlier keep the
    /// previous rule.
    pub fn set_on_cancel(&self, rule: OnCancel) {
        self.adjust(|settings| settings.on_cancel = rule);
    }

    /// Adds a rule. [`set_rules`](Self::set_rules) takes it away again.
    ///
    /// # Errors
    /// Fails, and changes nothing, if the rule's path pattern is invalid.
    pub fn add_rule(&self, rule: Rule) -> Result<(), Error> {
        if let Some(error) = rule.error() {
            return Err(error.clone());
        }
        self.change(|settings| {
            settings.rules = settings.rules.iter().cloned().chain([rule]).collect();
            Ok(())
        })
    }

    /// Replaces all rules. With none, every request is counted.
    ///
    /// # Errors
    /// Fails, and changes nothing, if the path pattern of any rule is invalid.
    ///
    /// ```
    /// use traffik::{Throttle, bypass_if};
    ///
    /// let api = Throttle::builder("docs:set_rules").rate("100/min").rule(bypass_if().path("/health")).build()?;
    /// let before = api.rules();
    /// api.add_rule(bypass_if().path("/incident"))?;
    /// // Once the incident is over:
    /// api.set_rules(before)?;
    /// assert_eq!(api.rules().len(), 1);
    /// # Ok::<(), traffik::Error>(())
    /// ```
    pub fn set_rules(&self, rules: impl IntoIterator<Item = Rule>) -> Result<(), Error> {
        let rules: Arc<[Rule]> = rules.into_iter().collect();
        if let Some(error) = rules.iter().find_map(Rule::error) {
            return Err(error.clone());
        }
        self.adjust(|settings| settings.rules = rules.clone());
        Ok(())
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
