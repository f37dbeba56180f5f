//! [`Attempt::now`] and its like: operations without a future, for code that is not async.

use super::{Attempt, Check, StatOf};
use crate::backend::Op;
use crate::decision::{Decision, Stat};
use crate::error::Error;
use crate::pipeline::{self, Entry};
#[cfg(feature = "memory")]
use crate::pipeline::{AdmittedHit, HitContinuation};
use crate::subject::Subject;
use crate::throttle::Throttle;

impl Attempt<'_> {
    /// Charges the hit at once, for code that is not async. This is possible where the throttle counts in memory, or
    /// on another backend that [never waits](crate::Backend::is_immediate), and its functions of the request are not
    /// async. A backend that is looked up for each request may be any.
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
    // Inlined into the caller, which knows what the subject is.
    #[inline(always)]
    pub fn now(self) -> Result<Decision, Error> {
        let Self { throttle, subject, units } = self;
        let subject = match subject.into_plain() {
            Ok(client) => {
                #[cfg(feature = "memory")]
                if let Some(hit) = pipeline::fast_hit(throttle, client, units) {
                    return hit.charge(AsResult);
                }
                client.into()
            }
            Err(subject) => subject,
        };
        decide(Entry::new(throttle), subject, Op::Hit, units)
    }
}

impl Check<'_> {
    /// Checks the hit at once, for code that is not async; see [`Attempt::now`].
    ///
    /// # Errors
    /// Same as [`Attempt::now`].
    pub fn now(self) -> Result<Decision, Error> {
        decide(Entry::new(self.throttle), self.subject, Op::Check, self.units)
    }
}

impl StatOf<'_> {
    /// Queries the state of the account at once, for code that is not async; see [`Attempt::now`].
    ///
    /// # Errors
    /// Same as [`Attempt::now`].
    pub fn now(self) -> Result<Option<Stat>, Error> {
        let decision = decide(Entry::account(self.throttle), self.subject, Op::Check, self.units)?;
        Ok(decision.stat().cloned())
    }
}

#[inline(always)]
fn decide(entry: Entry<'_>, subject: Subject<'_>, op: Op, units: Option<u64>) -> Result<Decision, Error> {
    let throttle = entry.throttle;
    match pipeline::decide_at_once(entry, subject, op, units) {
        Some(decision) => decision,
        None => Err(not_at_once(throttle)),
    }
}

#[cold]
fn not_at_once(throttle: &Throttle) -> Error {
    Error::configuration(format!(
        "throttle {:?} can't decide at once: its backend or a function of the request may have to wait, or its backend \
         depends on the request; await the call instead",
        throttle.uid()
    ))
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
