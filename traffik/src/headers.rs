//! [`Headers`]: what answers say about the limits.
//!
//! Two families: `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10,
//! structured fields by RFC 9651), and the older `X-RateLimit-Limit`, `-Remaining` and `-Reset`.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::decision::Stat;

static POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
static LIMIT: HeaderName = HeaderName::from_static("ratelimit");
static X_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
static X_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
static X_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// The largest integer of a structured field (RFC 9651 §3.3.1).
const MOST: u64 = 999_999_999_999_999;

/// Which rate-limit headers an answer carries, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Headers {
    when: When,
    draft: bool,
    legacy: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Always,
    Throttled,
    Never,
}

impl Headers {
    /// Both families, on every answer. The default.
    #[must_use]
    pub const fn always() -> Self {
        Self { when: When::Always, draft: true, legacy: true }
    }

    /// Both families, on refusals only.
    #[must_use]
    pub const fn when_throttled() -> Self {
        Self { when: When::Throttled, ..Self::always() }
    }

    /// None at all.
    #[must_use]
    pub const fn never() -> Self {
        Self { when: When::Never, ..Self::always() }
    }

    /// `RateLimit-Policy` and `RateLimit` only.
    #[must_use]
    pub const fn draft() -> Self {
        Self { legacy: false, ..Self::always() }
    }

    /// `X-RateLimit-Limit`, `-Remaining` and `-Reset` only.
    #[must_use]
    pub const fn legacy() -> Self {
        Self { draft: false, ..Self::always() }
    }

    /// Whether an answer carries any.
    #[inline]
    pub(crate) fn wanted(&self, refused: bool) -> bool {
        match self.when {
            When::Always => true,
            When::Throttled => refused,
            When::Never => false,
        }
    }

    /// Adds one throttle's headers to what is there already: the draft's are lists, and the legacy
    /// ones belong to whoever is nearest to the limit.
    pub(crate) fn write_one(&self, headers: &mut HeaderMap, stat: &Stat, period: Duration) {
        if self.draft {
            let period = period.as_micros();
            append(headers, &POLICY, |line| {
                line.text("\"");
                line.text(stat.uid);
                line.text("\";q=");
                line.number(stat.limit);
                if period % 1_000_000 == 0 {
                    line.text(";w=");
                    line.number(u64::try_from(period / 1_000_000).unwrap_or(MOST));
                }
            });
            append(headers, &LIMIT, |line| {
                line.text("\"");
                line.text(stat.uid);
                line.text("\";r=");
                line.number(stat.remaining);
                line.text(";t=");
                line.number(seconds(stat));
            });
        }
        if self.legacy {
            let nearer = |value: &HeaderValue| {
                value.to_str().ok().and_then(|text| text.parse().ok()).is_some_and(|there: u64| there <= stat.remaining)
            };
            if !headers.get(&X_REMAINING).is_some_and(nearer) {
                headers.insert(&X_LIMIT, HeaderValue::from(stat.limit));
                headers.insert(&X_REMAINING, HeaderValue::from(stat.remaining));
                headers.insert(&X_RESET, HeaderValue::from(seconds(stat)));
            }
        }
    }
}

impl Default for Headers {
    fn default() -> Self {
        Self::always()
    }
}

/// Whole seconds until there is room again for what was asked, or until the account is full.
fn seconds(stat: &Stat) -> u64 {
    let wait = stat.retry_after.unwrap_or(stat.reset_after);
    u64::try_from(wait.as_micros().div_ceil(1_000_000)).unwrap_or(MOST)
}

/// A header value in the making.
struct Line(Vec<u8>);

impl Line {
    fn text(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    fn number(&mut self, number: u64) {
        let mut digits = [0; 15];
        let mut left = number.min(MOST);
        let mut start = digits.len();
        loop {
            start -= 1;
            // A remainder of ten is a digit.
            digits[start] = b'0' + (left % 10) as u8;
            left /= 10;
            if left == 0 || start == 0 {
                break;
            }
        }
        self.0.extend_from_slice(&digits[start..]);
    }
}

/// Appends a member to a list header, on the one line that it has.
fn append(headers: &mut HeaderMap, name: &HeaderName, write: impl FnOnce(&mut Line)) {
    let there = headers.get(name).map_or(&b""[..], HeaderValue::as_bytes);
    let mut line = Line(Vec::with_capacity(there.len() + 64));
    if !there.is_empty() {
        line.0.extend_from_slice(there);
        line.text(", ");
    }
    write(&mut line);
    // Uids are visible ASCII and numbers digits, so this never fails; if it did, no header is
    // better than no answer.
    if let Ok(value) = HeaderValue::from_maybe_shared(bytes::Bytes::from(line.0)) {
        headers.insert(name, value);
    }
}
