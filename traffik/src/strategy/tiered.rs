//! [`Tiered`]: higher tiers get a multiple of the limit.

use super::{Ask, EXACT, State, Strategy, Verdict, Window};
use crate::rate::Rate;

/// Multiplies the limit by the factor of the client's tier, and counts per calendar window:
/// `used + c ≤ L · m`. The tier comes from the identity: `Identity::key(..).tier("premium")`.
///
/// State, 16 bytes a client: the window's start and what was used in it. Round trips: 0 in memory, 2 on Redis.
///
/// **When:** one throttle serves several subscriptions. **When not:** tiers differ in more than the limit;
/// use a throttle for each of them instead.
///
/// A client that changes its tier keeps what it used. A changed limit or multiplier keeps it as well; a
/// changed period starts afresh.
///
/// ```
/// use traffik::{Identity, Throttle, strategy::Tiered};
///
/// let api = Throttle::builder("docs:tiered")
///     .rate("100/hour")
///     .strategy(Tiered::new().tier("premium", 10).tier("partner", 50))
///     .build()?;
/// let premium = Identity::key("ann").tier("premium"); // 1000 an hour
/// # let _ = (api, premium);
/// # Ok::<(), traffik::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tiered {
    others: u64,
    tiers: Vec<(Box<str>, u64)>,
}

impl Default for Tiered {
    fn default() -> Self {
        Self::new()
    }
}

impl Tiered {
    /// Creates the strategy without any tiers: every client gets the limit as it is.
    #[must_use]
    pub const fn new() -> Self {
        Self { others: 1, tiers: Vec::new() }
    }

    /// Sets the multiplier of a tier's limit, at least 1. The last one set for a tier counts.
    #[must_use]
    pub fn tier(mut self, name: impl Into<String>, multiplier: u64) -> Self {
        let name = name.into().into_boxed_str();
        self.tiers.retain(|(known, _)| *known != name);
        self.tiers.push((name, multiplier));
        self
    }

    /// Sets the multiplier of clients without a tier, or with one that has no multiplier; 1 by default.
    #[must_use]
    pub const fn others(mut self, multiplier: u64) -> Self {
        self.others = multiplier;
        self
    }

    fn multiplier(&self, tier: Option<&str>) -> u64 {
        let known = tier.and_then(|tier| self.tiers.iter().find(|(known, _)| &**known == tier));
        known.map_or(self.others, |(_, multiplier)| *multiplier)
    }
}

impl Strategy for Tiered {
    fn name(&self) -> &str {
        "tiered"
    }

    fn validate(&self, rate: &Rate) -> Result<(), String> {
        let named = self.tiers.iter().map(|(name, multiplier)| (format!("tier {name:?}"), *multiplier));
        for (who, multiplier) in named.chain([("others".to_owned(), self.others)]) {
            if multiplier == 0 {
                return Err(format!(
                    "the multiplier of {who} is 0, so such a client could never pass; make it at least 1"
                ));
            }
            if rate.limit().checked_mul(multiplier).is_none_or(|limit| limit >= EXACT) {
                return Err(format!(
                    "the multiplier of {who} is {multiplier}, and {multiplier} times the limit of {} reaches 2^53; \
                     lower one of them",
                    rate.limit()
                ));
            }
        }
        Ok(())
    }

    fn capacity(&self, rate: &Rate) -> u64 {
        let most = self.tiers.iter().map(|(_, multiplier)| *multiplier).max().unwrap_or(0);
        rate.limit().saturating_mul(most.max(self.others))
    }

    fn step(&self, state: &mut State, ask: &Ask<'_>) -> Verdict {
        let limit = ask.rate.limit().saturating_mul(self.multiplier(ask.who.tier()));
        Window::open(state, ask.now, ask.rate.period_micros(), 0)
            .step(state, ask.op, ask.now, ask.cost, limit)
    }
}
