//! [`Registry`]: all throttles, by uid.

mod by_uid;
mod pending_changes;

use std::fmt;
use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::error::Error;
use crate::rules::Rule;
use crate::throttle::{Throttle, WeakThrottle};
use by_uid::ByUid;
use pending_changes::{PendingChanges, warn_dropped};

/// The throttles of a process, or of one test.
///
/// It holds throttles weakly: a throttle that is dropped disappears from it. No two living throttles share
/// a uid.
///
/// A throttle enters when it is built; an attribute's throttle, on the first request to its handler. Until
/// then, switches and rules for its uid are kept (for up to 1024 uids) and applied when it enters: a
/// throttle can be switched off in advance.
///
/// ```
/// use traffik::{Registry, Throttle};
///
/// # fn main() -> Result<(), traffik::Error> {
/// let registry = Registry::new();
/// let login = Throttle::builder("docs:login").rate("5/min").registry(&registry).build()?;
///
/// // In an admin endpoint, which knows only the uid:
/// registry.get("docs:login").expect("it lives").set_rate("50/min")?;
/// assert_eq!(login.rate().expect("a fixed one").limit(), 50);
///
/// let twin = Throttle::builder("docs:login").rate("5/min").registry(&registry).build();
/// assert!(twin.is_err(), "a uid is one throttle's");
/// # Ok(()) }
/// ```
#[derive(Clone, Default)]
pub struct Registry(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    entries: ByUid<Entry>,
    pending: PendingChanges,
}

struct Entry {
    throttle: WeakThrottle,
    source: &'static Location<'static>,
}

impl Registry {
    /// Creates an empty registry, for tests and for several applications in one process.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the registry that throttles enter by default.
    #[must_use]
    pub fn global() -> &'static Self {
        static GLOBAL: OnceLock<Registry> = OnceLock::new();
        GLOBAL.get_or_init(Self::default)
    }

    /// Locks the registry. Declare variables for the throttles found under this lock before taking it, so
    /// that they are dropped after it: if nobody else holds a throttle any more, functions of the user's
    /// are dropped with it, and their destructors may call back into the registry.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing can panic half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn enter(&self, throttle: &Throttle, source: &'static Location<'static>) -> Result<(), Error> {
        let mut inner = self.inner();
        let Inner { entries, pending } = &mut *inner;
        if let Some(earlier) = entries.get(throttle.uid()).filter(|entry| entry.throttle.is_alive()) {
            return Err(Error::configuration(format!(
                "two throttles have the uid {:?}: one declared at {}, the other at {source}; \
                 give one of them another uid, or declare it once as a static and name that in both attributes",
                throttle.uid(),
                earlier.source,
            )));
        }
        entries.insert(throttle.uid(), Entry { throttle: throttle.downgrade(), source });
        entries.prune(|entry| entry.throttle.is_alive());
        pending.apply_to(throttle);
        Ok(())
    }

    /// Returns all current throttles, ordered by uid.
    pub fn iter(&self) -> impl Iterator<Item = Throttle> + use<> {
        let throttles: Vec<_> =
            self.inner().entries.values().filter_map(|entry| entry.throttle.upgrade()).collect();
        throttles.into_iter()
    }

    /// Returns the throttle with this uid.
    #[must_use]
    pub fn get(&self, uid: &str) -> Option<Throttle> {
        self.inner().get(uid)
    }

    /// Switches a throttle off: its hits pass uncounted. Returns whether the throttle exists; if it does
    /// not yet, it starts switched off when it enters.
    pub fn disable(&self, uid: &str) -> bool {
        self.switch(uid, false)
    }

    /// Switches a throttle on again. Returns whether the throttle exists; if it does not yet, it starts
    /// switched on when it enters.
    pub fn enable(&self, uid: &str) -> bool {
        self.switch(uid, true)
    }

    fn switch(&self, uid: &str, enabled: bool) -> bool {
        let found: Option<Throttle>;
        let mut inner = self.inner();
        found = inner.get(uid);
        let is_heard = match &found {
            Some(throttle) => {
                throttle.set_enabled(enabled);
                true
            }
            None => inner.pending.switch(uid, enabled),
        };
        drop(inner);
        if !is_heard {
            warn_dropped(uid);
        }
        found.is_some()
    }

    /// Adds a rule to a throttle. Returns whether the throttle exists; if it does not yet, it gets the rule
    /// when it enters.
    ///
    /// # Errors
    /// Fails, and changes nothing, if the rule's path pattern is invalid.
    pub fn add_rule(&self, uid: &str, rule: Rule) -> Result<bool, Error> {
        if let Some(error) = rule.error() {
            return Err(error.clone());
        }
        let found: Option<Throttle>;
        let dropped: Option<Rule>;
        let mut inner = self.inner();
        found = inner.get(uid);
        dropped = match &found {
            Some(throttle) => {
                throttle.add_rule(rule)?;
                None
            }
            None => inner.pending.add_rule(uid, rule),
        };
        drop(inner);
        if dropped.is_some() {
            warn_dropped(uid);
        }
        Ok(found.is_some())
    }

    /// Switches off all throttles, including those that enter later.
    pub fn disable_all(&self) {
        self.switch_all(false);
    }

    /// Switches all throttles on again, including those that enter later.
    pub fn enable_all(&self) {
        self.switch_all(true);
    }

    fn switch_all(&self, enabled: bool) {
        let found: Vec<Throttle>;
        let mut inner = self.inner();
        inner.pending.switch_all(enabled);
        found = inner.entries.values().filter_map(|entry| entry.throttle.upgrade()).collect();
        found.iter().for_each(|throttle| throttle.set_enabled(enabled));
    }
}

impl Inner {
    fn get(&self, uid: &str) -> Option<Throttle> {
        self.entries.get(uid).and_then(|entry| entry.throttle.upgrade())
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(|throttle| throttle.uid())).finish()
    }
}
