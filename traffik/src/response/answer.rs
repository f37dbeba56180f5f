//! How a throttle or an app responds: headers, refusals, refunds.

use std::fmt;
use std::sync::Arc;

use axum_core::response::{IntoResponse, Response};
use http::StatusCode;

use crate::Parts;
use crate::box_future::BoxFuture;
use crate::decision::Throttled;
use crate::headers::Headers;
use crate::request_fn::{Async_, Sync_};

/// The response settings of one place. What is unset there is taken from further out.
#[derive(Debug, Clone, Default)]
pub(crate) struct ResponseSettings {
    pub(crate) headers: Option<Headers>,
    pub(crate) on_throttled: Option<OnThrottled>,
    pub(crate) refund_on: Option<fn(StatusCode) -> bool>,
}

#[cfg(feature = "memory")]
impl ResponseSettings {
    /// Whether nothing is left to do or to report for a request that passes.
    pub(crate) fn is_silent(&self) -> bool {
        self.leaves_nothing_to_do() && self.headers.as_ref().is_some_and(Headers::is_never)
    }

    /// Whether at most headers are left to write for a request that passes.
    #[inline]
    pub(crate) fn leaves_nothing_to_do(&self) -> bool {
        self.refund_on.is_none() && !matches!(self.on_throttled, Some(OnThrottled::Continue))
    }
}

/// What happens to a refused request.
#[derive(Clone)]
pub(crate) enum OnThrottled {
    /// This function responds.
    Answer(Answer),
    /// The handler runs anyway, and can read the [`Outcome`](crate::Outcome).
    Continue,
}

impl fmt::Debug for OnThrottled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Answer(_) => "fn(&Parts, &Throttled)",
            Self::Continue => "continue",
        })
    }
}

/// A stored function that responds to refusals.
pub type Answer = Arc<dyn for<'a> Fn(&'a Parts, &'a Throttled) -> BoxFuture<'a, Response> + Send + Sync>;

/// A function `Fn(&Parts, &Throttled) -> impl IntoResponse`, or one whose future returns that.
///
/// Implemented for closures and functions. The compiler infers `Kind`, which tells the two apart.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot respond to a refused request",
    note = "write `fn(req: &traffik::Parts, refused: &traffik::Throttled) -> impl IntoResponse`, or an `async fn` of the same shape"
)]
pub trait IntoAnswer<Kind> {
    /// Converts the function into its stored form.
    fn into_answer(self) -> Answer;
}

/// A sync function that responds to refusals, for one lifetime of its arguments.
///
/// `for<'a> F: SyncAnswer<'a>` lets the result borrow from them, as a plain `impl IntoResponse` does.
pub trait SyncAnswer<'a>: Fn(&'a Parts, &'a Throttled) -> <Self as SyncAnswer<'a>>::Answer {
    /// The function's result.
    type Answer: IntoResponse;
}

impl<'a, F, R> SyncAnswer<'a> for F
where
    F: Fn(&'a Parts, &'a Throttled) -> R,
    R: IntoResponse,
{
    type Answer = R;
}

impl<F> IntoAnswer<Sync_> for F
where
    F: for<'a> SyncAnswer<'a> + Send + Sync + 'static,
{
    fn into_answer(self) -> Answer {
        Arc::new(move |parts, throttled| {
            let response = self(parts, throttled).into_response();
            Box::pin(std::future::ready(response))
        })
    }
}

/// An async function that responds to refusals, for one lifetime of its arguments.
pub trait AsyncAnswer<'a>: Fn(&'a Parts, &'a Throttled) -> <Self as AsyncAnswer<'a>>::Future {
    /// The result of the function's future.
    type Answer: IntoResponse;
    /// The function's future.
    type Future: Future<Output = Self::Answer> + Send + 'a;
}

impl<'a, F, Fut> AsyncAnswer<'a> for F
where
    F: Fn(&'a Parts, &'a Throttled) -> Fut,
    Fut: Future + Send + 'a,
    Fut::Output: IntoResponse,
{
    type Answer = Fut::Output;
    type Future = Fut;
}

impl<F> IntoAnswer<Async_> for F
where
    F: for<'a> AsyncAnswer<'a> + Send + Sync + 'static,
{
    fn into_answer(self) -> Answer {
        Arc::new(move |parts, throttled| {
            let future = self(parts, throttled);
            Box::pin(async move { future.await.into_response() })
        })
    }
}
