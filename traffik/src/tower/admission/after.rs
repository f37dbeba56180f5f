//! [`After`]: what is left to do for a request once it has been answered.

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

/// Which statuses cause a refund.
type RefundOn = fn(StatusCode) -> bool;

/// Headers to write and charges to refund; empty if there are none. It is one word wide, so that a gate is passed
/// in a register.
#[derive(Default)]
pub(crate) struct After(Seldom<Box<Left>>);

#[allow(clippy::large_enum_variant, reason = "it is boxed, and a second box would cost another allocation")]
enum Left {
    /// The headers of a single throttle with nothing to refund.
    #[cfg(feature = "memory")]
    Report(Report),
    Work(Work),
}

#[derive(Default)]
pub(super) struct Work {
    reports: SmallVec<[Report; 2]>,
    charges: SmallVec<[(Option<RefundOn>, Arc<Tab>); 2]>,
    promised: Promised,
    /// Whether this belongs to a layer, which refunds everything if the request is turned away further in.
    is_layers: bool,
}

/// Charges that the handler is to settle, kept until it has answered. Being dropped earlier means that the client
/// went away or that something else turned the request away. The handler may then never have received its charge,
/// which is left to the throttle's rule all the same.
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
        // Written in place: a report is smaller than the allocation, all of which would be copied otherwise.
        Self(Seldom::some(Box::write(Box::new_uninit(), Left::Report(report))))
    }

    /// Adds charges that a layer has made and the handler is to settle.
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

    /// Releases the promised charges without holding them: somebody else keeps them now.
    #[cfg(feature = "axum")]
    pub(crate) fn release(mut self) {
        if let Some(Left::Work(mut work)) = self.0.take().map(|left| *left) {
            work.promised.0.clear();
        }
    }

    /// Writes the headers. The returned future, if any, has yet to be awaited.
    #[inline(always)]
    pub(crate) fn finish<B>(mut self, response: &mut Response<B>) -> Option<BoxFuture<'static, ()>> {
        self.0.take()?.finish(response)
    }
}

impl Left {
    #[inline(never)]
    fn finish<B>(mut self: Box<Self>, response: &mut Response<B>) -> Option<BoxFuture<'static, ()>> {
        // By reference: nothing here but writing a report takes longer than moving one.
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

/// Whether the request was turned away further in.
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

    /// Adds a charge, to be refunded if the answer has one of these statuses.
    pub(super) fn charge(&mut self, refund_on: Option<RefundOn>, tab: Arc<Tab>) {
        if self.is_layers || refund_on.is_some() {
            self.charges.push((refund_on, tab));
        }
    }

    /// Adds a charge that the handler is to settle.
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
        // Runs to the end even if the client goes away: clients give up after a long wait, typically while the
        // server is failing.
        Some(Box::pin(Unstopped::new(work, |()| Box::pin(std::future::ready(())), cut)))
    }
}

/// Reports that no runtime is left to finish the refund.
fn cut() {
    let error = "the client disconnected, and no runtime is available to refund the charge";
    tracing::warn!(target: "traffik", error, "the cost was not refunded");
}
