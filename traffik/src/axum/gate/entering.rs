//! The way in: a gate as an extractor, either before others or alone.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum_core::extract::{FromRequest, FromRequestParts, Request};

use super::super::stack::Stack;
use super::{Alone, Before, Gate, Gated, Refusal};
use crate::Parts;
use crate::backend::BoxFuture;
use crate::pipeline::{Failure, Ruling};
use crate::resilience::Outage;
use crate::response;
use crate::seldom::Seldom;
use crate::tower::{After, First, Place, admit, admit_now, promised, ready, turned_away};

impl<G: Gated, S: Send + Sync> FromRequestParts<S> for Gate<G, Before> {
    type Rejection = Refusal;

    #[inline]
    fn from_request_parts(parts: &mut Parts, _: &S) -> impl Future<Output = Result<Self, Refusal>> + Send {
        Entering { parts: Some(parts), waiting: Seldom::none(), of: PhantomData }
    }
}

/// A request on its way in. A hand-written future: most requests never wait, and what an `async` block stores for
/// those that do would cost the others as much as an exempt request.
struct Entering<'a, G> {
    /// Taken when it is first polled.
    parts: Option<&'a mut Parts>,
    waiting: Waiting<'a>,
    of: PhantomData<fn() -> G>,
}

type Waiting<'a> = Seldom<BoxFuture<'a, Result<After, Refusal>>>;

impl<G: Gated> Future for Entering<'_, G> {
    type Output = Result<Gate<G, Before>, Refusal>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(parts) = self.parts.take() {
            let stack = G::stack();
            match first(stack, parts) {
                Ok(after) => return Poll::Ready(Ok(Gate::with(after))),
                Err(ruling) => self.waiting = Seldom::some(later(stack, parts, ruling)),
            }
        }
        wait(&mut self.waiting, cx)
    }
}

impl<G: Gated, S: Send + Sync> FromRequest<S> for Gate<G, Alone> {
    type Rejection = Refusal;

    /// Decides right away rather than when awaited: nothing else needs the request, so that it need not be kept.
    #[inline]
    fn from_request(request: Request, _: &S) -> impl Future<Output = Result<Self, Refusal>> + Send {
        let (mut parts, _) = request.into_parts();
        let stack = G::stack();
        match first(stack, &mut parts) {
            Ok(after) => Entered { gate: Some(Gate::with(after)), waiting: Seldom::none() },
            Err(ruling) => Entered { gate: None, waiting: Seldom::some(later_alone(stack, parts, ruling)) },
        }
    }
}

/// A request that has been decided, or is waiting to be.
struct Entered<G> {
    /// Taken when it is first polled; `None` if there is something to wait for.
    gate: Option<Gate<G, Alone>>,
    waiting: Waiting<'static>,
}

impl<G> Future for Entered<G> {
    type Output = Result<Gate<G, Alone>, Refusal>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.gate.take() {
            Some(gate) => Poll::Ready(Ok(gate)),
            None => wait(&mut self.waiting, cx),
        }
    }
}

#[inline]
fn wait<G, P>(waiting: &mut Waiting<'_>, cx: &mut Context<'_>) -> Poll<Result<Gate<G, P>, Refusal>> {
    // Polled again after completion, which should never happen: stay pending rather than panic.
    let Some(waiting) = waiting.get_mut() else { return Poll::Pending };
    waiting.as_mut().poll(cx).map_ok(Gate::with)
}

/// The ruling already made for a request that has to wait, if any. Also `None` if the throttles could not be built.
type Unfinished = Option<Box<Result<Ruling, Failure>>>;

/// Lets a request in if that needs no waiting.
#[inline]
fn first(stack: &Stack, parts: &mut Parts) -> Result<After, Unfinished> {
    if stack.error.is_some() {
        return Err(None);
    }
    match admit_now(&stack.uses, parts, Place::Gate) {
        First::In(mut after) => {
            if stack.charges {
                ready(parts, &stack.uses, &mut after);
            }
            Ok(after)
        }
        First::Later(ruling) => Err(ruling),
    }
}

/// The part that waits. It is boxed because axum allocates a handler's whole future on every call, and the many
/// requests that never wait should not pay for its size.
#[cold]
fn later<'a>(
    stack: &'a Stack,
    parts: &'a mut Parts,
    ruling: Unfinished,
) -> BoxFuture<'a, Result<After, Refusal>> {
    Box::pin(async move {
        if stack.error.is_some() {
            // The answer of a handler whose throttles could not be set up.
            return Err(turned_away(response::outage(Outage::Raise, Some(parts)), parts).into());
        }
        let outside = stack.charges.then(|| promised(parts, &stack.uses));
        let mut after = admit(&stack.uses, parts, Place::Gate, ruling).await?;
        if let Some(outside) = outside {
            ready(parts, &stack.uses, &mut after);
            outside.release();
        }
        Ok(after)
    })
}

/// Like [`later`], but owns the request meanwhile.
#[cold]
fn later_alone(
    stack: &'static Stack,
    mut parts: Parts,
    ruling: Unfinished,
) -> BoxFuture<'static, Result<After, Refusal>> {
    Box::pin(async move { later(stack, &mut parts, ruling).await })
}
