//! [`FastPath`]: what the fastest path of a hit needs, worked out in advance.

use super::{BackendSetting, Settings};
use crate::MemoryBackend;
use crate::backend::memory::AccountProfile;
use crate::key;
use crate::policy::Policy;
use crate::request_fn::Source;

/// What does not change between hits on a throttle that counts in memory. `pipeline/fast_path.rs` takes the path.
#[derive(Debug, Clone)]
pub(crate) struct FastPath {
    pub(crate) policy: Policy,
    /// The account, if the strategy has one and the store has room for all that is used of it.
    pub(crate) profile: Option<AccountProfile>,
    /// The key without the identity's part.
    pub(crate) key: u64,
    /// The hash keys for the rest of it, ready.
    pub(crate) keys: key::Keys,
    /// What a hit costs. A computed cost is 1 here, which is what a hit outside HTTP costs.
    pub(crate) cost: u64,
    /// Whether the cost is computed from each request.
    pub(crate) is_computed: bool,
    /// The throttle's own store; `None` to inherit one.
    pub(crate) own: Option<MemoryBackend>,
    /// Whether a request that passes leaves nothing to do and nothing to report, as far as the throttle is
    /// concerned.
    #[cfg(feature = "tower")]
    pub(crate) is_silent: bool,
    /// Whether such a request leaves at most headers to write.
    #[cfg(feature = "tower")]
    pub(crate) leaves_nothing_to_do: bool,
}

impl FastPath {
    /// Creates the fast path for these settings, if they leave nothing to be asked.
    pub(super) fn of(settings: &Settings) -> Option<Self> {
        let policy = settings.fixed_policy()?;
        let own = match &settings.backend {
            BackendSetting::Own(own) => Some(own.memory()?.clone()),
            BackendSetting::Inherit => None,
            BackendSetting::Dynamic(_) => return None,
        };
        if !settings.is_immediate || policy.rate().is_unlimited() {
            return None;
        }
        let cost = if let Source::Fixed(cost) = settings.cost { Some(cost) } else { None };
        Some(Self {
            profile: policy.account().and_then(AccountProfile::new),
            key: key::of(policy.seed(), 0, settings.fixed_scope()),
            keys: key::Keys::get(),
            cost: cost.unwrap_or(1),
            is_computed: cost.is_none(),
            own,
            #[cfg(feature = "tower")]
            is_silent: settings.response.is_silent(),
            #[cfg(feature = "tower")]
            leaves_nothing_to_do: settings.response.leaves_nothing_to_do(),
            policy: policy.clone(),
        })
    }
}
