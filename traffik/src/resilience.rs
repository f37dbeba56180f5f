//! What happens when a backend fails: never a refusal, always what [`OnError`] says.
//!
//! - `ask.rs`: one call within its deadline, with the retries that are configured; `retry.rs`, one folder up, says how
//!   long to wait before each
//! - `breaker.rs`: when not to call at all
//!
//! The pipeline decides which backend a hit goes to next (`pipeline/charge.rs`).

mod ask;
mod breaker;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use ask::{ask, call};
pub(crate) use breaker::Permits;
pub use breaker::{BreakerState, CircuitBreaker, CircuitBreakerBuilder};

use crate::backend::SharedBackend;
use crate::outage::Outage;
use crate::retry::Retry;

/// What to do when the backend cannot decide.
///
/// Either a final outcome ([`allow`](Self::allow), [`throttle`](Self::throttle), [`raise`](Self::raise)),
/// or first something that may still help, in this order:
///
/// 1. a [`breaker`](Self::breaker) stops calling a backend that keeps failing: no call, no timeout;
/// 2. [`retry`](Self::retry) asks the same backend again;
/// 3. [`fallback`](Self::fallback) asks another one;
/// 4. if nothing has helped, the final outcome applies: [`throttle`](Self::throttle), unless
///    [`or`](Self::or) sets another.
///
/// ```
/// # use std::time::Duration;
/// use traffik::{CircuitBreaker, MemoryBackend, OnError};
///
/// let policy = OnError::failover(MemoryBackend::new())
///     .breaker(CircuitBreaker::builder().failure_threshold(3).cool_down(Duration::from_secs(2)).build())
///     .or(OnError::allow());
/// # let _ = policy;
/// ```
///
/// Clones share the breaker and the fallback. The breaker of a policy that is given to many throttles, or
/// to the app ([`TraffikBuilder::on_error`](crate::TraffikBuilder::on_error)), therefore opens for all of
/// them at once.
///
/// # Stacked throttles
///
/// Throttles that share a backend are decided in one call, all or nothing. If it fails, each of them
/// continues as its own policy says. Those that then share a fallback are again decided in one call, and a
/// refusal there still charges none of them. A shared call is retried only if every throttle in it asks for
/// that, and only as often as the one with the fewest retries.
#[derive(Clone)]
pub struct OnError(Repr);

#[derive(Clone)]
enum Repr {
    Word(Outage),
    Policy(Arc<FailurePolicy>),
}

#[derive(Clone, Default)]
struct FailurePolicy {
    retry: Option<Retry>,
    breaker: Option<CircuitBreaker>,
    fallbacks: Vec<SharedBackend>,
    last: Outage,
}

impl OnError {
    /// Lets the request pass uncounted (fail-open).
    #[must_use]
    pub const fn allow() -> Self {
        Self(Repr::Word(Outage::Pass))
    }

    /// Rejects the request with `503` and `Retry-After` (fail-closed). The default.
    #[must_use]
    pub const fn throttle() -> Self {
        Self(Repr::Word(Outage::Unavailable))
    }

    /// Responds with `500`.
    #[must_use]
    pub const fn raise() -> Self {
        Self(Repr::Word(Outage::Raise))
    }

    /// Decides the request on another backend, which counts separately: a client can use its limit once on
    /// each. As long as the first backend is down, each request waits for it to fail; see
    /// [`failover`](Self::failover).
    ///
    /// A hit that the first backend charged before it failed to answer is charged on both.
    #[must_use]
    pub fn fallback(backend: impl Into<SharedBackend>) -> Self {
        Self::policy(FailurePolicy { fallbacks: vec![backend.into()], ..FailurePolicy::default() })
    }

    /// A [`fallback`](Self::fallback) behind a [`CircuitBreaker`] with default settings: once the first
    /// backend has failed often enough, requests go straight to the other, and an occasional request tests
    /// whether the first is back.
    #[must_use]
    pub fn failover(backend: impl Into<SharedBackend>) -> Self {
        Self::fallback(backend).breaker(CircuitBreaker::new())
    }

    /// Retries up to `times` times, after random waits that double on average (10 ms at most before the
    /// first retry; see [`backoff`](Self::backoff)).
    ///
    /// All tries together stay within the backend's deadline, so a call that timed out is not repeated. **A
    /// failed call may have been carried out: a repeated hit can be charged twice.** Nothing is repeated
    /// without this setting, and refunds and settlements are never repeated.
    #[must_use]
    pub fn retry(times: u32) -> Self {
        Self::policy(FailurePolicy {
            retry: (times > 0).then(|| Retry::new(times)),
            ..FailurePolicy::default()
        })
    }

    /// Sets the longest wait before the first retry; each further wait may be twice as long.
    #[must_use]
    pub fn backoff(self, first: Duration) -> Self {
        let mut policy = self.into_policy();
        if let Some(retry) = &mut policy.retry {
            retry.first = first;
        }
        Self::policy(policy)
    }

    /// Stops calling the backend while this breaker is open. Use a breaker for one backend only: the
    /// failures of one are no reason to avoid another.
    #[must_use]
    pub fn breaker(self, breaker: CircuitBreaker) -> Self {
        Self::policy(FailurePolicy { breaker: Some(breaker), ..self.into_policy() })
    }

    /// Sets what to do if all of this has not helped.
    ///
    /// Retries add up, and fallbacks are asked in turn. Of two breakers the first is kept, and of two final
    /// outcomes the second.
    #[must_use]
    pub fn or(self, next: Self) -> Self {
        let (first, next) = (self.into_policy(), next.into_policy());
        let retry = match (first.retry, next.retry) {
            (Some(first), Some(next)) => {
                Some(Retry { times: first.times.saturating_add(next.times), ..first })
            }
            (first, next) => first.or(next),
        };
        Self::policy(FailurePolicy {
            retry,
            breaker: first.breaker.or(next.breaker),
            fallbacks: first.fallbacks.into_iter().chain(next.fallbacks).collect(),
            last: next.last,
        })
    }

    fn policy(policy: FailurePolicy) -> Self {
        if policy.retry.is_none() && policy.breaker.is_none() && policy.fallbacks.is_empty() {
            return Self(Repr::Word(policy.last));
        }
        Self(Repr::Policy(Arc::new(policy)))
    }

    fn into_policy(self) -> FailurePolicy {
        match self.0 {
            Repr::Word(last) => FailurePolicy { last, ..FailurePolicy::default() },
            Repr::Policy(policy) => Arc::unwrap_or_clone(policy),
        }
    }

    fn get(&self) -> Option<&FailurePolicy> {
        match &self.0 {
            Repr::Word(_) => None,
            Repr::Policy(policy) => Some(policy),
        }
    }

    /// Whether a failure is handled without another call.
    pub(crate) fn is_word(&self) -> bool {
        self.get().is_none()
    }

    /// The final outcome.
    pub(crate) fn outage(&self) -> Outage {
        match &self.0 {
            Repr::Word(outage) => *outage,
            Repr::Policy(policy) => policy.last,
        }
    }

    pub(crate) fn retries(&self) -> Option<Retry> {
        self.get()?.retry
    }

    fn guard(&self) -> Option<&CircuitBreaker> {
        self.get()?.breaker.as_ref()
    }

    /// The backend to ask once `failed` of the fallbacks have failed as well.
    pub(crate) fn next(&self, failed: usize) -> Option<&SharedBackend> {
        self.get()?.fallbacks.get(failed)
    }
}

impl Default for OnError {
    fn default() -> Self {
        Self::throttle()
    }
}

/// Policies are equal if they do the same with the same backends and the same breaker.
impl PartialEq for OnError {
    fn eq(&self, other: &Self) -> bool {
        let (one, two) = match (self.get(), other.get()) {
            (None, None) => return self.outage() == other.outage(),
            (Some(one), Some(two)) => (one, two),
            _ => return false,
        };
        let breakers = match (&one.breaker, &two.breaker) {
            (Some(one), Some(two)) => one.same(two),
            (one, two) => one.is_none() && two.is_none(),
        };
        let mut fallbacks = one.fallbacks.iter().zip(&two.fallbacks);
        breakers
            && one.retry == two.retry
            && one.last == two.last
            && one.fallbacks.len() == two.fallbacks.len()
            && fallbacks.all(|(one, two)| one.same(two))
    }
}

impl Eq for OnError {}

impl fmt::Debug for OnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("OnError");
        if let Some(policy) = self.get() {
            shown
                .field("breaker", &policy.breaker)
                .field("retry", &policy.retry)
                .field("fallbacks", &policy.fallbacks);
        }
        shown.field("last", &self.outage()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up_and_the_last_word_is_the_last() {
        assert_eq!(OnError::default(), OnError::throttle());
        assert_eq!(OnError::retry(0), OnError::throttle(), "nothing to do is the word alone");
        assert_eq!(OnError::retry(2).or(OnError::retry(3)), OnError::retry(5));
        assert_eq!(OnError::retry(2).outage(), Outage::Unavailable);
        assert_eq!(OnError::retry(2).or(OnError::allow()).outage(), Outage::Pass);
        assert_eq!(OnError::allow().or(OnError::retry(2)), OnError::retry(2));
        assert_ne!(OnError::retry(2), OnError::retry(2).or(OnError::allow()));
        assert_ne!(OnError::retry(2), OnError::retry(2).backoff(Duration::ZERO));
        let at_once = OnError::retry(2).backoff(Duration::ZERO);
        assert_eq!(at_once.or(OnError::retry(3)), OnError::retry(5).backoff(Duration::ZERO));
        let breaker = CircuitBreaker::new();
        let guarded = OnError::raise().breaker(breaker.clone());
        assert!(guarded.guard().is_some_and(|guard| guard.same(&breaker)));
        assert_eq!(guarded.outage(), Outage::Raise);
        assert_eq!(guarded, guarded.clone());
        assert_ne!(guarded, OnError::raise().breaker(CircuitBreaker::new()));
        assert_ne!(OnError::retry(2).breaker(breaker.clone()), OnError::retry(2));
        let both = guarded.or(OnError::throttle().breaker(CircuitBreaker::new()));
        assert!(both.guard().is_some_and(|guard| guard.same(&breaker)), "the first one's");
    }

    #[cfg(feature = "memory")]
    #[test]
    fn fallbacks_come_in_turn() {
        let [one, two] = [0, 1].map(|_| SharedBackend::from(crate::MemoryBackend::new()));
        let policy = OnError::failover(&one).or(OnError::fallback(&two)).or(OnError::raise());
        assert!(policy.next(0).is_some_and(|next| next.same(&one)));
        assert!(policy.next(1).is_some_and(|next| next.same(&two)));
        assert!(policy.next(2).is_none() && policy.guard().is_some());
        assert_eq!(policy, policy.clone());
        let (one, two) = (OnError::fallback(&one), OnError::fallback(&two));
        assert_ne!(one, two);
        assert_ne!(one, one.clone().or(two));
    }
}
