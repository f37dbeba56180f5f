//! [`Queue`]: what a context has yet to charge, what it holds, and what it has charged.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{BoxError, PaidErrors, QuotaError};
use crate::backend::Op;
use crate::decision::Decision;
use crate::error::Error;
use crate::log_limit::log_limited;
use crate::pipeline::{self, Entry, Overrides};
use crate::request_fn::Source;
use crate::reserve::Reservation;
use crate::subject::Subject;
use crate::throttle::Throttle;

/// A pending hit. Its throttle may occur again further on, after others.
#[derive(Clone)]
struct Item {
    throttle: Throttle,
    units: u64,
}

#[derive(Default)]
struct State {
    queued: Vec<Item>,
    held: Vec<Reservation>,
    /// Units held.
    held_cost: u64,
    applied: u64,
    on_error: Option<Box<dyn PaidErrors>>,
}

struct Inner<'a> {
    subject: Subject<'a>,
    parent: Option<Queue<'a>>,
    state: Mutex<State>,
}

/// A cheap handle: clones refer to the same queue.
#[derive(Clone)]
pub(super) struct Queue<'a>(Arc<Inner<'a>>);

fn sum(items: &[Item]) -> u64 {
    items.iter().fold(0, |sum, item| sum.saturating_add(item.units))
}

impl<'a> Queue<'a> {
    pub(super) fn new(subject: Subject<'a>) -> Self {
        Self(Arc::new(Inner { subject, parent: None, state: Mutex::default() }))
    }

    pub(super) fn nested(&self) -> Self {
        let (subject, parent) = (self.0.subject.again(), Some(self.clone()));
        Self(Arc::new(Inner { subject, parent, state: Mutex::default() }))
    }

    /// Locks the state. Keep throttles that are taken out of it until the lock is released: if nobody else holds one
    /// any more, functions of the user's are dropped with it, and their destructors may call back into the queue.
    fn state(&self) -> MutexGuard<'_, State> {
        // Every change leaves a consistent state behind.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, throttle: &Throttle, units: u64) {
        let queued = &mut self.state().queued;
        match queued.last_mut() {
            Some(last) if last.throttle.same(throttle) => last.units = last.units.saturating_add(units),
            _ => queued.push(Item { throttle: throttle.clone(), units }),
        }
    }

    pub(super) fn on_error(&self, errors: Box<dyn PaidErrors>) {
        self.state().on_error = Some(errors);
    }

    pub(super) fn queued_cost(&self) -> u64 {
        sum(&self.state().queued)
    }

    pub(super) fn applied_cost(&self) -> u64 {
        self.state().applied
    }

    pub(super) fn active(&self) -> bool {
        let state = self.state();
        !state.queued.is_empty() || !state.held.is_empty()
    }

    pub(super) fn depth(&self) -> usize {
        self.0.parent.as_ref().map_or(0, |parent| parent.depth() + 1)
    }

    pub(super) async fn check(&self) -> Result<Decision, Error> {
        Ok(self.decide(Op::Check, &self.waiting()).await?.0)
    }

    pub(super) async fn apply(&self) -> Result<Decision, Error> {
        if let Some(parent) = &self.0.parent {
            let (queued, held, held_cost) = self.hand_over();
            for item in queued {
                parent.add(&item.throttle, item.units);
            }
            let mut state = parent.state();
            state.held.extend(held);
            state.held_cost = state.held_cost.saturating_add(held_cost);
            return Ok(Decision::Exempt);
        }
        let (decision, reservation, units) = self.charge().await?;
        if decision.is_allowed() {
            let held = {
                let mut state = self.state();
                let kept = std::mem::take(&mut state.held_cost);
                state.applied = state.applied.saturating_add(units).saturating_add(kept);
                std::mem::take(&mut state.held)
            };
            held.into_iter().chain([reservation]).for_each(Reservation::keep);
        }
        Ok(decision)
    }

    pub(super) async fn reserve(&self) -> Result<Decision, Error> {
        let (decision, reservation, units) = self.charge().await?;
        if decision.is_allowed() && units > 0 {
            let mut state = self.state();
            state.held.push(reservation);
            state.held_cost = state.held_cost.saturating_add(units);
        }
        Ok(decision)
    }

    pub(super) async fn cancel(&self) -> Result<(), Error> {
        let (queued, held) = {
            let mut state = self.state();
            state.held_cost = 0;
            (std::mem::take(&mut state.queued), std::mem::take(&mut state.held))
        };
        drop(queued);
        Reservation::join(held).cancel().await
    }

    /// What `run` does once the work is done.
    pub(super) async fn end<T>(&self, outcome: Result<T, BoxError>) -> Result<T, QuotaError> {
        let error = match outcome {
            Ok(value) => {
                let error = match self.apply().await {
                    Ok(Decision::Allowed(_) | Decision::Exempt) => return Ok(value),
                    Ok(Decision::Denied(throttled)) => QuotaError::Refused(throttled),
                    Err(error) => QuotaError::Failed(error),
                };
                self.give_up().await;
                return Err(error);
            }
            Err(error) => error,
        };
        // Called without the lock, since it is the user's code.
        let errors = self.state().on_error.take();
        let pays = errors.is_some_and(|errors| errors.pays(&error));
        let applied = if pays { Some(self.apply().await) } else { None };
        match applied {
            Some(Ok(Decision::Allowed(_) | Decision::Exempt)) => {}
            Some(Ok(Decision::Denied(throttled))) => {
                log_limited!(
                    warn,
                    throttled.uid(),
                    uid = throttled.uid(),
                    "failed work was not charged, because the client is over its limit"
                );
                self.give_up().await;
            }
            Some(Err(failure)) => {
                log_limited!(warn, failure.uid().unwrap_or_default(), error = %failure, "failed work could not be charged");
                self.give_up().await;
            }
            None => self.give_up().await,
        }
        Err(QuotaError::of(error))
    }

    async fn give_up(&self) {
        if let Err(error) = self.cancel().await {
            log_limited!(warn, error.uid().unwrap_or_default(), %error, "the units held by a quota were not refunded");
        }
    }

    /// What is queued here and in the outer contexts; it is decided together in the end.
    fn waiting(&self) -> Vec<Item> {
        let mut all = self.0.parent.as_ref().map_or_else(Vec::new, Self::waiting);
        all.extend_from_slice(&self.state().queued);
        all
    }

    /// Everything in this context, for the outer one.
    fn hand_over(&self) -> (Vec<Item>, Vec<Reservation>, u64) {
        let mut state = self.state();
        let queued = std::mem::take(&mut state.queued);
        let held_cost = std::mem::take(&mut state.held_cost);
        state.applied = state.applied.saturating_add(sum(&queued)).saturating_add(held_cost);
        (queued, std::mem::take(&mut state.held), held_cost)
    }

    /// Charges what is queued. It is taken out of the queue first, so that two concurrent calls don't charge
    /// anything twice, and put back if it is refused. After a failure it may have been charged.
    async fn charge(&self) -> Result<(Decision, Reservation, u64), Error> {
        let taken = std::mem::take(&mut self.state().queued);
        let outcome = self.decide(Op::Hit, &taken).await;
        if outcome.as_ref().is_ok_and(|(decision, _)| !decision.is_allowed()) {
            self.state().queued.splice(0..0, taken);
        }
        // Nothing for exempt clients, and where shadow mode lets a refusal pass.
        outcome.map(|(decision, reservation)| {
            let units = reservation.charged();
            (decision, reservation, units)
        })
    }

    async fn decide(&self, op: Op, items: &[Item]) -> Result<(Decision, Reservation), Error> {
        // One hit per throttle: a stack decides each throttle once.
        let mut all: Vec<(&Throttle, Overrides)> = Vec::new();
        for Item { throttle, units } in items {
            match all.iter_mut().find(|(other, _)| other.same(throttle)) {
                Some((_, Overrides { cost: Some(Source::Fixed(sum)), .. })) => {
                    *sum = sum.saturating_add(*units)
                }
                _ => {
                    let cost = Some(Source::Fixed(*units));
                    all.push((throttle, Overrides { cost, keeps_receipt: true, ..Overrides::default() }));
                }
            }
        }
        if all.is_empty() {
            return Ok((Decision::Exempt, Reservation::default()));
        }
        let entries: Vec<Entry<'_>> =
            all.iter().map(|(throttle, overrides)| Entry { throttle, overrides: Some(overrides) }).collect();
        let mut decisions = pipeline::decide(&entries, self.0.subject.again(), op, None).await?;
        let reservation = Reservation::hold(all.iter().map(|(throttle, _)| *throttle), &mut decisions);
        Ok((decisions.into_decision(), reservation))
    }
}

impl fmt::Debug for Queue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        let queued: Vec<_> = state.queued.iter().map(|item| (item.throttle.uid(), item.units)).collect();
        f.debug_struct("Queue")
            .field("queued", &queued)
            .field("held", &state.held)
            .field("applied", &state.applied)
            .finish_non_exhaustive()
    }
}
