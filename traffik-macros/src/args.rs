//! Parses the attribute's arguments: which throttle, then `key = value` pairs, with their spans.
//!
//! A mistake invalidates only one argument: parsing resumes after the next comma, so that all mistakes are reported.

use proc_macro2::{Span, TokenStream, TokenTree};
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::{Error, Ident, Lit, Path, Result, Token, token};
use traffik_grammar::suggest;

use crate::fallback::Errors;
use crate::model::Which;
use crate::value::Value;

pub(crate) struct Key {
    pub(crate) name: &'static str,
    /// An example of the key in use, for messages.
    pub(crate) example: &'static str,
    /// Whether it may follow a shared throttle.
    pub(crate) shared: bool,
}

const fn key(name: &'static str, example: &'static str) -> Key {
    Key { name, example, shared: false }
}

const fn shared(name: &'static str, example: &'static str) -> Key {
    Key { name, example, shared: true }
}

pub(crate) const KEYS: [Key; 14] = [
    key("rate", r#"rate = "20/min""#),
    shared("cost", "cost = 10"),
    key("identifier", "identifier = client_key"),
    key("strategy", r#"strategy = "token_bucket""#),
    key("backend", "backend = MemoryBackend::new()"),
    key("dynamic_backend", "dynamic_backend = true"),
    shared("scope", r#"scope = "uploads""#),
    key("on_error", r#"on_error = "allow""#),
    shared("on_throttled", r#"on_throttled = "continue""#),
    key("headers", r#"headers = "throttled""#),
    shared("mode", r#"mode = "shadow""#),
    shared("refund_on", r#"refund_on = "5xx""#),
    key("on_cancel", r#"on_cancel = "refund""#),
    shared("crate", "crate = ::path::to::traffik"),
];

/// The message when no throttle is named.
pub(crate) const WHICH: &str = "expected a throttle: start with its uid, \
                                `#[throttle(\"api:burst\", rate = \"20/min\")]`, \
                                or with the path of a `static`, `#[throttle(UPLOADS)]`";

/// Other libraries' names for our keys, if they are too different to be caught as misspellings.
const ELSEWHERE: [(&str, &str); 17] = [
    ("limit", "rate"),
    ("limits", "rate"),
    ("quota", "rate"),
    ("requests", "rate"),
    ("weight", "cost"),
    ("tokens", "cost"),
    ("key", "identifier"),
    ("key_func", "identifier"),
    ("key_extractor", "identifier"),
    ("algorithm", "strategy"),
    ("store", "backend"),
    ("storage", "backend"),
    ("handle_throttled", "on_throttled"),
    ("error_handler", "on_throttled"),
    ("per_method", "scope"),
    ("deduct_when", "refund_on"),
    ("skip_successful_requests", "refund_on"),
];

impl Key {
    /// Returns the key that was probably meant, among those allowed here.
    pub(crate) fn meant(word: &Ident, shared: bool) -> Option<&'static str> {
        let names = || KEYS.iter().filter(|key| key.shared || !shared).map(|key| key.name);
        let elsewhere = ELSEWHERE.iter().find(|(name, _)| word == name).map(|(_, ours)| *ours);
        match elsewhere.filter(|ours| names().any(|name| name == *ours)) {
            None => suggest::nearest(&word.to_string(), names()),
            ours => ours,
        }
    }

    pub(crate) fn find(word: &Ident) -> Option<&'static Self> {
        KEYS.iter().find(|key| word == key.name)
    }
}

/// The arguments of one attribute.
pub(crate) struct Args {
    /// The attribute's own span, for errors about what it lacks.
    pub(crate) at: Span,
    pub(crate) which: Option<Which>,
    /// The path given as `crate = path`, which applies to the whole expansion.
    pub(crate) root: Option<Path>,
    pub(crate) settings: Vec<Setting>,
    /// Whether an argument could not be parsed. Nothing may then be reported as missing.
    pub(crate) broken: bool,
}

pub(crate) struct Setting {
    pub(crate) key: Ident,
    pub(crate) value: Option<Value>,
}

impl Args {
    pub(crate) fn read(tokens: TokenStream, at: Span, errors: &mut Errors) -> Self {
        let mut args = Self { at, which: None, root: None, settings: Vec::new(), broken: false };
        let parser = |input: ParseStream<'_>| {
            args.arguments(input, errors);
            Ok(())
        };
        if let Err(error) = parser.parse2(tokens) {
            errors.push(error);
        }
        args
    }

    pub(crate) fn setting(&self, key: &str) -> Option<&Setting> {
        self.settings.iter().find(|setting| setting.key == key)
    }

    fn arguments(&mut self, input: ParseStream<'_>, errors: &mut Errors) {
        let mut first = true;
        while !input.is_empty() {
            let read = self.argument(input, first).and_then(|()| {
                if input.is_empty() || input.peek(Token![,]) {
                    Ok(())
                } else {
                    Err(input.error("expected a comma before the next `key = value`"))
                }
            });
            if let Err(error) = read {
                errors.push(error);
                self.broken = true;
                while !input.is_empty() && !input.peek(Token![,]) {
                    // Can't fail, because the input isn't empty.
                    let _ = input.parse::<TokenTree>();
                }
            }
            let _ = input.parse::<Option<Token![,]>>();
            first = false;
        }
    }

    fn argument(&mut self, input: ParseStream<'_>, first: bool) -> Result<()> {
        if input.peek(Lit) && !input.peek(syn::LitBool) {
            return self.uid(&input.parse()?, first);
        }
        let ahead = input.fork();
        if let Ok(key) = ahead.call(Ident::parse_any) {
            if ahead.peek(Token![=]) && !ahead.peek(Token![==]) {
                input.call(Ident::parse_any)?;
                input.parse::<Token![=]>()?;
                return self.key(key, input);
            }
            let known = Key::find(&key);
            if ahead.is_empty() || ahead.peek(Token![,]) {
                if !first || known.is_some() {
                    input.call(Ident::parse_any)?;
                    self.settings.push(Setting { key, value: None });
                    return Ok(());
                }
            } else if let Some(known) = known
                && (ahead.peek(token::Paren) || ahead.peek(Token![:]) && !ahead.peek(Token![::]))
            {
                let message = format!("expected `=` after the key: write `{}`", known.example);
                return Err(Error::new(key.span(), message));
            }
        }
        if !first {
            return Err(input.error("expected `key = value`"));
        }
        let at = input.span();
        let path = input.call(Path::parse_mod_style).ok().filter(|_| ends_name(input));
        self.which = Some(Which::Path(path.ok_or_else(|| Error::new(at, WHICH))?));
        Ok(())
    }

    fn uid(&mut self, literal: &Lit, first: bool) -> Result<()> {
        let Lit::Str(uid) = literal else {
            let message = "the throttle's uid must be a string: write `#[throttle(\"api:burst\", …)]`";
            return Err(Error::new(literal.span(), message));
        };
        let message = match self.which {
            Some(_) => {
                "this attribute already names a throttle: write settings as `key = value`, \
                 and add an attribute for each other throttle"
            }
            None if first => {
                self.which = Some(Which::Uid(uid.clone()));
                return Ok(());
            }
            None => "the uid must come first: write `#[throttle(\"uid\", key = value, …)]`",
        };
        Err(Error::new(uid.span(), message))
    }

    fn key(&mut self, key: Ident, input: ParseStream<'_>) -> Result<()> {
        let value = if input.is_empty() || input.peek(Token![,]) {
            None
        } else {
            let value = Value::take(input)?;
            if key == "crate" {
                self.root = Some(root(&value)?);
            }
            Some(value)
        };
        self.settings.push(Setting { key, value });
        Ok(())
    }
}

/// Whether a throttle's name can end here: at a comma, or where one is missing. Anything else, such as a call's
/// parentheses, would make it an expression.
fn ends_name(input: ParseStream<'_>) -> bool {
    input.is_empty()
        || input.peek(Token![,])
        || input.peek(Token![;])
        || input.peek(Ident::peek_any)
        || input.peek(Lit)
}

fn root(value: &Value) -> Result<Path> {
    Path::parse_mod_style.parse2(value.tokens.clone()).map_err(|_| {
        let message = "`crate` takes the path of the runtime crate: write `crate = ::path::to::traffik`";
        Error::new(value.span(), message)
    })
}
