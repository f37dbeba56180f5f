//! Writes the headers of one place, a handler's gate or a layer, to a response that may already carry those
//! of an inner one.

use std::slice::from_ref;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::Headers;
use super::member::{Text, is_list, parameter_len};
use crate::decision::Stat;

static POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
static LIMIT: HeaderName = HeaderName::from_static("ratelimit");
pub(super) static LEGACY: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit"),
    HeaderName::from_static("x-ratelimit-remaining"),
    HeaderName::from_static("x-ratelimit-reset"),
];

/// What one throttle reports on a response.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) headers: Headers,
    pub(crate) stat: Stat,
    /// The policy's window in microseconds, 0 if it has none.
    pub(crate) window: u64,
    pub(crate) refused: bool,
    /// What the throttle charged for the request; it is available again if the charge is given back.
    pub(crate) charged: u64,
}

impl Report {
    /// Whether `self` takes precedence: it refused, or else it has fewer units left.
    fn nearer(&self, other: &Self) -> bool {
        let rank = |report: &Self| (!report.refused, report.stat.remaining);
        rank(self) < rank(other)
    }

    fn names(&self) -> Option<&[HeaderName; 3]> {
        self.headers.legacy.then(|| self.headers.custom_names().unwrap_or(&LEGACY))
    }

    fn policy(&self) -> &str {
        self.headers.policy(self.stat.uid)
    }

    /// The policy's window, if it is a whole number of seconds.
    fn window_seconds(&self) -> Option<u64> {
        (self.window > 0 && self.window.is_multiple_of(1_000_000)).then_some(self.window / 1_000_000)
    }

    /// The length of its member in a list of policies.
    #[inline]
    fn policy_len(&self) -> usize {
        let window = self.window_seconds().map_or(0, parameter_len);
        self.policy().len() + r#""""#.len() + parameter_len(self.stat.limit) + window
    }

    /// The length of its member in a list of remaining units.
    #[inline]
    fn limit_len(&self) -> usize {
        let parameters = parameter_len(self.stat.remaining) + parameter_len(seconds(&self.stat));
        self.policy().len() + r#""""#.len() + parameters
    }

    /// Whether it only writes headers with the standard names.
    fn is_plain(&self) -> bool {
        self.headers.custom.is_none()
    }

    /// Whether a response already carries some of the headers that this report would write.
    fn meets_others(&self, headers: &HeaderMap) -> bool {
        let Headers { draft, legacy, .. } = self.headers;
        // A response has few headers: comparing them all is faster than hashing three names.
        headers
            .keys()
            .any(|name| (draft && (*name == POLICY || *name == LIMIT)) || (legacy && *name == LEGACY[1]))
    }
}

impl Text {
    /// Adds a member to a list of policies.
    fn policy(&mut self, report: &Report) {
        if self.member(report.policy()) {
            self.parameter("q", report.stat.limit);
            if let Some(window) = report.window_seconds() {
                self.parameter("w", window);
            }
        }
    }

    /// Adds a member to a list of remaining units.
    fn limit(&mut self, report: &Report) {
        if self.member(report.policy()) {
            self.parameter("r", report.stat.remaining);
            self.parameter("t", seconds(&report.stat));
        }
    }

    /// Sets the header to the text.
    fn put(self, headers: &mut HeaderMap, name: &HeaderName) {
        // Names are encoded and the rest are digits, so this never fails. If it did, sending no header would
        // be better than sending no response.
        if let Ok(value) = HeaderValue::from_maybe_shared(self.into_bytes()) {
            headers.insert(name, value);
        }
    }
}

/// Writes what the throttles of one place report. `turned_away` says that the response is a refusal by another
/// place, whose legacy headers take precedence.
pub(crate) fn write(reports: &[Report], headers: &mut HeaderMap, turned_away: bool) {
    match reports {
        [report] if report.is_plain() && !report.meets_others(headers) => write_one(report, headers),
        _ => write_all(reports, headers, turned_away),
    }
}

/// The most common case: one report, under the standard names, on a response that carries none of them yet.
fn write_one(report: &Report, headers: &mut HeaderMap) {
    reserve(from_ref(report), headers);
    if report.headers.draft {
        let mut policy = Text::with_capacity(report.policy_len());
        policy.policy(report);
        policy.put(headers, &POLICY);
        let mut limit = Text::with_capacity(report.limit_len());
        limit.limit(report);
        limit.put(headers, &LIMIT);
    }
    if report.headers.legacy {
        put_legacy(headers, &LEGACY, &report.stat);
    }
}

/// The general case: any number of reports, on a response that may carry others.
fn write_all(reports: &[Report], headers: &mut HeaderMap, turned_away: bool) {
    reserve(reports, headers);
    if reports.iter().any(|report| report.headers.draft) {
        put_list(reports, headers, &POLICY, Report::policy_len, Text::policy);
        put_list(reports, headers, &LIMIT, Report::limit_len, Text::limit);
    }
    for (at, report) in reports.iter().enumerate() {
        let Some(names) = report.names() else { continue };
        let others = reports.iter().enumerate().filter(|(_, other)| other.names() == Some(names));
        if takes_precedence(at, report, others) && !existing_wins(headers, names, report, turned_away) {
            put_legacy(headers, names, &report.stat);
        }
    }
    write_custom(reports, headers);
}

/// Makes room for the five headers of both families. A new map has room for six, and these make seven with the
/// response's content type and with its length, which axum adds at the end; growing then would move all the others.
fn reserve(reports: &[Report], headers: &mut HeaderMap) {
    if reports.iter().any(|report| report.headers.draft && report.headers.legacy) {
        headers.reserve(6);
    }
}

/// Sets a header to the list of its members: those that the response already carries, on however many lines, and one
/// for each report, of this length. A line in another draft's format, such as an inner service may send, is dropped:
/// next to ours it would make clients ignore both.
fn put_list(
    reports: &[Report],
    headers: &mut HeaderMap,
    name: &HeaderName,
    len: fn(&Report) -> usize,
    add: fn(&mut Text, &Report),
) {
    let drafts = || reports.iter().filter(|report| report.headers.draft);
    let lines = || headers.get_all(name).iter().map(HeaderValue::as_bytes).filter(|line| is_list(line));
    let lengths = lines().map(<[u8]>::len).chain(drafts().map(len));
    let mut text = Text::with_capacity(lengths.map(|len| len + ", ".len()).sum::<usize>() - ", ".len());
    for line in lines() {
        text.separate();
        text.push(line);
    }
    drafts().for_each(|report| add(&mut text, report));
    text.put(headers, name);
}

fn put_legacy(headers: &mut HeaderMap, names: &[HeaderName; 3], stat: &Stat) {
    for (name, number) in names.iter().zip([stat.limit, stat.remaining, seconds(stat)]) {
        headers.insert(name, super::number::value(number));
    }
}

/// Whether no other report is nearer to refusal; among equals, the first takes precedence.
fn takes_precedence<'a>(
    at: usize,
    report: &Report,
    mut others: impl Iterator<Item = (usize, &'a Report)>,
) -> bool {
    !others.any(|(place, other)| other.nearer(report) || (place < at && !report.nearer(other)))
}

/// Whether the response's own legacy headers stay: because an account nearer to its limit wrote them, or
/// because the response is a refusal and whoever wrote it knows best. If one of them occurs twice, the
/// lines stem from two accounts, and no reader could tell which.
fn existing_wins(headers: &HeaderMap, names: &[HeaderName; 3], report: &Report, turned_away: bool) -> bool {
    let Some(there) = headers.get(&names[1]) else { return false };
    if names.iter().any(|name| headers.get_all(name).iter().nth(1).is_some()) {
        return false;
    }
    let there: Option<u64> = there.to_str().ok().and_then(|text| text.parse().ok());
    turned_away || report.refused || there.is_some_and(|there| there <= report.stat.remaining)
}

/// Writes the user's custom headers. One that the response already carries stays, since its author is
/// nearer.
fn write_custom(reports: &[Report], headers: &mut HeaderMap) {
    for (at, report) in reports.iter().enumerate() {
        for (name, make) in report.headers.more() {
            let others = reports
                .iter()
                .enumerate()
                .filter(|(_, other)| other.headers.more().iter().any(|(theirs, _)| theirs == name));
            if !headers.contains_key(name)
                && takes_precedence(at, report, others)
                && let Some(value) = make(&report.stat)
            {
                headers.insert(name, value);
            }
        }
    }
}

/// Whole seconds until there is room for what was requested, or else until the account is full.
fn seconds(stat: &Stat) -> u64 {
    let wait = stat.retry_after.unwrap_or(stat.reset_after);
    // Limits have no resolution below a microsecond, so nanoseconds are ignored.
    wait.as_secs().saturating_add(u64::from(wait.subsec_micros() > 0))
}
