//! [`Verdict`]: the outcome of a step.

use std::time::Duration;

/// The outcome of a step: amounts in units of cost, durations in microseconds.
///
/// The default is a refusal of an account that holds nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the cost fitted.
    pub admitted: bool,
    /// The most that a full account holds. Units.
    pub limit: u64,
    /// What is used after the step, rounded up. Units; above `limit` in debt.
    pub used: u64,
    /// What can still be taken immediately after the step. Units.
    pub remaining: u64,
    /// 0 if admitted. Otherwise how long until the same step would be admitted, without other traffic, or
    /// [`Verdict::NEVER`] if waiting can't help. Microseconds. In an [`Op::Settle`](super::Op::Settle), the
    /// units that found no room.
    pub wait: u64,
    /// How long until the account is full again. Microseconds.
    pub reset_after: u64,
    /// How long the state still matters; 0 if it may be dropped immediately. Microseconds.
    pub keep_for: u64,
}

impl Verdict {
    /// An endless [`wait`](Verdict::wait).
    pub const NEVER: u64 = u64::MAX;

    /// Returns the wait as a duration, or `None` if waiting can't help.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        (self.wait != Self::NEVER).then(|| Duration::from_micros(self.wait))
    }
}
