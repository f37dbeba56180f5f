//! [`OnCancel`]: what happens to a reservation that nobody settles.

/// What happens to a reservation that is dropped without [`settle`](crate::Reservation::settle) or
/// [`cancel`](crate::Reservation::cancel): the client went away, or the handler returned early or panicked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnCancel {
    /// It stays charged. Work that has begun has a cost, and a client that hangs up early must not get it
    /// for free.
    #[default]
    Keep,
    /// It is given back: at once if it was charged in memory, otherwise by a task on the runtime. For work
    /// that stops with the client.
    Refund,
}
