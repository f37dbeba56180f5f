//! Backends: where counters live, and what decides a batch of hits atomically.

pub(crate) mod context;
pub(crate) mod denials;
#[cfg(feature = "memory")]
pub(crate) mod memory;
#[cfg(feature = "redis")]
pub(crate) mod redis;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

pub use crate::error::BackendError;
use crate::identity::Who;
use crate::key;
use crate::policy::Policy;
#[cfg(feature = "memory")]
use crate::strategy::Taken;
use crate::strategy::{Ask, State};

/// A boxed future, for the paths where one may wait.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The default bound on one backend call: 100 ms.
pub const DEFAULT_DEADLINE: Duration = Duration::from_millis(100);

/// A store of counters that decides a batch of hits as one.
///
/// The contract, proven by `test_kit::conformance`:
///
/// - **All or nothing.** [`Op::Hit`] charges every hit of the batch, or none of them if one is
///   refused. Nothing is visible half-way to another call.
/// - **One step.** What is decided is what [`Strategy::step`](crate::strategy::Strategy::step)
///   says, taken once on each key's state. [`Hit::step`] takes it.
/// - **Distinct keys.** A batch never names a key twice.
/// - **An error is no verdict.** Return [`BackendError`] when the store cannot answer; never a
///   refusal.
/// - **Forgetting.** A state may be dropped once [`Verdict::keep_for`] has passed, and is within a
///   second of it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a backend",
    note = "use `MemoryBackend`, `RedisBackend`, or implement `traffik::Backend` for your own store"
)]
pub trait Backend: fmt::Debug + Send + Sync + 'static {
    /// A short word for logs and metrics: `memory`, `redis`.
    fn name(&self) -> &'static str;

    /// Decides a batch of hits.
    ///
    /// Dropping the future must leave nothing locked and nothing half-charged.
    fn decide<'a>(&'a self, op: Op, hits: &'a [Hit<'a>]) -> BoxFuture<'a, Result<Verdicts, BackendError>>;

    /// The same without waiting, for stores that never wait. `None` sends the caller to
    /// [`decide`](Backend::decide); a store answers either always or never here.
    fn decide_now(&self, op: Op, hits: &[Hit<'_>]) -> Option<Result<Verdicts, BackendError>> {
        let _ = (op, hits);
        None
    }

    /// Whether [`decide_now`](Backend::decide_now) answers.
    fn is_immediate(&self) -> bool {
        false
    }

    /// An answer to a hit or a check that is known already: a refusal that a cache in front of the
    /// store [remembers](crate::DenialCache). Asked first, and without waiting; `None` sends the caller
    /// on to [`decide`](Backend::decide).
    fn recall(&self, op: Op, hits: &[Hit<'_>]) -> Option<Verdicts> {
        let _ = (op, hits);
        None
    }

    /// What tells this store from others of its kind: two handles of one store say the same, such
    /// as the address of what they share. Hits on one store are decided in one call. `None`: every
    /// handle that became a [`SharedBackend`] by itself counts as a store of its own.
    fn store(&self) -> Option<usize> {
        None
    }

    /// The longest that one call may take; `None` for no bound.
    fn deadline(&self) -> Option<Duration> {
        Some(DEFAULT_DEADLINE)
    }
}

/// What to do with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Op {
    /// Charge the cost if it fits.
    Hit,
    /// Say whether it would fit, and change nothing.
    Check,
    /// Give the cost back: never above a full account, and never into a later window than the one
    /// that stood at `at` (microseconds since the Unix epoch; `None` is now).
    Refund {
        /// When the charge was made.
        at: Option<u64>,
    },
    /// Correct what was charged at `at` to what was used in the end. A hit that
    /// [gives back](Hit::gives_back) is a refund; any other takes as much of its cost as there is
    /// room for, now, and is never refused: [`Verdict::admitted`] is always true, and
    /// [`Verdict::wait`] counts the units that found no room.
    ///
    /// Strategies are not asked this: [`Hit::step`] takes it as checks, hits and refunds.
    Settle {
        /// When the charge was made.
        at: u64,
    },
    /// Forget the key.
    Reset,
}

impl Op {
    /// Whether a step may change the state.
    #[must_use]
    pub const fn changes(self) -> bool {
        !matches!(self, Self::Check)
    }
}

/// One hit: a policy applied to one client.
#[derive(Clone, Copy)]
pub struct Hit<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) who: Who<'a>,
    pub(crate) scope: Option<&'a str>,
    pub(crate) cost: u64,
    pub(crate) hash: u64,
    /// Read in [`Op::Settle`] alone.
    pub(crate) back: bool,
    /// See [`Ask::gone_at`].
    pub(crate) gone_at: u64,
}

impl<'a> Hit<'a> {
    pub(crate) fn new(
        policy: &'a Policy,
        who: Who<'a>,
        who_hash: u64,
        scope: Option<&'a str>,
        cost: u64,
    ) -> Self {
        Self::keyed(policy, who, key::of(policy, who_hash, scope), scope, cost)
    }

    /// The same, where its whole key is known.
    pub(crate) fn keyed(
        policy: &'a Policy,
        who: Who<'a>,
        hash: u64,
        scope: Option<&'a str>,
        cost: u64,
    ) -> Self {
        Self { policy, who, scope, cost, hash, back: false, gone_at: u64::MAX }
    }

    /// The policy.
    #[must_use]
    pub fn policy(&self) -> &'a Policy {
        self.policy
    }

    /// The client.
    #[must_use]
    pub fn who(&self) -> Who<'a> {
        self.who
    }

    /// The throttle's extra part of the key.
    #[must_use]
    pub fn scope(&self) -> Option<&'a str> {
        self.scope
    }

    /// Units asked for, or given back.
    #[must_use]
    pub fn cost(&self) -> u64 {
        self.cost
    }

    /// In an [`Op::Settle`]: whether the cost is given back, rather than taken as far as there is room.
    #[must_use]
    pub fn gives_back(&self) -> bool {
        self.back
    }

    /// In a refund, or a settlement that [gives back](Self::gives_back): from when on nothing is left
    /// of the charge, in microseconds since the Unix epoch. See [`Ask::gone_at`].
    #[must_use]
    pub fn gone_at(&self) -> u64 {
        self.gone_at
    }

    /// The key as 64 bits: uid, policy, scope and identity under a secret of this process. For
    /// stores that live no longer than the process.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Takes the strategy's step on `state` at instant `now` (microseconds since the Unix epoch).
    #[inline]
    pub fn step(&self, op: Op, now: u64, state: &mut State) -> Verdict {
        if let Op::Settle { at } = op {
            return self.settle(at, now, state);
        }
        if let Some(account) = self.policy.account() {
            return account.step(state, op, now, self.cost, self.gone_at);
        }
        self.policy.strategy().step(state, &self.asked(op, now, self.cost))
    }

    /// Charges an account that is kept as two words; `None` where it would not be two words afterwards.
    #[inline(always)]
    #[cfg(feature = "memory")]
    pub(crate) fn renew(&self, now: u64, words: [u64; 2]) -> Option<(Verdict, [u64; 2])> {
        match self.policy.account() {
            Some(account) => Some(match account.hit(words, now, self.cost) {
                Ok(Taken { charged, words, .. }) => (account.tell(&charged), words),
                Err(charged) => (account.tell(&charged), words),
            }),
            None => self.renew_other(now, words),
        }
    }

    #[inline(never)]
    #[cfg(feature = "memory")]
    fn renew_other(&self, now: u64, words: [u64; 2]) -> Option<(Verdict, [u64; 2])> {
        let mut state = State::Words(words);
        let verdict = self.step(Op::Hit, now, &mut state);
        Some((verdict, state.words()?))
    }

    #[inline]
    fn asked(&self, op: Op, now: u64, cost: u64) -> Ask<'a> {
        Ask {
            op,
            now,
            rate: self.policy.rate(),
            cost,
            who: self.who,
            phase: self.phase(),
            gone_at: self.gone_at,
        }
    }

    /// [`Op::Settle`], in the steps that every strategy knows.
    #[cold]
    fn settle(&self, at: u64, now: u64, state: &mut State) -> Verdict {
        let strategy = self.policy.strategy();
        if self.back {
            return strategy.step(state, &self.asked(Op::Refund { at: Some(at) }, now, self.cost));
        }
        let room = strategy.step(state, &self.asked(Op::Check, now, self.cost));
        let fits = if room.admitted { self.cost } else { room.remaining.min(self.cost) };
        let taken = match fits {
            0 => Verdict { admitted: false, ..room },
            fits => strategy.step(state, &self.asked(Op::Hit, now, fits)),
        };
        let missing = self.cost - if taken.admitted { fits } else { 0 };
        Verdict { admitted: true, wait: missing, ..taken }
    }

    /// See [`Ask::phase`].
    #[inline]
    pub(crate) fn phase(&self) -> u64 {
        if self.policy.staggered() { key::stable(self.policy.uid(), &self.who) } else { 0 }
    }
}

/// Shows neither identity nor scope.
impl fmt::Debug for Hit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hit").field("policy", &self.policy).field("cost", &self.cost).finish_non_exhaustive()
    }
}

/// What a step came to. Units of cost, and microseconds.
///
/// The default is a refusal of an account that holds nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the cost fitted.
    pub admitted: bool,
    /// The most that a full account holds.
    pub limit: u64,
    /// What is taken after the step, rounded up.
    pub used: u64,
    /// What can still be taken at once after the step.
    pub remaining: u64,
    /// 0 when admitted (see [`Op::Settle`] for its own meaning there); else how long until the same step would be, with no other traffic;
    /// [`Verdict::NEVER`] if waiting can't help.
    pub wait: u64,
    /// How long until the account is full again.
    pub reset_after: u64,
    /// How long the state still matters; 0 when it may be dropped at once.
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdicts {
    /// The instant of the decision by the store's clock, in microseconds since the Unix epoch.
    pub now: u64,
    /// One verdict a hit.
    pub each: SmallVec<[Verdict; 2]>,
}

impl Verdicts {
    /// Verdicts made at `now`.
    pub fn new(now: u64, each: impl IntoIterator<Item = Verdict>) -> Self {
        Self { now, each: each.into_iter().collect() }
    }

    /// Whether every hit was admitted.
    #[must_use]
    pub fn admitted(&self) -> bool {
        self.each.iter().all(|verdict| verdict.admitted)
    }
}

/// A cheap handle on any backend.
#[derive(Clone)]
pub struct SharedBackend(Repr);

#[derive(Clone)]
enum Repr {
    #[cfg(feature = "memory")]
    Memory(memory::MemoryBackend),
    Other(Arc<dyn Backend>),
}

impl SharedBackend {
    /// Shares a backend that already stands behind an `Arc`.
    #[must_use]
    pub fn from_arc(backend: Arc<dyn Backend>) -> Self {
        Self(Repr::Other(backend))
    }

    /// The backend itself.
    #[must_use]
    pub fn get(&self) -> &dyn Backend {
        match &self.0 {
            #[cfg(feature = "memory")]
            Repr::Memory(memory) => memory,
            Repr::Other(other) => &**other,
        }
    }

    /// The backend's name.
    #[inline]
    pub(crate) fn name(&self) -> &'static str {
        match &self.0 {
            #[cfg(feature = "memory")]
            Repr::Memory(_) => memory::MemoryBackend::NAME,
            Repr::Other(other) => other.name(),
        }
    }

    #[inline]
    pub(crate) fn decide_now(&self, op: Op, hits: &[Hit<'_>]) -> Option<Result<Verdicts, BackendError>> {
        match &self.0 {
            // Named, so that the most used path is a direct call.
            #[cfg(feature = "memory")]
            Repr::Memory(memory) => Some(Ok(memory.decide_at_once(op, hits))),
            Repr::Other(other) => other.decide_now(op, hits),
        }
    }

    /// The in-memory store, if that is what it is: immediate, and without failures.
    #[inline]
    #[cfg(feature = "memory")]
    pub(crate) fn memory(&self) -> Option<&memory::MemoryBackend> {
        match &self.0 {
            Repr::Memory(memory) => Some(memory),
            Repr::Other(_) => None,
        }
    }

    /// Decides a single hit, on a backend that is immediate.
    pub(crate) fn decide_one(&self, op: Op, hit: &Hit<'_>) -> Result<Verdict, BackendError> {
        match &self.0 {
            #[cfg(feature = "memory")]
            Repr::Memory(memory) => Ok(memory.decide_one(op, hit).1),
            Repr::Other(_) => {
                let mut verdicts = Verdicts { now: 0, each: SmallVec::new() };
                self.decide_into(op, std::slice::from_ref(hit), &mut verdicts)?;
                let none = || BackendError::new("a backend answered no verdict to a hit");
                verdicts.each.first().copied().ok_or_else(none)
            }
        }
    }

    /// Decides into `verdicts`, on a backend that is immediate.
    #[inline]
    pub(crate) fn decide_into(
        &self,
        op: Op,
        hits: &[Hit<'_>],
        verdicts: &mut Verdicts,
    ) -> Result<(), BackendError> {
        match &self.0 {
            #[cfg(feature = "memory")]
            Repr::Memory(memory) => memory.decide_into(op, hits, verdicts),
            Repr::Other(other) => {
                let broken =
                    || BackendError::new("a backend that is_immediate() gave no answer from decide_now()");
                *verdicts = other.decide_now(op, hits).ok_or_else(broken)??;
            }
        }
        Ok(())
    }

    #[inline]
    pub(crate) fn is_immediate(&self) -> bool {
        match &self.0 {
            #[cfg(feature = "memory")]
            Repr::Memory(_) => true,
            Repr::Other(other) => other.is_immediate(),
        }
    }

    /// Whether this is the in-memory store: immediate, and without failures.
    #[inline]
    pub(crate) fn is_memory(&self) -> bool {
        match &self.0 {
            #[cfg(feature = "memory")]
            Repr::Memory(_) => true,
            Repr::Other(_) => false,
        }
    }

    /// Whether both handles lead to one backend.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            #[cfg(feature = "memory")]
            (Repr::Memory(a), Repr::Memory(b)) => a.same(b),
            (Repr::Other(a), Repr::Other(b)) => {
                Arc::ptr_eq(a, b) || (a.store().is_some() && a.store() == b.store() && a.name() == b.name())
            }
            #[cfg(feature = "memory")]
            _ => false,
        }
    }

    /// Runs a future with this backend as its context: dynamic throttles inside it count here.
    /// Scopes nest, and the inner one wins. A task spawned inside does not inherit it.
    pub fn scope<F: Future>(&self, future: F) -> context::Scope<F> {
        context::Scope::new(self.clone(), future)
    }
}

impl<B: Backend> From<B> for SharedBackend {
    fn from(backend: B) -> Self {
        #[cfg(feature = "memory")]
        if let Some(memory) = (&backend as &dyn std::any::Any).downcast_ref::<memory::MemoryBackend>() {
            return Self(Repr::Memory(memory.clone()));
        }
        Self(Repr::Other(Arc::new(backend)))
    }
}

impl From<&Self> for SharedBackend {
    fn from(backend: &Self) -> Self {
        backend.clone()
    }
}

impl fmt::Debug for SharedBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}
