//! [`Failure`]: why a request has no decision, and what an outage means for it.

use crate::backend::BackendError;
use crate::error::Error;
use crate::log_limit::log_limited;
use crate::outage::Outage;

/// The reason why there are no decisions.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(super) error: Error,
    pub(crate) outage: Outage,
}

impl Failure {
    pub(super) fn configuration(uid: &'static str, error: Error) -> Self {
        log_limited!(error, uid, %error, "a throttle is misconfigured");
        Self { error, outage: Outage::Raise }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        failure.error.under(failure.outage)
    }
}

/// What a failed correction means for its caller. As in [`outage`], the throttles have no say about contention.
pub(crate) fn correction_outage(
    error: BackendError,
    uid: &'static str,
    outages: impl Iterator<Item = Outage>,
) -> Failure {
    let strictest = strictest(outages).filter(|_| !error.is_contention());
    Failure { error: Error::backend(error).about(uid), outage: strictest.unwrap_or_default() }
}

pub(super) fn strictest(mut outages: impl Iterator<Item = Outage>) -> Option<Outage> {
    outages.find(|outage| *outage != Outage::Pass)
}

/// What an outage means for the request: the first of its throttles that does not let it pass decides. Contention is
/// no outage, so the throttles have no say: nobody passes uncounted by hammering a key.
pub(super) fn outage(
    error: BackendError,
    uid: &'static str,
    outages: impl Iterator<Item = Outage>,
) -> Option<Failure> {
    let strictest = if error.is_contention() { Some(Outage::Unavailable) } else { strictest(outages) };
    log_limited!(warn, uid, uid, outcome = "error", %error, passed = strictest.is_none(), "the backend could not decide");
    strictest.map(|outage| Failure { error: Error::backend(error).about(uid), outage })
}
