//! [`ThrottleFuture`]: decides, calls the inner service, and finishes its response.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum_core::body::Body;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::admission::ResponseWork;
use super::body::ThrottleBody;
use crate::box_future::BoxFuture;

/// The request and what is left to do for it, or the answer that turns it away.
type Deciding<B> = BoxFuture<'static, Result<(Request<B>, ResponseWork), Response<Body>>>;

pin_project! {
    /// The future of [`ThrottleService`](super::ThrottleService).
    pub struct ThrottleFuture<S: Service<Request<B>>, B, R> {
        #[pin]
        state: State<S, S::Future, B, R>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, F, B, R> {
        Deciding { deciding: Deciding<B>, inner: S },
        Running { #[pin] future: F, work: ResponseWork },
        Refunding { refunding: BoxFuture<'static, ()>, response: Option<Response<R>> },
    }
}

impl<S: Service<Request<B>>, B, R> ThrottleFuture<S, B, R> {
    pub(super) fn deciding(deciding: Deciding<B>, inner: S) -> Self {
        Self { state: State::Deciding { deciding, inner } }
    }

    pub(super) fn running(future: S::Future, work: ResponseWork) -> Self {
        Self { state: State::Running { future, work } }
    }
}

impl<S, B, R> Future for ThrottleFuture<S, B, R>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Output = Result<Response<ThrottleBody<R>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let next = match state.as_mut().project() {
                StateProjection::Deciding { deciding, inner } => match ready!(deciding.as_mut().poll(cx)) {
                    Ok((request, work)) => State::Running { future: inner.call(request), work },
                    Err(response) => return Poll::Ready(Ok(response.map(ThrottleBody::answer))),
                },
                StateProjection::Running { future, work } => {
                    let mut response = ready!(future.poll(cx)?);
                    match std::mem::take(work).finish(&mut response) {
                        None => return Poll::Ready(Ok(response.map(ThrottleBody::inner))),
                        Some(refunding) => State::Refunding { refunding, response: Some(response) },
                    }
                }
                StateProjection::Refunding { refunding, response } => {
                    ready!(refunding.as_mut().poll(cx));
                    return match response.take() {
                        Some(response) => Poll::Ready(Ok(response.map(ThrottleBody::inner))),
                        // Polled again after completion, which should never happen: stay pending
                        // rather than panic.
                        None => Poll::Pending,
                    };
                }
            };
            state.set(next);
        }
    }
}

impl<S: Service<Request<B>>, B, R> fmt::Debug for ThrottleFuture<S, B, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ThrottleFuture")
    }
}
