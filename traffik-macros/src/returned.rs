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
    /// The type as it is written, if it contains an `impl Trait`.
    pub(crate) opaque: Option<Opaque>,
}

/// A type that contains an `impl Trait`, in a form that can be written as the type of a parameter.
pub(crate) struct Opaque {
    pub(crate) written: Type,
    /// The names of the handler's generics, except lifetimes; `None` if the type doesn't mention any generics, so that
    /// a function that takes it need not declare them.
    pub(crate) generics: Option<Vec<Ident>>,
}

impl Returned {
    pub(crate) fn new(output: &ReturnType, generics: &Generics) -> Self {
        let ReturnType::Type(_, written) = output else {
            return Self { output: quote!(()), opaque: None };
        };
        let mut inferred = written.clone();
        let opaque = infer(&mut inferred).then(|| {
            let mut written = Type::clone(written);
            uncapture(&mut written);
            let generics = names_any(&written, generics).then(|| arguments(generics));
            Opaque { written, generics }
        });
        Self { output: inferred.into_token_stream(), opaque }
    }
}

/// Replaces every `impl Trait`; returns whether there was one.
fn infer(place: &mut Type) -> bool {
    if let Type::ImplTrait(bounds) = place {
        let word = Token![_](bounds.impl_token.span);
        *place = Type::Infer(TypeInfer { attrs: Vec::new(), underscore_token: word });
        return true;
    }
    let mut found = false;
    each_inside(place, &mut |inner| found |= infer(inner));
    found
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

/// Returns what names a generic function's own parameters in a call of it. Lifetimes are inferred there.
fn arguments(generics: &Generics) -> Vec<Ident> {
    let name = |parameter: &GenericParam| match parameter {
        GenericParam::Lifetime(_) => None,
        GenericParam::Type(parameter) => Some(parameter.ident.clone()),
        GenericParam::Const(parameter) => Some(parameter.ident.clone()),
    };
    generics.params.iter().filter_map(name).collect()
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
