//! The way in: a gate as an extractor, either before others or alone.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum_core::extract::{FromRequest, FromRequestParts, Request};

use super::super::stack::Stack;
use super::{Alone, Before, Gate, Gated, Refusal};
use crate::Parts;
use crate::box_future::BoxFuture;
use crate::cold_option::ColdOption;
use crate::outage::Outage;
use crate::response;
use crate::tower::{
    Admission, Pending, Place, ResponseWork, admit, admit_now, attach_charge, hold_layer_charges, turned_away,
};

impl<G: Gated, S: Send + Sync> FromRequestParts<S> for Gate<G, Before> {
    type Rejection = Refusal;

    #[inline]
    fn from_request_parts(parts: &mut Parts, _: &S) -> impl Future<Output = Result<Self, Refusal>> + Send {
        PartsGateFuture { parts: Some(parts), waiting: ColdOption::none(), of: PhantomData }
    }
}

/// A request on its way in. A hand-written future: most requests never wait, and what an `async` block stores for
/// those that do would cost the others as much as an exempt request.
struct PartsGateFuture<'a, G> {
    /// Taken when it is first polled.
    parts: Option<&'a mut Parts>,
    waiting: Waiting<'a>,
    of: PhantomData<fn() -> G>,
}

type Waiting<'a> = ColdOption<BoxFuture<'a, Result<ResponseWork, Refusal>>>;

impl<G: Gated> Future for PartsGateFuture<'_, G> {
    type Output = Result<Gate<G, Before>, Refusal>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(parts) = self.parts.take() {
            let stack = G::stack();
            match try_admit(stack, parts) {
                Ok(work) => return Poll::Ready(Ok(Gate::with(work))),
                Err(pending) => self.waiting = ColdOption::some(admit_slow(stack, parts, pending)),
            }
        }
        wait(&mut self.waiting, cx)
    }
}

impl<G: Gated, S: Send + Sync> FromRequest<S> for Gate<G, Alone> {
    type Rejection = Refusal;

    /// Decides right away rather than when awaited: nothing else needs the request, so it need not be kept.
    #[inline]
    fn from_request(request: Request, _: &S) -> impl Future<Output = Result<Self, Refusal>> + Send {
        let (mut parts, _) = request.into_parts();
        let stack = G::stack();
        match try_admit(stack, &mut parts) {
            Ok(work) => RequestGateFuture { gate: Some(Gate::with(work)), waiting: ColdOption::none() },
            Err(pending) => RequestGateFuture {
                gate: None,
                waiting: ColdOption::some(admit_slow_owned(stack, parts, pending)),
            },
        }
    }
}

/// A request that has been decided, or is waiting to be.
struct RequestGateFuture<G> {
    /// Taken when it is first polled; `None` if there is something to wait for.
    gate: Option<Gate<G, Alone>>,
    waiting: Waiting<'static>,
}

impl<G> Future for RequestGateFuture<G> {
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

/// Lets a request in if that needs no waiting.
#[inline]
fn try_admit(stack: &Stack, parts: &mut Parts) -> Result<ResponseWork, Pending> {
    if stack.error.is_some() {
        // `admit_slow` answers it.
        return Err(Pending::Undecided);
    }
    match admit_now(&stack.uses, parts, Place::Gate) {
        Admission::Admitted(mut work) => {
            if stack.handler_settles {
                attach_charge(parts, &stack.uses, &mut work);
            }
            Ok(work)
        }
        Admission::Pending(pending) => Err(pending),
    }
}

/// The part that waits. It is boxed because axum allocates a handler's whole future on every call, and the many
/// requests that never wait should not pay for its size.
#[cold]
fn admit_slow<'a>(
    stack: &'a Stack,
    parts: &'a mut Parts,
    pending: Pending,
) -> BoxFuture<'a, Result<ResponseWork, Refusal>> {
    Box::pin(async move {
        if stack.error.is_some() {
            // The answer of a handler whose throttles could not be set up.
            return Err(turned_away(response::outage(Outage::Raise, Some(parts)), parts).into());
        }
        let layer_charges = stack.handler_settles.then(|| hold_layer_charges(parts, &stack.uses));
        let mut work = admit(&stack.uses, parts, Place::Gate, pending).await?;
        if let Some(layer_charges) = layer_charges {
            attach_charge(parts, &stack.uses, &mut work);
            layer_charges.release();
        }
        Ok(work)
    })
}

/// Like [`admit_slow`], but owns the request meanwhile.
#[cold]
fn admit_slow_owned(
    stack: &'static Stack,
    mut parts: Parts,
    pending: Pending,
) -> BoxFuture<'static, Result<ResponseWork, Refusal>> {
    Box::pin(async move { admit_slow(stack, &mut parts, pending).await })
}
