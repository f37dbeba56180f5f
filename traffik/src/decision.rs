//! [`Decision`], [`Stat`] and [`Throttled`]: the outcome of a hit.

use std::fmt;
use std::time::Duration;

use crate::backend::Verdict;
use crate::policy::Policy;

/// The outcome of a hit.
///
/// ```
/// use traffik::{Decision, MemoryBackend, Throttle};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let throttle = Throttle::builder("docs:decision").rate("1/min").backend(MemoryBackend::new()).build()?;
///
/// # for _ in 0..2 {
/// match throttle.hit("ann").await? {
///     Decision::Allowed(stat) => println!("{} of {} left", stat.remaining, stat.limit),
///     Decision::Denied(throttled) => println!("come back in {:?}", throttled.retry_after()),
///     Decision::Exempt => println!("not counted"),
/// }
/// # }
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a decision limits nothing unless it is checked"]
pub enum Decision {
    /// The hit passed and was charged.
    Allowed(Stat),
    /// The hit was refused, and nothing was charged.
    Denied(Throttled),
    /// The hit passed uncounted: the identity is [`EXEMPTED`](crate::EXEMPTED), the cost is 0, the rate is
    /// unlimited, the throttle is disabled or skipped by a rule, shadow mode let a refusal pass, or the
    /// backend failed under `on_error = "allow"`.
    Exempt,
}

impl Decision {
    /// Converts a backend's verdict into a decision.
    #[inline]
    pub(crate) fn new(policy: &Policy, cost: u64, verdict: &Verdict) -> Self {
        if verdict.admitted {
            return Self::Allowed(Stat::new(policy, verdict));
        }
        Self::Denied(Throttled::new(policy, cost, verdict))
    }

    /// Takes `units` of the charge back, since another throttle refused.
    pub(crate) fn uncharge(&mut self, units: u64) {
        if let Self::Allowed(stat) = self {
            stat.remaining = stat.remaining.saturating_add(units);
            stat.used = stat.used.saturating_sub(units);
        }
    }

    /// Returns `true` if the hit may go ahead, whether or not it was counted.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        !matches!(self, Self::Denied(_))
    }

    /// Returns the refusal, if the hit was refused.
    #[must_use]
    pub fn throttled(&self) -> Option<&Throttled> {
        match self {
            Self::Denied(throttled) => Some(throttled),
            Self::Allowed(_) | Self::Exempt => None,
        }
    }

    /// Returns the state of the client's account, or `None` if nothing was counted.
    #[must_use]
    pub fn stat(&self) -> Option<&Stat> {
        match self {
            Self::Allowed(stat) => Some(stat),
            Self::Denied(throttled) => Some(throttled.stat()),
            Self::Exempt => None,
        }
    }

    /// Converts a refusal into an error, for use with `?`.
    ///
    /// # Errors
    /// Returns [`Throttled`] if the hit was refused.
    pub fn into_result(self) -> Result<Option<Stat>, Throttled> {
        match self {
            Self::Allowed(stat) => Ok(Some(stat)),
            Self::Denied(throttled) => Err(throttled),
            Self::Exempt => Ok(None),
        }
    }
}

#[cfg(feature = "tower")]
impl Decision {
    /// Restates a decision on a part of a cost: the hit costs `cost` as a whole, and `refunded` units that had been
    /// charged for it are given back.
    pub(crate) fn restate(&mut self, cost: u64, refunded: u64) {
        let stat = match self {
            Self::Allowed(stat) => stat,
            Self::Denied(throttled) => {
                throttled.cost = cost;
                &mut throttled.stat
            }
            Self::Exempt => return,
        };
        stat.remaining = stat.remaining.saturating_add(refunded);
        stat.used = stat.used.saturating_sub(refunded);
    }
}

/// The state of one client's account under one throttle.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stat {
    /// The throttle's uid.
    pub uid: &'static str,
    /// The units that a full account holds.
    pub limit: u64,
    /// The units that can still be taken at once.
    pub remaining: u64,
    /// The units in use at present, rounded up.
    pub used: u64,
    /// The time until the requested units would pass; `None` if they pass now or never can. A call of
    /// [`stat`](crate::Throttle::stat) requests a single unit.
    pub retry_after: Option<Duration>,
    /// The time until the account is full again, if nothing else is taken.
    pub reset_after: Duration,
}

impl Stat {
    #[inline]
    pub(crate) fn new(policy: &Policy, verdict: &Verdict) -> Self {
        let retry_after = if verdict.wait == 0 { None } else { verdict.retry_after() };
        Self {
            uid: policy.uid(),
            limit: verdict.limit,
            remaining: verdict.remaining,
            used: verdict.used,
            retry_after,
            reset_after: Duration::from_micros(verdict.reset_after),
        }
    }

    /// Returns the throttle's uid.
    #[must_use]
    pub fn uid(&self) -> &'static str {
        self.uid
    }

    /// Returns the units that a full account holds.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Returns the units that can still be taken at once.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// Returns the units in use at present, rounded up.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used
    }

    /// Returns the time until the requested units would pass; `None` if they pass now or never can.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Returns the time until the account is full again, if nothing else is taken.
    #[must_use]
    pub fn reset_after(&self) -> Duration {
        self.reset_after
    }
}

/// A refusal: the client is over a limit.
///
/// Return it as an error with `?`; axum turns it into a `429` response with `Retry-After`, problem+json and
/// the rate-limit headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Throttled {
    stat: Stat,
    cost: u64,
    /// In microseconds, as is `window`.
    period: u64,
    window: u64,
}

impl Throttled {
    pub(crate) fn new(policy: &Policy, cost: u64, verdict: &Verdict) -> Self {
        let (period, window) = (policy.rate().period_micros(), policy.window());
        Self { stat: Stat::new(policy, verdict), cost, period, window }
    }

    /// Returns the uid of the throttle that refused.
    #[must_use]
    pub fn uid(&self) -> &'static str {
        self.stat.uid
    }

    /// Returns the time until the same hit would pass, if nothing else is taken; `None` if it never can
    /// because it costs more than a full account holds.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.stat.retry_after
    }

    /// Returns the state of the account.
    #[must_use]
    pub fn stat(&self) -> &Stat {
        &self.stat
    }

    /// Returns the cost of the refused hit, in units.
    #[must_use]
    pub fn cost(&self) -> u64 {
        self.cost
    }

    /// Returns the period of the throttle's rate.
    #[must_use]
    pub fn period(&self) -> Duration {
        Duration::from_micros(self.period)
    }

    /// The policy's window in microseconds, for headers.
    #[cfg(feature = "tower")]
    pub(crate) fn window(&self) -> u64 {
        self.window
    }
}

impl fmt::Display for Throttled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "over the limit of {} ({} of {} left)",
            self.stat.uid, self.stat.remaining, self.stat.limit
        )?;
        match self.stat.retry_after {
            Some(wait) => write!(f, ", retry after {wait:?}"),
            None => write!(f, ", and a cost of {} can never pass", self.cost),
        }
    }
}

impl std::error::Error for Throttled {}
