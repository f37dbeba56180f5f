//! [`After`]: what is left to do for a request once there is an answer to it.

use std::mem;
#[cfg(feature = "memory")]
use std::slice;
use std::sync::Arc;

use http::{Response, StatusCode};
use smallvec::SmallVec;

use crate::backend::BoxFuture;
use crate::headers::{self, Report};
use crate::reserve::{Tab, give_back};
use crate::seldom::Seldom;
use crate::tower::admission::Place;
use crate::tower::marks::TurnedAway;
use crate::unstopped::Unstopped;

/// For which statuses a charge is given back.
type RefundOn = fn(StatusCode) -> bool;

/// Headers to write and charges to give back. Absent where there is nothing, and one word, so that a
/// gate is handed on in a register.
#[derive(Default)]
pub(crate) struct After(Seldom<Box<Left>>);

#[allow(clippy::large_enum_variant, reason = "it is boxed, and a second box would cost another allocation")]
enum Left {
    /// The headers of one throttle, of which nothing may be given back.
    #[cfg(feature = "memory")]
    Report(Report),
    Work(Work),
}

#[derive(Default)]
pub(super) struct Work {
    reports: SmallVec<[Report; 2]>,
    charges: SmallVec<[(Option<RefundOn>, Arc<Tab>); 2]>,
    promised: Promised,
    /// Whether this is a layer's, which gives all of it back if the request is turned away further in.
    is_layers: bool,
}

/// What a handler is to settle, until it has answered. Dropped before that, its client has gone away or something
/// else has turned it away: whoever was to settle may never have been given it, and it goes by the throttle's rule
/// all the same.
#[derive(Default)]
struct Promised(SmallVec<[Arc<Tab>; 2]>);

impl Drop for Promised {
    fn drop(&mut self) {
        self.0.iter().for_each(|tab| tab.hold());
    }
}

impl After {
    #[cfg(feature = "memory")]
    #[inline(always)]
    pub(super) fn reporting(report: Report) -> Self {
        // Written in place: it is smaller than what there is room for, all of which would be copied.
        Self(Seldom::some(Box::write(Box::new_uninit(), Left::Report(report))))
    }

    /// Charges that a layer has made, and the handler is to settle.
    #[cfg(feature = "axum")]
    pub(crate) fn promise(&mut self, tabs: impl IntoIterator<Item = Arc<Tab>>) {
        let mut work = match self.0.take().map(|left| *left) {
            None => Work::default(),
            Some(Left::Work(work)) => work,
            #[cfg(feature = "memory")]
            Some(Left::Report(report)) => Work { reports: [report].into_iter().collect(), ..Work::default() },
        };
        tabs.into_iter().for_each(|tab| work.promise(tab));
        *self = work.into();
    }

    /// What was promised is somebody else's to keep.
    #[cfg(feature = "axum")]
    pub(crate) fn release(mut self) {
        if let Some(Left::Work(mut work)) = self.0.take().map(|left| *left) {
            work.promised.0.clear();
        }
    }

    /// Writes the headers; what comes back, if anything, is still to be awaited.
    #[inline(always)]
    pub(crate) fn finish<B>(mut self, response: &mut Response<B>) -> Option<BoxFuture<'static, ()>> {
        self.0.take()?.finish(response)
    }
}

impl Left {
    #[inline(never)]
    fn finish<B>(mut self: Box<Self>, response: &mut Response<B>) -> Option<BoxFuture<'static, ()>> {
        // By reference: moving a report takes longer than all but writing it.
        match &mut *self {
            #[cfg(feature = "memory")]
            Self::Report(report) => {
                let settled = is_turned_away(response);
                headers::write(slice::from_ref(report), response.headers_mut(), settled);
                None
            }
            Self::Work(work) => mem::take(work).finish(response),
        }
    }
}

impl From<Work> for After {
    fn from(work: Work) -> Self {
        let is_done = work.reports.is_empty() && work.charges.is_empty() && work.promised.0.is_empty();
        if is_done { Self::default() } else { Self(Seldom::some(Box::new(Left::Work(work)))) }
    }
}

/// Whether the answer is a refusal further in.
fn is_turned_away<B>(response: &Response<B>) -> bool {
    response.extensions().get::<TurnedAway>().is_some()
}

impl Work {
    pub(super) fn of(place: Place) -> Self {
        Self { is_layers: place == Place::Layer, ..Self::default() }
    }

    pub(super) fn report(&mut self, report: Report) {
        self.reports.push(report);
    }

    /// A charge that is given back on an answer with one of these statuses, if any.
    pub(super) fn charge(&mut self, refund_on: Option<RefundOn>, tab: Arc<Tab>) {
        if self.is_layers || refund_on.is_some() {
            self.charges.push((refund_on, tab));
        }
    }

    /// A charge that the handler is to settle.
    pub(super) fn promise(&mut self, tab: Arc<Tab>) {
        self.promised.0.push(tab);
    }

    fn finish<B>(mut self, response: &mut Response<B>) -> Option<BoxFuture<'static, ()>> {
        self.promised.0.clear();
        let settled = is_turned_away(response);
        let gives_back = settled && self.is_layers;
        if gives_back {
            for Report { stat, charged, .. } in &mut self.reports {
                stat.remaining = stat.remaining.saturating_add(*charged);
                stat.used = stat.used.saturating_sub(*charged);
            }
        }
        if !self.reports.is_empty() {
            headers::write(&self.reports, response.headers_mut(), settled);
        }
        let status = response.status();
        self.charges.retain(|(on, _)| gives_back || on.is_some_and(|on| on(status)));
        if self.charges.is_empty() {
            return None;
        }
        let work = async move {
            let tabs: Vec<&Tab> = self.charges.iter().map(|(_, tab)| &**tab).collect();
            give_back(&tabs).await;
        };
        // To the end: clients that wait for long hang up, and a server's failure is when they do.
        Some(Box::pin(Unstopped::new(work, |()| Box::pin(std::future::ready(())), cut)))
    }
}

/// No runtime is there to go on.
fn cut() {
    let error = "its client went away, and no runtime is there to give it back";
    tracing::warn!(target: "traffik", error, "the cost was not given back");
}
