//! [`Hit`]: one policy applied to one client, and the step that it takes.

use std::fmt;

use super::{Op, Verdict};
use crate::identity::{Identity, Who};
use crate::key;
use crate::policy::Policy;
#[cfg(feature = "memory")]
use crate::strategy::AdmittedStep;
use crate::strategy::{Ask, State};

/// One hit: a policy applied to one client.
#[derive(Clone, Copy)]
pub struct Hit<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) who: Who<'a>,
    pub(crate) scope: Option<&'a str>,
    pub(crate) cost: u64,
    pub(crate) hash: u64,
    /// Only used in [`Op::Settle`].
    pub(crate) back: bool,
    /// When the refunded charge was made, if that is known for each hit.
    pub(crate) charged_at: Option<u64>,
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
        Self::keyed(policy, who, key::of(policy.seed(), who_hash, scope), scope, cost)
    }

    /// Like [`new`](Self::new), for a hit whose whole key is known.
    pub(crate) fn keyed(
        policy: &'a Policy,
        who: Who<'a>,
        hash: u64,
        scope: Option<&'a str>,
        cost: u64,
    ) -> Self {
        Self { policy, who, scope, cost, hash, back: false, charged_at: None, gone_at: u64::MAX }
    }

    /// Returns the policy.
    #[must_use]
    pub fn policy(&self) -> &'a Policy {
        self.policy
    }

    /// Returns the client.
    #[must_use]
    pub fn who(&self) -> Who<'a> {
        self.who
    }

    /// Returns the throttle's extra part of the key.
    #[must_use]
    pub fn scope(&self) -> Option<&'a str> {
        self.scope
    }

    /// Returns the units requested or refunded.
    #[must_use]
    pub fn cost(&self) -> u64 {
        self.cost
    }

    /// In an [`Op::Settle`]: whether the cost is refunded, rather than charged as far as there is room.
    #[must_use]
    pub fn gives_back(&self) -> bool {
        self.back
    }

    /// In a refund, or a settlement that [gives back](Self::gives_back): the instant from which nothing of
    /// the charge is left, in microseconds since the Unix epoch. See [`Ask::gone_at`].
    #[must_use]
    pub fn gone_at(&self) -> u64 {
        self.gone_at
    }

    /// In a refund, or a settlement that [gives back](Self::gives_back): when the charge was made, in microseconds
    /// since the Unix epoch. It takes precedence over the instant that the [`Op`] gives for the whole batch, whose
    /// charges may have been made at different instants.
    #[must_use]
    pub fn charged_at(&self) -> Option<u64> {
        self.charged_at
    }

    /// Returns the key as 64 bits: uid, policy, scope and identity, hashed under a secret of this process. For stores
    /// that live no longer than the process.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Returns the key as bytes: uid, policy, scope and identity. The bytes are the same in every process,
    /// and never the same for two accounts. For stores that several processes share.
    ///
    /// The key contains the identity in plain text, of any length, and identities are often secret. Hash keys, with
    /// SHA-256 or the like, where they can be seen or have to be short. Their layout may change in a minor version.
    #[must_use]
    pub fn key(&self) -> Vec<u8> {
        key::bytes(self.policy.uid(), self.policy.tag(), self.scope, &self.who)
    }

    /// Applies the strategy's step to `state` at instant `now` (microseconds since the Unix epoch).
    #[inline]
    pub fn step(&self, op: Op, now: u64, state: &mut State) -> Verdict {
        let op = match op {
            Op::Settle { at } => return self.settle(self.charged_at.unwrap_or(at), now, state),
            Op::Refund { at } => Op::Refund { at: self.charged_at.or(at) },
            Op::Hit | Op::Check | Op::Reset => op,
        };
        if let Some(account) = self.policy.account() {
            return account.step(state, op, now, self.cost, self.gone_at);
        }
        self.policy.strategy().step(state, &self.ask(op, now, self.cost))
    }

    /// Charges an account that is stored as two words; `None` if the result would not be two words.
    #[inline(always)]
    #[cfg(feature = "memory")]
    pub(super) fn step_words(&self, now: u64, words: [u64; 2]) -> Option<(Verdict, [u64; 2])> {
        match self.policy.account() {
            Some(account) => Some(match account.hit(words, now, self.cost) {
                Ok(AdmittedStep { compact, words, .. }) => (account.full_verdict(&compact), words),
                Err(compact) => (account.full_verdict(&compact), words),
            }),
            None => self.step_words_by_strategy(now, words),
        }
    }

    #[inline(never)]
    #[cfg(feature = "memory")]
    fn step_words_by_strategy(&self, now: u64, words: [u64; 2]) -> Option<(Verdict, [u64; 2])> {
        let mut state = State::Words(words);
        let verdict = self.step(Op::Hit, now, &mut state);
        Some((verdict, state.words()?))
    }

    #[inline]
    fn ask(&self, op: Op, now: u64, cost: u64) -> Ask<'a> {
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

    /// [`Op::Settle`], composed of the steps that every strategy knows.
    #[cold]
    fn settle(&self, at: u64, now: u64, state: &mut State) -> Verdict {
        let strategy = self.policy.strategy();
        if self.back {
            return strategy.step(state, &self.ask(Op::Refund { at: Some(at) }, now, self.cost));
        }
        let room = strategy.step(state, &self.ask(Op::Check, now, self.cost));
        let fits = if room.admitted { self.cost } else { room.remaining.min(self.cost) };
        let taken = match fits {
            0 => Verdict { admitted: false, ..room },
            fits => strategy.step(state, &self.ask(Op::Hit, now, fits)),
        };
        let missing = self.cost - if taken.admitted { fits } else { 0 };
        Verdict { admitted: true, wait: missing, ..taken }
    }

    /// See [`Ask::phase`].
    #[inline]
    pub(super) fn phase(&self) -> u64 {
        if self.policy.staggered() { key::stable(self.policy.uid(), &self.who) } else { 0 }
    }
}

/// A hit that outlives its request.
#[derive(Debug, Clone)]
pub(crate) struct OwnedHit {
    pub(crate) policy: Policy,
    identity: Identity,
    scope: Option<String>,
    hash: u64,
    pub(crate) cost: u64,
    /// The instant from which nothing of it is left, once it has been charged.
    pub(crate) gone_at: u64,
}

impl From<&Hit<'_>> for OwnedHit {
    fn from(hit: &Hit<'_>) -> Self {
        Self {
            policy: hit.policy.clone(),
            identity: hit.who.to_identity(),
            scope: hit.scope.map(Into::into),
            hash: hit.hash,
            cost: hit.cost,
            gone_at: hit.gone_at,
        }
    }
}

impl OwnedHit {
    pub(crate) fn hit(&self) -> Hit<'_> {
        let (who, scope) = (self.identity.as_ref(), self.scope.as_deref());
        Hit { gone_at: self.gone_at, ..Hit::keyed(&self.policy, who, self.hash, scope, self.cost) }
    }
}

/// Shows neither identity nor scope.
impl fmt::Debug for Hit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hit").field("policy", &self.policy).field("cost", &self.cost).finish_non_exhaustive()
    }
}
