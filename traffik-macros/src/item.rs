//! The handler: its parsed signature, and its parameters and body as tokens.
//!
//! Parameters may still have unevaluated `#[cfg]`s, so they are not parsed, and counted only for a lint. The body is
//! not parsed either, so that a half-typed one still reaches the compiler, and with it the editor.

use proc_macro2::{Spacing, Span, TokenStream, TokenTree};
use syn::ext::IdentExt;
use syn::parse::discouraged::Speculative;
use syn::parse::{Parse, ParseStream, Parser};
use syn::{
    Abi, AttrStyle, Attribute, Error, GenericArgument, Generics, Ident, Lifetime, PathArguments, Result,
    ReturnType, Token, Type, TypePath, Visibility, WhereClause, braced, parenthesized, token,
};

/// The name of the gate's parameter, by which an attribute that expands later recognizes it.
pub(crate) const GATE: &str = "__traffik_gate";

/// Splits an item into its outer attributes and the rest.
pub(crate) fn split(item: TokenStream) -> (Vec<Attribute>, TokenStream) {
    let parser = |input: ParseStream<'_>| {
        let attributes = input.call(Attribute::parse_outer)?;
        Ok((attributes, input.parse()?))
    };
    parser.parse2(item.clone()).unwrap_or_else(|_| (Vec::new(), item))
}

pub(crate) struct Handler {
    pub(crate) visibility: Visibility,
    pub(crate) constness: Option<Token![const]>,
    pub(crate) asyncness: Option<Token![async]>,
    pub(crate) unsafety: Option<Token![unsafe]>,
    pub(crate) abi: Option<Abi>,
    pub(crate) fn_token: Token![fn],
    pub(crate) name: Ident,
    pub(crate) generics: Generics,
    pub(crate) parentheses: token::Paren,
    /// `self`, if the item is a method.
    pub(crate) receiver: Option<Span>,
    /// The gate that an outer attribute has already added.
    pub(crate) gate: Option<Gate>,
    pub(crate) parameters: TokenStream,
    pub(crate) output: ReturnType,
    pub(crate) bounds: Option<WhereClause>,
    /// `None` if the item is a declaration without a body.
    pub(crate) body: Option<Body>,
}

/// An existing gate: its variable, and the type that carries its throttles.
pub(crate) struct Gate {
    pub(crate) variable: Ident,
    pub(crate) stack: Type,
}

pub(crate) struct Body {
    pub(crate) braces: token::Brace,
    /// The body's `#![…]` attributes, converted to outer ones.
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) statements: TokenStream,
}

impl Parse for Handler {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let visibility = input.parse()?;
        let start = input.span();
        let constness = input.parse()?;
        let asyncness = input.parse()?;
        let unsafety = input.parse()?;
        let abi = input.parse()?;
        if !input.peek(Token![fn]) {
            let message = "`#[throttle]` can only be applied to a function: \
                           put it on a handler, which is an `async fn`";
            return Err(Error::new(start, message));
        }
        let fn_token = input.parse()?;
        let name = input.parse()?;
        let generics = input.parse()?;
        let inside;
        let parentheses = parenthesized!(inside in input);
        let receiver = receiver(&inside.fork());
        let gate = gate(&inside);
        Ok(Self {
            visibility,
            constness,
            asyncness,
            unsafety,
            abi,
            fn_token,
            name,
            generics,
            parentheses,
            receiver,
            gate,
            parameters: inside.parse()?,
            output: input.parse()?,
            bounds: input.parse()?,
            body: body(input)?,
        })
    }
}

impl Handler {
    /// Whether this word occurs in the parameters, at any depth. Parameters removed by `#[cfg]` are included.
    pub(crate) fn mentions(&self, word: &str) -> bool {
        find(self.parameters.clone(), &|found| found == word).is_some()
    }

    /// Counts the parameters, including any removed by `#[cfg]`. Good enough for a lint, and for nothing else.
    pub(crate) fn parameter_count(&self) -> usize {
        let mut path = false;
        let opens_type = |tree: TokenTree| {
            let colon = matches!(&tree, TokenTree::Punct(punct) if punct.as_char() == ':');
            let joint =
                matches!(&tree, TokenTree::Punct(punct) if colon && punct.spacing() == Spacing::Joint);
            // Neither half of `::` counts.
            let alone = colon && !joint && !path;
            path = joint;
            alone
        };
        self.parameters.clone().into_iter().map(opens_type).filter(|alone| *alone).count()
    }
}

fn body(input: ParseStream<'_>) -> Result<Option<Body>> {
    if input.parse::<Option<Token![;]>>()?.is_some() {
        return Ok(None);
    }
    let inside;
    let braces = braced!(inside in input);
    let mut attributes = inside.call(Attribute::parse_inner)?;
    for attribute in &mut attributes {
        attribute.style = AttrStyle::Outer;
    }
    Ok(Some(Body { braces, attributes, statements: inside.parse()? }))
}

/// Finds `self`, `mut self`, `&self`, `&'a mut self`, with or without a type.
fn receiver(input: ParseStream<'_>) -> Option<Span> {
    input.call(Attribute::parse_outer).ok()?;
    if input.parse::<Option<Token![&]>>().ok()?.is_some() {
        input.parse::<Option<Lifetime>>().ok()?;
    }
    input.parse::<Option<Token![mut]>>().ok()?;
    input.peek(Token![self]).then(|| input.parse::<Token![self]>())?.ok().map(|word| word.span)
}

/// Built-in attributes, which leave a handler's parameters alone. Other attributes may do anything with them.
const INERT: [&str; 11] = [
    "allow",
    "cold",
    "deny",
    "deprecated",
    "doc",
    "expect",
    "forbid",
    "inline",
    "must_use",
    "track_caller",
    "warn",
];

/// Whether the attribute is known not to add a parameter.
pub(crate) fn is_inert(attribute: &Attribute) -> bool {
    INERT.iter().any(|name| attribute.path().is_ident(name))
}

/// Takes the parameter `__traffik_gate: …::Gate<Stack>,` from the front, if there is one.
fn gate(input: ParseStream<'_>) -> Option<Gate> {
    let ahead = input.fork();
    let variable = ahead.parse::<Ident>().ok().filter(|name| name == GATE)?;
    ahead.parse::<Token![:]>().ok()?;
    let gate = ahead.parse::<TypePath>().ok()?;
    ahead.parse::<Option<Token![,]>>().ok()?;
    let PathArguments::AngleBracketed(arguments) = &gate.path.segments.last()?.arguments else {
        return None;
    };
    let Some(GenericArgument::Type(stack)) = arguments.args.first() else {
        return None;
    };
    input.advance_to(&ahead);
    Some(Gate { variable, stack: stack.clone() })
}

/// The words that tell an item in a body from an expression.
const ITEMS: [&str; 11] =
    ["const", "enum", "extern", "fn", "impl", "mod", "static", "struct", "trait", "type", "use"];

/// Whether a body's first statement is an item.
pub(crate) fn begins_with_item(statements: &TokenStream) -> bool {
    let parser = |input: ParseStream<'_>| {
        input.call(Attribute::parse_outer)?;
        input.parse::<Visibility>()?;
        // They begin functions, but also blocks and closures.
        while input.peek(Token![async]) || input.peek(Token![unsafe]) {
            input.call(Ident::parse_any)?;
        }
        let word: Ident = input.call(Ident::parse_any)?;
        // `const { … }` and `static || …` are expressions.
        let is_item =
            ITEMS.iter().any(|item| word == item) && !input.peek(token::Brace) && !input.peek(Token![|]);
        let is_macro = word == "macro_rules" && input.peek(Token![!]);
        input.parse::<TokenStream>()?;
        Ok(is_item || is_macro)
    };
    parser.parse2(statements.clone()).unwrap_or(false)
}

/// Finds the word `Self`.
pub(crate) fn self_type(tokens: TokenStream) -> Option<Span> {
    find(tokens, &|word| word == "Self")
}

/// Finds the first word that satisfies the predicate, at any depth.
pub(crate) fn find(tokens: TokenStream, holds: &impl Fn(&Ident) -> bool) -> Option<Span> {
    tokens.into_iter().find_map(|tree| match tree {
        TokenTree::Ident(word) => holds(&word).then(|| word.span()),
        TokenTree::Group(group) => find(group.stream(), holds),
        TokenTree::Literal(_) | TokenTree::Punct(_) => None,
    })
}
