//! [`Around`]: what the layers around a place have left on a request.
//!
//! It is one extension, so that a single lookup tells a place that there are none.

use std::sync::atomic::{AtomicBool, Ordering};

use http::Extensions;

use super::marks::Marks;
use crate::app::Traffik;

#[derive(Debug, Clone, Default)]
pub(crate) struct Around {
    /// The innermost router's, merged over those further out.
    pub(crate) traffik: Option<Traffik>,
    pub(super) marks: Marks,
}

/// Whether any request of this process has ever passed such a layer. Most programs have none, and reading
/// this is faster than searching a request's extensions. Relaxed is enough: whoever holds the request sees
/// what was stored before the request was handed on.
static IN_USE: AtomicBool = AtomicBool::new(false);

impl Around {
    #[inline]
    pub(crate) fn of(extensions: &Extensions) -> Option<&Self> {
        if IN_USE.load(Ordering::Relaxed) { extensions.get() } else { None }
    }

    /// Adds to what is left on the request.
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
