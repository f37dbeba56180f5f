//! [`PriorityReserve`]: the last part of a limit is reserved for what matters most.

use super::exact::percent;
use super::{Ask, State, Strategy, Verdict, Window};
use crate::identity::Priority;
use crate::rate::Rate;

/// Gives each [`Priority`] a share of the limit. A hit passes if the units in use plus its cost stay within
/// its own share and the shares below it: when low hits are already refused, higher ones still pass.
/// Critical hits may use the whole limit. Counts per calendar window.
///
/// State, 16 bytes a client: the window's start and what was used in it. Round trips: 0 in memory, 2 on Redis.
///
/// **When:** background jobs and people share one quota. **When not:** a low hit must get its share even if
/// higher ones have used everything; use two throttles for that.
///
/// A changed limit or share keeps what was used; a changed period starts afresh.
///
/// ```
/// use traffik::{Identity, Priority, Throttle, strategy::PriorityReserve};
///
/// let search = Throttle::builder("docs:priority")
///     .rate("100/min")
///     .strategy(PriorityReserve::new().share(Priority::Low, 20).share(Priority::Normal, 60))
///     .build()?;
/// let crawler = Identity::key("crawler").priority(Priority::Low); // refused from 20 on
/// # let _ = (search, crawler);
/// # Ok::<(), traffik::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PriorityReserve {
    /// In percent: low, normal, high, critical.
    shares: [u64; 4],
}

impl Default for PriorityReserve {
    fn default() -> Self {
        Self::new()
    }
}

const NAMES: [&str; 4] = ["Low", "Normal", "High", "Critical"];

const fn rank(priority: Priority) -> usize {
    match priority {
        Priority::Low => 0,
        Priority::Normal => 1,
        Priority::High => 2,
        Priority::Critical => 3,
    }
}

impl PriorityReserve {
    /// Creates the strategy with its default shares: 50 % for low hits, 30 % more for normal ones, 15 % more
    /// for high ones, and the rest only for critical ones.
    #[must_use]
    pub const fn new() -> Self {
        Self { shares: [50, 30, 15, 0] }
    }

    /// Sets the share of a priority, in percent of the limit. The shares must not add up to more than 100; the
    /// rest is for critical hits.
    #[must_use]
    pub const fn share(mut self, priority: Priority, percent: u64) -> Self {
        self.shares[rank(priority)] = percent;
        self
    }

    /// How far a hit of this rank may fill the account.
    fn ceiling(&self, limit: u64, rank: usize) -> u64 {
        if rank + 1 == self.shares.len() {
            return limit;
        }
        let hundredths = self.shares[..=rank].iter().fold(0_u64, |sum, share| sum.saturating_add(*share));
        percent(limit, hundredths)
    }
}

impl Strategy for PriorityReserve {
    fn name(&self) -> &str {
        "priority_reserve"
    }

    fn validate(&self, rate: &Rate) -> Result<(), String> {
        let sum = self.shares.iter().fold(0_u64, |sum, share| sum.saturating_add(*share));
        if sum > 100 {
            return Err(format!("the shares add up to {sum} percent; lower them to a total of at most 100"));
        }
        for (rank, name) in NAMES.iter().enumerate() {
            if self.ceiling(rate.limit(), rank) == 0 {
                return Err(format!(
                    "the share of Priority::{name}, with those below it, amounts to 0 units of the limit of {}, so \
                     such a hit could never pass; raise the share to at least 1 unit, or raise the limit",
                    rate.limit()
                ));
            }
        }
        Ok(())
    }

    fn capacity(&self, rate: &Rate) -> u64 {
        rate.limit()
    }

    fn step(&self, state: &mut State, ask: &Ask<'_>) -> Verdict {
        let limit = self.ceiling(ask.rate.limit(), rank(ask.who.priority()));
        Window::open(state, ask.now, ask.rate.period_micros(), 0)
            .step(state, ask.op, ask.now, ask.cost, limit)
    }
}
