//! [`Around`]: what the layers around a place have left on a request.
//!
//! One extension for all of it, so that a place learns in a single look-up that there are none.

use http::Extensions;

use super::marks::Marks;
use crate::app::Traffik;

#[derive(Debug, Clone, Default)]
pub(crate) struct Around {
    /// The innermost router's.
    pub(crate) traffik: Option<Traffik>,
    pub(super) marks: Marks,
}

impl Around {
    #[inline]
    pub(crate) fn of(extensions: &Extensions) -> Option<&Self> {
        extensions.get()
    }

    pub(super) fn of_mut(extensions: &mut Extensions) -> Option<&mut Self> {
        extensions.get_mut()
    }

    /// Leaves more.
    pub(super) fn leave(extensions: &mut Extensions, leave: impl FnOnce(&mut Self)) {
        match extensions.get_mut::<Self>() {
            Some(there) => leave(there),
            None => {
                let mut first = Self::default();
                leave(&mut first);
                extensions.insert(first);
            }
        }
    }
}
