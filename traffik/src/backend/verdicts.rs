//! [`Verdicts`]: the outcome of a batch of hits.

use smallvec::SmallVec;

use super::{Backend, BackendError, Hit, Verdict};

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
