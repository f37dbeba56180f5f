//! [`Settings`]: the settings of a throttle at one instant. Replaced as a whole at run time.

mod cell;
#[cfg(feature = "memory")]
mod fast_path;

use std::sync::Arc;

pub(crate) use cell::{SettingsCell, SettingsRef};
#[cfg(feature = "memory")]
pub(crate) use fast_path::FastPath;

use crate::app::Traffik;
use crate::backend::SharedBackend;
use crate::error::Error;
use crate::identity::Identity;
use crate::on_cancel::OnCancel;
use crate::policy::Policy;
use crate::rate::Rate;
use crate::request_fn::{RequestFn, Source};
use crate::resilience::OnError;
use crate::rules::Rule;
use crate::strategy::Strategy;

/// An immutable configuration. A hit reads it once, and sees all of it or nothing.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) rate: RateSetting,
    pub(crate) cost: Source<u64>,
    /// `None` means the client's address.
    pub(crate) identifier: Option<RequestFn<Identity>>,
    pub(crate) scope: Option<Source<String>>,
    pub(crate) backend: BackendSetting,
    /// `None` means the app's setting.
    pub(crate) on_error: Option<OnError>,
    pub(crate) rules: Arc<[Rule]>,
    pub(crate) shadow: bool,
    pub(crate) on_cancel: OnCancel,
    /// Whether no step before the backend has to wait. Maintained by [`Settings::seal`].
    pub(crate) is_immediate: bool,
    /// The fastest path to a decision, if these settings allow it. Maintained by [`Settings::seal`].
    #[cfg(feature = "memory")]
    pub(crate) fast_path: Option<FastPath>,
    #[cfg(feature = "tower")]
    pub(crate) response: crate::response::ResponseSettings,
}

#[derive(Debug, Clone)]
pub(crate) enum RateSetting {
    /// Checked, and ready to use.
    Fixed(Policy),
    /// The rate is computed from each request, and the policy created then.
    Of(RequestFn<Rate>, Arc<dyn Strategy>),
}

#[derive(Debug, Clone)]
pub(crate) enum BackendSetting {
    /// The router's backend, the installed one, or the process's own memory.
    Inherit,
    Own(SharedBackend),
    /// The backend of the current context, resolved on every request.
    Dynamic(Option<RequestFn<Option<SharedBackend>>>),
}

impl Settings {
    /// Computes the derived fields. This is the last step whenever settings are created or changed.
    fn seal(mut self) -> Self {
        self.is_immediate = self.takes_no_waiting();
        #[cfg(feature = "memory")]
        {
            self.fast_path = FastPath::of(&self);
        }
        self
    }

    /// Checks that the cost can pass.
    ///
    /// # Errors
    /// Fails if the cost exceeds what a full account holds.
    pub(crate) fn check_cost(&self, uid: &str) -> Result<(), Error> {
        self.check_cost_of_use(uid, &self.cost)
    }

    /// Same as `check_cost`, for a cost that is set where the throttle is used.
    pub(crate) fn check_cost_of_use(&self, uid: &str, cost: &Source<u64>) -> Result<(), Error> {
        let (RateSetting::Fixed(policy), Source::Fixed(cost)) = (&self.rate, cost) else {
            return Ok(());
        };
        let (rate, strategy) = (policy.rate(), policy.strategy());
        if rate.is_unlimited() || *cost <= strategy.capacity(rate) {
            return Ok(());
        }
        Err(Error::configuration(format!(
            "throttle {uid:?}: a cost of {cost} can never pass, since {} holds at most {} at {rate}; lower the cost, or \
             raise the limit or the burst",
            strategy.name(),
            strategy.capacity(rate),
        )))
    }

    /// The policy, unless the rate is computed from each request.
    pub(crate) fn fixed_policy(&self) -> Option<&Policy> {
        match &self.rate {
            RateSetting::Fixed(policy) => Some(policy),
            RateSetting::Of(..) => None,
        }
    }

    /// The scope, if there is one that is not computed from each request.
    pub(crate) fn fixed_scope(&self) -> Option<&str> {
        match &self.scope {
            Some(Source::Fixed(scope)) => Some(scope),
            Some(Source::Of(_)) | None => None,
        }
    }

    /// What to do in an outage: the setting of the throttle, or else of its app.
    pub(crate) fn on_error_under<'a>(&'a self, app: Option<&'a Traffik>) -> Option<&'a OnError> {
        self.on_error.as_ref().or_else(|| app?.on_error())
    }

    /// Who the client of a request is: the setting of the throttle, or else of its app. `None` stands for the client's
    /// address.
    #[inline(always)]
    pub(crate) fn identifier_under<'a>(
        &'a self,
        app: Option<&'a Traffik>,
    ) -> Option<&'a RequestFn<Identity>> {
        self.identifier.as_ref().or_else(|| app?.identifier())
    }

    pub(crate) fn strategy(&self) -> &Arc<dyn Strategy> {
        match &self.rate {
            RateSetting::Fixed(policy) => policy.shared_strategy(),
            RateSetting::Of(_, strategy) => strategy,
        }
    }

    /// The policy's window in microseconds; 0 if each request has its own policy.
    #[cfg(feature = "tower")]
    pub(crate) fn window(&self) -> u64 {
        self.fixed_policy().map_or(0, Policy::window)
    }

    /// Whether none of the functions of the request is async.
    pub(crate) fn functions_are_sync(&self, app: Option<&Traffik>) -> bool {
        let rate_is_sync = match &self.rate {
            RateSetting::Fixed(_) => true,
            RateSetting::Of(rate, _) => rate.is_sync(),
        };
        rate_is_sync
            && self.cost.is_sync()
            && self.scope.as_ref().is_none_or(Source::is_sync)
            && self.identifier_under(app).is_none_or(RequestFn::is_sync)
            && self.rules.iter().all(Rule::is_sync)
    }

    fn takes_no_waiting(&self) -> bool {
        matches!(self.rate, RateSetting::Fixed(_))
            && !matches!(self.backend, BackendSetting::Dynamic(_))
            && matches!(self.scope, None | Some(Source::Fixed(_)))
            && self.cost.is_sync()
            && self.identifier.as_ref().is_none_or(RequestFn::is_sync)
            && self.rules.is_empty()
            && !self.shadow
    }
}

/// The error for a throttle with two answers to where it counts.
pub(crate) fn both_backends(uid: &str) -> Error {
    Error::configuration(format!(
        "throttle {uid:?} has both a backend of its own and a dynamic one; keep `backend` to always use the same one, \
         or `dynamic_backend` to look it up for each request"
    ))
}

/// The error for a change of the backend of a throttle that has none of its own.
pub(crate) fn no_own_backend(uid: &str) -> Error {
    Error::configuration(format!(
        "throttle {uid:?} looks its backend up for each request, and has none of its own to change; change what the \
         context provides, or build the throttle without `dynamic_backend`"
    ))
}
