//! Validates handlers and arguments: each key's value, and which keys can't be combined.

use proc_macro2::Span;
use quote::ToTokens;
use syn::spanned::Spanned;
use syn::{Error, LitStr, Path};
use traffik_grammar::rate::{self, RateSpec};
use traffik_grammar::uid;

use crate::args::{Args, KEYS, Key, Setting, WHICH};
use crate::fallback::Errors;
use crate::item::{self, Handler};
use crate::keys;
use crate::model::{Throttle, Which};
use crate::stack::Stack;
use crate::value::{Kind, Value};

/// Checks that the function can be a throttled handler.
pub(crate) fn handler(handler: &Handler, errors: &mut Errors) {
    let name = &handler.name;
    if let Some(constness) = handler.constness {
        let message = format!("a `const fn` can't wait for a throttle's decision: write `async fn {name}`");
        errors.push(Error::new(constness.span, message));
    } else if handler.asyncness.is_none() {
        let message = format!("a throttled handler must be async: write `async fn {name}`");
        errors.push(Error::new(handler.fn_token.span, message));
    }
    if let Some(unsafety) = handler.unsafety {
        let message = format!(
            "axum can't call an `unsafe fn`: write `async fn {name}`, and put what is unsafe into a block in its body"
        );
        errors.push(Error::new(unsafety.span, message));
    }
    if handler.body.is_none() {
        let message = "a throttled handler needs a body";
        errors.push(Error::new(name.span(), message));
    }
    if let Some(receiver) = handler.receiver {
        let message = "axum can't call a method: write a free function, and get what `self` holds \
                       from an extractor such as `State`";
        errors.push(Error::new(receiver, message));
    } else if let Some(word) = self_type_of(handler) {
        let message = "a throttled handler must be a free function, outside of any `impl`: name the type \
                       instead of `Self`";
        errors.push(Error::new(word, message));
    }
}

fn self_type_of(handler: &Handler) -> Option<Span> {
    item::self_type(handler.parameters.clone())
        .or_else(|| item::self_type(handler.output.to_token_stream()))
        .or_else(|| item::self_type(handler.bounds.to_token_stream()))
}

/// Checks each attribute by itself, and all of them together.
pub(crate) fn stack(stack: &Stack, errors: &mut Errors) -> Vec<Throttle> {
    unique(stack, errors);
    stack.attributes.iter().filter_map(|args| attribute(args, errors)).collect()
}

fn unique(stack: &Stack, errors: &mut Errors) {
    let mut seen = Vec::new();
    for which in stack.attributes.iter().filter_map(|args| args.which.as_ref()) {
        let (name, span, message) = match which {
            Which::Uid(uid) => (
                format!("{:?}", uid.value()),
                uid.span(),
                "is used twice on this handler: give the second throttle a uid of its own",
            ),
            Which::Path(path) => (
                path.to_token_stream().to_string().replace(' ', ""),
                path.span(),
                "is used twice on this handler: keep one, with the sum of the costs",
            ),
        };
        if seen.contains(&name) {
            errors.push(Error::new(span, format!("{name} {message}")));
        } else {
            seen.push(name);
        }
    }
}

fn attribute(args: &Args, errors: &mut Errors) -> Option<Throttle> {
    let path = match &args.which {
        Some(Which::Path(path)) => Some(path),
        _ => None,
    };
    match &args.which {
        Some(Which::Uid(uid)) => declared(uid, args, errors),
        Some(Which::Path(_)) => {}
        None => nameless(args, errors),
    }
    let mut calls = Vec::new();
    for (at, setting) in args.settings.iter().enumerate() {
        let call = known(setting, path)
            .and_then(|()| once(setting, &args.settings[..at]))
            .and_then(|()| keys::call(setting));
        calls.extend(errors.note(call).flatten());
    }
    conflict(args, errors);
    args.which.clone().map(|which| Throttle { which, calls })
}

/// What other libraries call the conditions under which a limit applies.
const RULES_ELSEWHERE: [&str; 7] =
    ["exempt_when", "methods", "paths", "predicate", "request_filter", "skip", "when"];

/// Checks that the key exists and is allowed here.
fn known(setting: &Setting, path: Option<&Path>) -> Result<(), Error> {
    let word = &setting.key;
    let message = match (Key::find(word), path) {
        (Some(_), None) => return Ok(()),
        (Some(key), Some(_)) if key.shared => return Ok(()),
        (Some(_), Some(path)) => format!(
            "`{word}` is set where `{}` is built: a shared throttle accepts only {}",
            path.to_token_stream().to_string().replace(' ', ""),
            listed(KEYS.iter().filter(|key| key.shared)),
        ),
        (None, _) if ["burst", "burst_size", "debt"].iter().any(|name| word == name) => {
            format!("`{word}` belongs to the strategy: write `strategy = TokenBucket::new().burst(50)`")
        }
        (None, _) if ["rule", "rules", "registry"].iter().any(|name| word == name) => format!(
            "`{word}` belongs to the builder: build a `static` throttle with it, and name that static: \
             `#[throttle(UPLOADS)]`"
        ),
        (None, _) if RULES_ELSEWHERE.iter().any(|name| word == name) => format!(
            "`{word}` is a rule: build a `static` throttle with `.rule(throttle_if().method(Method::POST))` or \
             `.rule(bypass_if().when(is_internal))`, and name that static: `#[throttle(UPLOADS)]`"
        ),
        (None, _) => {
            let keys = listed(KEYS.iter().filter(|key| path.is_none() || key.shared));
            match Key::meant(word, path.is_some()) {
                Some(ours) => format!("unknown key `{word}`; did you mean `{ours}`? The keys are {keys}"),
                None => format!("unknown key `{word}`; the keys are {keys}"),
            }
        }
    };
    Err(Error::new(word.span(), message))
}

fn once(setting: &Setting, before: &[Setting]) -> Result<(), Error> {
    if before.iter().any(|earlier| earlier.key == setting.key) {
        let message = format!("`{}` is given twice: keep one of them", setting.key);
        return Err(Error::new(setting.key.span(), message));
    }
    Ok(())
}

fn listed<'a>(keys: impl Iterator<Item = &'a Key>) -> String {
    let names: Vec<_> = keys.map(|key| format!("`{}`", key.name)).collect();
    match names.as_slice() {
        [rest @ .., last] if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => names.concat(),
    }
}

fn conflict(args: &Args, errors: &mut Errors) {
    if let Some(backend) = args.setting("backend")
        && let Some(dynamic) = args.setting("dynamic_backend")
        && !dynamic.value.as_ref().is_some_and(is_false)
    {
        let message = "`backend` and `dynamic_backend` are mutually exclusive: remove one of them";
        // The error points at whichever key comes second.
        let backend_first = args
            .settings
            .iter()
            .find(|setting| setting.key == "backend" || setting.key == "dynamic_backend")
            .is_some_and(|setting| setting.key == "backend");
        let culprit = if backend_first { dynamic } else { backend };
        errors.push(Error::new(culprit.key.span(), message));
    }
}

fn is_false(value: &Value) -> bool {
    matches!(&value.kind, Kind::Literal(syn::Lit::Bool(flag)) if !flag.value)
}

fn nameless(args: &Args, errors: &mut Errors) {
    // An argument that could not be parsed may have been the name.
    if args.broken {
        return;
    }
    let at = args.settings.first().map_or(args.at, |setting| setting.key.span());
    errors.push(Error::new(at, WHICH));
}

/// Checks that a declaration has a valid uid, and a rate that its cost fits.
fn declared(name: &LitStr, args: &Args, errors: &mut Errors) {
    if let Err(error) = uid::check(&name.value()) {
        errors.push(Error::new(name.span(), error));
    }
    match args.setting("rate") {
        // A misspelled `rate` key was already reported.
        None if args.settings.iter().any(|setting| Key::meant(&setting.key, false) == Some("rate")) => {}
        None if !args.broken => {
            let message = format!("the throttle {:?} has no rate: add `rate = \"20/min\"`", name.value());
            errors.push(Error::new(name.span(), message));
        }
        None => {}
        Some(rate) => {
            errors.note(fits(rate, args));
        }
    }
}

/// Rejects a constant cost that is higher than a constant rate ever lets through at once. A rate or a cost that is
/// invalid by itself is reported elsewhere.
fn fits(rate: &Setting, args: &Args) -> Result<(), Error> {
    let Some(text) = rate.value.as_ref().and_then(keys::string) else {
        return Ok(());
    };
    let Ok(RateSpec::Limited { limit, .. }) = rate::parse(&text.value()) else {
        return Ok(());
    };
    let Some(value) = args.setting("cost").and_then(|cost| cost.value.as_ref()) else {
        return Ok(());
    };
    let Ok(cost) = keys::integer(value) else {
        return Ok(());
    };
    let strategy = match args.setting("strategy").map(|strategy| &strategy.value) {
        None => None,
        Some(word) => match word.as_ref().and_then(keys::string) {
            Some(word) => Some(word.value()),
            // The strategy is an expression, which sets its own capacity.
            None => return Ok(()),
        },
    };
    let message = if strategy.as_deref() == Some("gcra") && cost > 1 {
        format!(
            "a cost of {cost} can never pass: \"gcra\" has a burst of 1 by default; \
             write `strategy = Gcra::new().burst({cost})` or lower the cost"
        )
    } else if cost > limit {
        format!(
            "a cost of {cost} can never pass: the rate {:?} allows at most {limit} at once; \
             lower the cost or raise the rate",
            text.value(),
        )
    } else {
        return Ok(());
    };
    Err(Error::new(value.span(), message))
}
