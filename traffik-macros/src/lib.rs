//! The `#[throttle]` attribute of the `traffik` crate.
//!
//! Applications depend on `traffik`, which re-exports the attribute, rather than on this crate.

#![forbid(unsafe_code)]

use proc_macro::TokenStream;

mod args;
mod expand;
mod fallback;
mod item;
mod keys;
mod model;
mod returned;
mod stack;
mod validate;
mod value;

#[cfg(test)]
mod tests;

#[doc = include_str!("throttle.md")]
#[proc_macro_attribute]
pub fn throttle(args: TokenStream, item: TokenStream) -> TokenStream {
    expand::throttle(args.into(), item.into()).into()
}
