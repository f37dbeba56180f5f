//! [`Seldom`]: an option that is seldom there.

use std::mem::ManuallyDrop;

/// What only few requests have. It is dropped out of line, so that whatever holds one is dropped in line: a
/// handler's future is made up of several, and each call of a drop takes as long as a tenth of an exemption. It
/// is dropped by value, too: nobody is given the address of whoever holds it, so that a hit's future may be no
/// more than registers.
#[derive(Debug)]
pub(crate) struct Seldom<T>(
    // Taken by the drop below: nothing is left to be looked at after it.
    ManuallyDrop<Option<T>>,
);

impl<T> Seldom<T> {
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

impl<T> Default for Seldom<T> {
    #[inline]
    fn default() -> Self {
        Self::none()
    }
}

impl<T> Drop for Seldom<T> {
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
