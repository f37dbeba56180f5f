//! [`After`]: what is left to do for a request once there is an answer to it.

use std::mem;
#[cfg(feature = "memory")]
use std::slice;

use http::{Response, StatusCode};
use smallvec::SmallVec;

use crate::backend::BoxFuture;
use crate::headers::{self, Report};
use crate::seldom::Seldom;
use crate::tower::marks::GivenBack;
use crate::tower::paid::{Paid, to_the_end};

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
    refunds: Vec<(RefundOn, Paid)>,
}

impl After {
    #[cfg(feature = "memory")]
    #[inline(always)]
    pub(super) fn reporting(report: Report) -> Self {
        // Written in place: it is smaller than what there is room for, all of which would be copied.
        Self(Seldom::some(Box::write(Box::new_uninit(), Left::Report(report))))
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
                let given_back = is_given_back(response);
                headers::write(slice::from_ref(report), response.headers_mut(), given_back);
                None
            }
            Self::Work(work) => mem::take(work).finish(response),
        }
    }
}

impl From<Work> for After {
    fn from(work: Work) -> Self {
        let is_done = work.reports.is_empty() && work.refunds.is_empty();
        if is_done { Self::default() } else { Self(Seldom::some(Box::new(Left::Work(work)))) }
    }
}

/// Whether the answer is a refusal further in, for which all charges were given back.
fn is_given_back<B>(response: &Response<B>) -> bool {
    response.extensions().get::<GivenBack>().is_some()
}

impl Work {
    pub(super) fn report(&mut self, report: Report) {
        self.reports.push(report);
    }

    pub(super) fn refund(&mut self, on: RefundOn, paid: Paid) {
        self.refunds.push((on, paid));
    }

    fn finish<B>(mut self, response: &mut Response<B>) -> Option<BoxFuture<'static, ()>> {
        let work = &mut self;
        let given_back = is_given_back(response);
        if given_back {
            for Report { stat, charged, .. } in &mut work.reports {
                stat.remaining = stat.remaining.saturating_add(*charged).min(stat.limit);
                stat.used = stat.used.saturating_sub(*charged);
            }
        }
        if !work.reports.is_empty() {
            headers::write(&work.reports, response.headers_mut(), given_back);
        }
        let status = response.status();
        work.refunds.retain(|(on, _)| !given_back && on(status));
        if work.refunds.is_empty() {
            return None;
        }
        let give_back = async move {
            for (_, paid) in &self.refunds {
                if let Err(error) = paid.give_back().await {
                    let uid = paid.uid();
                    tracing::warn!(target: "traffik", uid, %error, "the cost was not given back");
                }
            }
        };
        // Clients that wait for long hang up, and a server's failure is when they do.
        Some(Box::pin(to_the_end(give_back)))
    }
}
