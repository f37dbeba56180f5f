//! [`Headers`]: what responses say about the limits.
//!
//! There are two families: `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10,
//! structured fields as in RFC 9651), and the older `X-RateLimit-Limit`, `-Remaining` and `-Reset`. Both
//! report the decision that was made anyway; writing them calls no backend.

mod custom;
mod member;
mod number;
mod write;

use std::fmt;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use crate::Parts;
use crate::decision::{Decision, Stat};
use crate::error::Error;

use custom::Custom;
pub(crate) use write::{Report, write};

/// The rate-limit headers that a response carries, and when it carries them.
///
/// | header | content |
/// |---|---|
/// | `RateLimit-Policy` | `"uid";q=20;w=60`: 20 units per 60 seconds. For a bucket with its own burst, `q` is the burst and `w` the time in which it fills. `w` is only present if it is a whole number of seconds |
/// | `RateLimit` | `"uid";r=7;t=31`: 7 units left, and 31 seconds until there is room for the refused request, or else until the account is full again |
/// | `X-RateLimit-Limit`, `-Remaining`, `-Reset` | the same three numbers as plain integers |
///
/// If several throttles apply, on one handler or in layers around it, the first two headers are lists with
/// one member per throttle, and the others describe the throttle that refused, or else the one nearest to
/// its limit. No header is ever repeated. If a handler forwards headers of another service, they join those
/// lists, unless they are in the format of older drafts (`limit=100, remaining=50`): then they are
/// replaced.
///
/// If a throttle further in turns the request away, `r` includes what the layers around it refund, while `t` is
/// still that of the charge, so it may be too long.
///
/// ```
/// use traffik::{Headers, Throttle};
///
/// let throttle = Throttle::builder("docs:headers")
///     .rate("20/min")
///     .headers(
///         Headers::draft()
///             .when(|_, decision| decision.stat().is_some_and(|stat| stat.remaining < 5))
///             .with("x-quota-used", |stat| stat.used)
///             .with_value("x-quota-help", "https://example.com/limits"),
///     )
///     .build()?;
/// # let _ = throttle;
/// # Ok::<(), traffik::Error>(())
/// ```
#[derive(Clone)]
pub struct Headers {
    when: When,
    draft: bool,
    legacy: bool,
    /// Absent in most cases, so that a clone is cheap.
    custom: Option<Arc<Custom>>,
}

type Predicate = dyn Fn(&Parts, &Decision) -> bool + Send + Sync;

#[derive(Clone)]
enum When {
    Always,
    Throttled,
    Never,
    If(Arc<Predicate>),
}

impl Headers {
    const fn new(when: When, draft: bool, legacy: bool) -> Self {
        Self { when, draft, legacy, custom: None }
    }

    /// Sends both families on every response. The default.
    #[must_use]
    pub const fn always() -> Self {
        Self::new(When::Always, true, true)
    }

    /// Sends both families, on refusals only.
    #[must_use]
    pub const fn when_throttled() -> Self {
        Self::new(When::Throttled, true, true)
    }

    /// Sends no headers at all.
    #[must_use]
    pub const fn never() -> Self {
        Self::new(When::Never, false, false)
    }

    /// Sends only `RateLimit-Policy` and `RateLimit`.
    #[must_use]
    pub const fn draft() -> Self {
        Self::new(When::Always, true, false)
    }

    /// Sends only `X-RateLimit-Limit`, `-Remaining` and `-Reset`.
    #[must_use]
    pub const fn legacy() -> Self {
        Self::new(When::Always, false, true)
    }

    /// Sends neither family, only the headers that are added by [`with`](Headers::with) and
    /// [`with_value`](Headers::with_value).
    #[must_use]
    pub const fn custom() -> Self {
        Self::new(When::Always, false, false)
    }

    /// Sends the headers only if the predicate returns `true`. It is called after the throttle has decided.
    #[must_use]
    pub fn when(mut self, predicate: impl Fn(&Parts, &Decision) -> bool + Send + Sync + 'static) -> Self {
        self.when = When::If(Arc::new(predicate));
        self
    }

    /// Sends the headers on refusals only.
    #[must_use]
    pub fn only_throttled(mut self) -> Self {
        self.when = When::Throttled;
        self
    }

    /// Sets a policy name other than the throttle's uid, for the draft's headers and for
    /// `violated-policies` in the response body.
    ///
    /// Quotes and backslashes are escaped as structured fields require. Structured strings hold only ASCII,
    /// so anything else in the name, and `%` itself, is percent-encoded as UTF-8: `größe` becomes
    /// `gr%C3%B6%C3%9Fe`.
    #[must_use]
    pub fn policy_name(mut self, name: &str) -> Self {
        self.customize().policy = Some(member::encode(name));
        self
    }

    /// Renames the three legacy headers, for example to `x-quota-limit`, `x-quota-left` and
    /// `x-quota-reset`. Building the throttle fails if a name is not a valid header name, is used twice, or
    /// already has another meaning (`ratelimit`, `content-length` and the like).
    #[must_use]
    pub fn names(mut self, limit: &str, remaining: &str, reset: &str) -> Self {
        let custom = self.customize();
        if let Some(names) = custom.three([limit, remaining, reset]) {
            custom.names = Some(names);
        }
        self.legacy = self.custom_names().is_some();
        self
    }

    /// Adds a custom header with a value computed from the account:
    /// `.with("x-quota-used", |stat| stat.used)`. The function returns a number, a string or a
    /// `HeaderValue`; a value that is not valid in a header is left out.
    ///
    /// Building the throttle fails if the name is not a valid header name, already has another meaning
    /// (`ratelimit`, `content-length` and the like), or is that of another of these headers.
    #[must_use]
    pub fn with<F, V>(mut self, name: &str, value: F) -> Self
    where
        F: Fn(&Stat) -> V + Send + Sync + 'static,
        V: TryInto<HeaderValue>,
    {
        let custom = self.customize();
        if let Some(name) = custom.name(name) {
            custom.more.push((name, Arc::new(move |stat| value(stat).try_into().ok())));
        }
        self
    }

    /// Adds a custom header with a constant value. Building the throttle fails if the name or the value is
    /// not valid in a header.
    #[must_use]
    pub fn with_value(mut self, name: &str, value: &str) -> Self {
        let custom = self.customize();
        let Some(name) = custom.name(name) else { return self };
        match HeaderValue::from_str(value) {
            Ok(value) => custom.more.push((name, Arc::new(move |_| Some(value.clone())))),
            Err(_) => custom
                .fail(format!("the header {name} cannot have the value {value:?}; use visible ASCII only")),
        }
        self
    }

    fn customize(&mut self) -> &mut Custom {
        Arc::make_mut(self.custom.get_or_insert_default())
    }

    /// The first mistake in the names and values.
    pub(crate) fn error(&self) -> Option<Error> {
        let custom = self.custom.as_ref()?;
        let mistake = custom.mistake.clone().or_else(|| self.duplicate())?;
        Some(Error::configuration(format!("headers: {mistake}")))
    }

    /// Names a custom header that another one, or one of the legacy three, would hide.
    fn duplicate(&self) -> Option<String> {
        let more = self.more();
        let legacy = self.legacy.then(|| self.custom_names().unwrap_or(&write::LEGACY));
        let is_taken = |at: usize, name: &HeaderName| {
            legacy.is_some_and(|names| names.contains(name))
                || more[..at].iter().any(|(other, _)| other == name)
        };
        let (_, (name, _)) = more.iter().enumerate().find(|(at, (name, _))| is_taken(*at, name))?;
        Some(format!("two headers are named {name}; give each its own name"))
    }

    /// Whether no response carries any headers.
    #[inline]
    pub(crate) fn is_never(&self) -> bool {
        matches!(self.when, When::Never)
    }

    /// Whether the response to a request carries the headers. `refused` says whether the request is turned
    /// away, by this throttle or by another.
    #[inline]
    pub(crate) fn wanted(&self, parts: &Parts, decision: &Decision, refused: bool) -> bool {
        match &self.when {
            When::Always => true,
            When::Throttled => refused,
            When::Never => false,
            When::If(predicate) => predicate(parts, decision),
        }
    }

    /// Same as `wanted`, for a request that passes.
    #[inline]
    #[cfg(feature = "memory")]
    pub(crate) fn wanted_by_admitted(&self, parts: &Parts, stat: &Stat) -> bool {
        match &self.when {
            When::Always => true,
            When::Throttled | When::Never => false,
            When::If(predicate) => predicate(parts, &Decision::Allowed(stat.clone())),
        }
    }

    /// The policy's name, encoded for the string of a structured field.
    pub(crate) fn policy<'a>(&'a self, uid: &'a str) -> &'a str {
        self.custom.as_ref().and_then(|custom| custom.policy.as_deref()).unwrap_or(uid)
    }

    fn custom_names(&self) -> Option<&[HeaderName; 3]> {
        self.custom.as_ref()?.names.as_ref()
    }

    fn more(&self) -> &[(HeaderName, custom::Make)] {
        self.custom.as_ref().map_or(&[], |custom| &custom.more)
    }
}

impl Default for Headers {
    fn default() -> Self {
        Self::always()
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when = match self.when {
            When::Always => "always",
            When::Throttled => "throttled",
            When::Never => "never",
            When::If(_) => "fn(&Parts, &Decision)",
        };
        f.debug_struct("Headers")
            .field("when", &when)
            .field("draft", &self.draft)
            .field("legacy", &self.legacy)
            .field("custom", &self.custom)
            .finish()
    }
}
