//! [`Entry`]: a throttle as a request meets it, with what the place of use overrides.

use crate::Parts;
use crate::request_fn::{RequestFn, Source};
use crate::settings::Settings;
use crate::throttle::Throttle;

/// One throttle of a request, with the overrides of the place where it is used.
#[derive(Clone, Copy)]
pub(crate) struct Entry<'a> {
    pub(crate) throttle: &'a Throttle,
    pub(crate) overrides: Option<&'a Overrides>,
}

/// The settings of a shared throttle that a use of it may override.
#[derive(Debug, Clone, Default)]
pub(crate) struct Overrides {
    pub(crate) cost: Option<Source<u64>>,
    pub(crate) scope: Option<Source<String>>,
    pub(crate) shadow: Option<bool>,
    /// Whether the charge may have to be refunded.
    pub(crate) keeps_receipt: bool,
}

impl Overrides {
    /// Whether the overrides allow the `immediate` path: none of them has to wait, sets a scope or turns on
    /// shadow mode.
    pub(super) fn is_immediate(&self) -> bool {
        self.cost.as_ref().is_none_or(Source::is_sync) && self.scope.is_none() && self.shadow != Some(true)
    }
}

impl<'a> Entry<'a> {
    pub(crate) fn new(throttle: &'a Throttle) -> Self {
        Self { throttle, overrides: None }
    }

    /// For queries and corrections of an account, where shadow mode makes no difference.
    pub(crate) fn account(throttle: &'a Throttle) -> Self {
        static ACCOUNT: Overrides =
            Overrides { cost: None, scope: None, shadow: Some(false), keeps_receipt: false };
        Self { throttle, overrides: Some(&ACCOUNT) }
    }

    /// Whether the charge may have to be refunded.
    #[inline]
    pub(super) fn keeps_receipt(&self) -> bool {
        self.overrides.is_some_and(|overrides| overrides.keeps_receipt)
    }

    /// Whether the throttle is in shadow mode.
    pub(super) fn is_shadow(&self, settings: &Settings) -> bool {
        self.overrides.and_then(|overrides| overrides.shadow).unwrap_or(settings.shadow)
    }

    /// The scope; a computed one is absent without a request to compute it from.
    pub(super) async fn scope(&self, settings: &Settings, parts: Option<&Parts>) -> Option<String> {
        let scope = self.overrides.and_then(|overrides| overrides.scope.as_ref()).or(settings.scope.as_ref());
        match (scope?, parts) {
            (Source::Fixed(scope), _) => Some(scope.clone()),
            (Source::Of(function), Some(parts)) => Some(function.call(parts).await),
            (Source::Of(_), None) => None,
        }
    }

    /// What the request costs. `units` replaces the cost; without a request to compute it from, it is 1.
    #[inline]
    pub(super) fn cost(
        &self,
        settings: &'a Settings,
        units: Option<u64>,
        parts: Option<&'a Parts>,
    ) -> Cost<'a> {
        let cost = self.overrides.and_then(|overrides| overrides.cost.as_ref()).unwrap_or(&settings.cost);
        match (units, cost, parts) {
            (Some(units), ..) => Cost::Units(units),
            (None, Source::Fixed(cost), _) => Cost::Units(*cost),
            (None, Source::Of(function), Some(parts)) => Cost::Of(function, parts),
            (None, Source::Of(_), None) => Cost::Units(1),
        }
    }
}

/// The cost of a request, or the function that computes it.
pub(super) enum Cost<'a> {
    Units(u64),
    Of(&'a RequestFn<u64>, &'a Parts),
}
