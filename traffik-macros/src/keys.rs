//! The values of each key, and the builder call that each key and value expand to.

use quote::ToTokens;
use syn::{Error, Lit, LitStr, Result};
use traffik_grammar::{rate, suggest};

use crate::args::{Key, Setting};
use crate::model::{Argument, Call, Given};
use crate::value::{Kind, Value};

/// A word, the method that it calls, and the method's argument.
type Word = (&'static str, &'static str, Use);

#[derive(Clone, Copy)]
enum Use {
    /// Calls the method without arguments.
    Bare,
    /// Passes the item at this path of the runtime crate.
    Name(&'static str),
    /// Passes the result of this constructor of the runtime crate.
    Make(&'static str),
    /// Is the default, so there is nothing to call.
    Default,
}

const STRATEGIES: [Word; 7] = [
    ("fixed_window", "strategy", Use::Make("strategy::FixedWindow::new")),
    ("sliding_window", "strategy", Use::Make("strategy::SlidingWindow::new")),
    ("sliding_log", "strategy", Use::Make("strategy::SlidingLog::new")),
    ("token_bucket", "strategy", Use::Make("strategy::TokenBucket::new")),
    ("leaky_bucket", "strategy", Use::Make("strategy::LeakyBucket::new")),
    ("leaky_queue", "strategy", Use::Make("strategy::LeakyQueue::new")),
    ("gcra", "strategy", Use::Make("strategy::Gcra::new")),
];
const ON_ERROR: [Word; 3] = [
    ("allow", "on_error", Use::Make("OnError::allow")),
    ("throttle", "on_error", Use::Make("OnError::throttle")),
    ("raise", "on_error", Use::Make("OnError::raise")),
];
const ON_THROTTLED: [Word; 1] = [("continue", "continue_when_throttled", Use::Bare)];
const HEADERS: [Word; 3] = [
    ("always", "headers", Use::Make("Headers::always")),
    ("throttled", "headers", Use::Make("Headers::when_throttled")),
    ("never", "headers", Use::Make("Headers::never")),
];
const MODES: [Word; 2] = [("enforce", "enforce", Use::Bare), ("shadow", "shadow", Use::Bare)];
const REFUND_ON: [Word; 2] = [
    ("5xx", "refund_on_status", Use::Name("private::is_5xx")),
    ("error", "refund_on_status", Use::Name("private::is_error")),
];
const ON_CANCEL: [Word; 2] =
    [("keep", "", Use::Default), ("refund", "on_cancel", Use::Name("OnCancel::Refund"))];

const REQUEST: &[Given] = &[Given::Parts];

/// Returns the builder call, or `None` if the value is the default.
pub(crate) fn call(setting: &Setting) -> Result<Option<Call>> {
    let Setting { key, value } = setting;
    let Some(value) = value else {
        return if key == "dynamic_backend" {
            Ok(setting.call("dynamic_backend", Argument::Nothing))
        } else {
            Err(setting.wants_value())
        };
    };
    match key.to_string().as_str() {
        "rate" => setting.rate(value),
        "cost" => setting.cost(value),
        "identifier" => {
            let expected = "a function of the request, such as `fn client_key(req: &Parts) -> Identity`";
            setting.function("identifier", value, REQUEST, expected)
        }
        "scope" => setting.scope(value),
        "strategy" => setting
            .word_or(value, &STRATEGIES, "an expression", |value| Ok(setting.written("strategy", value))),
        "backend" => match &value.kind {
            Kind::Literal(Lit::Str(text)) if text.value().contains("://") => {
                let message = "`backend` takes a backend, not an address: connect at startup, and pass the \
                               `RedisBackend` to `traffik::install`";
                Err(Error::new(value.span(), message))
            }
            Kind::Literal(_) => Err(setting.expects(value, "an expression, evaluated once")),
            _ => Ok(setting.written("backend", value)),
        },
        "dynamic_backend" => setting.dynamic_backend(value),
        "on_error" => {
            setting.word_or(value, &ON_ERROR, "an `OnError`", |value| Ok(setting.written("on_error", value)))
        }
        "on_throttled" => setting.word_or(value, &ON_THROTTLED, "a function", |value| {
            let given = &[Given::Parts, Given::Throttled];
            setting.function("on_throttled", value, given, "a function")
        }),
        "headers" => {
            setting.word_or(value, &HEADERS, "a `Headers`", |value| Ok(setting.written("headers", value)))
        }
        "mode" => setting.word(value, &MODES),
        "refund_on" => setting.word_or(value, &REFUND_ON, "a function", |value| {
            setting.function("refund_on_status", value, &[Given::StatusCode], "a function")
        }),
        "on_cancel" => setting.word(value, &ON_CANCEL),
        // `crate` was parsed with the arguments, and unknown keys never get here.
        _ => Ok(None),
    }
}

impl Setting {
    fn call(&self, method: &'static str, argument: Argument) -> Option<Call> {
        Some(Call { method, key: self.key.clone(), argument })
    }

    fn written(&self, method: &'static str, value: &Value) -> Option<Call> {
        self.call(method, Argument::Written(value.tokens.clone()))
    }

    fn rate(&self, value: &Value) -> Result<Option<Call>> {
        if let Some(text) = string(value) {
            rate::parse(&text.value()).map_err(|error| Error::new(text.span(), error))?;
            return Ok(self.written("rate", value));
        }
        if let Some(call) = self.constant("rate", value) {
            return Ok(Some(call));
        }
        let expected = "a string, `const` followed by the path of a `Rate`, or a function of the request";
        self.function("rate_with", value, REQUEST, expected)
    }

    fn cost(&self, value: &Value) -> Result<Option<Call>> {
        if let Kind::Literal(_) = value.kind {
            let cost = integer(value)?;
            let mut literal = proc_macro2::Literal::u64_unsuffixed(cost);
            literal.set_span(value.span());
            return Ok(self.call("cost", Argument::Written(literal.into_token_stream())));
        }
        if let Some(call) = self.constant("cost", value) {
            return Ok(Some(call));
        }
        let expected = "a whole number, `const` followed by the path of one, or a function of the request";
        self.function("cost_with", value, REQUEST, expected)
    }

    fn scope(&self, value: &Value) -> Result<Option<Call>> {
        if string(value).is_some() {
            return Ok(self.written("scope", value));
        }
        if let Some(call) = self.constant("scope", value) {
            return Ok(Some(call));
        }
        let expected = "a string, `const` followed by the path of one, or a function of the request";
        self.function("scope_with", value, REQUEST, expected)
    }

    /// Accepts `const PATH`: without the word, a path would be a function's.
    fn constant(&self, method: &'static str, value: &Value) -> Option<Call> {
        let Kind::Const(path) = &value.kind else { return None };
        self.call(method, Argument::Written(path.clone()))
    }

    fn dynamic_backend(&self, value: &Value) -> Result<Option<Call>> {
        match &value.kind {
            Kind::Literal(Lit::Bool(flag)) if flag.value => {
                Ok(self.call("dynamic_backend", Argument::Nothing))
            }
            Kind::Literal(Lit::Bool(_)) => Ok(None),
            _ => {
                let expected = "`true`, or a function that finds the request's backend";
                self.function("dynamic_backend_with", value, REQUEST, expected)
            }
        }
    }

    /// Accepts a path, a closure, or an expression that evaluates to a function.
    fn function(
        &self,
        method: &'static str,
        value: &Value,
        given: &'static [Given],
        expected: &str,
    ) -> Result<Option<Call>> {
        match &value.kind {
            Kind::Literal(_) | Kind::Const(_) => Err(self.expects(value, expected)),
            Kind::Closure(closure) => Ok(self.call(method, Argument::Closure(closure.clone(), given))),
            Kind::Expression => Ok(self.written(method, value)),
        }
    }

    /// Accepts one of the key's words, and nothing else.
    fn word(&self, value: &Value, words: &[Word]) -> Result<Option<Call>> {
        self.word_or(value, words, "", |value| Err(self.expects(value, &alternatives(words, ""))))
    }

    /// Accepts one of the key's words. A value that isn't a string goes to `otherwise`.
    fn word_or(
        &self,
        value: &Value,
        words: &[Word],
        other: &str,
        otherwise: impl FnOnce(&Value) -> Result<Option<Call>>,
    ) -> Result<Option<Call>> {
        let Some(text) = string(value) else {
            return if let Kind::Literal(_) | Kind::Const(_) = value.kind {
                let expected = alternatives(words, other);
                Err(self.expects(value, &expected))
            } else {
                otherwise(value)
            };
        };
        let written = text.value();
        let Some((_, method, what)) = words.iter().find(|(word, ..)| *word == written) else {
            let known = alternatives(words, other);
            let names = words.iter().map(|(word, ..)| *word);
            let message = match suggest::nearest(&written, names) {
                Some(nearest) => {
                    format!("unknown `{}` {written:?}; did you mean {nearest:?}? Expected {known}", self.key)
                }
                None => format!("unknown `{}` {written:?}; expected {known}", self.key),
            };
            return Err(Error::new(text.span(), message));
        };
        let argument = match *what {
            Use::Bare => Argument::Nothing,
            Use::Name(path) => Argument::Named(path, text.span()),
            Use::Make(path) => Argument::Made(path, text.span()),
            Use::Default => return Ok(None),
        };
        Ok(self.call(method, argument))
    }

    fn expects(&self, value: &Value, expected: &str) -> Error {
        let message = format!("`{}` takes {expected}: write `{}`", self.key, self.example());
        Error::new(value.span(), message)
    }

    fn wants_value(&self) -> Error {
        let message = format!("`{}` needs a value: write `{}`", self.key, self.example());
        Error::new(self.key.span(), message)
    }

    fn example(&self) -> &'static str {
        Key::find(&self.key).map_or("key = value", |key| key.example)
    }
}

/// Lists the alternatives: `"a", "b" or an expression`.
fn alternatives(words: &[Word], other: &str) -> String {
    let mut all: Vec<_> = words.iter().map(|(word, ..)| format!("{word:?}")).collect();
    if !other.is_empty() {
        all.push(other.to_owned());
    }
    match all.as_slice() {
        [rest @ .., last] if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => all.concat(),
    }
}

pub(crate) fn string(value: &Value) -> Option<&LitStr> {
    match &value.kind {
        Kind::Literal(Lit::Str(text)) => Some(text),
        _ => None,
    }
}

/// Parses a literal cost.
pub(crate) fn integer(value: &Value) -> Result<u64> {
    let error = |message: String| Err(Error::new(value.span(), message));
    match &value.kind {
        Kind::Literal(Lit::Int(number)) if number.base10_digits().starts_with('-') => {
            error("a cost cannot be negative: to give units back, call `refund` on the throttle".to_owned())
        }
        Kind::Literal(Lit::Int(number)) if !matches!(number.suffix(), "" | "u64") => {
            error(format!("the cost must be a `u64`: write `cost = {}`", number.base10_digits()))
        }
        Kind::Literal(Lit::Int(number)) => {
            number.base10_parse().or_else(|_| error(format!("the cost must be at most {}", u64::MAX)))
        }
        Kind::Literal(Lit::Str(text)) if text.value().trim().parse::<u64>().is_ok() => {
            error(format!("the cost must be a number, not a string: write `cost = {}`", text.value().trim()))
        }
        _ => error("the cost must be a whole number, 0 or more: write `cost = 10`".to_owned()),
    }
}
