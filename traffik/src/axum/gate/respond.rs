//! [`respond`]: the way out, from the handler's body to the finished response.

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum_core::response::{IntoResponse, Response};
use pin_project_lite::pin_project;

use super::Gate;
use crate::box_future::BoxFuture;
use crate::tower::ResponseWork;

/// Runs the handler's body behind an open gate and finishes its response.
pub fn respond<G, P, F>(gate: Gate<G, P>, body: F) -> Respond<F>
where
    F: Future,
    F::Output: IntoResponse,
{
    Respond { state: State::Running { body, work: gate.work } }
}

pin_project! {
    /// The future that [`respond`] returns. It is written by hand: an `async fn` would reserve room for
    /// the body twice, and would hold a response for those that wait at the end, which costs the others
    /// another copy.
    #[must_use = "a handler does nothing unless it is awaited"]
    pub struct Respond<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F> {
        /// The handler's body is running.
        Running { #[pin] body: F, work: ResponseWork },
        /// Charges are being refunded.
        Settling { settling: BoxFuture<'static, Response> },
    }
}

impl<F> Future for Respond<F>
where
    F: Future,
    F::Output: IntoResponse,
{
    type Output = Response;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Response> {
        let mut state = self.project().state;
        if let StateProjection::Running { body, work } = state.as_mut().project() {
            let Poll::Ready(answer) = body.poll(cx) else { return Poll::Pending };
            let mut response = answer.into_response();
            match mem::take(work).finish(&mut response) {
                None => return Poll::Ready(response),
                Some(rest) => state.set(State::Settling { settling: settled(rest, response) }),
            }
        }
        match state.project() {
            StateProjection::Settling { settling } => settling.as_mut().poll(cx),
            // Unreachable: the state was changed above.
            StateProjection::Running { .. } => Poll::Pending,
        }
    }
}

impl<F> fmt::Debug for Respond<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Respond")
    }
}

/// Returns the response once everything left to do for it is done.
#[cold]
fn settled(rest: BoxFuture<'static, ()>, response: Response) -> BoxFuture<'static, Response> {
    Box::pin(async move {
        rest.await;
        response
    })
}
