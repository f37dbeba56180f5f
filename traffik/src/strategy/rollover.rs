//! [`Rollover`]: part of what was left of the last period is added to this one.

use super::exact::percent;
use super::{Ask, EXACT, Op, State, Strategy, Verdict, WindowCounts, window_counts};
use crate::rate::Rate;

/// A calendar window whose limit grows by part of what the previous window left unused:
/// `used + c ≤ L + min(cap, (L − used before) · percent / 100)`. Only the plain limit rolls over, never
/// what was itself carried over.
///
/// A client without a past has left its last period unused, so it starts with the full bonus.
///
/// State, 16 bytes a client: the counts of this window and of the previous one, in two words. Round trips:
/// 0 in memory, 2 on Redis.
///
/// **When:** monthly or daily quotas should not be lost through a quiet day. **When not:** the limit
/// protects something that cannot take more than `L` in any period.
///
/// A changed limit, percentage or cap keeps what was used; a changed period starts afresh. A refund goes to
/// the window of the charge, if that is the current or the previous one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rollover {
    percent: u64,
    cap: Option<u64>,
}

impl Default for Rollover {
    fn default() -> Self {
        Self::new()
    }
}

impl Rollover {
    /// Creates the strategy with its defaults: half of what was left unused is carried over, without a cap.
    #[must_use]
    pub const fn new() -> Self {
        Self { percent: 50, cap: None }
    }

    /// Sets how much of the unused quota is carried over: 1 to 100 percent.
    #[must_use]
    pub const fn percent(mut self, percent: u64) -> Self {
        self.percent = percent;
        self
    }

    /// Sets the most that is carried over, in units of cost.
    #[must_use]
    pub const fn cap(mut self, units: u64) -> Self {
        self.cap = Some(units);
        self
    }

    fn bonus(&self, limit: u64, used_before: u64) -> u64 {
        percent(limit.saturating_sub(used_before), self.percent).min(self.cap.unwrap_or(u64::MAX))
    }
}

impl Strategy for Rollover {
    fn name(&self) -> &str {
        "rollover"
    }

    fn validate(&self, rate: &Rate) -> Result<(), String> {
        if !(1..=100).contains(&self.percent) {
            return Err(format!(
                "{} percent of an unused quota cannot be carried over; use 1 to 100, or FixedWindow to carry \
                 nothing over",
                self.percent
            ));
        }
        if self.cap == Some(0) {
            return Err(
                "the cap is 0, so nothing is ever carried over; make it at least 1, or use FixedWindow"
                    .into(),
            );
        }
        let most = self.capacity(rate);
        if most >= EXACT {
            return Err(format!(
                "the limit and what may be carried over add up to {most}, which reaches 2^53; lower one of them"
            ));
        }
        window_counts::validate(most, rate.period_micros())
    }

    fn capacity(&self, rate: &Rate) -> u64 {
        rate.limit().saturating_add(self.bonus(rate.limit(), 0))
    }

    fn step(&self, state: &mut State, ask: &Ask<'_>) -> Verdict {
        let (limit, period) = (ask.rate.limit(), ask.rate.period_micros());
        let mut counts = WindowCounts::at(state, ask.now, period);
        let quota = limit + self.bonus(limit, counts.older);

        let (admitted, wait) = match ask.op {
            Op::Hit | Op::Check if ask.cost > self.capacity(ask.rate) => (false, Verdict::NEVER),
            Op::Hit | Op::Check if counts.newer.saturating_add(ask.cost) > quota => {
                let next = counts.start(period) + period;
                let fits_next = ask.cost <= limit + self.bonus(limit, counts.newer);
                // After an unused window the bonus is full.
                (false, if fits_next { next } else { next + period } - ask.now)
            }
            _ => {
                counts.apply(ask, state);
                (true, 0)
            }
        };
        let quota = limit + self.bonus(limit, counts.older);
        // The bonus may already be full again while the counts still matter under another limit.
        let dents = |used| self.bonus(limit, used) < self.bonus(limit, 0);
        let full = WindowCounts { older: u64::from(dents(counts.older)), ..counts };
        let full_at = if counts.newer == 0 || dents(counts.newer) {
            full.until(period)
        } else {
            full.start(period) + period
        };
        Verdict {
            admitted,
            limit: quota,
            used: counts.newer,
            remaining: quota.saturating_sub(counts.newer),
            wait,
            reset_after: full_at.saturating_sub(ask.now),
            keep_for: counts.until(period).saturating_sub(ask.now),
        }
    }
}
