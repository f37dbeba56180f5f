//! [`ColdOption`]: an option that is rarely set.

use std::mem::ManuallyDrop;

/// A value that only few requests have. It is dropped out of line, so that its holder can be dropped
/// inline: a handler's future consists of several such holders, and each call to a drop function would take
/// a tenth of the time that an exempt request takes. It is also dropped by value: nobody takes the address
/// of the holder, so that a hit's future can live entirely in registers.
#[derive(Debug)]
pub(crate) struct ColdOption<T>(
    // Taken by the drop below, after which nothing reads it.
    ManuallyDrop<Option<T>>,
);

impl<T> ColdOption<T> {
    pub(crate) const fn none() -> Self {
        Self(ManuallyDrop::new(None))
    }

    pub(crate) const fn some(there: T) -> Self {
        Self(ManuallyDrop::new(Some(there)))
    }

    #[inline]
    #[cfg(feature = "axum")]
    pub(crate) fn get_mut(&mut self) -> Option<&mut T> {
        self.0.as_mut()
    }

    #[inline]
    pub(crate) fn take(&mut self) -> Option<T> {
        self.0.take()
    }
}

impl<T> Default for ColdOption<T> {
    #[inline]
    fn default() -> Self {
        Self::none()
    }
}

impl<T> Drop for ColdOption<T> {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(there) = self.0.take() {
            out_of_line(there);
        }
    }
}

#[cold]
#[inline(never)]
fn out_of_line<T>(there: T) {
    drop(there);
}
