//! The value after `key =`: its tokens, up to the next comma on the same level, and their kind.
//!
//! Expressions are not parsed, only skipped: what is looked at is where an operand may begin, since that tells the
//! comma of `|a, b|` or `a::<B, C>` from one that ends the value. The compiler reports mistakes in them at the user's
//! spans.

use proc_macro2::{Delimiter, Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::spanned::Spanned;
use syn::{
    AngleBracketedGenericArguments, ExprPath, Ident, Lit, Result, ReturnType, Token, Type, parse2, token,
};

pub(crate) struct Value {
    pub(crate) kind: Kind,
    pub(crate) tokens: TokenStream,
}

pub(crate) enum Kind {
    Literal(Lit),
    /// The tokens after the word `const`.
    Const(TokenStream),
    Closure(Closure),
    /// A path or any other expression.
    Expression,
}

/// A closure such as `async move |a, b: B| body`, split where types can be inserted.
#[derive(Clone)]
pub(crate) struct Closure {
    pub(crate) modifiers: TokenStream,
    pub(crate) bars: [Token![|]; 2],
    pub(crate) parameters: Vec<Parameter>,
    /// The return type, if any, and the body.
    pub(crate) rest: TokenStream,
}

#[derive(Clone)]
pub(crate) struct Parameter {
    pub(crate) pattern: TokenStream,
    /// The colon and the type, if there are any.
    pub(crate) annotation: TokenStream,
}

impl Value {
    /// Takes a value's tokens from the input. Leaves the comma that follows them, or whatever is there instead.
    pub(crate) fn take(input: ParseStream<'_>) -> Result<Self> {
        let tokens = expression(input)?;
        if tokens.is_empty() {
            return Err(input.error("expected a value"));
        }
        let tokens = ungrouped(tokens);
        Ok(Self { kind: classify(&tokens), tokens })
    }

    pub(crate) fn span(&self) -> Span {
        self.tokens.span()
    }
}

/// Unwraps groups without delimiters, in which fragments of declarative macros arrive.
fn ungrouped(mut tokens: TokenStream) -> TokenStream {
    loop {
        let mut trees = tokens.clone().into_iter();
        match (trees.next(), trees.next()) {
            (Some(TokenTree::Group(group)), None) if group.delimiter() == Delimiter::None => {
                tokens = group.stream();
            }
            _ => return tokens,
        }
    }
}

fn classify(tokens: &TokenStream) -> Kind {
    if let Ok(literal) = parse2::<Lit>(tokens.clone()) {
        Kind::Literal(literal)
    } else if let Ok(behind) = constant.parse2(tokens.clone()) {
        Kind::Const(behind)
    } else if let Ok(closure) = closure.parse2(tokens.clone()) {
        Kind::Closure(closure)
    } else {
        Kind::Expression
    }
}

fn constant(input: ParseStream<'_>) -> Result<TokenStream> {
    input.parse::<Token![const]>()?;
    // `const || …` is a closure, and `const { … }` is an expression.
    if input.peek(Token![|]) || input.peek(token::Brace) {
        return Err(input.error("not a path"));
    }
    input.parse()
}

/// Takes tokens up to a comma that separates arguments, or to where one is missing.
fn expression(input: ParseStream<'_>) -> Result<TokenStream> {
    let mut out = TokenStream::new();
    if let Ok(TokenTree::Literal(_)) = input.fork().parse() {
        input.parse::<TokenTree>()?.to_tokens(&mut out);
        if !goes_on(input) {
            return Ok(out);
        }
    }
    // Whether an operand, or the pattern of a `let`, may begin here. If so, `|` opens a closure and `<` a qualified
    // path; otherwise both are operators.
    let mut operand = out.is_empty();
    while !input.is_empty() && !input.peek(Token![,]) && !input.peek(Token![;]) {
        if !operand && next_key(input) {
            break;
        }
        if operand && input.peek(Token![|]) {
            closure_head(input, &mut out)?;
        } else if operand && input.peek(Token![<]) {
            input.parse::<ExprPath>()?.to_tokens(&mut out);
            operand = false;
        } else if input.peek(Token![::]) && input.peek3(Token![<]) {
            input.parse::<AngleBracketedGenericArguments>()?.to_tokens(&mut out);
            operand = false;
        } else if input.peek(Token![as]) {
            input.parse::<Token![as]>()?.to_tokens(&mut out);
            input.call(Type::without_plus)?.to_tokens(&mut out);
            operand = false;
        } else if input.peek(Token![||]) || input.peek(Token![<<]) {
            // Taken whole, or the second half would open a closure or a qualified path.
            input.parse::<TokenTree>()?.to_tokens(&mut out);
            input.parse::<TokenTree>()?.to_tokens(&mut out);
            operand = true;
        } else {
            let tree: TokenTree = input.parse()?;
            operand = match &tree {
                TokenTree::Punct(punct) => punct.as_char() != '?',
                TokenTree::Ident(word) => opens_operand(&word.to_string()),
                TokenTree::Group(_) | TokenTree::Literal(_) => false,
            };
            tree.to_tokens(&mut out);
        }
    }
    Ok(out)
}

/// Whether an expression continues after the literal that it begins with.
fn goes_on(input: ParseStream<'_>) -> bool {
    match input.fork().parse() {
        Ok(TokenTree::Punct(punct)) => !"=:;#$@~".contains(punct.as_char()) || input.peek(Token![==]),
        Ok(TokenTree::Ident(word)) => word == "as",
        Ok(TokenTree::Group(_) | TokenTree::Literal(_)) | Err(_) => false,
    }
}

/// Whether `key =` is next. After an operand, no expression can continue with it.
fn next_key(input: ParseStream<'_>) -> bool {
    input.peek(Ident::peek_any)
        && input.peek2(Token![=])
        && !input.peek2(Token![==])
        && !input.peek2(Token![=>])
}

/// Takes `|…|` and a return type, including the commas inside.
fn closure_head(input: ParseStream<'_>, out: &mut TokenStream) -> Result<()> {
    if input.peek(Token![||]) {
        input.parse::<Token![||]>()?.to_tokens(out);
    } else {
        input.parse::<Token![|]>()?.to_tokens(out);
        while !input.peek(Token![|]) {
            input.parse::<TokenTree>()?.to_tokens(out);
        }
        // One token: even if it is joint with the next, only this bar belongs to the closure's head.
        input.parse::<TokenTree>()?.to_tokens(out);
    }
    input.parse::<ReturnType>()?.to_tokens(out);
    Ok(())
}

fn opens_operand(word: &str) -> bool {
    matches!(
        word,
        "async"
            | "break"
            | "else"
            | "if"
            | "in"
            | "let"
            | "match"
            | "move"
            | "mut"
            | "ref"
            | "return"
            | "static"
            | "while"
    )
}

fn closure(input: ParseStream<'_>) -> Result<Closure> {
    let mut modifiers = TokenStream::new();
    while input.peek(Token![async]) || input.peek(Token![move]) || input.peek(Token![static]) {
        input.parse::<TokenTree>()?.to_tokens(&mut modifiers);
    }
    // `||` has no parameters to annotate, so it is treated like any other expression.
    let open = input.parse()?;
    let mut parameters = Vec::new();
    while !input.peek(Token![|]) {
        parameters.push(parameter(input)?);
        if !input.peek(Token![|]) {
            input.parse::<Token![,]>()?;
        }
    }
    let bars = [open, input.parse()?];
    Ok(Closure { modifiers, bars, parameters, rest: input.parse()? })
}

fn parameter(input: ParseStream<'_>) -> Result<Parameter> {
    let mut pattern = TokenStream::new();
    let mut annotation = TokenStream::new();
    while !input.peek(Token![|]) && !input.peek(Token![,]) {
        if input.peek(Token![::]) {
            input.parse::<Token![::]>()?.to_tokens(&mut pattern);
        } else if input.peek(Token![:]) {
            input.parse::<Token![:]>()?.to_tokens(&mut annotation);
            input.parse::<Type>()?.to_tokens(&mut annotation);
            break;
        } else {
            input.parse::<TokenTree>()?.to_tokens(&mut pattern);
        }
    }
    Ok(Parameter { pattern, annotation })
}
