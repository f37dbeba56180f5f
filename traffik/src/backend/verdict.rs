//! [`Verdict`] and [`Verdicts`]: the outcome of a hit, and of a batch of hits.

use std::time::Duration;

use smallvec::SmallVec;

use super::{Backend, BackendError, Hit};

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

/// The verdicts of one batch, in the order of its hits.
///
/// If any hit is refused, nothing was charged, and the other verdicts describe the accounts as they stood.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdicts {
    /// The instant of the decision by the store's clock, in microseconds since the Unix epoch.
    pub now: u64,
    /// One verdict per hit.
    pub(crate) each: SmallVec<[Verdict; 2]>,
    /// The instant of each verdict, if they were made one after the other.
    instants: Vec<u64>,
}

impl Verdicts {
    /// Creates verdicts made at `now`.
    pub fn new(now: u64, each: impl IntoIterator<Item = Verdict>) -> Self {
        Self { now, each: each.into_iter().collect(), instants: Vec::new() }
    }

    /// Adds the next hit's verdict.
    pub fn push(&mut self, verdict: Verdict) {
        self.each.push(verdict);
    }

    /// Returns the verdicts, one per hit.
    #[must_use]
    pub fn each(&self) -> &[Verdict] {
        &self.each
    }

    /// Returns the verdicts for modification: in a refused batch, hits with room are reported as their accounts
    /// stand.
    pub fn each_mut(&mut self) -> &mut [Verdict] {
        &mut self.each
    }

    /// Whether every hit was admitted.
    #[must_use]
    pub fn admitted(&self) -> bool {
        self.each.iter().all(|verdict| verdict.admitted)
    }

    /// Creates verdicts that were made one after the other.
    #[cfg(feature = "redis-cluster")]
    pub(crate) fn one_by_one(each: impl IntoIterator<Item = (u64, Verdict)>) -> Self {
        let (instants, each): (Vec<u64>, _) = each.into_iter().unzip();
        Self { now: instants.iter().copied().min().unwrap_or_default(), each, instants }
    }

    /// Returns when the hit at this index was decided.
    pub(crate) fn instant(&self, place: usize) -> u64 {
        self.instants.get(place).copied().unwrap_or(self.now)
    }

    /// Returns the verdicts if there is one for each hit: a hit that was not decided must not pass.
    ///
    /// # Errors
    /// Fails when there are fewer or more.
    pub(crate) fn checked(self, backend: &dyn Backend, hits: &[Hit<'_>]) -> Result<Self, BackendError> {
        if self.each.len() == hits.len() {
            return Ok(self);
        }
        Err(BackendError::new(format!(
            "the {} backend returned {} verdicts for {} hits",
            backend.name(),
            self.each.len(),
            hits.len()
        )))
    }
}
