//! [`CostAdaptive`]: clients that make expensive requests wait longer.

use super::exact::muldiv;
use super::{Ask, Op, State, Strategy, Verdict, skew};
use crate::rate::Rate;

/// A token bucket of `L` tokens whose refill slows down with the average cost of the client's hits: tokens
/// arrive at `L / P · f / 100` with `f = normal · 100 / mean`, rounded down, at most 100 and at least
/// `floor`. The mean covers the last `n` admitted hits since the bucket was last full.
///
/// State, 16 + 8 · `n` bytes a client: an instant, a balance, and the last `n` costs. Round trips: 0 in memory, 2
/// on Redis.
///
/// **When:** few clients send the expensive requests, and should feel it beyond the cost itself.
/// **When not:** a fair price is enough; costs with [`TokenBucket`](super::TokenBucket) provide that.
///
/// A changed rate starts afresh. A refund gives back its tokens in proportion to the time that is left
/// until the charge would have been refilled anyway; the mean keeps the cost that was requested. What a
/// settlement takes in addition counts as another hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CostAdaptive {
    last: usize,
    normal: u64,
    floor: u64,
}

impl Default for CostAdaptive {
    fn default() -> Self {
        Self::new()
    }
}

/// The longest memory: half a kilobyte per client.
const LONGEST: usize = 64;

/// Tokens are counted in hundredths of the rate's own fraction.
const PERCENT: u64 = 100;

impl CostAdaptive {
    /// Creates the strategy with its defaults: a mean over 10 hits, a normal cost of 1, and a refill that never
    /// drops below 10 %.
    #[must_use]
    pub const fn new() -> Self {
        Self { last: 10, normal: 1, floor: 10 }
    }

    /// Sets how many hits the mean covers: 1 to 64.
    #[must_use]
    pub const fn last(mut self, hits: usize) -> Self {
        self.last = hits;
        self
    }

    /// Sets the mean cost up to which the refill is not slowed; at least 1.
    #[must_use]
    pub const fn normal(mut self, cost: u64) -> Self {
        self.normal = cost;
        self
    }

    /// Sets the slowest refill: 1 to 100 percent of the rate.
    #[must_use]
    pub const fn floor(mut self, percent: u64) -> Self {
        self.floor = percent;
        self
    }

    /// The refill after these hits, in percent.
    fn factor(&self, costs: &[u64]) -> u64 {
        let hits = u128::from(self.normal) * costs.len() as u128 * u128::from(PERCENT);
        let sum: u128 = costs.iter().map(|cost| u128::from(*cost)).sum();
        hits.checked_div(sum).map_or(PERCENT, |factor| factor.clamp(u128::from(self.floor), 100) as u64)
    }

    /// The account in a state, or a full one if there is none.
    fn read(&self, state: &State, now: u64, total: u64, leak: u64) -> CostAccount {
        let full = || CostAccount { last: now, used: 0, costs: Vec::new() };
        let State::Bytes(bytes) = state else { return full() };
        let (words, []) = bytes.as_chunks::<8>() else { return full() };
        let Some(([last, used], costs)) = words.split_first_chunk::<2>() else { return full() };
        let costs =
            costs[costs.len().saturating_sub(self.last)..].iter().map(|cost| u64::from_le_bytes(*cost));
        let (last, used) = (u64::from_le_bytes(*last), u64::from_le_bytes(*used).min(total));
        let slowest = leak.saturating_mul(self.floor).max(1);
        if !skew::believable(last, now, || total.div_ceil(slowest)) {
            return full();
        }
        let account = CostAccount { last, used, costs: costs.collect() };
        let gone = now.saturating_sub(last).saturating_mul(leak.saturating_mul(self.factor(&account.costs)));
        // Full again: the client's past no longer counts.
        if account.used <= gone { full() } else { CostAccount { used: account.used - gone, ..account } }
    }
}

struct CostAccount {
    last: u64,
    used: u64,
    costs: Vec<u64>,
}

impl CostAccount {
    fn write(&self, now: u64) -> State {
        if self.used == 0 {
            return State::Empty;
        }
        let mut bytes = Vec::with_capacity((2 + self.costs.len()) * size_of::<u64>());
        for word in [now, self.used].iter().chain(&self.costs) {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        State::Bytes(bytes)
    }
}

impl Strategy for CostAdaptive {
    fn name(&self) -> &str {
        "cost_adaptive"
    }

    fn validate(&self, rate: &Rate) -> Result<(), String> {
        if !(1..=LONGEST).contains(&self.last) {
            return Err(format!("cannot average the last {} hits; use 1 to {LONGEST}", self.last));
        }
        if self.normal == 0 {
            return Err("a normal cost of 0 would slow everyone; make it at least 1".into());
        }
        if !(1..=PERCENT).contains(&self.floor) {
            return Err(format!("floor is {} percent; make it 1 to 100", self.floor));
        }
        let (_, ticks) = rate.reduced_terms();
        let most = rate.limit().checked_mul(ticks).and_then(|most| most.checked_mul(PERCENT));
        if most.is_none_or(|most| most > u64::MAX / 2) {
            return Err(format!(
                "{} units cannot be counted exactly at this rate: {} × {ticks} (the period in microseconds, in lowest \
                 terms with the limit) × 100 reaches 2^63; use a rounder limit or a shorter period",
                rate.limit(),
                rate.limit()
            ));
        }
        Ok(())
    }

    fn capacity(&self, rate: &Rate) -> u64 {
        rate.limit()
    }

    fn tag(&self, rate: &Rate) -> String {
        super::Bucket::tag(self.name(), rate)
    }

    /// Cheap hits speed up the refill.
    fn refusals_stand(&self) -> bool {
        false
    }

    fn step(&self, state: &mut State, ask: &Ask<'_>) -> Verdict {
        let limit = ask.rate.limit();
        let (leak, ticks) = ask.rate.reduced_terms();
        let unit = ticks.saturating_mul(PERCENT);
        let total = limit.saturating_mul(unit);
        let mut account = self.read(state, ask.now, total, leak);
        // If the clock stepped back, time stands still for this client.
        let now = account.last.max(ask.now);
        let ahead = now - ask.now;
        let time_for = |used: u64, costs: &[u64]| {
            let pace = leak.saturating_mul(self.factor(costs));
            if used == 0 { 0 } else { used.div_ceil(pace) + ahead }
        };

        let (admitted, wait) = match ask.op {
            Op::Hit | Op::Check if ask.cost > limit => (false, Verdict::NEVER),
            Op::Hit | Op::Check if account.used.saturating_add(ask.cost.saturating_mul(unit)) > total => (
                false,
                time_for(account.used.saturating_add(ask.cost.saturating_mul(unit)) - total, &account.costs),
            ),
            Op::Check | Op::Settle { .. } => (true, 0),
            Op::Hit => {
                account.used += ask.cost * unit;
                if ask.cost > 0 {
                    account.costs.push(ask.cost);
                    let excess = account.costs.len().saturating_sub(self.last);
                    account.costs.drain(..excess);
                }
                (true, 0)
            }
            Op::Refund { at } => {
                // The pace has changed since, so the charge is taken to shrink evenly until it is gone.
                let back = ask.cost.saturating_mul(unit).min(total);
                let until_gone = |from: u64| ask.gone_at.saturating_sub(from);
                account.used =
                    account.used.saturating_sub(match (until_gone(now), until_gone(at.unwrap_or(now))) {
                        _ if ask.gone_at == u64::MAX => back,
                        (0, _) => 0,
                        (left, whole) if left < whole => muldiv(back, left, whole).0,
                        _ => back,
                    });
                (true, 0)
            }
            Op::Reset => {
                account.used = 0;
                (true, 0)
            }
        };
        if admitted && ask.op.changes() {
            *state = account.write(now);
        }
        let remaining = (total - account.used) / unit;
        let keep = time_for(account.used, &account.costs);
        Verdict {
            admitted,
            limit,
            used: limit - remaining,
            remaining,
            wait,
            reset_after: keep,
            keep_for: keep,
        }
    }
}
