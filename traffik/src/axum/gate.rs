//! [`Gate`]: the extractor that `#[throttle]` puts first, so that a refusal precedes the body.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum_core::extract::FromRequestParts;
use axum_core::response::{IntoResponse, Response};

use super::stack::Stack;
use crate::Parts;
use crate::backend::BoxFuture;
use crate::pipeline::{Failure, Ruling};
use crate::resilience::Outage;
use crate::response;
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

impl<G: Gated, S: Send + Sync> FromRequestParts<S> for Gate<G> {
    type Rejection = Response;

    #[inline]
    fn from_request_parts(parts: &mut Parts, _: &S) -> impl Future<Output = Result<Self, Response>> + Send {
        Entering { parts: Some(parts), waiting: None, of: PhantomData }
    }
}

/// A request on its way in. Written out, as most requests never wait, and what an `async` block keeps for
/// those that do costs the others as much as an exemption.
struct Entering<'a, G> {
    /// Until it is polled.
    parts: Option<&'a mut Parts>,
    waiting: Option<BoxFuture<'a, Result<After, Response>>>,
    of: PhantomData<fn() -> G>,
}

impl<G: Gated> Future for Entering<'_, G> {
    type Output = Result<Gate<G>, Response>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(parts) = self.parts.take() {
            let stack = G::stack();
            if stack.error.is_some() {
                self.waiting = Some(broken(parts));
            } else {
                match at_once(&stack.uses, parts, false) {
                    First::In(after) => {
                        if stack.charges {
                            ready(parts, &stack.uses);
                        }
                        return Poll::Ready(Ok(Gate::with(after)));
                    }
                    First::Later(ruling) => self.waiting = Some(later(stack, parts, ruling)),
                }
            }
        }
        // Polled again after it was ready: never, rather than a panic in a library.
        let Some(waiting) = &mut self.waiting else { return Poll::Pending };
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
) -> BoxFuture<'a, Result<After, Response>> {
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
fn broken(parts: &mut Parts) -> BoxFuture<'_, Result<After, Response>> {
    Box::pin(async {
        undo(parts).await;
        Err(response::outage(Outage::Raise, Some(&parts.headers)))
    })
}

/// A gate takes nothing from the request that a schema could tell of.
#[cfg(feature = "aide")]
impl<G> aide::OperationInput for Gate<G> {}

/// Runs the handler's body behind an open gate and finishes its response.
pub async fn respond<G, F>(gate: Gate<G>, body: F) -> Response
where
    F: Future,
    F::Output: IntoResponse,
{
    let mut response = body.await.into_response();
    if let Some(rest) = gate.after.finish(&mut response) {
        rest.await;
    }
    response
}
