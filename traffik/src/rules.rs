//! Rules: which requests a throttle applies to.
//!
//! If any [`bypass_if`] matches, the throttle is skipped; if there are [`throttle_if`] rules, all of them
//! must match. Methods and paths are compared before any predicate runs.

use std::fmt;
use std::str::FromStr;

use http::Method;
use traffik_grammar::Quoted;
use traffik_grammar::path::PathPattern;

use crate::Parts;
use crate::error::Error;
use crate::request_fn::{Async_, IntoRequestFn, RequestFn, Sync_};

/// Creates a rule that skips the throttle for matching requests.
pub fn bypass_if() -> Rule {
    Rule::new(Kind::Bypass)
}

/// Creates a rule that restricts the throttle to matching requests.
pub fn throttle_if() -> Rule {
    Rule::new(Kind::Only)
}

/// A condition on requests: path, method and predicates, all of which must match.
///
/// ```
/// use http::Method;
/// use traffik::{Parts, Throttle, bypass_if, throttle_if};
///
/// let is_internal = |parts: &Parts| parts.headers.contains_key("x-internal");
/// let throttle = Throttle::builder("docs:rules")
///     .rate("100/min")
///     .rule(throttle_if().path("/api").methods([Method::POST, Method::PUT]))
///     .rule(bypass_if().path("/api/*/health"))
///     .rule(bypass_if().when(is_internal))
///     .build()?;
/// # Ok::<(), traffik::Error>(())
/// ```
#[derive(Clone)]
#[must_use = "a rule does nothing until it is added to a throttle"]
pub struct Rule {
    kind: Kind,
    paths: Vec<PathPattern>,
    /// `None` means any.
    methods: Option<Vec<Method>>,
    when: Vec<RequestFn<bool>>,
    /// The first mistake, reported when the throttle is built.
    error: Option<Error>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bypass,
    Only,
}

impl Rule {
    fn new(kind: Kind) -> Self {
        Self { kind, paths: Vec::new(), methods: None, when: Vec::new(), error: None }
    }

    /// Adds a path pattern: `*` is one segment, `**` any number of them, and a pattern without wildcards
    /// matches that path and everything below it. If this is called several times, one matching pattern is
    /// enough.
    ///
    /// Patterns are matched against the whole path that the client requested, inside a nested router too.
    /// If the path can be read in several ways (`/users//posts`, `/%75sers`), a [`throttle_if`] matches if
    /// any of them does, and a [`bypass_if`] if all of them do.
    ///
    /// An invalid pattern makes the throttle's `build` fail, with an error that marks the position.
    pub fn path(mut self, pattern: &str) -> Self {
        match PathPattern::from_str(pattern) {
            Ok(pattern) => self.paths.push(pattern),
            Err(error) => {
                let error = Error::configuration(format!("path pattern {}: {error}", Quoted(pattern)));
                self.error.get_or_insert(error);
            }
        }
        self
    }

    /// Adds a method. If this is called several times, one matching method is enough. A [`throttle_if`]
    /// with `GET` also matches `HEAD`, which the same handlers answer.
    pub fn method(mut self, method: Method) -> Self {
        self.methods.get_or_insert_default().push(method);
        self
    }

    /// Adds methods, one of which must match. An empty list matches no request.
    pub fn methods(mut self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.methods.get_or_insert_default().extend(methods);
        self
    }

    /// Adds a predicate, sync or async (`|req| …` or `|req| { …; async move { … } }`), which is only called
    /// if path and method match. If this is called several times, all predicates must hold. An `async fn`
    /// that borrows the request goes into [`when_async`](Rule::when_async).
    pub fn when<F, R, K>(mut self, predicate: F) -> Self
    where
        F: Fn(&Parts) -> R + Send + Sync + 'static,
        R: Condition<K>,
    {
        self.when.push(R::store(predicate));
        self
    }

    /// Adds a predicate that may borrow the request across its awaits, such as an
    /// `async fn(&Parts) -> bool`.
    pub fn when_async<K>(mut self, predicate: impl IntoRequestFn<bool, K>) -> Self {
        self.when.push(predicate.into_request_fn());
        self
    }

    /// Whether no predicate is async.
    pub(crate) fn is_sync(&self) -> bool {
        self.when.iter().all(RequestFn::is_sync)
    }

    pub(crate) fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }

    /// Compares path and method, the cheap part of a rule. In doubt a request is counted: how a path is
    /// read depends on the service behind the throttle, and `GET` handlers also answer `HEAD` (RFC 9110,
    /// section 9.3.2).
    fn fits(&self, parts: &Parts) -> bool {
        let counts = self.kind == Kind::Only;
        let method = |method: &Method| {
            *method == parts.method || (counts && *method == Method::GET && parts.method == Method::HEAD)
        };
        let path = |pattern: &PathPattern| {
            let path = whole_path(parts);
            if counts { pattern.may_match(path) } else { pattern.must_match(path) }
        };
        self.methods.as_ref().is_none_or(|methods| methods.iter().any(method))
            && (self.paths.is_empty() || self.paths.iter().any(path))
    }

    async fn matches(&self, parts: &Parts) -> bool {
        if !self.fits(parts) {
            return false;
        }
        for predicate in &self.when {
            if !predicate.call(parts).await {
                return false;
            }
        }
        true
    }
}

/// The path that the client requested: a nested router strips its own part from the URI.
fn whole_path(parts: &Parts) -> &str {
    #[cfg(feature = "axum")]
    if let Some(original) = parts.extensions.get::<axum::extract::OriginalUri>() {
        return original.path();
    }
    parts.uri.path()
}

/// The result of a predicate: a `bool`, or a future of one.
#[diagnostic::on_unimplemented(
    message = "a predicate that should return a `bool` returns `{Self}`",
    note = "return a `bool`, or a future of one that borrows nothing from the request",
    note = "for an `async fn` that borrows the request, use `.when_async(..)`"
)]
pub trait Condition<Kind>: Sized {
    /// Stores a predicate with this kind of result.
    fn store(predicate: impl Fn(&Parts) -> Self + Send + Sync + 'static) -> RequestFn<bool>;
}

impl Condition<Sync_> for bool {
    fn store(predicate: impl Fn(&Parts) -> Self + Send + Sync + 'static) -> RequestFn<bool> {
        RequestFn::sync(predicate)
    }
}

impl<F: Future<Output = bool> + Send + 'static> Condition<Async_> for F {
    fn store(predicate: impl Fn(&Parts) -> Self + Send + Sync + 'static) -> RequestFn<bool> {
        RequestFn::later(move |parts| Box::pin(predicate(parts)))
    }
}

/// Whether a throttle with these rules skips the request.
pub(crate) async fn skip(rules: &[Rule], parts: &Parts) -> bool {
    // First everything that can be decided without a predicate.
    let settles = |rule: &Rule| match rule.kind {
        Kind::Bypass => rule.when.is_empty() && rule.fits(parts),
        Kind::Only => !rule.fits(parts),
    };
    if rules.iter().any(settles) {
        return true;
    }
    for rule in rules {
        if rule.matches(parts).await == (rule.kind == Kind::Bypass) {
            return true;
        }
    }
    false
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.kind == Kind::Bypass { "bypass_if" } else { "throttle_if" };
        let paths: Vec<_> = self.paths.iter().map(ToString::to_string).collect();
        f.debug_struct(name)
            .field("paths", &paths)
            .field("methods", &self.methods)
            .field("when", &self.when)
            .finish()
    }
}
