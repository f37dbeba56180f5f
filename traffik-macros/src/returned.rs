//! The handler's return type, in a form that can be written as the type of a variable.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::punctuated::Punctuated;
use syn::{
    GenericArgument, GenericParam, Generics, Ident, PathArguments, ReturnType, Token, Type, TypeInfer,
    TypeParamBound,
};

use crate::item;

pub(crate) struct Returned {
    /// The type, with `_` in place of every `impl Trait`.
    pub(crate) output: TokenStream,
    /// What the `_`s stand for, if there are any.
    pub(crate) opaque: Option<Opaque>,
}

/// The type with its `impl Trait`s, to be written as the type of a function's parameter. The returned value has to pass
/// through one: its bounds tell the compiler what they told it in the signature, such as the error of
/// `impl Stream<Item = Result<Event, Infallible>>`, and an import of the trait is used.
pub(crate) struct Opaque {
    pub(crate) output: Type,
    /// Whether the bounds name the handler's generics, so that the function must declare them as well.
    pub(crate) is_generic: bool,
}

impl Returned {
    pub(crate) fn new(output: &ReturnType, generics: &Generics) -> Self {
        let ReturnType::Type(_, output) = output else {
            return Self { output: quote!(()), opaque: None };
        };
        let mut inferred = output.clone();
        let mut is_opaque = false;
        infer(&mut inferred, &mut is_opaque);
        let opaque = is_opaque.then(|| {
            let mut output = (**output).clone();
            uncapture(&mut output);
            let is_generic = names_any(&output, generics);
            Opaque { output, is_generic }
        });
        Self { output: inferred.into_token_stream(), opaque }
    }
}

fn infer(place: &mut Type, is_opaque: &mut bool) {
    if let Type::ImplTrait(bounds) = place {
        let word = Token![_](bounds.impl_token.span);
        *is_opaque = true;
        *place = Type::Infer(TypeInfer { attrs: Vec::new(), underscore_token: word });
    } else {
        each_inside(place, &mut |inner| infer(inner, is_opaque));
    }
}

/// Removes `use<..>`, which a parameter's `impl Trait` must not have.
fn uncapture(place: &mut Type) {
    if let Type::ImplTrait(opaque) = place {
        let bounds = std::mem::take(&mut opaque.bounds).into_iter();
        opaque.bounds = bounds.filter(|bound| !matches!(bound, TypeParamBound::PreciseCapture(_))).collect();
    }
    each_inside(place, &mut uncapture);
}

/// Visits the types directly inside a type, as far as they may be or contain an `impl Trait`.
fn each_inside(place: &mut Type, visit: &mut dyn FnMut(&mut Type)) {
    match place {
        Type::Array(array) => visit(&mut array.elem),
        Type::Group(group) => visit(&mut group.elem),
        Type::Paren(paren) => visit(&mut paren.elem),
        Type::Ptr(pointer) => visit(&mut pointer.elem),
        Type::Reference(reference) => visit(&mut reference.elem),
        Type::Slice(slice) => visit(&mut slice.elem),
        Type::Tuple(tuple) => tuple.elems.iter_mut().for_each(visit),
        Type::Path(path) => each_argument(&mut path.path, visit),
        Type::ImplTrait(opaque) => each_bound(&mut opaque.bounds, visit),
        Type::TraitObject(object) => each_bound(&mut object.bounds, visit),
        _ => {}
    }
}

fn each_bound(bounds: &mut Punctuated<TypeParamBound, Token![+]>, visit: &mut dyn FnMut(&mut Type)) {
    for bound in bounds {
        if let TypeParamBound::Trait(bound) = bound {
            each_argument(&mut bound.path, visit);
        }
    }
}

fn each_argument(path: &mut syn::Path, visit: &mut dyn FnMut(&mut Type)) {
    for segment in &mut path.segments {
        if let PathArguments::AngleBracketed(arguments) = &mut segment.arguments {
            for argument in &mut arguments.args {
                match argument {
                    GenericArgument::Type(inner) => visit(inner),
                    GenericArgument::AssocType(inner) => visit(&mut inner.ty),
                    _ => {}
                }
            }
        }
    }
}

fn names_any(bounds: &Type, generics: &Generics) -> bool {
    let names: Vec<&Ident> = generics
        .params
        .iter()
        .map(|parameter| match parameter {
            GenericParam::Lifetime(lifetime) => &lifetime.lifetime.ident,
            GenericParam::Type(parameter) => &parameter.ident,
            GenericParam::Const(parameter) => &parameter.ident,
        })
        .collect();
    item::find(bounds.to_token_stream(), &|word| names.contains(&word)).is_some()
}
