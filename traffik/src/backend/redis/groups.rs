//! A batch whose clients are in different slots of a cluster: one call each, and still all or nothing.
//!
//! All are asked first, which charges nobody, and then charged one after the other. If one is refused after
//! all, or fails, the charges before it are refunded; so they are if the caller goes away. In between,
//! another request may be refused because of them, but no more requests are ever admitted than a limit
//! allows.

use std::sync::Arc;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::{Store, decide};
use crate::backend::{BackendError, BoxFuture, Hit, Op, OwnedHit, Verdict, Verdicts};
use crate::unstopped::Unstopped;

/// The indices of one client's hits in the batch.
type Places = Vec<usize>;

/// Groups the hits by client; returns `None` if all are one client's.
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

/// What is known about the whole batch so far.
struct Gathered {
    each: Vec<Option<(u64, Verdict)>>,
}

impl Gathered {
    fn new(hits: usize) -> Self {
        Self { each: vec![None; hits] }
    }

    fn put(&mut self, places: &[usize], verdicts: Verdicts) {
        let now = verdicts.now;
        for (place, verdict) in places.iter().zip(verdicts.each) {
            self.each[*place] = Some((now, verdict));
        }
    }

    fn verdicts(self, store: &Store) -> Result<Verdicts, BackendError> {
        let each: Option<Vec<_>> = self.each.into_iter().collect();
        each.map(Verdicts::one_by_one).ok_or_else(|| store.nonsense())
    }
}

fn of<'a>(hits: &[Hit<'a>], places: &[usize]) -> Vec<Hit<'a>> {
    places.iter().map(|place| hits[*place]).collect()
}

/// Decides a batch of several clients.
pub(super) async fn decide(
    store: &Arc<Store>,
    until: Option<Instant>,
    op: Op,
    hits: &[Hit<'_>],
    groups: &[Places],
) -> Result<Verdicts, BackendError> {
    let asked = ask(store, until, if op == Op::Hit { Op::Check } else { op }, hits, groups).await?;
    if op != Op::Hit || !asked.each.iter().flatten().all(|(_, verdict)| verdict.admitted) {
        return asked.verdicts(store);
    }
    let mut charged = ChargedSoFar { store, groups: Vec::new() };
    let mut gathered = Gathered::new(hits.len());
    for places in groups {
        let owned = of(hits, places).iter().map(OwnedHit::from).collect();
        let Answer { result, charge, .. } = charge(store.clone(), until, owned).await;
        let verdicts = match result {
            Ok(verdicts) => verdicts,
            Err(error) => {
                // Refund before the caller tries again, which would otherwise be refused because of the charge.
                charged.give_back().await;
                return Err(error);
            }
        };
        if !verdicts.admitted() {
            charged.give_back().await;
            // Report all of them as they stand now, except for the refusal, which may have passed meanwhile. The
            // refusal is certain, whatever this check returns.
            let mut asked = ask(store, until, Op::Check, hits, groups).await.unwrap_or(asked);
            asked.put(places, verdicts);
            return asked.verdicts(store);
        }
        charged.groups.push(charge);
        gathered.put(places, verdicts);
    }
    charged.groups.clear();
    gathered.verdicts(store)
}

async fn ask(
    store: &Store,
    until: Option<Instant>,
    op: Op,
    hits: &[Hit<'_>],
    groups: &[Places],
) -> Result<Gathered, BackendError> {
    let decide = |places: &Places| {
        let hits = of(hits, places);
        async move { decide::decide(store, until, op, &hits).await }
    };
    let mut gathered = Gathered::new(hits.len());
    if op == Op::Check {
        for places in groups {
            gathered.put(places, decide(places).await?);
        }
        return Ok(gathered);
    }
    // A correction that one slot refuses, or does not answer before the deadline, still reaches the others.
    let mut failed = None;
    for (places, result) in groups.iter().zip(join_all(groups.iter().map(decide)).await) {
        match result {
            Ok(verdicts) => gathered.put(places, verdicts),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(gathered), Err)
}

/// The instant of the charge, and what was charged.
type Charge = (u64, Vec<OwnedHit>);

/// The outcome of charging one client.
struct Answer {
    store: Arc<Store>,
    result: Result<Verdicts, BackendError>,
    charge: Charge,
}

/// Charges one client. If the caller goes away meanwhile (as it does at its deadline), the answer is awaited all the
/// same, and what was charged is refunded.
fn charge(store: Arc<Store>, until: Option<Instant>, mut hits: Vec<OwnedHit>) -> Unstopped<Answer> {
    let work = async move {
        let asked: Vec<Hit<'_>> = hits.iter().map(OwnedHit::hit).collect();
        let decide = decide::decide(&store, until, Op::Hit, &asked);
        let result = tokio::time::timeout(store.timeout, decide).await;
        drop(asked);
        let result = result.unwrap_or_else(|_| Err(BackendError::timeout(super::NAME, store.timeout)));
        let mut now = 0;
        if let Ok(verdicts) = &result {
            now = verdicts.now;
            for (hit, verdict) in hits.iter_mut().zip(&verdicts.each) {
                hit.gone_at = now.saturating_add(verdict.reset_after);
            }
        }
        Answer { store, result, charge: (now, hits) }
    };
    let undo = |Answer { store, result, charge }: Answer| -> BoxFuture<'static, ()> {
        Box::pin(async move {
            // Whether a failed call has charged anything is unknown, so any charge stays.
            if result.is_ok_and(|verdicts| verdicts.admitted()) {
                give_back(&store, &charge).await;
            }
        })
    };
    Unstopped::new(work, undo, cut)
}

/// What has been charged so far. Refunded on drop.
struct ChargedSoFar<'a> {
    store: &'a Arc<Store>,
    groups: Vec<Charge>,
}

impl ChargedSoFar<'_> {
    /// Refunds everything. A refund that has begun is neither abandoned nor repeated: refunding twice would let a
    /// client exceed its limit.
    fn give_back(&mut self) -> Unstopped<()> {
        let (store, groups) = (self.store.clone(), std::mem::take(&mut self.groups));
        let work = async move {
            for charge in &groups {
                give_back(&store, charge).await;
            }
        };
        Unstopped::new(work, |()| Box::pin(std::future::ready(())), cut)
    }
}

impl Drop for ChargedSoFar<'_> {
    fn drop(&mut self) {
        if !self.groups.is_empty() {
            drop(self.give_back());
        }
    }
}

async fn give_back(store: &Store, (at, hits): &Charge) {
    let hits: Vec<Hit<'_>> = hits.iter().map(OwnedHit::hit).collect();
    let refund = decide::decide(store, store.until(), Op::Refund { at: Some(*at) }, &hits);
    match tokio::time::timeout(store.timeout, refund).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tell(&error),
        Err(_) => tell(&BackendError::timeout(super::NAME, store.timeout)),
    }
    // Another request may have been refused meanwhile because of the charge.
    if let Some(denials) = &store.denials {
        denials.forget(&hits);
    }
}

fn cut() {
    tell(&"the client disconnected, and no runtime is available to refund the charge");
}

fn tell(error: &dyn std::fmt::Display) {
    tracing::warn!(target: "traffik", %error, "a refused request stays charged in an earlier slot");
}
