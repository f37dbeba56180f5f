//! The handler: its signature in pieces, its parameters and its body as they were written.
//!
//! Parameters keep their `#[cfg]`s, which nobody has evaluated yet, so they are neither parsed nor
//! counted; a body that is half typed still reaches the compiler, and with it the editor.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::parse::{Parse, ParseStream, Parser};
use syn::{
    Abi, AttrStyle, Attribute, Error, Generics, Ident, Lifetime, Result, ReturnType, Token, Type,
    Visibility, WhereClause, braced, parenthesized, token,
};

/// How the parameters of gates are called; an attribute that expands later knows them by it.
pub(crate) const GATE: &str = "__traffik_gate";

/// Splits an item into its outer attributes and the rest.
pub(crate) fn split(item: TokenStream) -> (Vec<Attribute>, TokenStream) {
    let parser = |input: ParseStream<'_>| {
        let attributes = input.call(Attribute::parse_outer)?;
        Ok((attributes, input.parse()?))
    };
    parser
        .parse2(item.clone())
        .unwrap_or_else(|_| (Vec::new(), item))
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
    /// `self`, where the item is a method.
    pub(crate) receiver: Option<Span>,
    /// Gates put in front by attributes that expanded before this one, each with its comma.
    pub(crate) gates: Vec<TokenStream>,
    pub(crate) parameters: TokenStream,
    pub(crate) output: ReturnType,
    pub(crate) bounds: Option<WhereClause>,
    /// `None` is a declaration without a body.
    pub(crate) body: Option<Body>,
}

pub(crate) struct Body {
    pub(crate) braces: token::Brace,
    /// The body's `#![…]`, in the form in which they stand before the function.
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
            let message = "`#[throttle]` stands on a handler, an `async fn`, and this is no function";
            return Err(Error::new(start, message));
        }
        let fn_token = input.parse()?;
        let name = input.parse()?;
        let generics = input.parse()?;
        let inside;
        let parentheses = parenthesized!(inside in input);
        let receiver = receiver(&inside.fork());
        let mut gates = Vec::new();
        while let Some(gate) = gate(&inside)? {
            gates.push(gate);
        }
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
            gates,
            parameters: inside.parse()?,
            output: input.parse()?,
            bounds: input.parse()?,
            body: body(input)?,
        })
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
    Ok(Some(Body {
        braces,
        attributes,
        statements: inside.parse()?,
    }))
}

/// Finds `self`, `mut self`, `&self`, `&'a mut self`, with or without a type.
fn receiver(input: ParseStream<'_>) -> Option<Span> {
    input.call(Attribute::parse_outer).ok()?;
    if input.parse::<Option<Token![&]>>().ok()?.is_some() {
        input.parse::<Option<Lifetime>>().ok()?;
    }
    input.parse::<Option<Token![mut]>>().ok()?;
    input
        .peek(Token![self])
        .then(|| input.parse::<Token![self]>())?
        .ok()
        .map(|word| word.span)
}

/// Takes one parameter `__traffik_gate…: Type,` from the front.
fn gate(input: ParseStream<'_>) -> Result<Option<TokenStream>> {
    let is_gate = input
        .fork()
        .parse::<Ident>()
        .is_ok_and(|name| name.to_string().starts_with(GATE));
    if !is_gate {
        return Ok(None);
    }
    let mut gate = TokenStream::new();
    input.parse::<Ident>()?.to_tokens(&mut gate);
    input.parse::<Token![:]>()?.to_tokens(&mut gate);
    input.parse::<Type>()?.to_tokens(&mut gate);
    let comma: Option<Token![,]> = input.parse()?;
    comma.unwrap_or_default().to_tokens(&mut gate);
    Ok(Some(gate))
}

/// Finds the word `Self`, at any depth.
pub(crate) fn self_type(tokens: TokenStream) -> Option<Span> {
    tokens.into_iter().find_map(|tree| match tree {
        TokenTree::Ident(word) if word == "Self" => Some(word.span()),
        TokenTree::Group(group) => self_type(group.stream()),
        _ => None,
    })
}
