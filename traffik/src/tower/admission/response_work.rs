//! [`ResponseWork`]: what is left to do for a request once it has been answered.

use std::mem;
#[cfg(feature = "memory")]
use std::slice;
use std::sync::Arc;

use http::{Extensions, HeaderMap, Response, StatusCode};
use smallvec::SmallVec;

use crate::box_future::BoxFuture;
use crate::cold_option::ColdOption;
use crate::headers::{self, Report};
use crate::reserve::{OpenCharge, give_back};
use crate::run_to_completion::RunToCompletion;
use crate::tower::admission::Place;
use crate::tower::layer_records::TurnedAway;

/// Which statuses cause a refund.
type RefundOn = fn(StatusCode) -> bool;

/// Headers to write and charges to refund; empty if there are none. It is one word wide, so that a gate is passed
/// in a register.
#[derive(Default)]
pub(crate) struct ResponseWork(ColdOption<Box<DeferredWork>>);

#[allow(clippy::large_enum_variant, reason = "it is boxed, and a second box would cost another allocation")]
enum DeferredWork {
    /// The headers of a single throttle with nothing to refund.
    #[cfg(feature = "memory")]
    Report(Report),
    List(WorkList),
}

/// Everything that may be left to do.
#[derive(Default)]
pub(super) struct WorkList {
    reports: SmallVec<[Report; 2]>,
    charges: SmallVec<[(Option<RefundOn>, Arc<OpenCharge>); 2]>,
    handler_charges: HandlerCharges,
    /// Whether this belongs to a layer, which refunds everything if the request is turned away further in.
    is_layers: bool,
}

/// Charges that the handler is to settle, kept until it has answered. Being dropped earlier means that the client
/// went away or that something else turned the request away. The handler may then never have received its charge,
/// which is left to the throttle's rule all the same.
#[derive(Default)]
struct HandlerCharges(Vec<Arc<OpenCharge>>);

impl Drop for HandlerCharges {
    fn drop(&mut self) {
        self.0.iter().for_each(|charge| charge.mark_held());
    }
}

impl ResponseWork {
    #[cfg(feature = "memory")]
    #[inline(always)]
    pub(super) fn reporting(report: Report) -> Self {
        // Written in place: a report is smaller than the allocation, all of which would be copied otherwise.
        Self(ColdOption::some(Box::write(Box::new_uninit(), DeferredWork::Report(report))))
    }

    /// Writes the headers. The returned future, if any, has yet to be awaited.
    #[inline(always)]
    pub(crate) fn finish<B>(mut self, response: &mut Response<B>) -> Option<BoxFuture<'static, ()>> {
        let work = self.0.take()?;
        let (status, turned_away) = (response.status(), is_turned_away(response.extensions()));
        work.finish(status, response.headers_mut(), turned_away)
    }
}

/// For gates, whose handlers may settle what was charged.
#[cfg(feature = "axum")]
impl ResponseWork {
    /// Adds charges that a layer has made and the handler is to settle.
    pub(crate) fn add_handler_charges(&mut self, charges: Vec<Arc<OpenCharge>>) {
        let mut work = match self.0.take().map(|deferred| *deferred) {
            None => WorkList::default(),
            Some(DeferredWork::List(work)) => work,
            #[cfg(feature = "memory")]
            Some(DeferredWork::Report(report)) => {
                WorkList { reports: [report].into_iter().collect(), ..WorkList::default() }
            }
        };
        work.handler_charges.0.extend(charges);
        *self = work.into();
    }

    /// The charges that the handler is to settle.
    pub(crate) fn handler_charges(&mut self) -> &[Arc<OpenCharge>] {
        match self.0.get_mut().map(|deferred| &**deferred) {
            Some(DeferredWork::List(work)) => &work.handler_charges.0,
            #[cfg(feature = "memory")]
            Some(DeferredWork::Report(_)) => &[],
            None => &[],
        }
    }

    /// Drops the handler's charges without marking them as held: something else keeps them now.
    pub(crate) fn release(mut self) {
        if let Some(DeferredWork::List(mut work)) = self.0.take().map(|deferred| *deferred) {
            work.handler_charges.0.clear();
        }
    }
}

impl DeferredWork {
    /// Not generic over the response's body, so that it is compiled once, and not in each crate with handlers.
    #[inline(never)]
    fn finish(
        mut self: Box<Self>,
        status: StatusCode,
        headers: &mut HeaderMap,
        turned_away: bool,
    ) -> Option<BoxFuture<'static, ()>> {
        // By reference: moving a report would take longer than all the rest but writing it.
        match &mut *self {
            #[cfg(feature = "memory")]
            Self::Report(report) => {
                headers::write(slice::from_ref(report), headers, turned_away);
                None
            }
            Self::List(work) => mem::take(work).finish(status, headers, turned_away),
        }
    }
}

impl From<WorkList> for ResponseWork {
    fn from(work: WorkList) -> Self {
        let is_done = work.reports.is_empty() && work.charges.is_empty() && work.handler_charges.0.is_empty();
        if is_done { Self::default() } else { Self(ColdOption::some(Box::new(DeferredWork::List(work)))) }
    }
}

/// Whether the request was turned away further in.
fn is_turned_away(extensions: &Extensions) -> bool {
    extensions.get::<TurnedAway>().is_some()
}

impl WorkList {
    pub(super) fn of(place: Place) -> Self {
        Self { is_layers: place == Place::Layer, ..Self::default() }
    }

    pub(super) fn report(&mut self, report: Report) {
        self.reports.push(report);
    }

    /// Adds a charge, to be refunded if the answer has one of these statuses.
    pub(super) fn charge(&mut self, refund_on: Option<RefundOn>, charge: Arc<OpenCharge>) {
        if self.is_layers || refund_on.is_some() {
            self.charges.push((refund_on, charge));
        }
    }

    /// Adds a charge that the handler is to settle.
    pub(super) fn add_handler_charge(&mut self, charge: Arc<OpenCharge>) {
        self.handler_charges.0.push(charge);
    }

    fn finish(
        mut self,
        status: StatusCode,
        headers: &mut HeaderMap,
        turned_away: bool,
    ) -> Option<BoxFuture<'static, ()>> {
        self.handler_charges.0.clear();
        let gives_back = turned_away && self.is_layers;
        if gives_back {
            for Report { stat, charged, .. } in &mut self.reports {
                stat.remaining = stat.remaining.saturating_add(*charged);
                stat.used = stat.used.saturating_sub(*charged);
            }
        }
        if !self.reports.is_empty() {
            headers::write(&self.reports, headers, turned_away);
        }
        self.charges.retain(|(on, _)| gives_back || on.is_some_and(|on| on(status)));
        if self.charges.is_empty() {
            return None;
        }
        let work = async move {
            let charges: Vec<&OpenCharge> = self.charges.iter().map(|(_, charge)| &**charge).collect();
            give_back(&charges).await;
        };
        // Runs to the end even if the client goes away: clients give up after a long wait, typically while the
        // server is failing.
        Some(Box::pin(RunToCompletion::finish(work, warn_kept)))
    }
}

fn warn_kept(error: &dyn std::fmt::Display) {
    tracing::warn!(target: "traffik", %error, "the cost was not refunded");
}
