//! [`Around`]: what the layers around a place have left on a request.
//!
//! One extension for all of it, so that a place learns in a single look-up that there are none.

use std::sync::atomic::{AtomicBool, Ordering};

use http::Extensions;

use super::marks::Marks;
use crate::app::Traffik;

#[derive(Debug, Clone, Default)]
pub(crate) struct Around {
    /// The innermost router's, over those further out.
    pub(crate) traffik: Option<Traffik>,
    pub(super) marks: Marks,
}

/// Whether any request of this process ever passed such a layer: most programs have none, and this is
/// quicker to read than a request's extensions. Whoever has the request sees what was stored before it was
/// handed on.
static IN_USE: AtomicBool = AtomicBool::new(false);

impl Around {
    #[inline]
    pub(crate) fn of(extensions: &Extensions) -> Option<&Self> {
        if IN_USE.load(Ordering::Relaxed) { extensions.get() } else { None }
    }

    /// Leaves more.
    pub(super) fn leave(extensions: &mut Extensions, leave: impl FnOnce(&mut Self)) {
        match extensions.get_mut::<Self>() {
            Some(there) => leave(there),
            None => {
                if !IN_USE.load(Ordering::Relaxed) {
                    IN_USE.store(true, Ordering::Relaxed);
                }
                let mut first = Self::default();
                leave(&mut first);
                extensions.insert(first);
            }
        }
    }
}
