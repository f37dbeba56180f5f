//! [`PaidErrors`]: the errors of the work after which it is still paid for.

use super::BoxError;

/// The argument of [`apply_on_error`](super::Quota::apply_on_error): `true` for all errors, `false` for
/// none (the default), or a function that decides for each error.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not specify which errors are charged for",
    note = "pass `true` to charge for all errors, or a closure that names its argument's type: `|error: &BoxError| error.is::<Timeout>()`"
)]
pub trait PaidErrors: Send + Sync {
    /// Returns whether work that ended with this error is paid for.
    fn pays(&self, error: &BoxError) -> bool;
}

impl PaidErrors for bool {
    fn pays(&self, _: &BoxError) -> bool {
        *self
    }
}

impl<F: Fn(&BoxError) -> bool + Send + Sync> PaidErrors for F {
    fn pays(&self, error: &BoxError) -> bool {
        self(error)
    }
}
