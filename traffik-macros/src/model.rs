//! What an attribute says, once it is known to make sense.

use proc_macro2::{Span, TokenStream};
use syn::{Ident, LitStr, Path};

use crate::value::Closure;

/// Which throttle an attribute speaks of.
#[derive(Clone)]
pub(crate) enum Which {
    /// `"uid"`: declares one.
    Uid(LitStr),
    /// `PATH`: uses a `static` one.
    Path(Path),
}

/// One attribute, as the builder calls that it stands for.
pub(crate) struct Throttle {
    pub(crate) which: Which,
    pub(crate) calls: Vec<Call>,
}

/// One builder call.
pub(crate) struct Call {
    pub(crate) method: &'static str,
    /// The key, whose place the method's name takes in messages of the compiler.
    pub(crate) key: Ident,
    pub(crate) argument: Argument,
}

/// What a builder call is given.
pub(crate) enum Argument {
    Nothing,
    /// The user's tokens, as written.
    Written(TokenStream),
    /// A closure whose parameters get these types where they have none.
    Closure(Closure, &'static [Given]),
    /// A path inside the runtime crate, named by a word at this place.
    Named(&'static str, Span),
    /// A constructor inside the runtime crate, to be called without arguments.
    Made(&'static str, Span),
}

/// What the runtime passes to a user's function.
#[derive(Clone, Copy)]
pub(crate) enum Given {
    Parts,
    Throttled,
    StatusCode,
}
