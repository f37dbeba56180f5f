//! The handler's return type, in a form that can be written as the type of a variable.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{
    GenericArgument, GenericParam, Generics, Ident, PathArguments, ReturnType, Token, Type, TypeImplTrait,
    TypeInfer,
};

use crate::item;

pub(crate) struct Returned {
    /// The type, with `_` in place of every `impl Trait`.
    pub(crate) output: TokenStream,
    /// The `impl Trait`s. They have to be mentioned somewhere, or the compiler would call an import of the trait
    /// unused.
    pub(crate) opaque: Vec<TypeImplTrait>,
}

impl Returned {
    pub(crate) fn new(output: &ReturnType, generics: &Generics) -> Self {
        let ReturnType::Type(_, output) = output else {
            return Self { output: quote!(()), opaque: Vec::new() };
        };
        let mut output = output.clone();
        let mut opaque = Vec::new();
        infer(&mut output, &mut opaque);
        // They are mentioned in a separate item, where the handler's generics can't be named.
        opaque.retain(|bounds| stands_alone(bounds, generics));
        Self { output: output.into_token_stream(), opaque }
    }
}

fn infer(place: &mut Type, opaque: &mut Vec<TypeImplTrait>) {
    match place {
        Type::ImplTrait(bounds) => {
            let word = Token![_](bounds.impl_token.span);
            opaque.push(bounds.clone());
            *place = Type::Infer(TypeInfer { attrs: Vec::new(), underscore_token: word });
        }
        Type::Array(array) => infer(&mut array.elem, opaque),
        Type::Group(group) => infer(&mut group.elem, opaque),
        Type::Paren(paren) => infer(&mut paren.elem, opaque),
        Type::Ptr(pointer) => infer(&mut pointer.elem, opaque),
        Type::Reference(reference) => infer(&mut reference.elem, opaque),
        Type::Slice(slice) => infer(&mut slice.elem, opaque),
        Type::Tuple(tuple) => {
            for inner in &mut tuple.elems {
                infer(inner, opaque);
            }
        }
        Type::Path(path) => {
            for segment in &mut path.path.segments {
                if let PathArguments::AngleBracketed(arguments) = &mut segment.arguments {
                    for argument in &mut arguments.args {
                        match argument {
                            GenericArgument::Type(inner) => infer(inner, opaque),
                            GenericArgument::AssocType(inner) => infer(&mut inner.ty, opaque),
                            _ => {}
                        }
                    }
                }
            }
        }
        _ => {}
    }
}

/// Whether the bounds neither name the handler's generics nor capture them with `use<..>`.
fn stands_alone(bounds: &TypeImplTrait, generics: &Generics) -> bool {
    let names: Vec<&Ident> = generics
        .params
        .iter()
        .map(|parameter| match parameter {
            GenericParam::Lifetime(lifetime) => &lifetime.lifetime.ident,
            GenericParam::Type(parameter) => &parameter.ident,
            GenericParam::Const(parameter) => &parameter.ident,
        })
        .collect();
    item::find(bounds.to_token_stream(), &|word| word == "use" || names.contains(&word)).is_none()
}
