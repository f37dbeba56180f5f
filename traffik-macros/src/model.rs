//! The validated meaning of an attribute.

use proc_macro2::{Span, TokenStream};
use syn::{Ident, LitStr, Path};

use crate::value::Closure;

/// The throttle that an attribute refers to.
#[derive(Clone)]
pub(crate) enum Which {
    /// `"uid"`: declares a throttle.
    Uid(LitStr),
    /// `PATH`: uses a `static` throttle.
    Path(Path),
}

/// One attribute, as the builder calls that it expands to.
pub(crate) struct Throttle {
    pub(crate) which: Which,
    pub(crate) calls: Vec<Call>,
}

/// One builder call.
pub(crate) struct Call {
    pub(crate) method: &'static str,
    /// The key. The method's name takes its span, so that compiler errors point there.
    pub(crate) key: Ident,
    pub(crate) argument: Argument,
}

/// The argument of a builder call.
pub(crate) enum Argument {
    Nothing,
    /// The user's tokens as written.
    Written(TokenStream),
    /// A closure whose untyped parameters get these types.
    Closure(Closure, &'static [Given]),
    /// A path inside the runtime crate, selected by the word at this span.
    Named(&'static str, Span),
    /// A constructor inside the runtime crate, called without arguments.
    Made(&'static str, Span),
}

/// An argument that the runtime passes to a user's function.
#[derive(Clone, Copy)]
pub(crate) enum Given {
    Parts,
    Throttled,
    StatusCode,
}
