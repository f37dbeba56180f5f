//! [`Gate`]: the extractor that `#[throttle]` puts first, so that a refusal precedes the body.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum_core::extract::FromRequestParts;
use axum_core::response::{IntoResponse, Response};
use pin_project_lite::pin_project;

use super::stack::Stack;
use crate::Parts;
use crate::backend::BoxFuture;
use crate::pipeline::{Failure, Ruling};
use crate::resilience::Outage;
use crate::response;
use crate::seldom::Seldom;
use crate::tower::{After, First, admit, at_once, ready, undo};

/// A handler's throttles. `#[throttle]` implements it on a type of its own per handler.
pub trait Gated: 'static {
    /// The throttles, top to bottom.
    fn stack() -> &'static Stack;
}

/// The proof that a request may enter, extracted before anything else of it.
pub struct Gate<G> {
    after: After,
    of: PhantomData<fn() -> G>,
}

impl<G> Gate<G> {
    /// An open gate: nothing was counted, nothing is left to do.
    #[cfg(feature = "test-kit")]
    pub(crate) fn open() -> Self {
        Self::with(After::default())
    }

    fn with(after: After) -> Self {
        Self { after, of: PhantomData }
    }
}

impl<G> fmt::Debug for Gate<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gate")
    }
}

/// The answer to a request that may not enter. Boxed, as axum moves a gate and its refusal about as one.
#[derive(Debug)]
pub struct Refusal(Box<Response>);

impl From<Response> for Refusal {
    fn from(response: Response) -> Self {
        Self(Box::new(response))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        *self.0
    }
}

impl<G: Gated, S: Send + Sync> FromRequestParts<S> for Gate<G> {
    type Rejection = Refusal;

    #[inline]
    fn from_request_parts(parts: &mut Parts, _: &S) -> impl Future<Output = Result<Self, Refusal>> + Send {
        Entering { parts: Some(parts), waiting: Seldom::none(), of: PhantomData }
    }
}

/// A request on its way in. Written out, as most requests never wait, and what an `async` block keeps for
/// those that do costs the others as much as an exemption.
struct Entering<'a, G> {
    /// Until it is polled.
    parts: Option<&'a mut Parts>,
    waiting: Seldom<BoxFuture<'a, Result<After, Refusal>>>,
    of: PhantomData<fn() -> G>,
}

impl<G: Gated> Future for Entering<'_, G> {
    type Output = Result<Gate<G>, Refusal>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(parts) = self.parts.take() {
            let stack = G::stack();
            if stack.error.is_some() {
                self.waiting = Seldom::some(broken(parts));
            } else {
                match at_once(&stack.uses, parts, false) {
                    First::In(after) => {
                        if stack.charges {
                            ready(parts, &stack.uses);
                        }
                        return Poll::Ready(Ok(Gate::with(after)));
                    }
                    First::Later(ruling) => self.waiting = Seldom::some(later(stack, parts, ruling)),
                }
            }
        }
        // Polled again after it was ready: never, rather than a panic in a library.
        let Some(waiting) = self.waiting.get_mut() else { return Poll::Pending };
        waiting.as_mut().poll(cx).map_ok(Gate::with)
    }
}

/// What takes waiting, boxed: axum allocates a handler's whole future at every call, and the many
/// requests that never wait should not pay for the room that this takes.
#[cold]
fn later<'a>(
    stack: &'a Stack,
    parts: &'a mut Parts,
    ruling: Option<Box<Result<Ruling, Failure>>>,
) -> BoxFuture<'a, Result<After, Refusal>> {
    Box::pin(async move {
        let after = admit(&stack.uses, parts, false, ruling).await?;
        if stack.charges {
            ready(parts, &stack.uses);
        }
        Ok(after)
    })
}

/// The answer of a handler whose throttles could not be set up.
#[cold]
fn broken(parts: &mut Parts) -> BoxFuture<'_, Result<After, Refusal>> {
    Box::pin(async {
        undo(parts).await;
        Err(response::outage(Outage::Raise, Some(&parts.headers)).into())
    })
}

/// A gate takes nothing from the request that a schema could tell of.
#[cfg(feature = "aide")]
impl<G> aide::OperationInput for Gate<G> {}

/// Runs the handler's body behind an open gate and finishes its response.
pub fn respond<G, F>(gate: Gate<G>, body: F) -> Respond<F>
where
    F: Future,
    F::Output: IntoResponse,
{
    Respond { state: State::Running { body, after: gate.after } }
}

pin_project! {
    /// What [`respond`] returns. Written out, as an `async fn` has room for the body twice, and keeps for
    /// those that wait at the end a response that the others copy once more.
    #[must_use = "a handler does nothing unless it is awaited"]
    pub struct Respond<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F> {
        /// The handler's body runs.
        Running { #[pin] body: F, after: After },
        /// Charges are given back.
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
        if let StateProjection::Running { body, after } = state.as_mut().project() {
            let Poll::Ready(answer) = body.poll(cx) else { return Poll::Pending };
            let mut response = answer.into_response();
            match mem::take(after).finish(&mut response) {
                None => return Poll::Ready(response),
                Some(rest) => state.set(State::Settling { settling: settled(rest, response) }),
            }
        }
        match state.project() {
            StateProjection::Settling { settling } => settling.as_mut().poll(cx),
            // It was set to the other above.
            StateProjection::Running { .. } => Poll::Pending,
        }
    }
}

impl<F> fmt::Debug for Respond<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Respond")
    }
}

/// The response, once what is left to do for it is done.
#[cold]
fn settled(rest: BoxFuture<'static, ()>, response: Response) -> BoxFuture<'static, Response> {
    Box::pin(async move {
        rest.await;
        response
    })
}
