//! Steps one to five for one throttle, where any of them may have to wait.

use super::backends::{self, Resolved};
use super::client::{HashedClient, IdentityCache};
use super::entry::{Cost, Entry};
use crate::app::Traffik;
use crate::backend::{Hit, Op, SharedBackend};
use crate::error::Error;
use crate::on_cancel::OnCancel;
use crate::policy::Policy;
use crate::resilience::OnError;
use crate::rules;
use crate::settings::{RateSetting, Settings};
use crate::subject::Subject;

/// What is asked of all throttles alike.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) subject: &'a Subject<'a>,
    pub(super) op: Op,
    /// Replaces every cost.
    pub(super) units: Option<u64>,
}

/// A hit that has passed the first five steps.
pub(super) struct Candidate<'a> {
    /// The index of its throttle.
    pub(super) entry: usize,
    pub(super) cost: u64,
    client: HashedClient<'a>,
    policy: PolicyOf<'a>,
    scope: Option<String>,
    backend: Resolved<'a>,
    pub(super) on_error: OnError,
    pub(super) shadow: bool,
    /// Whether the charge may have to be refunded.
    pub(super) keeps_receipt: bool,
    /// Whether it is also refunded if the client goes away before there is an answer.
    pub(super) refund_if_dropped: bool,
}

enum PolicyOf<'a> {
    Kept(&'a Policy),
    Made(Box<Policy>),
}

impl PolicyOf<'_> {
    fn get(&self) -> &Policy {
        match self {
            Self::Kept(policy) => policy,
            Self::Made(policy) => policy,
        }
    }
}

impl Candidate<'_> {
    pub(super) fn policy(&self) -> &Policy {
        self.policy.get()
    }

    pub(super) fn backend(&self) -> &SharedBackend {
        self.backend.get()
    }

    /// The backend to ask after `failed` of them have failed.
    pub(super) fn backend_after(&self, failed: usize) -> Option<&SharedBackend> {
        match failed.checked_sub(1) {
            None => Some(self.backend()),
            Some(fallback) => self.on_error.next(fallback),
        }
    }

    pub(super) fn hit(&self) -> Hit<'_> {
        Hit::new(self.policy(), self.client.who(), self.client.hash(), self.scope.as_deref(), self.cost)
    }
}

/// How far a throttle has come.
pub(super) enum Prepared<'a> {
    /// It lets the request pass uncounted.
    Uncounted,
    /// The request costs nothing.
    Free,
    Counts(Candidate<'a>),
}

/// Runs steps one to five for one throttle.
///
/// # Errors
/// Fails when its rate cannot be used, or it has no backend.
pub(super) async fn prepare<'a>(
    request: Request<'a>,
    place: usize,
    entry: &Entry<'a>,
    settings: &'a Settings,
    identities: &mut IdentityCache<'a>,
) -> Result<Prepared<'a>, Error> {
    let Request { subject, op, units } = request;
    let (throttle, parts) = (entry.throttle, subject.parts());
    if op.can_be_refused() {
        if !throttle.is_enabled() {
            return Ok(Prepared::Uncounted);
        }
        if let Some(parts) = parts
            && !settings.rules.is_empty()
            && rules::skip(&settings.rules, parts).await
        {
            return Ok(Prepared::Uncounted);
        }
    }

    let cost = match entry.cost(settings, units, parts) {
        Cost::Units(units) => units,
        Cost::Of(function, parts) => function.call(parts).await,
    };
    if cost == 0 && op.can_be_refused() {
        return Ok(Prepared::Free);
    }

    let app = Traffik::of(parts);
    let Some(client) = identities.client(settings.identifier_under(app), subject).await else {
        return Ok(Prepared::Uncounted);
    };

    let policy = match &settings.rate {
        RateSetting::Fixed(policy) => PolicyOf::Kept(policy),
        RateSetting::Of(function, strategy) => {
            let rate = function.call(parts.ok_or_else(|| no_request(throttle.uid()))?).await;
            PolicyOf::Made(Box::new(Policy::new(throttle.uid(), rate, strategy.clone())?))
        }
    };
    if policy.get().rate().is_unlimited() {
        return Ok(Prepared::Uncounted);
    }

    Ok(Prepared::Counts(Candidate {
        entry: place,
        cost,
        client,
        policy,
        scope: entry.scope(settings, parts).await,
        backend: backends::resolve(throttle.uid(), settings, parts).await?,
        on_error: settings.on_error_under(app).cloned().unwrap_or_default(),
        shadow: entry.is_shadow(settings),
        keeps_receipt: entry.keeps_receipt(),
        refund_if_dropped: entry.keeps_receipt() && settings.on_cancel == OnCancel::Refund,
    }))
}

fn no_request(uid: &str) -> Error {
    Error::configuration(format!(
        "throttle {uid:?} computes its rate from the request, but was called with an identity; pass the request's parts"
    ))
}
