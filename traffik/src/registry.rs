//! [`Registry`]: every throttle by its uid.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::error::Error;
use crate::rules::Rule;
use crate::throttle::{Throttle, WeakThrottle};

/// The throttles of a process, or of one test.
///
/// Holds them weakly: a throttle that is dropped is gone from here. No two living ones share a uid.
#[derive(Clone, Default)]
pub struct Registry(Arc<Mutex<BTreeMap<&'static str, Entry>>>);

struct Entry {
    throttle: WeakThrottle,
    source: &'static Location<'static>,
}

impl Registry {
    /// A registry of its own, for tests and for several applications in one process.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The registry that throttles enter unless told otherwise.
    #[must_use]
    pub fn global() -> &'static Self {
        static GLOBAL: OnceLock<Registry> = OnceLock::new();
        GLOBAL.get_or_init(Self::default)
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<&'static str, Entry>> {
        // Nothing can panic half-way through a change of the map.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn enter(&self, throttle: &Throttle, source: &'static Location<'static>) -> Result<(), Error> {
        let mut entries = self.entries();
        if let Some(earlier) = entries.get(throttle.uid()).filter(|entry| entry.throttle.upgrade().is_some())
        {
            return Err(Error::configuration(format!(
                "two throttles are called {:?}: one at {}, one at {source}; give one of them another uid, \
                 or declare it once as a static and name that in both attributes",
                throttle.uid(),
                earlier.source,
            )));
        }
        entries.insert(throttle.uid(), Entry { throttle: throttle.downgrade(), source });
        entries.retain(|_, entry| entry.throttle.is_alive());
        Ok(())
    }

    /// All throttles, in the order of their uids.
    pub fn iter(&self) -> impl Iterator<Item = Throttle> {
        let throttles: Vec<_> =
            self.entries().values().filter_map(|entry| entry.throttle.upgrade()).collect();
        throttles.into_iter()
    }

    /// The throttle of this uid.
    #[must_use]
    pub fn get(&self, uid: &str) -> Option<Throttle> {
        self.entries().get(uid).and_then(|entry| entry.throttle.upgrade())
    }

    /// Switches a throttle off: its hits pass uncounted. Says whether there is one.
    pub fn disable(&self, uid: &str) -> bool {
        self.get(uid).inspect(|throttle| throttle.set_enabled(false)).is_some()
    }

    /// Switches a throttle on again. Says whether there is one.
    pub fn enable(&self, uid: &str) -> bool {
        self.get(uid).inspect(|throttle| throttle.set_enabled(true)).is_some()
    }

    /// Adds a rule to a throttle. Says whether there is one.
    ///
    /// # Errors
    /// When the rule's path pattern is none; nothing is changed then.
    pub fn add_rule(&self, uid: &str, rule: Rule) -> Result<bool, Error> {
        match self.get(uid) {
            Some(throttle) => throttle.add_rule(rule).map(|()| true),
            None => Ok(false),
        }
    }

    /// Switches every throttle off.
    pub fn disable_all(&self) {
        self.iter().for_each(|throttle| throttle.set_enabled(false));
    }

    /// Switches every throttle on again.
    pub fn enable_all(&self) {
        self.iter().for_each(|throttle| throttle.set_enabled(true));
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(|throttle| throttle.uid())).finish()
    }
}
