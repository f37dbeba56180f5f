//! [`SettingsCell`]: the settings currently in force for a throttle.

use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use arc_swap::{ArcSwap, Guard};

use super::Settings;

/// Settings that are read by every hit and hardly ever changed.
///
/// The settings that a throttle was built with stay in place for its lifetime, so that reading them is a
/// plain reference. Only a throttle that was changed at run time counts its readers, which costs two atomic
/// exchanges per hit.
#[derive(Debug)]
pub(crate) struct SettingsCell {
    built: Settings,
    changed: OnceLock<ArcSwap<Settings>>,
    /// Held while settings are changed, so that no concurrent change is lost.
    changing: Mutex<()>,
}

/// Settings as of the moment they were read.
pub(crate) enum SettingsRef<'a> {
    Built(&'a Settings),
    Changed(Guard<Arc<Settings>>),
}

impl SettingsCell {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { built: settings.seal(), changed: OnceLock::new(), changing: Mutex::new(()) }
    }

    #[inline]
    pub(crate) fn load(&self) -> SettingsRef<'_> {
        match self.changed.get() {
            None => SettingsRef::Built(&self.built),
            Some(changed) => SettingsRef::Changed(changed.load()),
        }
    }

    /// The settings that the throttle was built with, if they are still in force.
    #[inline]
    #[cfg(feature = "memory")]
    pub(crate) fn unchanged(&self) -> Option<&Settings> {
        self.changed.get().is_none().then_some(&self.built)
    }

    /// Changes the settings as a whole: a hit sees all of the change or none of it.
    pub(crate) fn change<E>(&self, change: impl FnOnce(&mut Settings) -> Result<(), E>) -> Result<(), E> {
        // Settings are replaced, never edited: if `change` fails or panics, the old ones remain in force.
        let mut draft = self.draft();
        change(&mut draft.settings)?;
        draft.put_in_force();
        Ok(())
    }

    fn draft(&self) -> Draft<'_> {
        let changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        Draft { changing, settings: self.load().clone(), cell: self }
    }
}

/// Settings that are being changed. Settings own functions and stores of the user's, whose destructors may call back
/// into the throttle. Therefore the lock comes first here: it is released before any settings are dropped.
struct Draft<'a> {
    changing: MutexGuard<'a, ()>,
    settings: Settings,
    cell: &'a SettingsCell,
}

impl Draft<'_> {
    fn put_in_force(self) {
        let Self { changing, settings, cell } = self;
        let settings = Arc::new(settings.seal());
        let _old = match cell.changed.get() {
            Some(changed) => Some(changed.swap(settings)),
            None => {
                cell.changed.get_or_init(|| ArcSwap::new(settings));
                None
            }
        };
        drop(changing);
    }
}

impl Deref for SettingsRef<'_> {
    type Target = Settings;

    #[inline]
    fn deref(&self) -> &Settings {
        match self {
            Self::Built(settings) => settings,
            Self::Changed(settings) => settings,
        }
    }
}
