//! [`Place`] and [`ThrottleUse`]: where throttles apply, and a throttle at such a place.

use http::StatusCode;

use super::app;
use crate::Parts;
use crate::app::Traffik;
use crate::headers::Headers;
use crate::pipeline::Overrides;
use crate::response::{OnThrottled, ResponseSettings};
use crate::settings::Settings;
use crate::throttle::Throttle;

/// Where throttles apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In front of a handler.
    Gate,
    /// Around any service. It leaves records of what it has done for the places inside.
    Layer,
}

/// A throttle at a place of use, with the settings that the place overrides.
#[derive(Debug, Clone)]
pub(crate) struct ThrottleUse {
    pub(crate) throttle: Throttle,
    pub(crate) overrides: Option<Overrides>,
    pub(crate) response: ResponseSettings,
    /// Whether the handler wants to settle what is charged.
    pub(super) handler_settles: bool,
    /// Whether the handler takes an [`Outcome`](crate::Outcome).
    handler_takes_outcome: bool,
}

impl ThrottleUse {
    pub(crate) fn new(throttle: Throttle) -> Self {
        let refunds = throttle.settings().response.refund_on.is_some();
        let overrides = refunds.then(|| Overrides { keeps_receipt: true, ..Overrides::default() });
        Self {
            throttle,
            overrides,
            response: ResponseSettings::default(),
            handler_settles: false,
            handler_takes_outcome: false,
        }
    }

    pub(crate) fn overrides(&mut self) -> &mut Overrides {
        self.overrides.get_or_insert_default()
    }

    /// Whether a scope makes it count on another account here.
    pub(crate) fn has_own_scope(&self) -> bool {
        self.overrides.as_ref().is_some_and(|overrides| overrides.scope.is_some())
    }

    /// The setting of this place, or else the throttle's.
    pub(super) fn on_throttled<'a>(&'a self, settings: &'a Settings) -> Option<&'a OnThrottled> {
        self.response.on_throttled.as_ref().or(settings.response.on_throttled.as_ref())
    }

    pub(super) fn refund_on(&self, settings: &Settings) -> Option<fn(StatusCode) -> bool> {
        self.response.refund_on.or(settings.response.refund_on)
    }

    pub(super) fn continues(&self) -> bool {
        matches!(self.on_throttled(&self.throttle.settings()), Some(OnThrottled::Continue))
    }

    /// Whether the handler is to learn what was decided.
    pub(super) fn leaves_outcome(&self) -> bool {
        self.handler_takes_outcome || self.continues()
    }

    /// Whether nothing set here could leave more than headers to write for a request that passes.
    #[cfg(feature = "memory")]
    #[inline(always)]
    pub(super) fn leaves_nothing_to_do(&self) -> bool {
        self.overrides.is_none() && self.response.leaves_nothing_to_do()
    }

    /// Whether a request that passes leaves nothing to do and nothing to report.
    pub(super) fn stays_silent(&self, parts: &Parts) -> bool {
        let settings = self.throttle.settings();
        let app = || app(parts).and_then(Traffik::headers);
        !self.handler_settles
            && settings.response.headers.as_ref().or_else(app).is_some_and(Headers::is_never)
            && self.refund_on(&settings).is_none()
            && !self.leaves_outcome()
    }
}

/// For gates, whose handlers may ask for more.
#[cfg(feature = "axum")]
impl ThrottleUse {
    /// Keeps what is charged, for the handler to settle.
    pub(crate) fn keep_charge(&mut self) {
        self.handler_settles = true;
        self.overrides().keeps_receipt = true;
    }

    /// Tells the handler what was decided. Overrides, even empty ones, keep a request off the fast paths, which tell
    /// nobody.
    pub(crate) fn tell_outcome(&mut self) {
        self.handler_takes_outcome = true;
        self.overrides();
    }
}
