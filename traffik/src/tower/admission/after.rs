//! [`After`]: what is left to do for a request once there is an answer to it.

use http::{Response, StatusCode};
use smallvec::SmallVec;

use crate::backend::BoxFuture;
use crate::headers::{self, Report};
use crate::tower::marks::GivenBack;
use crate::tower::paid::Paid;

/// For which statuses a charge is given back.
type RefundOn = fn(StatusCode) -> bool;

/// Headers to write and charges to give back. Boxed, and absent where there is nothing.
#[derive(Default)]
pub(crate) struct After(Option<Box<Work>>);

#[derive(Default)]
struct Work {
    reports: SmallVec<[Report; 2]>,
    /// What each of the reports' throttles has charged.
    charged: SmallVec<[u64; 2]>,
    refunds: SmallVec<[(RefundOn, Paid); 1]>,
}

impl After {
    pub(super) fn report(&mut self, report: Report, charged: u64) {
        let work = self.0.get_or_insert_default();
        work.reports.push(report);
        work.charged.push(charged);
    }

    pub(super) fn refund(&mut self, on: RefundOn, paid: Paid) {
        self.0.get_or_insert_default().refunds.push((on, paid));
    }

    /// Writes the headers; what comes back, if anything, is still to be awaited.
    pub(crate) fn finish<B>(self, response: &mut Response<B>) -> Option<BoxFuture<'static, ()>> {
        let mut work = self.0?;
        let given_back = response.extensions().get::<GivenBack>().is_some();
        if given_back {
            for (report, charged) in work.reports.iter_mut().zip(&work.charged) {
                let stat = &mut report.stat;
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
        Some(Box::pin(async move {
            for (_, paid) in &work.refunds {
                if let Err(error) = paid.give_back().await {
                    let uid = paid.uid();
                    tracing::warn!(target: "traffik", uid, %error, "the cost was not given back");
                }
            }
        }))
    }
}
