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
use crate::settings::Settings;
use crate::strategy::Charged;
use crate::throttle::Throttle;
use crate::{MemoryBackend, Parts};

/// What came of a request under all its throttles.
pub(crate) enum Stacked<'a, const N: usize> {
    /// All of them charged it.
    Admitted(Admitted<'a, N>),
    /// Anything else: the decisions, with the periods of the rates.
    Decided([(Decision, u64); N]),
}

pub(crate) struct Admitted<'a, const N: usize> {
    ways: [Way<'a>; N],
    came: Came<N>,
}

/// What came of each hit.
enum Came<const N: usize> {
    /// Of two on buckets, from which the rest can be told.
    Charged([Charged; 2]),
    Told([Verdict; N]),
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

    /// The hit as one on a bucket, if that is the strategy, with its key for a client of this hash.
    #[inline(always)]
    fn charge(&self, hash: u64) -> Option<(Charge<'a>, u64)> {
        let Lane { account, scale, key, .. } = self.lane;
        Some((Charge { account: account.as_ref()?, scale: *scale, cost: self.cost }, key ^ hash))
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

impl<const N: usize> Admitted<'_, N> {
    /// The decisions, with the periods of the rates.
    pub(crate) fn decisions(&self) -> [(Decision, u64); N] {
        std::array::from_fn(|at| {
            let way = &self.ways[at];
            match &self.came {
                Came::Charged(both) => {
                    let told = both.get(at).zip(way.lane.account.as_ref());
                    way.decision(&told.map(|(charged, account)| account.tell(charged)).unwrap_or_default())
                }
                Came::Told(verdicts) => way.decision(&verdicts[at]),
            }
        })
    }
}

/// Decides a request, if all of its throttles can come this way together. `app` is what they fall back to.
#[inline]
pub(crate) fn stack<'a, const N: usize>(
    throttles: [&'a Throttle; N],
    parts: &'a Parts,
    app: Option<&'a Traffik>,
) -> Option<Stacked<'a, N>> {
    let first = Way::of(throttles.first()?, app)?;
    let mut ways = [first; N];
    for at in 1..N {
        ways[at] = Way::of(throttles[at], app)?;
        if !ways[..at].iter().all(|other| ways[at].goes_with(other)) {
            return None;
        }
    }
    let known;
    let who = match &first.settings.identifier {
        Some(function) => {
            known = function.call_now(parts)?;
            known.as_ref()
        }
        None => Who::of(client_ip::kind(parts, app)),
    };
    if who.is_exempted() {
        return Some(Stacked::Decided(throttles.map(|throttle| (exempt(throttle), 0))));
    }
    let hash = key::client(who.kind);
    let hits = |ways: &[Way<'a>; N]| {
        ways.map(|way| Hit::keyed(&way.lane.policy, who, way.lane.key ^ hash, scope(way.settings), way.cost))
    };
    if let [a, b] = &ways[..]
        && let (Some((charge_a, key_a)), Some((charge_b, key_b))) = (a.charge(hash), b.charge(hash))
    {
        let Some(both) = first.memory.hit_two([(key_a, &charge_a), (key_b, &charge_b)]) else {
            return Some(Stacked::Decided(decide(&ways, &hits(&ways))));
        };
        for (way, charge, charged) in [(a, &charge_a, &both[0]), (b, &charge_b, &both[1])] {
            tell_admitted(way.throttle, way.cost, || charge.account.tell(charged).remaining);
        }
        return Some(Stacked::Admitted(Admitted { ways, came: Came::Charged(both) }));
    }
    let hits = hits(&ways);
    let Some(verdicts) = first.memory.hit_all(hits.each_ref()) else {
        return Some(Stacked::Decided(decide(&ways, &hits)));
    };
    ways.iter().zip(&verdicts).for_each(|(way, verdict)| way.tell(verdict, true));
    Some(Stacked::Admitted(Admitted { ways, came: Came::Told(verdicts) }))
}

/// Decides a request that is refused, or a client's first.
#[cold]
fn decide<const N: usize>(ways: &[Way<'_>; N], hits: &[Hit<'_>; N]) -> [(Decision, u64); N] {
    let mut verdicts = Verdicts::new(0, []);
    ways[0].memory.decide_into(Op::Hit, hits, &mut verdicts);
    let admitted = verdicts.admitted();
    std::array::from_fn(|at| {
        let verdict = verdicts.each.get(at).copied().unwrap_or_default();
        ways[at].tell(&verdict, admitted);
        ways[at].decision(&verdict)
    })
}
