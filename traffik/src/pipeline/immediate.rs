//! The same steps where nothing has to wait: both the functions of the request and the backend answer immediately.
//! There is no future and no allocation, and nothing is copied that nobody reads.
//!
//! Whether a request can take this path is known before any user code runs. If it can't, [`decide`](super::decide)
//! handles it from the start.

use std::time::Duration;

use smallvec::SmallVec;

use super::backends;
use super::decisions::{Decisions, ThrottleDecision};
use super::entry::{Cost, Entry};
use super::failure::{self, Failure};
use super::hits::{Hits, join};
use super::receipt::Receipt;
use crate::Parts;
use crate::app::{Traffik, client_ip};
use crate::backend::{Hit, Op, SharedBackend, Verdict, Verdicts};
use crate::decision::Decision;
use crate::hit_outcome::HitOutcome;
use crate::identity::{Identity, Who};
use crate::key;
use crate::outage::Outage;
use crate::policy::Policy;
use crate::request_fn::{RequestFn, SyncFn};
use crate::resilience::OnError;
use crate::settings::Settings;
use crate::subject::{Subject, View};
use crate::throttle::Throttle;

/// One throttle's part in a request, as far as it is known before any user code runs.
struct Plan<'a> {
    throttle: &'a Throttle,
    policy: &'a Policy,
    cost: PlannedCost<'a>,
    client: ClientSource<'a>,
    scope: Option<&'a str>,
    backend: &'a SharedBackend,
    on_error: Option<&'a OnError>,
    keeps_receipt: bool,
}

enum PlannedCost<'a> {
    /// The throttle is disabled.
    Off,
    Units(u64),
    Of(&'a SyncFn<u64>, &'a Parts),
}

enum ClientSource<'a> {
    Given(Who<'a>),
    /// The request's address, or what the identifier makes of the request.
    Of(Option<(&'a RequestFn<Identity>, &'a SyncFn<Identity>)>, &'a Parts),
}

/// A client that has been determined.
enum ResolvedClient<'a> {
    Given(Who<'a>),
    Identified(Identity),
}

impl<'a> Plan<'a> {
    /// Returns `None` if any part of it has to wait.
    #[inline]
    fn of(
        entry: &Entry<'a>,
        settings: &'a Settings,
        subject: &'a Subject<'_>,
        op: Op,
        units: Option<u64>,
    ) -> Option<Self> {
        if !settings.is_immediate || entry.overrides.is_some_and(|overrides| !overrides.is_immediate()) {
            return None;
        }
        let parts = subject.parts();
        let is_off = op.can_be_refused() && !entry.throttle.is_enabled();
        let cost = match entry.cost(settings, units, parts) {
            _ if is_off => PlannedCost::Off,
            Cost::Units(units) => PlannedCost::Units(units),
            Cost::Of(function, parts) => PlannedCost::Of(function.immediate()?, parts),
        };
        let client = match (subject.view(), settings.identifier_under(Traffik::of(parts))) {
            (View::Client(who), _) => ClientSource::Given(who),
            (View::Request(parts), None) => ClientSource::Of(None, parts),
            (View::Request(parts), Some(by)) => ClientSource::Of(Some((by, by.immediate()?)), parts),
        };
        Some(Self {
            throttle: entry.throttle,
            policy: settings.fixed_policy()?,
            cost,
            client,
            scope: settings.fixed_scope(),
            backend: backends::fixed(settings, parts)?,
            on_error: settings.on_error_under(Traffik::of(parts)),
            keeps_receipt: entry.keeps_receipt(),
        })
    }

    /// Steps one and two; `None` if the throttle is disabled.
    #[inline]
    fn cost(&self) -> Option<u64> {
        match self.cost {
            PlannedCost::Off => None,
            PlannedCost::Units(units) => Some(units),
            PlannedCost::Of(function, parts) => Some(function(parts)),
        }
    }

    fn hit<'h>(&self, who: Who<'h>, hash: u64, cost: u64) -> Hit<'h>
    where
        'a: 'h,
    {
        Hit::new(self.policy, who, hash, self.scope, cost)
    }

    fn answers_at_once(&self) -> bool {
        backends::answers_at_once(self.backend, self.on_error)
    }

    fn outage(&self) -> Outage {
        self.on_error.map_or(Outage::Unavailable, OnError::outage)
    }
}

impl<'a> ClientSource<'a> {
    #[inline]
    fn resolve(&self) -> ResolvedClient<'a> {
        match self {
            Self::Given(who) => ResolvedClient::Given(*who),
            Self::Of(Some((_, function)), parts) => ResolvedClient::Identified(function(parts)),
            Self::Of(None, parts) => ResolvedClient::Identified(client_ip(parts)),
        }
    }

    /// Whether both are certainly the same client, given the same request.
    fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Given(_), Self::Given(_)) => true,
            (Self::Of(by, _), Self::Of(other, _)) => {
                RequestFn::agree(by.map(|(by, _)| by), other.map(|(by, _)| by))
            }
            _ => false,
        }
    }
}

impl ResolvedClient<'_> {
    #[inline]
    fn who(&self) -> Who<'_> {
        match self {
            Self::Given(who) => *who,
            Self::Identified(identity) => identity.as_ref(),
        }
    }
}

/// A request that has been decided, still in the store's own terms.
pub(crate) struct Decided<'a> {
    plans: &'a [Plan<'a>],
    counted: &'a [CountedPlan],
    /// Indices of the plans that cost nothing.
    free: &'a [usize],
    hits: &'a [Hit<'a>],
    verdicts: &'a Verdicts,
    backend: &'a SharedBackend,
}

/// A plan whose hit is counted: the indices of the plan, its client and its hit. Equal keys share one hit.
struct CountedPlan {
    plan: usize,
    client: usize,
    hit: usize,
    cost: u64,
}

/// Decides the request if nothing has to wait, and passes the result to `read`; returns `None` otherwise.
#[inline]
pub(crate) fn decide_now<T>(
    entries: &[Entry<'_>],
    subject: &Subject<'_>,
    op: Op,
    units: Option<u64>,
    read: impl FnOnce(Decided<'_>) -> T,
) -> Option<Result<T, Failure>> {
    let all = super::settings(entries);
    let mut plans: SmallVec<[Plan<'_>; 2]> = SmallVec::new();
    for (entry, settings) in entries.iter().zip(&all) {
        plans.push(Plan::of(entry, settings, subject, op, units)?);
    }
    let backend = plans.first()?.backend;
    if !plans.iter().all(|plan| plan.backend.same(backend) && plan.answers_at_once()) {
        return None;
    }

    // Steps one to four. Every index recorded here is that of an element already pushed.
    let mut counted: SmallVec<[CountedPlan; 2]> = SmallVec::new();
    let mut clients: SmallVec<[(&ClientSource<'_>, ResolvedClient<'_>); 1]> = SmallVec::new();
    let mut free: SmallVec<[usize; 4]> = SmallVec::new();
    for (place, plan) in plans.iter().enumerate() {
        let Some(cost) = plan.cost() else { continue };
        if cost == 0 && op.can_be_refused() {
            free.push(place);
            continue;
        }
        let before = clients.iter().position(|(client, _)| client.same(&plan.client));
        let client = before.unwrap_or_else(|| {
            clients.push((&plan.client, plan.client.resolve()));
            clients.len() - 1
        });
        if !clients[client].1.who().is_exempted() && !plan.policy.rate().is_unlimited() {
            counted.push(CountedPlan { plan: place, client, hit: 0, cost });
        }
    }

    // Steps five and six.
    let mut hits = Hits::new();
    // The client that was hashed last, and its hash.
    let mut hash = (usize::MAX, 0);
    for one in &mut counted {
        let who = clients[one.client].1.who();
        if hash.0 != one.client {
            hash = (one.client, key::identity(&who));
        }
        one.hit = join(&mut hits, plans[one.plan].hit(who, hash.1, one.cost));
    }
    let mut failed = false;
    let mut verdicts = Verdicts::default();
    if !hits.is_empty()
        && let Err(error) = backend.decide_into(op, &hits, &mut verdicts)
    {
        for one in &counted {
            let throttle = plans[one.plan].throttle;
            throttle.reporter().hit(op, backend.name(), HitOutcome::Failed, one.cost, || 0, None);
        }
        // An outage that all of them let pass leaves no verdict, so that nothing was counted.
        let outages = counted.iter().map(|one| plans[one.plan].outage());
        if let Some(failure) = failure::outage(error, uid(&hits), outages) {
            return Some(Err(failure));
        }
        counted.clear();
        failed = true;
    }
    let decided =
        Decided { plans: &plans, counted: &counted, free: &free, hits: &hits, verdicts: &verdicts, backend };
    if !failed {
        decided.observe(op);
    }
    Some(Ok(read(decided)))
}

/// The throttle that stands for a batch in events.
fn uid(hits: &[Hit<'_>]) -> &'static str {
    hits.first().map_or("", |hit| hit.policy.uid())
}

/// How long a refused client has to wait.
#[inline]
fn wait(verdict: &Verdict) -> Option<Duration> {
    if verdict.admitted { None } else { verdict.retry_after() }
}

impl<'a> Decided<'a> {
    fn verdict(&self, one: &CountedPlan) -> &'a Verdict {
        // There is one verdict per hit, which the store's handle has checked.
        &self.verdicts.each[one.hit]
    }

    /// Reports the outcome of each throttle. Counted plans are in order.
    #[inline]
    fn observe(&self, op: Op) {
        let admitted = self.admitted();
        let mut counted = self.counted.iter().peekable();
        for (place, Plan { throttle, .. }) in self.plans.iter().enumerate() {
            match counted.next_if(|one| one.plan == place) {
                Some(one) => {
                    let verdict = self.verdict(one);
                    let outcome = HitOutcome::of(verdict, admitted, false);
                    let (left, wait) = (verdict.remaining, wait(verdict));
                    throttle.reporter().hit(op, self.backend.name(), outcome, one.cost, || left, wait);
                }
                None => throttle.reporter().exempt(op),
            }
        }
    }

    /// Whether the request may enter.
    #[inline]
    pub(crate) fn admitted(&self) -> bool {
        self.verdicts.admitted()
    }

    fn decision(&self, one: &CountedPlan) -> Decision {
        let Hit { policy, cost, .. } = &self.hits[one.hit];
        Decision::new(policy, *cost, self.verdict(one))
    }

    /// The decision on the request as a whole.
    #[inline]
    pub(crate) fn into_decision(self) -> Decision {
        let refused = self.counted.iter().find(|one| !self.verdict(one).admitted);
        // The account closest to its limit stands for the rest.
        let nearest = || self.counted.iter().min_by_key(|one| self.verdict(one).remaining);
        refused.or_else(nearest).map_or(Decision::Exempt, |one| self.decision(one))
    }

    /// Returns the decision of every throttle.
    pub(crate) fn into_decisions(self) -> Decisions {
        let mut decisions = Decisions::exempt(self.plans.len());
        let admitted = self.admitted();
        self.free.iter().for_each(|&place| decisions.each[place].free = true);
        for one in self.counted {
            let (mut hit, verdict) = (self.hits[one.hit], self.verdict(one));
            if !verdict.admitted {
                decisions.refused.get_or_insert(one.plan);
            }
            let now = self.verdicts.instant(one.hit);
            hit.gone_at = now.saturating_add(verdict.reset_after);
            let plan = &self.plans[one.plan];
            let receipt = || Receipt::new(&hit, self.backend, now, one.cost, plan.outage());
            decisions.each[one.plan] = ThrottleDecision {
                charged: (admitted && plan.keeps_receipt).then(receipt),
                ..ThrottleDecision::counted(&hit, verdict)
            };
        }
        decisions
    }
}
