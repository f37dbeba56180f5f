//! [`Bucket`]: the arithmetic shared by token bucket, leaky bucket and GCRA.
//!
//! The three are views of the same rule: what is used leaks away at `L / P`, and a cost passes if it still
//! fits under the capacity. (Tokens left = capacity − used; GCRA's theoretical arrival time = now + used ·
//! P / L.)
//!
//! With `L / P` in lowest terms `l / p`, `used` counts in units of `1 / p`, and each microsecond takes `l`
//! of them: everything is an integer, and nothing ever drifts.

#[cfg(feature = "memory")]
use super::compact_verdict::AdmittedStep;
use super::compact_verdict::CompactVerdict;
use super::divisor::Divisor;
use super::{Ask, EXACT, Op, State, Verdict, skew};
use crate::rate::Rate;

/// A leaking account that holds `capacity` units, and `debt` more on credit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bucket {
    pub(super) capacity: u64,
    pub(super) debt: u64,
}

impl Bucket {
    pub(super) fn validate(self, rate: &Rate) -> Result<(), String> {
        let (_, ticks) = rate.reduced_terms();
        if self.capacity == 0 {
            return Err("the burst is 0, so a full account would hold nothing; make it at least 1".into());
        }
        let most = self.capacity.saturating_add(self.debt);
        match most.checked_mul(ticks) {
            Some(product) if product < EXACT => Ok(()),
            _ => Err(format!(
                "{most} units of burst and debt cannot be counted exactly at this rate: \
                 {most} × {ticks} (the period in microseconds, in lowest terms with the limit) \
                 reaches 2^53; use a rounder limit, a smaller burst or a shorter period"
            )),
        }
    }

    /// The tag contains the whole rate, since a state in units of one rate means nothing under another.
    pub(super) fn tag(name: &str, rate: &Rate) -> String {
        format!("{name}~{}~{}", rate.limit(), rate.period_micros())
    }

    /// The tag if burst and debt are configurable. Two processes may use different values while a new
    /// version is rolled out; with a shared state, each would make the other's clients forget what they
    /// owe.
    pub(super) fn chosen_tag(self, name: &str, rate: &Rate) -> String {
        format!("{}~{}~{}", Self::tag(name, rate), self.capacity, self.debt)
    }

    /// The account at a rate that the bucket can count.
    #[inline]
    pub(crate) fn at(self, rate: &Rate) -> BucketAccount {
        let (leak, unit) = rate.reduced_terms();
        let most = self.capacity.saturating_add(self.debt);
        let [leak, unit] = [leak, unit].map(Divisor::new);
        BucketAccount { limit: self.capacity, most, total: most.saturating_mul(unit.get()), leak, unit }
    }

    #[inline]
    pub(crate) fn step(self, state: &mut State, ask: &Ask<'_>) -> Verdict {
        self.at(ask.rate).step(state, ask.op, ask.now, ask.cost, ask.gone_at)
    }
}

/// A bucket at a rate, precomputed: what a step needs and nothing else.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BucketAccount {
    limit: u64,
    /// Units that can be taken, debt included.
    most: u64,
    /// `most` in `1 / p` of a unit.
    total: u64,
    /// What leaks per microsecond, in `1 / p` of a unit.
    leak: Divisor,
    /// `p`.
    unit: Divisor,
}

/// The level of an account at an instant.
struct Level {
    /// The instant. If the clock stepped back, time stands still for this client.
    now: u64,
    /// How far the instant is ahead of the clock.
    ahead_of_clock: u64,
    /// In `1 / p` of a unit.
    used: u64,
}

impl BucketAccount {
    /// The most that can be in use, in [`CompactVerdict`]'s units.
    #[cfg(feature = "memory")]
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    #[inline(always)]
    fn level(&self, words: Option<[u64; 2]>, asked_at: u64) -> Level {
        let (now, ahead_of_clock, passed, kept) = match words {
            Some([last, kept]) if last <= asked_at => (asked_at, 0, asked_at - last, kept),
            Some([last, kept]) if self.is_believable(last, asked_at) => (last, last - asked_at, 0, kept),
            _ => (asked_at, 0, 0, 0),
        };
        let used = kept.min(self.total).saturating_sub(passed.saturating_mul(self.leak.get()));
        Level { now, ahead_of_clock, used }
    }

    #[cold]
    fn is_believable(&self, last: u64, asked_at: u64) -> bool {
        skew::believable(last, asked_at, || self.leak.ceil(self.total))
    }

    /// What is in use after a hit of this cost, if it passes.
    #[inline(always)]
    fn take(&self, used: u64, cost: u64) -> Option<u64> {
        if cost > self.most {
            return None;
        }
        // Cannot wrap: neither exceeds `total`, which is below 2^53 at a rate that was validated.
        let wanted = used.wrapping_add(cost.wrapping_mul(self.unit.get()));
        if wanted <= self.total { Some(wanted) } else { None }
    }

    /// How long a hit of this cost has to wait, given that it does not pass now.
    #[cold]
    fn wait(&self, used: u64, ahead_of_clock: u64, cost: u64) -> u64 {
        if cost > self.most {
            return Verdict::NEVER;
        }
        // Cannot wrap, as above.
        let wanted = used.wrapping_add(cost.wrapping_mul(self.unit.get()));
        self.leak.ceil(wanted - self.total) + ahead_of_clock
    }

    /// The full verdict.
    #[inline(always)]
    pub(crate) fn full_verdict(&self, compact: &CompactVerdict) -> Verdict {
        let CompactVerdict { used, ahead_of_clock, wait } = *compact;
        let remaining = self.unit.floor(self.total - used);
        let drained = self.leak.ceil(used);
        let reset_after = if drained == 0 { 0 } else { drained + ahead_of_clock };
        Verdict {
            admitted: wait == 0,
            limit: self.limit,
            used: self.most - remaining,
            remaining,
            wait,
            reset_after,
            keep_for: reset_after,
        }
    }

    pub(crate) fn step(&self, state: &mut State, op: Op, asked_at: u64, cost: u64, gone_at: u64) -> Verdict {
        let level = self.level(state.words(), asked_at);
        let mut after = level.used;
        let (admitted, wait) = match op {
            Op::Hit | Op::Check => match self.take(level.used, cost) {
                Some(used) => {
                    after = used;
                    (true, 0)
                }
                None => (false, self.wait(level.used, level.ahead_of_clock, cost)),
            },
            Op::Refund { .. } => {
                // The part of the charge that has leaked is gone; the rest of the level is newer.
                let left = gone_at.saturating_sub(level.now).saturating_mul(self.leak.get());
                after = level.used.saturating_sub(cost.saturating_mul(self.unit.get()).min(left));
                (true, 0)
            }
            Op::Settle { .. } => (true, 0),
            Op::Reset => {
                after = 0;
                (true, 0)
            }
        };
        if admitted && op.changes() {
            *state = if after == 0 { State::Empty } else { State::Words([level.now, after]) };
        }
        let shown = if op.changes() { after } else { level.used };
        Verdict {
            admitted,
            ..self.full_verdict(&CompactVerdict { used: shown, ahead_of_clock: level.ahead_of_clock, wait })
        }
    }
}

#[cfg(feature = "memory")]
impl BucketAccount {
    /// How long it takes until this much has leaked.
    pub(super) fn keep_for(&self, used: u64) -> u64 {
        self.leak.ceil(used)
    }

    /// The microseconds in which `1 / p` of a unit leaks.
    pub(super) fn micros_per_unit(&self) -> f64 {
        1.0 / self.leak.get() as f64
    }

    /// Makes a hit on an existing account.
    #[inline(always)]
    pub(super) fn hit(
        &self,
        words: [u64; 2],
        asked_at: u64,
        cost: u64,
    ) -> Result<AdmittedStep, CompactVerdict> {
        let Level { now, ahead_of_clock, used } = self.level(Some(words), asked_at);
        let Some(used) = self.take(used, cost) else {
            return Err(CompactVerdict { used, ahead_of_clock, wait: self.wait(used, ahead_of_clock, cost) });
        };
        Ok(AdmittedStep {
            compact: CompactVerdict { used, ahead_of_clock, wait: 0 },
            words: [now, used],
            is_exhausted: self.total - used < self.unit.get(),
        })
    }
}
