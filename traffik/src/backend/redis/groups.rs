//! A batch whose clients are in different slots of a cluster: one call each, and still all or nothing.
//!
//! All are asked first, at once, which charges nobody, and then charged one after the other. If one is refused after
//! all, or fails, or if the caller goes away, the charges made so far are refunded. In between, another
//! request may be refused because of them, but no more requests are ever admitted than a limit allows.

use std::sync::Arc;

use futures_util::future::{join_all, try_join_all};
use tokio::time::Instant;

use super::{Store, decide};
use crate::backend::{BackendError, BoxFuture, Hit, Op, OwnedHit, Verdict, Verdicts};
use crate::log_limit::log_limited;
use crate::run_to_completion::RunToCompletion;

/// The indices of one client's hits in the batch.
type HitIndices = Vec<usize>;

/// Groups the hits by client; returns `None` if all are one client's.
pub(super) fn by_client(hits: &[Hit<'_>]) -> Option<Vec<HitIndices>> {
    let (first, rest) = hits.split_first()?;
    if rest.iter().all(|hit| hit.who() == first.who()) {
        return None;
    }
    let mut groups: Vec<HitIndices> = Vec::new();
    for (index, hit) in hits.iter().enumerate() {
        match groups.iter_mut().find(|group| hits[group[0]].who() == hit.who()) {
            Some(group) => group.push(index),
            None => groups.push(vec![index]),
        }
    }
    Some(groups)
}

/// What is known about the whole batch so far.
struct PartialVerdicts {
    each: Vec<Option<(u64, Verdict)>>,
}

impl PartialVerdicts {
    fn new(hits: usize) -> Self {
        Self { each: vec![None; hits] }
    }

    fn put(&mut self, indices: &[usize], verdicts: Verdicts) {
        let now = verdicts.now;
        for (index, verdict) in indices.iter().zip(verdicts.each) {
            self.each[*index] = Some((now, verdict));
        }
    }

    fn verdicts(self, store: &Store) -> Result<Verdicts, BackendError> {
        let each: Option<Vec<_>> = self.each.into_iter().collect();
        each.map(Verdicts::one_by_one).ok_or_else(|| store.unexpected_reply())
    }
}

fn select<'a>(hits: &[Hit<'a>], indices: &[usize]) -> Vec<Hit<'a>> {
    indices.iter().map(|index| hits[*index]).collect()
}

/// Decides a batch of several clients.
pub(super) async fn decide(
    store: &Arc<Store>,
    until: Option<Instant>,
    op: Op,
    hits: &[Hit<'_>],
    groups: &[HitIndices],
) -> Result<Verdicts, BackendError> {
    let asked = decide_each(store, until, if op == Op::Hit { Op::Check } else { op }, hits, groups).await?;
    if op != Op::Hit || !asked.each.iter().flatten().all(|(_, verdict)| verdict.admitted) {
        return asked.verdicts(store);
    }
    let mut charged = PendingGroups { store, groups: Vec::new() };
    let mut partial = PartialVerdicts::new(hits.len());
    for indices in groups {
        let owned = select(hits, indices).iter().map(OwnedHit::from).collect();
        let ChargeOutcome { result, charge, .. } = charge(store.clone(), until, owned).await;
        let verdicts = match result {
            Ok(verdicts) => verdicts,
            Err(error) => {
                // Refund before the caller tries again: the charge might get that attempt refused.
                charged.roll_back().await;
                return Err(error);
            }
        };
        if !verdicts.admitted() {
            charged.roll_back().await;
            // Report all of them as they stand now, except for the refusal, which may have passed meanwhile. The
            // refusal is certain, whatever this check returns.
            let mut asked = decide_each(store, until, Op::Check, hits, groups).await.unwrap_or(asked);
            asked.put(indices, verdicts);
            return asked.verdicts(store);
        }
        charged.add(charge);
        partial.put(indices, verdicts);
    }
    charged.commit();
    partial.verdicts(store)
}

async fn decide_each(
    store: &Store,
    until: Option<Instant>,
    op: Op,
    hits: &[Hit<'_>],
    groups: &[HitIndices],
) -> Result<PartialVerdicts, BackendError> {
    let decide = |indices: &HitIndices| {
        let hits = select(hits, indices);
        async move { decide::decide(store, until, op, &hits).await }
    };
    let mut partial = PartialVerdicts::new(hits.len());
    if op == Op::Check {
        // The first failure is everybody's, without waiting for a slot that is silent.
        let all = try_join_all(groups.iter().map(decide)).await?;
        groups.iter().zip(all).for_each(|(indices, verdicts)| partial.put(indices, verdicts));
        return Ok(partial);
    }
    // A correction that one slot refuses, or does not answer before the deadline, still reaches the others.
    let mut failed = None;
    for (indices, result) in groups.iter().zip(join_all(groups.iter().map(decide)).await) {
        match result {
            Ok(verdicts) => partial.put(indices, verdicts),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(partial), Err)
}

/// The instant of the charge, and what was charged.
type GroupCharge = (u64, Vec<OwnedHit>);

/// The outcome of charging one client.
struct ChargeOutcome {
    store: Arc<Store>,
    result: Result<Verdicts, BackendError>,
    charge: GroupCharge,
}

/// Charges one client. If the caller goes away meanwhile (as it does at its deadline), the answer is awaited all the
/// same, and what was charged is refunded.
fn charge(
    store: Arc<Store>,
    until: Option<Instant>,
    mut hits: Vec<OwnedHit>,
) -> RunToCompletion<ChargeOutcome> {
    let work = async move {
        let asked: Vec<Hit<'_>> = hits.iter().map(OwnedHit::hit).collect();
        let decide = decide::decide(&store, until, Op::Hit, &asked);
        let result = tokio::time::timeout(store.timeout, decide).await;
        drop(asked);
        let result = result.unwrap_or_else(|_| Err(store.timed_out(None)));
        let mut now = 0;
        if let Ok(verdicts) = &result {
            now = verdicts.now;
            for (hit, verdict) in hits.iter_mut().zip(&verdicts.each) {
                hit.gone_at = now.saturating_add(verdict.reset_after);
            }
        }
        ChargeOutcome { store, result, charge: (now, hits) }
    };
    let undo = |ChargeOutcome { store, result, charge }: ChargeOutcome| -> BoxFuture<'static, ()> {
        Box::pin(async move {
            // Whether a failed call has charged anything is unknown, so any charge stays.
            if result.is_ok_and(|verdicts| verdicts.admitted()) {
                refund(&store, &charge).await;
            }
        })
    };
    RunToCompletion::new(work, undo, warn_kept)
}

/// What has been charged so far. Refunded on drop.
struct PendingGroups<'a> {
    store: &'a Arc<Store>,
    groups: Vec<GroupCharge>,
}

impl PendingGroups<'_> {
    fn add(&mut self, charge: GroupCharge) {
        self.groups.push(charge);
    }

    fn commit(&mut self) {
        self.groups.clear();
    }

    /// Refunds everything. A refund that has begun is neither abandoned nor repeated: refunding twice would let a
    /// client exceed its limit.
    fn roll_back(&mut self) -> RunToCompletion<()> {
        let (store, groups) = (self.store.clone(), std::mem::take(&mut self.groups));
        let work = async move {
            for charge in &groups {
                refund(&store, charge).await;
            }
        };
        RunToCompletion::finish(work, warn_kept)
    }
}

impl Drop for PendingGroups<'_> {
    fn drop(&mut self) {
        if !self.groups.is_empty() {
            drop(self.roll_back());
        }
    }
}

async fn refund(store: &Store, (at, hits): &GroupCharge) {
    let hits: Vec<Hit<'_>> = hits.iter().map(OwnedHit::hit).collect();
    let decide = decide::decide(store, store.until(), Op::Refund { at: Some(*at) }, &hits);
    match tokio::time::timeout(store.timeout, decide).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => warn_kept(&error),
        Err(_) => warn_kept(&store.timed_out(None)),
    }
    // Another request may have been refused meanwhile because of the charge.
    if let Some(denials) = &store.denials {
        denials.forget(&hits);
    }
}

/// Several throttles may be concerned, so the line names none.
fn warn_kept(error: &dyn std::fmt::Display) {
    log_limited!(warn, "", %error, "a refused or abandoned request stays charged in an earlier slot");
}
