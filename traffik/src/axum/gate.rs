//! [`Gate`]: the extractor that `#[throttle]` puts first, so that a request is refused before its body is read.

mod extract;
mod respond;

use std::fmt;
use std::marker::PhantomData;

use axum_core::response::{IntoResponse, Response};

use super::stack::Stack;
use crate::tower::ResponseWork;

pub use respond::respond;

/// A handler's throttles. `#[throttle]` implements this on a separate type for each handler.
pub trait Gated: 'static {
    /// The throttles, top to bottom.
    fn stack() -> &'static Stack;
}

/// Proof that a request may enter, extracted before anything else of the request.
///
/// `P` is the gate's place among the handler's parameters, which determines what axum passes to it.
pub struct Gate<G, P = Before> {
    work: ResponseWork,
    of: PhantomData<fn() -> (G, P)>,
}

/// The place of a gate that other parameters follow: it inspects the request and leaves it to them.
#[derive(Debug)]
pub enum Before {}

/// The place of a gate that is a handler's only parameter. It takes the whole request, which axum would
/// otherwise copy three times to show it to an extractor and then drop. That is half the time of an extractor
/// that does nothing.
#[derive(Debug)]
pub enum Alone {}

impl<G, P> Gate<G, P> {
    /// Creates an open gate: nothing was counted, and nothing is left to do.
    #[cfg(feature = "test-kit")]
    pub(crate) fn open() -> Self {
        Self::with(ResponseWork::default())
    }

    fn with(work: ResponseWork) -> Self {
        Self { work, of: PhantomData }
    }
}

impl<G, P> fmt::Debug for Gate<G, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gate")
    }
}

/// The answer to a request that may not enter. Boxed, because axum moves a gate and its refusal around as one
/// value.
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

/// A gate takes nothing from the request that a schema could describe.
#[cfg(feature = "aide")]
impl<G, P> aide::OperationInput for Gate<G, P> {}
