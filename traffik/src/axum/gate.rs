//! [`Gate`]: the extractor that `#[throttle]` puts first, so that a refusal precedes the body.

mod entering;
mod respond;

use std::fmt;
use std::marker::PhantomData;

use axum_core::response::{IntoResponse, Response};

use super::stack::Stack;
use crate::tower::After;

pub use respond::respond;

/// A handler's throttles. `#[throttle]` implements it on a type of its own per handler.
pub trait Gated: 'static {
    /// The throttles, top to bottom.
    fn stack() -> &'static Stack;
}

/// The proof that a request may enter, extracted before anything else of it.
///
/// `P` is its place among the handler's parameters, which says what axum hands to it.
pub struct Gate<G, P = Before> {
    after: After,
    of: PhantomData<fn() -> (G, P)>,
}

/// The place of a gate that others follow: it looks at the request and leaves it to them.
#[derive(Debug)]
pub enum Before {}

/// The place of a gate that is a handler's only parameter. It is given the request, which axum would copy three
/// times to show it to an extractor and then let go: half of the time that an extractor takes that does nothing.
#[derive(Debug)]
pub enum Alone {}

impl<G, P> Gate<G, P> {
    /// An open gate: nothing was counted, nothing is left to do.
    #[cfg(feature = "test-kit")]
    pub(crate) fn open() -> Self {
        Self::with(After::default())
    }

    fn with(after: After) -> Self {
        Self { after, of: PhantomData }
    }
}

impl<G, P> fmt::Debug for Gate<G, P> {
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

/// A gate takes nothing from the request that a schema could tell of.
#[cfg(feature = "aide")]
impl<G, P> aide::OperationInput for Gate<G, P> {}
