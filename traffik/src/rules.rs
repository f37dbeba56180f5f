//! Rules: which requests a throttle is about.
//!
//! Any matching [`bypass_if`] skips the throttle; where there is one or more [`throttle_if`], all
//! of them must match. Methods and paths are looked at before any predicate runs.

use std::fmt;
use std::str::FromStr;

use http::Method;
use traffik_grammar::path::PathPattern;

use crate::Parts;
use crate::error::Error;
use crate::request_fn::{Async_, IntoRequestFn, RequestFn, Sync_};

/// Skips the throttle for requests that match.
pub fn bypass_if() -> Rule {
    Rule::new(Kind::Bypass)
}

/// Limits the throttle to requests that match.
pub fn throttle_if() -> Rule {
    Rule::new(Kind::Only)
}

/// One condition on a request: path, methods and a predicate, all of which must hold.
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
#[must_use = "a rule does nothing until a throttle is given it"]
pub struct Rule {
    kind: Kind,
    paths: Vec<PathPattern>,
    /// `None`: any.
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

    /// Paths that match: `*` is one segment, `**` any number, and a pattern without wildcards is
    /// that path and everything below it. Called again, any of the patterns will do.
    ///
    /// What is matched is the whole path that the client asked for, inside a nested router too. Where it can be
    /// read in several ways (`/users//posts`, `/%75sers`), a [`throttle_if`] matches if any of them does, and a
    /// [`bypass_if`] if all of them do.
    ///
    /// A bad pattern is an error of the throttle's `build`, with the place marked.
    pub fn path(mut self, pattern: &str) -> Self {
        match PathPattern::from_str(pattern) {
            Ok(pattern) => self.paths.push(pattern),
            Err(error) => {
                let error = Error::configuration(format!("path pattern {pattern:?}: {error}"));
                self.error.get_or_insert(error);
            }
        }
        self
    }

    /// A method that matches. Called again, any of the methods will do. A [`throttle_if`] of `GET` matches
    /// `HEAD` as well, which the same handlers answer.
    pub fn method(mut self, method: Method) -> Self {
        self.methods.get_or_insert_default().push(method);
        self
    }

    /// Methods, any of which will do. An empty list matches no request.
    pub fn methods(mut self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.methods.get_or_insert_default().extend(methods);
        self
    }

    /// A predicate, sync or async (`|req| …` or `|req| { …; async move { … } }`), asked only where
    /// path and method match. Called again, all of the predicates must hold. An `async fn` that borrows the request goes
    /// into [`when_async`](Rule::when_async).
    pub fn when<F, R, K>(mut self, predicate: F) -> Self
    where
        F: Fn(&Parts) -> R + Send + Sync + 'static,
        R: Condition<K>,
    {
        self.when.push(R::store(predicate));
        self
    }

    /// A predicate that may borrow the request across its awaits, such as an `async fn(&Parts) -> bool`.
    pub fn when_async<K>(mut self, predicate: impl IntoRequestFn<bool, K>) -> Self {
        self.when.push(predicate.into_request_fn());
        self
    }

    pub(crate) fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }

    /// The cheap half: path and method. In doubt a request is counted: what a path can be read as differs by the
    /// service behind it, and a `GET` handler is what answers `HEAD` (RFC 9110, section 9.3.2).
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

/// The path that the client asked for: a nested router cuts its own part off the uri.
fn whole_path(parts: &Parts) -> &str {
    #[cfg(feature = "axum")]
    if let Some(original) = parts.extensions.get::<axum::extract::OriginalUri>() {
        return original.path();
    }
    parts.uri.path()
}

/// What a predicate gives: a `bool`, or a future of one.
#[diagnostic::on_unimplemented(
    message = "a predicate that should give a `bool` gives `{Self}`",
    note = "give a `bool`, or a future of one that borrows nothing of the request",
    note = "an `async fn` that borrows the request goes into `.when_async(..)`"
)]
pub trait Condition<Kind>: Sized {
    /// Stores a predicate that answers so.
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
    // Whatever can be told without asking a predicate is told first.
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
