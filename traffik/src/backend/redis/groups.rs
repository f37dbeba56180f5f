//! A batch whose clients live in different slots of a cluster: one call each, and still all or
//! nothing.
//!
//! All are asked first, which charges nobody, and then charged one after the other. Where one is
//! refused after all, or fails, those before it are given back; so too if the caller goes away. In
//! between another request may be refused for want of it; never is more admitted than a limit.

use std::sync::Arc;

use smallvec::SmallVec;

use super::{Store, decide};
use crate::backend::{BackendError, Hit, Op, Verdict, Verdicts};
use crate::identity::Identity;
use crate::policy::Policy;

/// The places of one client's hits in the batch.
type Places = SmallVec<[usize; 4]>;

/// The hits by client, or none if it is one client's batch.
pub(super) fn split(hits: &[Hit<'_>]) -> Option<Vec<Places>> {
    let (first, rest) = hits.split_first()?;
    if rest.iter().all(|hit| hit.who() == first.who()) {
        return None;
    }
    let mut groups: Vec<Places> = Vec::new();
    for (place, hit) in hits.iter().enumerate() {
        match groups.iter_mut().find(|group| hits[group[0]].who() == hit.who()) {
            Some(group) => group.push(place),
            None => groups.push(std::iter::once(place).collect()),
        }
    }
    Some(groups)
}

/// What is known of the whole batch so far.
struct Gathered {
    now: u64,
    each: Vec<Option<Verdict>>,
}

impl Gathered {
    fn new(hits: usize) -> Self {
        Self { now: u64::MAX, each: vec![None; hits] }
    }

    fn put(&mut self, places: &[usize], verdicts: Verdicts) {
        // The servers' clocks differ a little. A refund into a window that has ended gives nothing,
        // so the earliest instant never gives too much.
        self.now = self.now.min(verdicts.now);
        for (place, verdict) in places.iter().zip(verdicts.each) {
            self.each[*place] = Some(verdict);
        }
    }

    fn verdicts(self, store: &Store) -> Result<Verdicts, BackendError> {
        let each = self.each.into_iter().collect::<Option<_>>().ok_or_else(|| store.nonsense())?;
        Ok(Verdicts { now: self.now, each })
    }
}

fn of<'a>(hits: &[Hit<'a>], places: &[usize]) -> SmallVec<[Hit<'a>; 4]> {
    places.iter().map(|place| hits[*place]).collect()
}

/// Decides a batch of several clients.
pub(super) async fn decide(
    store: &Arc<Store>,
    op: Op,
    hits: &[Hit<'_>],
    groups: &[Places],
) -> Result<Verdicts, BackendError> {
    let asked = ask(store, if op == Op::Hit { Op::Check } else { op }, hits, groups).await?;
    if op != Op::Hit || !asked.each.iter().flatten().all(|verdict| verdict.admitted) {
        return asked.verdicts(store);
    }
    let mut charged = Charged { store, groups: Vec::new() };
    let mut gathered = Gathered::new(hits.len());
    for places in groups {
        let members = of(hits, places);
        let verdicts = decide::decide(store, Op::Hit, &members).await?;
        let admitted = verdicts.each.iter().all(|verdict| verdict.admitted);
        if !admitted {
            charged.give_back().await;
            // As all of them stand now, but for the refusal, which may have passed meanwhile.
            let mut asked = ask(store, Op::Check, hits, groups).await?;
            asked.put(places, verdicts);
            return asked.verdicts(store);
        }
        let now = verdicts.now;
        let owned = members.iter().zip(&verdicts.each).map(|(hit, verdict)| Owned::new(hit, now, verdict));
        charged.groups.push((now, owned.collect()));
        gathered.put(places, verdicts);
    }
    charged.groups.clear();
    gathered.verdicts(store)
}

async fn ask(store: &Store, op: Op, hits: &[Hit<'_>], groups: &[Places]) -> Result<Gathered, BackendError> {
    let mut gathered = Gathered::new(hits.len());
    for places in groups {
        gathered.put(places, decide::decide(store, op, &of(hits, places)).await?);
    }
    Ok(gathered)
}

/// A hit that outlives its request.
struct Owned {
    policy: Policy,
    identity: Identity,
    scope: Option<String>,
    cost: u64,
    hash: u64,
    gone_at: u64,
}

impl Owned {
    /// What was charged at `now`, and stands as the verdict says.
    fn new(hit: &Hit<'_>, now: u64, verdict: &Verdict) -> Self {
        Self {
            policy: hit.policy.clone(),
            identity: hit.who.to_identity(),
            scope: hit.scope.map(Into::into),
            cost: hit.cost,
            hash: hit.hash,
            gone_at: now.saturating_add(verdict.reset_after),
        }
    }

    fn hit(&self) -> Hit<'_> {
        let (policy, scope) = (&self.policy, self.scope.as_deref());
        Hit {
            policy,
            who: self.identity.as_ref(),
            scope,
            cost: self.cost,
            hash: self.hash,
            back: false,
            gone_at: self.gone_at,
        }
    }
}

/// When, and what.
type Charge = (u64, Vec<Owned>);

/// What was charged so far. Given back when dropped.
struct Charged<'a> {
    store: &'a Arc<Store>,
    groups: Vec<Charge>,
}

impl Charged<'_> {
    async fn give_back(&mut self) {
        while let Some(charge) = self.groups.last() {
            give_back(self.store, charge).await;
            self.groups.pop();
        }
    }
}

impl Drop for Charged<'_> {
    fn drop(&mut self) {
        if self.groups.is_empty() {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return tell(&"its client went away, and no runtime is there to give it back");
        };
        let (store, groups) = (self.store.clone(), std::mem::take(&mut self.groups));
        runtime.spawn(async move {
            for charge in &groups {
                give_back(&store, charge).await;
            }
        });
    }
}

async fn give_back(store: &Store, (at, hits): &Charge) {
    let hits: SmallVec<[Hit<'_>; 4]> = hits.iter().map(Owned::hit).collect();
    let refund = decide::decide(store, Op::Refund { at: Some(*at) }, &hits);
    match tokio::time::timeout(store.timeout, refund).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tell(&error),
        Err(_) => tell(&BackendError::timeout(super::NAME, store.timeout)),
    }
}

fn tell(error: &dyn std::fmt::Display) {
    tracing::warn!(target: "traffik", %error, "a refused request stays charged in an earlier slot");
}
