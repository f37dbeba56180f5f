//! [`Outage`]: what a request comes to if its backend cannot decide.

/// The effect of an outage on a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Outage {
    /// It passes, uncounted.
    Pass,
    /// `503`, come back later.
    #[default]
    Unavailable,
    /// `500`.
    Raise,
}
