//! [`Suite`]: a backend alongside the pure steps that it must agree with.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use super::random::Random;
use crate::backend::{Hit, Op, SharedBackend, Verdict, Verdicts};
use crate::clock::Clock;
use crate::identity::Identity;
use crate::key;
use crate::policy::Policy;
use crate::rate::Rate;
use crate::strategy::{State, Strategy};
use crate::test_kit::ManualClock;

/// One running part of the suite.
pub(super) struct Suite {
    part: &'static str,
    pub(super) backend: SharedBackend,
    pub(super) clock: ManualClock,
    seed: u64,
    pub(super) random: Random,
    /// Distinguishes this run's clients from those of other runs on the same store.
    run: u64,
    states: HashMap<u64, State>,
}

/// One hit of a batch, owned.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) policy: Policy,
    pub(super) identity: Identity,
    pub(super) scope: Option<String>,
    pub(super) cost: u64,
    /// In a settle: whether the cost is refunded, rather than charged.
    pub(super) back: bool,
    /// When nothing is left of the refunded charge.
    pub(super) gone_at: u64,
}

impl Asked {
    pub(super) fn hit(&self) -> Hit<'_> {
        let who = self.identity.as_ref();
        let hit = Hit::new(&self.policy, who, key::identity(&who), self.scope.as_deref(), self.cost);
        Hit { back: self.back, gone_at: self.gone_at, ..hit }
    }

    pub(super) fn cost(&self, cost: u64) -> Self {
        Self { cost, ..self.clone() }
    }

    pub(super) fn back(&self, back: bool) -> Self {
        Self { back, ..self.clone() }
    }

    pub(super) fn gone_at(&self, gone_at: u64) -> Self {
        Self { gone_at, ..self.clone() }
    }
}

/// Returns how many traces of each kind to run.
pub(super) fn traces(few: u64) -> u64 {
    if std::env::var_os("TRAFFIK_LONG").is_some_and(|value| value != "0") { few * 20 } else { few }
}

impl Suite {
    pub(super) fn new(part: &'static str, backend: SharedBackend, clock: ManualClock) -> Self {
        let told = std::env::var("TRAFFIK_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = told.unwrap_or(0x74_7261_6666_696b);
        let run = RandomState::new().hash_one(part);
        Self { part, backend, clock, seed, random: Random::new(seed), run, states: HashMap::new() }
    }

    /// Returns a name that no other client has.
    pub(super) fn name(&self, of: &str) -> String {
        format!("{}/{:016x}/{of}", self.part, self.run)
    }

    /// Creates a throttle's policy. Panics if the strategy cannot count the rate, which is the
    /// suite's own fault.
    pub(super) fn policy(&self, uid: &'static str, rate: Rate, strategy: &Arc<dyn Strategy>) -> Policy {
        match Policy::new(uid, rate, strategy.clone()) {
            Ok(policy) => policy,
            Err(error) => panic!("{}", self.failure(&error.to_string())),
        }
    }

    /// Creates the hit of one client under one throttle.
    pub(super) fn asked(&self, policy: &Policy, identity: impl Into<Identity>, cost: u64) -> Asked {
        Asked {
            policy: policy.clone(),
            identity: identity.into(),
            scope: None,
            cost,
            back: false,
            gone_at: u64::MAX,
        }
    }

    /// Compares the backend's answer with that of the steps.
    #[track_caller]
    fn compare(&mut self, op: Op, asked: &[Asked], got: &Verdicts) {
        let now = Clock::now(&self.clock);
        let expected = self.step(op, asked, now);
        if got.now != now {
            let place = format!("{op:?} of {asked:?} was decided at {}, but the clock shows {now}", got.now);
            panic!("{}", self.failure(&place));
        }
        let same = |(a, b): (&Verdict, &Verdict)| {
            let shown = |v: &Verdict| (v.admitted, v.limit, v.used, v.remaining, v.wait, v.reset_after);
            shown(a) == shown(b)
        };
        if got.each.len() != expected.len() || !expected.iter().zip(&got.each).all(same) {
            let place = format!("{op:?} of {asked:#?} at {now}\nexpected {expected:#?}\ngot {:#?}", got.each);
            panic!("{}", self.failure(&place));
        }
    }

    /// Returns what the pure steps say, and remembers what they charge.
    pub(super) fn step(&mut self, op: Op, asked: &[Asked], now: u64) -> Vec<Verdict> {
        let mut round = |op| {
            asked
                .iter()
                .map(|asked| {
                    let hit = asked.hit();
                    hit.step(op, now, self.states.entry(hit.hash()).or_default())
                })
                .collect::<Vec<Verdict>>()
        };
        if op == Op::Hit {
            let looked = round(Op::Check);
            if !looked.iter().all(|verdict| verdict.admitted) {
                return looked;
            }
        }
        round(op)
    }

    /// Asks the backend, in one of the two ways if it supports both.
    pub(super) async fn ask(&mut self, op: Op, asked: &[Asked]) -> Verdicts {
        let hits: Vec<Hit<'_>> = asked.iter().map(Asked::hit).collect();
        let at_once = self.backend.is_immediate() && self.random.below(2) == 0;
        let answer = if at_once {
            let answer = self.backend.get().decide_now(op, &hits);
            answer.unwrap_or_else(|| {
                panic!("{}", self.failure("decide_now() of an immediate backend returned None"))
            })
        } else {
            self.backend.get().decide(op, &hits).await
        };
        match answer {
            Ok(verdicts) => verdicts,
            Err(error) => panic!("{}", self.failure(&format!("{op:?} of {asked:?}: {error}"))),
        }
    }

    /// Asks the backend, and compares its answer with the steps.
    pub(super) async fn agree(&mut self, op: Op, asked: &[Asked]) -> Verdicts {
        let verdicts = self.ask(op, asked).await;
        self.compare(op, asked, &verdicts);
        verdicts
    }

    /// The same for a single hit.
    pub(super) async fn agree_on(&mut self, op: Op, asked: &Asked) -> Verdict {
        self.agree(op, std::slice::from_ref(asked)).await.each[0]
    }

    /// Asserts a condition.
    #[track_caller]
    pub(super) fn require(&self, right: bool, what: impl FnOnce() -> String) {
        if !right {
            panic!("{}", self.failure(&what()));
        }
    }

    fn failure(&self, what: &str) -> String {
        format!(
            "backend {:?}, conformance, {}, seed {}: {what}",
            self.backend.get().name(),
            self.part,
            self.seed
        )
    }
}
