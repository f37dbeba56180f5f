//! [`Bucket`]: the arithmetic that token bucket, leaky bucket and GCRA share.
//!
//! The three are one rule seen from three sides: what is used leaks away at `L / P`, and a cost
//! passes if it still fits under the capacity. (Tokens left = capacity − used; GCRA's theoretical
//! arrival time = now + used · P / L.)
//!
//! With `L / P` in lowest terms `l / p`, `used` counts in units of `1 / p`, and each microsecond
//! takes `l` of them: integers all the way, and nothing ever drifts.

use super::{Ask, EXACT, Op, State, Verdict, skew};
use crate::rate::Rate;

/// A leaking account that holds `capacity` units, and `debt` more on credit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bucket {
    pub(crate) capacity: u64,
    pub(crate) debt: u64,
}

impl Bucket {
    pub(crate) fn validate(self, rate: &Rate) -> Result<(), String> {
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

    /// A state in units of one rate means nothing under another, so the whole rate is in the tag.
    pub(crate) fn tag(name: &str, rate: &Rate) -> String {
        format!("{name}~{}~{}", rate.limit(), rate.period_micros())
    }

    /// The account at a rate that it can count.
    #[inline]
    pub(crate) fn at(self, rate: &Rate) -> Account {
        let (leak, unit) = rate.reduced_terms();
        let most = self.capacity.saturating_add(self.debt);
        Account { limit: self.capacity, most, total: most.saturating_mul(unit), leak, unit }
    }

    #[inline]
    pub(crate) fn step(self, state: &mut State, ask: &Ask<'_>) -> Verdict {
        self.at(ask.rate).step(state, ask.op, ask.now, ask.cost, ask.gone_at)
    }
}

/// A bucket at a rate, worked out once: what a step needs and nothing else.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Account {
    limit: u64,
    /// Units that can be taken, debt included.
    most: u64,
    /// The same in `1 / p` of a unit.
    total: u64,
    /// What a microsecond takes, in `1 / p` of a unit.
    leak: u64,
    /// `p`.
    unit: u64,
}

impl Account {
    // Always: where `op` is known, most of it falls away.
    #[inline(always)]
    pub(crate) fn step(&self, state: &mut State, op: Op, asked_at: u64, cost: u64, gone_at: u64) -> Verdict {
        let Self { limit, most, total, leak, unit } = *self;
        let (last, kept) = match state.words() {
            Some([last, kept]) if skew::believable(last, asked_at, || total.div_ceil(leak)) => (last, kept),
            _ => (asked_at, 0),
        };
        // A clock that stepped back stands still for this client.
        let now = last.max(asked_at);
        let ahead = now - asked_at;
        let used = kept.min(total).saturating_sub((now - last).saturating_mul(leak));

        let mut after = used;
        let (admitted, wait) = match op {
            Op::Hit | Op::Check if cost > most => (false, Verdict::NEVER),
            Op::Hit | Op::Check => {
                let wanted = used.saturating_add(cost.saturating_mul(unit));
                if wanted <= total {
                    after = wanted;
                    (true, 0)
                } else {
                    (false, (wanted - total).div_ceil(leak) + ahead)
                }
            }
            Op::Refund { .. } => {
                // What has leaked of the charge is gone; the rest of the level is newer.
                let left = gone_at.saturating_sub(now).saturating_mul(leak);
                after = used.saturating_sub(cost.saturating_mul(unit).min(left));
                (true, 0)
            }
            Op::Settle { .. } => (true, 0),
            Op::Reset => {
                after = 0;
                (true, 0)
            }
        };
        if admitted && op.changes() {
            *state = if after == 0 { State::Empty } else { State::Words([now, after]) };
        }
        let shown = if op.changes() { after } else { used };
        let remaining = (total - shown) / unit;
        let reset_after = if shown == 0 { 0 } else { shown.div_ceil(leak) + ahead };
        Verdict {
            admitted,
            limit,
            used: most - remaining,
            remaining,
            wait,
            reset_after,
            keep_for: reset_after,
        }
    }
}
