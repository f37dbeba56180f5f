//! [`Attempt::now`] and its like: operations without a future, for code that is not async.

use super::{Attempt, Check, StatOf};
use crate::backend::Op;
use crate::decision::{Decision, Stat};
use crate::error::Error;
use crate::pipeline::{self, Entry};
#[cfg(feature = "memory")]
use crate::pipeline::{AdmittedHit, HitContinuation};

impl Attempt<'_> {
    /// Charges the hit at once, for code that is not async. This is possible where the
    /// throttle counts in memory and its functions of the request are not async.
    ///
    /// # Errors
    /// Same as awaiting the hit. Fails if something would have to wait; nothing is charged then.
    ///
    /// ```
    /// use traffik::{MemoryBackend, Throttle};
    ///
    /// let mail = Throttle::builder("docs:now:mail").rate("2/hour").backend(MemoryBackend::new()).build()?;
    /// let allowed = [(); 3].map(|()| mail.hit("ann").now().map(|decision| decision.is_allowed()));
    /// assert!(matches!(allowed, [Ok(true), Ok(true), Ok(false)]));
    /// # Ok::<(), traffik::Error>(())
    /// ```
    #[inline]
    pub fn now(self) -> Result<Decision, Error> {
        let Self { throttle, subject, units } = self;
        match subject.into_plain() {
            Ok(client) => {
                #[cfg(feature = "memory")]
                if let Some(hit) = pipeline::fast_hit(throttle, client, units) {
                    return hit.charge(AsResult);
                }
                pipeline::decide_at_once(Entry::new(throttle), client.into(), Op::Hit, units)
            }
            Err(subject) => pipeline::decide_at_once(Entry::new(throttle), subject, Op::Hit, units),
        }
    }
}

impl Check<'_> {
    /// Checks the hit at once, for code that is not async; see [`Attempt::now`].
    ///
    /// # Errors
    /// Same as [`Attempt::now`].
    pub fn now(self) -> Result<Decision, Error> {
        pipeline::decide_at_once(Entry::new(self.throttle), self.subject, Op::Check, self.units)
    }
}

impl StatOf<'_> {
    /// Queries the state of the account at once, for code that is not async; see [`Attempt::now`].
    ///
    /// # Errors
    /// Same as [`Attempt::now`].
    pub fn now(self) -> Result<Option<Stat>, Error> {
        let account = Entry::account(self.throttle);
        let decision = pipeline::decide_at_once(account, self.subject, Op::Check, self.units)?;
        Ok(decision.stat().cloned())
    }
}

/// Turns an outcome into a result.
#[cfg(feature = "memory")]
pub(super) struct AsResult;

#[cfg(feature = "memory")]
impl HitContinuation for AsResult {
    type Output = Result<Decision, Error>;

    #[inline(always)]
    fn admitted(self, hit: AdmittedHit<'_>) -> Self::Output {
        Ok(Decision::Allowed(hit.stat()))
    }

    #[inline(always)]
    fn decided(self, decision: Decision) -> Self::Output {
        Ok(decision)
    }
}
