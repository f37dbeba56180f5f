//! [`Policy`]: the counting rule of one throttle, ready to be applied to any client.

use std::fmt;
use std::sync::Arc;

use crate::error::Error;
use crate::key;
use crate::rate::Rate;
use crate::strategy::{Account, Strategy, Twin};

/// A throttle's uid, strategy and rate, checked against each other.
///
/// Immutable: a change at run time creates a new policy. Whether a client's state carries over depends on
/// [`Policy::tag`], which is part of its key.
#[derive(Clone)]
pub struct Policy {
    uid: &'static str,
    rate: Rate,
    strategy: Arc<dyn Strategy>,
    /// Queried from the strategy once.
    staggered: bool,
    /// For the most common strategies: their step, with everything precomputed.
    account: Option<Account>,
    window: u64,
    /// Shared, so that cloning the policy is cheap.
    tag: Arc<str>,
    seed: u64,
}

impl Policy {
    pub(crate) fn new(uid: &'static str, rate: Rate, strategy: Arc<dyn Strategy>) -> Result<Self, Error> {
        rate.check().map_err(|error| Error::configuration(format!("throttle {uid:?}: {error}")))?;
        if !rate.is_unlimited() {
            strategy
                .validate(&rate)
                .map_err(|reason| Error::configuration(format!("throttle {uid:?}, rate {rate}: {reason}")))?;
        }
        let tag: Arc<str> = strategy.tag(&rate).into();
        let seed = key::policy(uid, &tag);
        let account = if rate.is_unlimited() { None } else { Account::of(strategy.twin(), &rate) };
        let window = window(strategy.twin(), &rate);
        Ok(Self { uid, rate, staggered: strategy.staggered(), account, strategy, window, tag, seed })
    }

    /// Returns the throttle's unique id.
    #[must_use]
    pub fn uid(&self) -> &'static str {
        self.uid
    }

    /// Returns the rate.
    #[must_use]
    pub fn rate(&self) -> &Rate {
        &self.rate
    }

    /// Returns the strategy.
    #[must_use]
    pub fn strategy(&self) -> &dyn Strategy {
        &*self.strategy
    }

    pub(crate) fn shared_strategy(&self) -> &Arc<dyn Strategy> {
        &self.strategy
    }

    /// Returns the tag that stands for the meaning of a client's state: policies with equal tags can share
    /// it, others start afresh. For the strategies of this crate, it consists of ASCII letters, digits and
    /// `~ _ -`; a strategy of your own may return anything.
    #[must_use]
    pub fn tag(&self) -> &str {
        &self.tag
    }

    #[inline]
    pub(crate) fn staggered(&self) -> bool {
        self.staggered
    }

    #[inline]
    pub(crate) fn account(&self) -> Option<&Account> {
        self.account.as_ref()
    }

    /// The time in which a client may use as much as a full account holds, in microseconds; headers report
    /// it next to the limit. 0 if it is not a whole number.
    pub(crate) fn window(&self) -> u64 {
        self.window
    }

    /// The policy's part of a hashed key.
    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }
}

/// The rate's period, or the time in which the bucket fills if it holds more or less than the rate's limit.
fn window(twin: Option<Twin>, rate: &Rate) -> u64 {
    let (limit, period) = (rate.limit(), rate.period_micros());
    let Some(Twin::Bucket { burst: Some(burst), .. }) = twin else { return period };
    let whole = u128::from(burst) * u128::from(period);
    let window =
        whole.checked_rem(u128::from(limit)).filter(|rest| *rest == 0).map(|_| whole / u128::from(limit));
    window.and_then(|window| u64::try_from(window).ok()).unwrap_or(0)
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("uid", &self.uid)
            .field("rate", &self.rate)
            .field("strategy", &self.strategy)
            .finish()
    }
}
