//! [`Headers`]: what answers say about the limits.
//!
//! Two families: `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10,
//! structured fields by RFC 9651), and the older `X-RateLimit-Limit`, `-Remaining` and `-Reset`.
//! Both speak from the decision that was made anyway: writing them asks no backend.

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

/// Which rate-limit headers an answer carries, and when.
///
/// | header | holds |
/// |---|---|
/// | `RateLimit-Policy` | `"uid";q=20;w=60`: 20 units per 60 seconds; of a bucket with a burst of its own, the burst and the time in which it fills; `w` only for whole seconds |
/// | `RateLimit` | `"uid";r=7;t=31`: 7 left, and 31 seconds until there is room for a refused request, or until the account is full again |
/// | `X-RateLimit-Limit`, `-Remaining`, `-Reset` | the same three numbers as plain ones |
///
/// Where several throttles stand, on one handler or in layers around it, the first two are lists
/// with one member for each, and the others belong to the throttle that refused, or else to the one
/// nearest to its limit. No header ever comes twice. What a handler passes on of another service joins
/// those lists, unless it is written as older drafts did (`limit=100, remaining=50`): then it is replaced.
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
    /// Absent for most, so that a copy is cheap.
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

    /// Both families, on every answer. The default.
    #[must_use]
    pub const fn always() -> Self {
        Self::new(When::Always, true, true)
    }

    /// Both families, on refusals only.
    #[must_use]
    pub const fn when_throttled() -> Self {
        Self::new(When::Throttled, true, true)
    }

    /// None at all.
    #[must_use]
    pub const fn never() -> Self {
        Self::new(When::Never, false, false)
    }

    /// `RateLimit-Policy` and `RateLimit` only.
    #[must_use]
    pub const fn draft() -> Self {
        Self::new(When::Always, true, false)
    }

    /// `X-RateLimit-Limit`, `-Remaining` and `-Reset` only.
    #[must_use]
    pub const fn legacy() -> Self {
        Self::new(When::Always, false, true)
    }

    /// Neither family: the headers given [`with`](Headers::with) it, and no others.
    #[must_use]
    pub const fn custom() -> Self {
        Self::new(When::Always, false, false)
    }

    /// Only on answers for which this holds, asked once the throttle has decided.
    #[must_use]
    pub fn when(mut self, predicate: impl Fn(&Parts, &Decision) -> bool + Send + Sync + 'static) -> Self {
        self.when = When::If(Arc::new(predicate));
        self
    }

    /// Only on refusals.
    #[must_use]
    pub fn only_throttled(mut self) -> Self {
        self.when = When::Throttled;
        self
    }

    /// Calls the policy something other than the throttle's uid, in the draft's headers and in the
    /// answer's `violated-policies`.
    ///
    /// Quotes and backslashes are escaped as structured fields ask for. These hold ASCII alone, so
    /// that what else is in the name, and `%`, is percent-encoded as UTF-8: `größe` becomes
    /// `gr%C3%B6%C3%9Fe`.
    #[must_use]
    pub fn policy_name(mut self, name: &str) -> Self {
        self.customize().policy = Some(member::encode(name));
        self
    }

    /// Calls the legacy three something else, such as `x-quota-limit`, `x-quota-left` and
    /// `x-quota-reset`. A name that can't be a header's, that two of them share, or that says something else already
    /// (`ratelimit`, `content-length` and the like), is an error where the throttle is built.
    #[must_use]
    pub fn names(mut self, limit: &str, remaining: &str, reset: &str) -> Self {
        let custom = self.customize();
        if let Some(names) = custom.three([limit, remaining, reset]) {
            custom.names = Some(names);
        }
        self.legacy = self.custom_names().is_some();
        self
    }

    /// A header of one's own, made from the account: `.with("x-quota-used", |stat| stat.used)`. The
    /// function gives a number, a string or a `HeaderValue`; what can't stand in a header is left out.
    ///
    /// A name that can't be a header's, or that says something else already (`ratelimit`, `content-length` and the like),
    /// is an error where the throttle is built.
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

    /// A header of one's own with the same text always. A name or a text that can't stand in a
    /// header is an error where the throttle is built.
    #[must_use]
    pub fn with_value(mut self, name: &str, value: &str) -> Self {
        let custom = self.customize();
        let Some(name) = custom.name(name) else { return self };
        match HeaderValue::from_str(value) {
            Ok(value) => custom.more.push((name, Arc::new(move |_| Some(value.clone())))),
            Err(_) => custom.fail(format!("the header {name} cannot hold {value:?}; write visible ASCII")),
        }
        self
    }

    fn customize(&mut self) -> &mut Custom {
        Arc::make_mut(self.custom.get_or_insert_default())
    }

    /// The first mistake in names and values.
    pub(crate) fn error(&self) -> Option<Error> {
        let mistake = self.custom.as_ref()?.mistake.as_ref()?;
        Some(Error::configuration(format!("headers: {mistake}")))
    }

    /// Whether no answer carries any.
    #[inline]
    pub(crate) fn is_never(&self) -> bool {
        matches!(self.when, When::Never)
    }

    /// Whether the answer to a request carries any. `refused` says whether it is turned away, by
    /// this throttle or by another.
    #[inline]
    pub(crate) fn wanted(&self, parts: &Parts, decision: &Decision, refused: bool) -> bool {
        match &self.when {
            When::Always => true,
            When::Throttled => refused,
            When::Never => false,
            When::If(predicate) => predicate(parts, decision),
        }
    }

    /// The same for a request that passes.
    #[inline]
    #[cfg(feature = "memory")]
    pub(crate) fn wanted_by_admitted(&self, parts: &Parts, stat: &Stat) -> bool {
        match &self.when {
            When::Always => true,
            When::Throttled | When::Never => false,
            When::If(predicate) => predicate(parts, &Decision::Allowed(stat.clone())),
        }
    }

    /// What the policy is called, encoded for a structured field's string.
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
