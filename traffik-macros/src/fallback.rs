//! What is emitted when something is wrong: every error, and the handler without its throttles.
//!
//! The handler has to survive, or each route that names it would be an error of its own.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, Error};

/// All mistakes found so far.
#[derive(Default)]
pub(crate) struct Errors(Option<Error>);

impl Errors {
    pub(crate) fn push(&mut self, error: Error) {
        match &mut self.0 {
            Some(errors) => errors.combine(error),
            None => self.0 = Some(error),
        }
    }

    /// Keeps what went well, and the error of what didn't.
    pub(crate) fn note<T>(&mut self, result: Result<T, Error>) -> Option<T> {
        result.map_err(|error| self.push(error)).ok()
    }

    pub(crate) fn into_result(self) -> Result<(), Error> {
        self.0.map_or(Ok(()), Err)
    }
}

/// The errors, then the item as it was written, under the attributes that remain.
pub(crate) fn emit(errors: &Error, attributes: &[Attribute], item: &TokenStream) -> TokenStream {
    let errors = errors.to_compile_error();
    quote! {
        #errors
        #(#attributes)*
        #item
    }
}
