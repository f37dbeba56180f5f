//! Expands attribute and handler into a gate type, and the handler behind that gate.

use proc_macro2::{Delimiter, Group, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Ident, Path, ReturnType, Token, parse2};

use crate::fallback::{self, Errors};
use crate::item::{self, Body, GATE, Gate, Handler};
use crate::model::{Argument, Call, Given, Throttle, Which};
use crate::returned::{Opaque, Returned};
use crate::stack::Stack;
use crate::validate;
use crate::value::Closure;

/// The extractor for what was charged, which costs something only if a handler asks for it.
const CHARGE: &str = "Charge";

/// The extractor for what was decided, of which the same is true.
const OUTCOME: &str = "Outcome";

/// The most parameters that clippy allows by default.
const MOST_PARAMETERS: usize = 7;

/// Expands the attribute. If anything is wrong, reports every mistake and keeps the handler as it is.
pub(crate) fn throttle(args: TokenStream, item: TokenStream) -> TokenStream {
    let (mut attributes, item) = item::split(item);
    let mut errors = Errors::default();
    let stack = Stack::absorb(args, &mut attributes, &mut errors);
    let handler = errors.note(parse2::<Handler>(item.clone()));
    if let Some(handler) = &handler {
        validate::handler(handler, &mut errors);
    }
    let throttles = validate::stack(&stack, &mut errors);
    let expanded = handler.and_then(|mut handler| {
        let body = handler.body.take()?;
        let expansion = Expansion {
            root: root(&stack),
            gate: gate_name(&handler, &throttles),
            attributes: &attributes,
            handler: &handler,
        };
        Some(expansion.tokens(&throttles, &body))
    });
    match errors.into_result() {
        Ok(()) => expanded.unwrap_or(item),
        Err(error) => fallback::emit(&error, &attributes, &item),
    }
}

/// Returns the path of the runtime crate.
fn root(stack: &Stack) -> Path {
    stack.root.clone().unwrap_or_else(|| {
        let mut path = Path::from(Ident::new("traffik", Span::call_site()));
        path.leading_colon = Some(Token![::](Span::call_site()));
        path
    })
}

/// Names the gate's type after the handler and its throttles, so that two attributes that can't see each other
/// declare different types. The same input always gives the same name.
fn gate_name(handler: &Handler, throttles: &[Throttle]) -> Ident {
    let name = handler.name.unraw();
    let mut hash = Fnv::default();
    hash.add(&name.to_string());
    if let Some(earlier) = &handler.gate {
        hash.add(&earlier.stack.to_token_stream().to_string());
    }
    for throttle in throttles {
        match &throttle.which {
            Which::Uid(uid) => hash.add(&uid.value()),
            Which::Path(path) => hash.add(&path.to_token_stream().to_string()),
        }
    }
    let Fnv(hash) = hash;
    format_ident!("__TraffikGate_{name}_{hash:016x}", span = mixed(name.span()))
}

/// FNV-1a, which is short and stable across runs. The standard hasher doesn't promise stability.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn add(&mut self, text: &str) {
        // The terminator never occurs in UTF-8, so "a", "bc" and "ab", "c" hash differently.
        for byte in text.bytes().chain([0xff]) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

/// Returns the user's location with the macro's hygiene: messages point there, but names don't collide.
fn mixed(span: Span) -> Span {
    Span::mixed_site().located_at(span)
}

/// Puts the tokens into the user's braces. The compiler reports an unused function only if its last token is the user's.
fn braced(inside: TokenStream, body: &Body) -> Group {
    let mut braces = Group::new(Delimiter::Brace, inside);
    braces.set_span(body.braces.span.join());
    braces
}

struct Expansion<'a> {
    root: Path,
    gate: Ident,
    attributes: &'a [syn::Attribute],
    handler: &'a Handler,
}

impl Expansion<'_> {
    fn tokens(&self, throttles: &[Throttle], body: &Body) -> TokenStream {
        let gate = self.gate(throttles);
        let function = self.function(body);
        quote!(#gate #function)
    }

    /// Generates the type that carries the handler's throttles to its gate.
    fn gate(&self, throttles: &[Throttle]) -> TokenStream {
        let Self { root, gate, .. } = self;
        let visibility = &self.handler.visibility;
        let allowed = self.allowed();
        let throttles = throttles.iter().map(|throttle| self.throttle(throttle));
        let charges = self.handler.mentions(CHARGE).then(|| quote_spanned!(Span::mixed_site()=> .charges()));
        let outcome = self.handler.mentions(OUTCOME).then(|| quote_spanned!(Span::mixed_site()=> .outcome()));
        // A handler has a single gate, whichever attribute added it, so that all its throttles are decided together.
        let start = match &self.handler.gate {
            None => quote_spanned!(Span::mixed_site()=> #root::private::Stack::new()),
            Some(Gate { stack, .. }) => quote_spanned! {Span::mixed_site()=>
                #root::private::Stack::after(<#stack as #root::private::Gated>::stack())
            },
        };
        quote_spanned! {Span::mixed_site()=>
            #[doc(hidden)]
            #[non_exhaustive]
            #visibility struct #gate;

            #[doc(hidden)]
            #[automatically_derived]
            #(#allowed)*
            impl #root::private::Gated for #gate {
                fn stack() -> &'static #root::private::Stack {
                    static STACK: ::std::sync::LazyLock<#root::private::Stack> =
                        ::std::sync::LazyLock::new(|| {
                            #start #(#throttles)* #charges #outcome
                        });
                    &STACK
                }
            }
        }
    }

    /// Returns the handler's `#[allow]`s, which also apply to the expressions in its attributes. An `#[expect]` becomes
    /// an `#[allow]` here, where it might go unfulfilled; the original stays on the handler.
    fn allowed(&self) -> impl Iterator<Item = TokenStream> {
        self.attributes.iter().filter_map(|attribute| {
            let list = attribute.meta.require_list().ok()?;
            let (lints, site) = (&list.tokens, Span::mixed_site());
            match attribute.path().get_ident()?.to_string().as_str() {
                "allow" => Some(attribute.to_token_stream()),
                "expect" => Some(quote_spanned!(site=> #[allow(#lints)])),
                _ => None,
            }
        })
    }

    fn throttle(&self, throttle: &Throttle) -> TokenStream {
        let root = &self.root;
        let calls = throttle.calls.iter().map(|call| self.call(call));
        match &throttle.which {
            Which::Uid(uid) => quote_spanned! {mixed(uid.span())=>
                .declare(#root::Throttle::builder(#uid) #(#calls)*)
            },
            Which::Path(path) => quote_spanned! {mixed(path.span())=>
                .shared(&#path, |__traffik_applied| __traffik_applied #(#calls)*)
            },
        }
    }

    fn call(&self, call: &Call) -> TokenStream {
        let span = mixed(call.key.span());
        let method = Ident::new(call.method, span);
        let argument = match &call.argument {
            Argument::Nothing => TokenStream::new(),
            Argument::Written(tokens) => tokens.clone(),
            Argument::Closure(closure, given) => self.closure(closure, given),
            Argument::Named(path, span) => self.runtime(path, *span),
            Argument::Made(path, span) => {
                let path = self.runtime(path, *span);
                quote_spanned!(mixed(*span)=> #path())
            }
        };
        quote_spanned!(span=> .#method(#argument))
    }

    /// Adds missing parameter types to a closure. Without them, the builder can't infer what the closure returns.
    fn closure(&self, closure: &Closure, given: &[Given]) -> TokenStream {
        let Closure { modifiers, bars: [open, close], rest, .. } = closure;
        let parameters = closure.parameters.iter().enumerate().map(|(at, parameter)| {
            let pattern = &parameter.pattern;
            let annotation = &parameter.annotation;
            match given.get(at) {
                Some(given) if annotation.is_empty() => {
                    let given = self.given(*given, pattern.span());
                    quote!(#pattern: #given)
                }
                _ => quote!(#pattern #annotation),
            }
        });
        quote!(#modifiers #open #(#parameters),* #close #rest)
    }

    fn given(&self, given: Given, span: Span) -> TokenStream {
        let (borrow, path) = match given {
            Given::Parts => (true, "Parts"),
            Given::Throttled => (true, "Throttled"),
            Given::StatusCode => (false, "private::StatusCode"),
        };
        let path = self.runtime(path, span);
        let borrow = borrow.then(|| Token![&](mixed(span)));
        quote!(#borrow #path)
    }

    fn runtime(&self, path: &str, span: Span) -> TokenStream {
        let mut root = self.root.clone();
        for segment in &mut root.segments {
            // Only the location changes; the hygiene must still resolve to the crate that the user named.
            segment.ident.set_span(segment.ident.span().located_at(span));
        }
        if let Some(colons) = &mut root.leading_colon {
            colons.spans = colons.spans.map(|colon| colon.located_at(span));
        }
        let span = mixed(span);
        let segments = path.split("::").map(|word| Ident::new(word, span));
        quote_spanned!(span=> #root #(::#segments)*)
    }

    /// Generates the handler behind its gate. If an outer attribute that could not see this one has already added a
    /// gate, extends that gate instead: the body is already behind it.
    fn function(&self, body: &Body) -> TokenStream {
        let Self { root, gate, .. } = self;
        let Handler {
            visibility,
            asyncness,
            abi,
            fn_token,
            name,
            generics,
            parameters,
            output,
            bounds,
            gate: earlier,
            ..
        } = self.handler;
        let attributes = self.attributes.iter().chain(&body.attributes);
        let is_alone = parameters.is_empty() && attributes.clone().all(item::is_inert);
        let site = Span::mixed_site();
        let variable = match earlier {
            Some(Gate { variable, .. }) => variable.clone(),
            None => Ident::new(GATE, site),
        };
        let place = is_alone.then(|| quote_spanned!(site=> , #root::private::Alone));
        let inputs = quote_spanned! {site=>
            #variable: #root::private::Gate<#gate #place>, #parameters
        };
        let mut parentheses = Group::new(Delimiter::Parenthesis, inputs);
        parentheses.set_span(self.handler.parentheses.span.join());
        // If the returned type is not a response, the compiler's error points here.
        let written = match output {
            ReturnType::Default => name.span(),
            ReturnType::Type(_, output) => output.span(),
        };
        let returned = mixed(written);
        let block = self.block(body, written);
        let respond = self.runtime("private::respond", returned);
        let answer = match earlier {
            Some(_) => body.statements.clone(),
            None => quote_spanned!(returned=> #respond(#variable, #block).await),
        };
        let block = braced(answer, body);
        // The extra parameter is the gate, which the user didn't write.
        let allowed = (earlier.is_none() && self.handler.parameter_count() == MOST_PARAMETERS)
            .then(|| quote_spanned!(site=> #[allow(clippy::too_many_arguments)]));
        quote_spanned! {site=>
            #(#attributes)*
            #allowed
            #visibility #asyncness #abi #fn_token #name #generics #parentheses
            -> #root::private::Response
            #bounds
            #block
        }
    }

    /// Puts the body into its own async block, so that `return` and `?` leave only that block.
    fn block(&self, body: &Body, written: Span) -> TokenStream {
        let statements = &body.statements;
        let returned = mixed(written);
        let edge = self.return_edge(returned);
        // Items have to come first in the user's braces, or clippy objects. Other bodies may be a single expression,
        // and the compiler would object to braces of its own around that.
        let block = if item::begins_with_item(statements) {
            let statements = braced(statements.clone(), body);
            quote_spanned!(returned=> { #edge #statements })
        } else {
            braced(quote!(#edge #statements), body).into_token_stream()
        };
        // In an async block that is the macro's own, the compiler leaves out the names of variables: "use of moved value".
        // Around the user's, it takes an expression of the macro's own to keep errors about the answer at its type.
        let block = quote_spanned!(written=> async move #block);
        quote_spanned!(returned=> match () { () => #block })
    }

    /// Returns a branch that is never taken. It tells the compiler the block's return type, as the signature did.
    fn return_edge(&self, returned: Span) -> TokenStream {
        let Returned { output, opaque } = Returned::new(&self.handler.output, &self.handler.generics);
        let opaque = opaque.map(|opaque| self.opaque(&opaque, returned));
        quote_spanned! {returned=>
            if let ::core::option::Option::Some(__traffik_return) =
                ::core::option::Option::<#output>::None
            {
                #opaque
                return __traffik_return;
            }
        }
    }

    /// Passes the value to a function that takes what the signature returns. The traits in its `impl Trait`s thus count
    /// as used, and bear on what the body leaves to be inferred: in `Sse<impl Stream<Item = Result<Event, Infallible>>>`
    /// they are all that says what the error of an `Ok` is.
    fn opaque(&self, opaque: &Opaque, returned: Span) -> TokenStream {
        let Opaque { written, generics: arguments } = opaque;
        let Handler { generics, bounds: wheres, .. } = self.handler;
        let (generics, wheres) = (arguments.as_ref().map(|_| generics), arguments.as_ref().map(|_| wheres));
        let turbofish = arguments
            .as_ref()
            .filter(|arguments| !arguments.is_empty())
            .map(|arguments| quote_spanned!(returned=> ::<#(#arguments),*>));
        // In a slice, because bounds with a `+` need some kind of brackets, and parentheses would be linted.
        quote_spanned! {returned=>
            fn __traffik_opaque #generics (_: &[#written]) #wheres {}
            __traffik_opaque #turbofish (::core::slice::from_ref(&__traffik_return));
        }
    }
}
