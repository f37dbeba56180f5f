//! A decision without a future, where nothing has to wait.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::{Decisions, Entry, backends, decide_in_steps, decide_one_now, settings};
use crate::app::Traffik;
use crate::backend::Op;
use crate::decision::Decision;
use crate::error::Error;
use crate::settings::{BackendSetting, Settings};
use crate::subject::Subject;

/// Decides one throttle at once, by whichever path can. Returns `None`, with nothing charged, if something may have to
/// wait.
#[inline(never)]
pub(crate) fn decide_at_once(
    entry: Entry<'_>,
    subject: Subject<'_>,
    op: Op,
    units: Option<u64>,
) -> Option<Result<Decision, Error>> {
    if let Some(decision) = decide_one_now(entry.throttle, &subject, op, units) {
        return Some(decision);
    }
    let entries = [entry];
    let all = settings(&entries);
    // This is determined before the first step, and of the settings that all steps go by: dropped half way, a call to
    // a store might charge all the same.
    if all.iter().any(|settings| may_wait(settings, &subject)) {
        return None;
    }
    match pin!(decide_in_steps(&entries, all, subject, op, units))
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(decisions) => Some(decisions.map(Decisions::into_decision).map_err(Error::from)),
        Poll::Pending => None,
    }
}

/// Whether a step may have to wait: a function of the request, or the backend.
fn may_wait(settings: &Settings, subject: &Subject<'_>) -> bool {
    let parts = subject.parts();
    let app = Traffik::of(parts);
    if matches!(settings.backend, BackendSetting::Dynamic(_)) {
        return true;
    }
    // A missing backend is an error, for which nobody waits.
    let backend = backends::fixed(settings, parts);
    let backend_waits =
        backend.is_some_and(|backend| !backends::answers_at_once(backend, settings.on_error_under(app)));
    backend_waits || parts.is_some() && !settings.functions_are_sync(app)
}
