//! [`Verdict`] and [`Verdicts`]: what came of a hit, and of a batch of them.

use std::time::Duration;

use smallvec::SmallVec;

use super::{Backend, BackendError, Hit};

/// What a step came to: amounts in units of cost, spans in microseconds.
///
/// The default is a refusal of an account that holds nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the cost fitted.
    pub admitted: bool,
    /// The most that a full account holds. Units.
    pub limit: u64,
    /// What is taken after the step, rounded up. Units; above `limit` in debt.
    pub used: u64,
    /// What can still be taken at once after the step. Units.
    pub remaining: u64,
    /// 0 when admitted; else how long until the same step would be, with no other traffic, and
    /// [`Verdict::NEVER`] if waiting can't help. Microseconds. In [`Op::Settle`](super::Op::Settle) units that found no
    /// room.
    pub wait: u64,
    /// How long until the account is full again. Microseconds.
    pub reset_after: u64,
    /// How long the state still matters; 0 when it may be dropped at once. Microseconds.
    pub keep_for: u64,
}

impl Verdict {
    /// A [`wait`](Verdict::wait) without end.
    pub const NEVER: u64 = u64::MAX;

    /// The wait as a duration; `None` when waiting can't help.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        (self.wait != Self::NEVER).then(|| Duration::from_micros(self.wait))
    }
}

/// The verdicts of one batch, in the order of its hits.
///
/// When any is refused nothing was charged, and the others describe the account as it stood.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdicts {
    /// The instant of the decision by the store's clock, in microseconds since the Unix epoch.
    pub now: u64,
    /// One verdict a hit.
    pub(crate) each: SmallVec<[Verdict; 2]>,
    /// The instant of each, where they were decided one after the other.
    instants: Vec<u64>,
}

impl Verdicts {
    /// Verdicts made at `now`.
    pub fn new(now: u64, each: impl IntoIterator<Item = Verdict>) -> Self {
        Self { now, each: each.into_iter().collect(), instants: Vec::new() }
    }

    /// Adds the next hit's.
    pub fn push(&mut self, verdict: Verdict) {
        self.each.push(verdict);
    }

    /// One verdict a hit.
    #[must_use]
    pub fn each(&self) -> &[Verdict] {
        &self.each
    }

    /// The same, to be changed: of a refused batch the hits with room are told as they stand.
    pub fn each_mut(&mut self) -> &mut [Verdict] {
        &mut self.each
    }

    /// Whether every hit was admitted.
    #[must_use]
    pub fn admitted(&self) -> bool {
        self.each.iter().all(|verdict| verdict.admitted)
    }

    /// Verdicts that were made one after the other.
    #[cfg(feature = "redis-cluster")]
    pub(crate) fn one_by_one(each: impl IntoIterator<Item = (u64, Verdict)>) -> Self {
        let (instants, each): (Vec<u64>, _) = each.into_iter().unzip();
        Self { now: instants.iter().copied().min().unwrap_or_default(), each, instants }
    }

    /// When the hit at this place was decided.
    pub(crate) fn instant(&self, place: usize) -> u64 {
        self.instants.get(place).copied().unwrap_or(self.now)
    }

    /// These, if there is one for each of the hits: a hit that nobody decided must not pass.
    ///
    /// # Errors
    /// When there are fewer or more.
    pub(crate) fn checked(self, backend: &dyn Backend, hits: &[Hit<'_>]) -> Result<Self, BackendError> {
        if self.each.len() == hits.len() {
            return Ok(self);
        }
        Err(BackendError::new(format!(
            "the {} backend answered {} verdicts to {} hits",
            backend.name(),
            self.each.len(),
            hits.len()
        )))
    }
}
