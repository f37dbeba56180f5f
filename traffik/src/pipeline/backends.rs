//! Step five: the backend that a throttle counts on.

use crate::Parts;
use crate::app::{Traffik, process_memory};
use crate::backend::{SharedBackend, context};
use crate::error::Error;
use crate::resilience::OnError;
use crate::settings::{BackendSetting, Settings};

/// A backend that has been looked up.
pub(super) enum Resolved<'a> {
    Ref(&'a SharedBackend),
    Own(SharedBackend),
}

impl Resolved<'_> {
    pub(super) fn get(&self) -> &SharedBackend {
        match self {
            Self::Ref(backend) => backend,
            Self::Own(backend) => backend,
        }
    }
}

/// Returns the backend of a static throttle without one of its own. `app` is the router's, or else
/// the installed one.
#[inline(always)]
pub(super) fn inherited(app: Option<&Traffik>) -> Option<&SharedBackend> {
    match app {
        None => process_memory(),
        Some(app) => inherited_from(app),
    }
}

#[inline(never)]
fn inherited_from(app: &Traffik) -> Option<&SharedBackend> {
    match app.backend() {
        None => process_memory(),
        found => found,
    }
}

/// Returns the backend if no user code has to be called to find it.
pub(super) fn fixed<'a>(settings: &'a Settings, parts: Option<&'a Parts>) -> Option<&'a SharedBackend> {
    match &settings.backend {
        BackendSetting::Own(backend) => Some(backend),
        BackendSetting::Inherit => inherited(Traffik::of(parts)),
        BackendSetting::Dynamic(_) => None,
    }
}

/// Whether a backend answers immediately. The in-memory store cannot fail. Any other may take more than one call, unless
/// the throttle's `OnError` handles a failure without another.
pub(super) fn answers_at_once(backend: &SharedBackend, on_error: Option<&OnError>) -> bool {
    backend.is_memory() || (backend.is_immediate() && on_error.is_none_or(OnError::is_word))
}

/// Returns the backend for this request.
///
/// # Errors
/// Fails when there is none.
pub(super) async fn resolve<'a>(
    uid: &str,
    settings: &'a Settings,
    parts: Option<&'a Parts>,
) -> Result<Resolved<'a>, Error> {
    let BackendSetting::Dynamic(resolve) = &settings.backend else {
        return fixed(settings, parts).map(Resolved::Ref).ok_or_else(|| no_backend(uid));
    };
    let told = match (resolve, parts) {
        (Some(resolve), Some(parts)) => resolve.call(parts).await,
        _ => None,
    };
    if let Some(backend) = told.or_else(context::current) {
        return Ok(Resolved::Own(backend));
    }
    let fallback = Traffik::of(parts).and_then(Traffik::backend);
    fallback.map(Resolved::Ref).ok_or_else(|| no_context(uid))
}

fn no_backend(uid: &str) -> Error {
    Error::configuration(format!(
        "throttle {uid:?} has no backend: this build has no in-memory default (feature `memory`), and none is \
         installed; call traffik::install, or give the throttle one with .backend(..)"
    ))
}

fn no_context(uid: &str) -> Error {
    Error::configuration(format!(
        "throttle {uid:?} looks up its backend for each request, but found none; put a BackendLayer or a \
         Traffik layer around the route, run it in backend.scope(..), or call traffik::install"
    ))
}
