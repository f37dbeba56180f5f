//! [`Decision`], [`Stat`] and [`Throttled`]: what came of a hit.

use std::fmt;
use std::time::Duration;

use crate::backend::Verdict;
use crate::policy::Policy;

/// What came of a hit.
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
#[must_use = "a decision that nobody reads limits nothing"]
pub enum Decision {
    /// It passed and was charged.
    Allowed(Stat),
    /// It was refused, and nothing was charged.
    Denied(Throttled),
    /// It passed uncounted: the identity is [`EXEMPTED`](crate::EXEMPTED), the cost 0, the rate
    /// unlimited, the throttle disabled, skipped by a rule, in shadow mode where it would have
    /// refused, or its backend down under `on_error = "allow"`.
    Exempt,
}

impl Decision {
    /// What a verdict means for whoever asked.
    #[inline]
    pub(crate) fn new(policy: &Policy, cost: u64, verdict: &Verdict) -> Self {
        if verdict.admitted {
            return Self::Allowed(Stat::new(policy, verdict));
        }
        Self::Denied(Throttled::new(policy, cost, verdict))
    }

    /// So much of what it charged goes back, since another throttle refused.
    pub(crate) fn uncharge(&mut self, units: u64) {
        if let Self::Allowed(stat) = self {
            stat.remaining = stat.remaining.saturating_add(units);
            stat.used = stat.used.saturating_sub(units);
        }
    }

    /// Whether the hit may go ahead, counted or not.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        !matches!(self, Self::Denied(_))
    }

    /// The refusal, if it is one.
    #[must_use]
    pub fn throttled(&self) -> Option<&Throttled> {
        match self {
            Self::Denied(throttled) => Some(throttled),
            Self::Allowed(_) | Self::Exempt => None,
        }
    }

    /// The state of the client's account, unless nothing was counted.
    #[must_use]
    pub fn stat(&self) -> Option<&Stat> {
        match self {
            Self::Allowed(stat) => Some(stat),
            Self::Denied(throttled) => Some(throttled.stat()),
            Self::Exempt => None,
        }
    }

    /// The refusal as an error, for `?`.
    ///
    /// # Errors
    /// [`Throttled`] when the hit was refused.
    pub fn into_result(self) -> Result<Option<Stat>, Throttled> {
        match self {
            Self::Allowed(stat) => Ok(Some(stat)),
            Self::Denied(throttled) => Err(throttled),
            Self::Exempt => Ok(None),
        }
    }
}

/// The state of one client's account under one throttle.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stat {
    /// The throttle.
    pub uid: &'static str,
    /// The most that a full account holds, in units of cost.
    pub limit: u64,
    /// What can still be taken at once, in units of cost.
    pub remaining: u64,
    /// What is taken at present, in units of cost, rounded up.
    pub used: u64,
    /// How long until what was asked for would pass, if it does not now and ever can. For
    /// [`stat`](crate::Throttle::stat) the question is a single unit.
    pub retry_after: Option<Duration>,
    /// How long until the account is full again, if nothing else is taken.
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

    /// The throttle.
    #[must_use]
    pub fn uid(&self) -> &'static str {
        self.uid
    }

    /// The most that a full account holds, in units of cost.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// What can still be taken at once, in units of cost.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// What is taken at present, in units of cost, rounded up.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used
    }

    /// How long until what was asked for would pass.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// How long until the account is full again.
    #[must_use]
    pub fn reset_after(&self) -> Duration {
        self.reset_after
    }
}

/// A refusal: the client is over a limit.
///
/// An error to return with `?`, and in axum a response: `429` with `Retry-After`, problem+json and
/// the rate-limit headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Throttled {
    stat: Stat,
    cost: u64,
    /// Both in microseconds.
    period: u64,
    window: u64,
}

impl Throttled {
    pub(crate) fn new(policy: &Policy, cost: u64, verdict: &Verdict) -> Self {
        let (period, window) = (policy.rate().period_micros(), policy.window());
        Self { stat: Stat::new(policy, verdict), cost, period, window }
    }

    /// The throttle that refused.
    #[must_use]
    pub fn uid(&self) -> &'static str {
        self.stat.uid
    }

    /// How long until the same hit passes, if nothing else is taken; `None` when it never can,
    /// because it costs more than a full account holds.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.stat.retry_after
    }

    /// The state of the account.
    #[must_use]
    pub fn stat(&self) -> &Stat {
        &self.stat
    }

    /// What the hit would have cost, in units.
    #[must_use]
    pub fn cost(&self) -> u64 {
        self.cost
    }

    /// The period of the throttle's rate.
    #[must_use]
    pub fn period(&self) -> Duration {
        Duration::from_micros(self.period)
    }

    /// Its policy's window in microseconds, for headers.
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
