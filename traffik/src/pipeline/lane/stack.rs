//! The same for a request under a few throttles, decided as one.

use super::{Lane, exempt, scope, tell_admitted};
use crate::app::Traffik;
use crate::backend::memory::Charge;
use crate::backend::{Hit, Op, Verdict, Verdicts};
use crate::client_ip;
use crate::decision::Decision;
use crate::identity::Who;
use crate::key;
use crate::observe::{self, Outcome};
use crate::pipeline::Ruling;
use crate::settings::Settings;
use crate::strategy::Charged;
use crate::throttle::Throttle;
use crate::{MemoryBackend, Parts};

/// What came of a request under all its throttles.
#[allow(clippy::large_enum_variant, reason = "it is read where it is made; a box would be an allocation")]
pub(crate) enum Stacked {
    /// All of them charged it, and nothing is wanted of their decisions.
    Silent,
    /// Anything else.
    Decided(Ruling),
}

/// One throttle's way to its decision.
#[derive(Clone, Copy)]
struct Way<'a> {
    throttle: &'a Throttle,
    settings: &'a Settings,
    lane: &'a Lane,
    cost: u64,
    memory: &'a MemoryBackend,
}

impl<'a> Way<'a> {
    /// That of a throttle which counts requests in memory, at a cost that is known.
    #[inline]
    fn of(throttle: &'a Throttle, app: Option<&'a Traffik>) -> Option<Self> {
        let settings = throttle.built()?;
        let lane = settings.lane.as_ref()?;
        let cost = lane.cost(throttle, true, None).filter(|cost| *cost > 0)?;
        let memory = lane.memory(|| app)?;
        Some(Self { throttle, settings, lane, cost, memory })
    }

    /// Whether it can be decided together with another: one client on one store, and another key.
    #[inline]
    fn goes_with(&self, other: &Self) -> bool {
        let is_one_client = match (&self.settings.identifier, &other.settings.identifier) {
            (None, None) => true,
            (Some(function), Some(other)) => function.same(other),
            _ => false,
        };
        is_one_client && self.memory.same(other.memory) && self.lane.key != other.lane.key
    }

    /// The hit as one on an account, if the strategy has one, of a client of this hash.
    #[inline(always)]
    fn charge(&self, hash: u64) -> Option<Charge<'a>> {
        let Lane { account, scale, key, .. } = self.lane;
        Some(Charge { key: key ^ hash, account: account.as_ref()?, scale: *scale, cost: self.cost })
    }

    #[inline]
    fn hit<'h>(&self, who: Who<'h>, hash: u64) -> Hit<'h>
    where
        'a: 'h,
    {
        Hit::keyed(&self.lane.policy, who, self.lane.key ^ hash, scope(self.settings), self.cost)
    }

    fn decision(&self, verdict: &Verdict) -> (Decision, u64) {
        let policy = &self.lane.policy;
        (Decision::new(policy, self.cost, verdict), policy.rate().period_micros())
    }

    /// Tells what came of it in a request that was admitted as a whole or not.
    #[inline]
    fn tell(&self, verdict: &Verdict, admitted: bool) {
        let outcome = Outcome::of(verdict, admitted, false);
        let wait = if verdict.admitted { None } else { verdict.retry_after() };
        observe::hit(
            Op::Hit,
            self.throttle,
            MemoryBackend::NAME,
            outcome,
            self.cost,
            || verdict.remaining,
            wait,
        );
    }
}

/// Decides a request under at most so many throttles, if all of them can come this way together. `app` is what
/// they fall back to, and `is_silent` says whether nothing is to be told on the answer to a request that
/// passes.
///
/// All in one place: what is handed on from function to function would be copied, as large as it is.
#[inline(always)]
pub(crate) fn stack<'a, const MOST: usize>(
    throttle: impl Fn(usize) -> Option<&'a Throttle>,
    parts: &Parts,
    app: Option<&'a Traffik>,
    is_silent: bool,
) -> Option<Stacked> {
    let first = Way::of(throttle(0)?, app)?;
    let mut ways = [first; MOST];
    let mut count = 1;
    while let Some(throttle) = throttle(count) {
        let way = Way::of(throttle, app)?;
        for other in &ways[..count] {
            if !way.goes_with(other) {
                return None;
            }
        }
        *ways.get_mut(count)? = way;
        count += 1;
    }

    let called;
    let who = match &first.settings.identifier {
        Some(function) => {
            called = function.call_now(parts);
            called.as_ref()?.as_ref()
        }
        None => Who::of(client_ip::kind(parts, app)),
    };
    if who.is_exempted() {
        return Some(Stacked::Decided(Ruling::of(ways[..count].iter().map(|way| (exempt(way.throttle), 0)))));
    }
    let hash = key::client(who.kind);

    if ways[..count].iter().all(|way| way.lane.account.is_some()) {
        let mut charges = [first.charge(hash)?; MOST];
        for at in 1..count {
            charges[at] = ways[at].charge(hash)?;
        }
        let mut charged = [Charged::default(); MOST];
        if !first.memory.charge_few(&charges[..count], &mut charged[..count]) {
            return Some(Stacked::Decided(decide(&ways[..count], who, hash)));
        }
        let verdict = |at: usize| charges[at].account.tell(&charged[at]);
        return Some(admitted(&ways[..count], is_silent, verdict));
    }
    let mut hits = [first.hit(who, hash); MOST];
    for at in 1..count {
        hits[at] = ways[at].hit(who, hash);
    }
    let mut verdicts = [Verdict::default(); MOST];
    if !first.memory.hit_few(&hits[..count], &mut verdicts[..count]) {
        return Some(Stacked::Decided(decide(&ways[..count], who, hash)));
    }
    Some(admitted(&ways[..count], is_silent, |at| verdicts[at]))
}

/// Tells of a request that all have charged.
#[inline(always)]
fn admitted(ways: &[Way<'_>], is_silent: bool, verdict: impl Fn(usize) -> Verdict) -> Stacked {
    for (at, way) in ways.iter().enumerate() {
        tell_admitted(way.throttle, way.cost, || verdict(at).remaining);
    }
    if is_silent {
        return Stacked::Silent;
    }
    Stacked::Decided(Ruling::of(ways.iter().enumerate().map(|(at, way)| way.decision(&verdict(at)))))
}

/// Decides a request that is refused, or a client's first.
#[cold]
fn decide(ways: &[Way<'_>], who: Who<'_>, hash: u64) -> Ruling {
    let hits: Vec<_> = ways.iter().map(|way| way.hit(who, hash)).collect();
    let mut verdicts = Verdicts::new(0, []);
    if let [first, ..] = ways {
        first.memory.decide_into(Op::Hit, &hits, &mut verdicts);
    }
    let admitted = verdicts.admitted();
    let decision = |(way, verdict): (&Way<'_>, &Verdict)| {
        way.tell(verdict, admitted);
        way.decision(verdict)
    };
    Ruling::of(ways.iter().zip(&verdicts.each).map(decision))
}
