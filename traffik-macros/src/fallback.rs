//! Emits every error, and the handler without its throttles, if anything is wrong.
//!
//! The handler has to survive, or each route that names it would cause another error.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, Error};

/// All errors found so far.
#[derive(Default)]
pub(crate) struct Errors(Option<Error>);

impl Errors {
    pub(crate) fn push(&mut self, error: Error) {
        match &mut self.0 {
            Some(errors) => errors.combine(error),
            None => self.0 = Some(error),
        }
    }

    /// Returns the value, or records the error.
    pub(crate) fn note<T>(&mut self, result: Result<T, Error>) -> Option<T> {
        result.map_err(|error| self.push(error)).ok()
    }

    pub(crate) fn into_result(self) -> Result<(), Error> {
        self.0.map_or(Ok(()), Err)
    }
}

/// Emits the errors, then the item as written, under its remaining attributes.
pub(crate) fn emit(errors: &Error, attributes: &[Attribute], item: &TokenStream) -> TokenStream {
    let errors = errors.to_compile_error();
    quote! {
        #errors
        #(#attributes)*
        #item
    }
}
