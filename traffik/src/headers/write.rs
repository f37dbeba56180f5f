//! Writing the headers of one place, a handler's gate or a layer, onto an answer that may carry
//! those of an inner one.

use std::ops::Range;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use smallvec::SmallVec;

use super::Headers;
use super::member::{Text, is_list};
use crate::decision::Stat;

static POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
static LIMIT: HeaderName = HeaderName::from_static("ratelimit");
static LEGACY: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit"),
    HeaderName::from_static("x-ratelimit-remaining"),
    HeaderName::from_static("x-ratelimit-reset"),
];

/// What one throttle has to say on an answer.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) headers: Headers,
    pub(crate) stat: Stat,
    /// Its policy's window in microseconds, 0 if it has none.
    pub(crate) window: u64,
    pub(crate) refused: bool,
    /// What the throttle charged for the request: left after all if it is given back.
    pub(crate) charged: u64,
}

impl Report {
    /// Whether the first speaks for both: it refused, or else less is left of it.
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

    /// Whether all that it writes has the usual names.
    fn is_plain(&self) -> bool {
        self.headers.custom.is_none()
    }

    /// Whether an answer carries something of what it would write.
    fn meets_others(&self, headers: &HeaderMap) -> bool {
        let Headers { draft, legacy, .. } = self.headers;
        // An answer has few headers: looking at them is quicker than hashing three names.
        headers
            .keys()
            .any(|name| (draft && (*name == POLICY || *name == LIMIT)) || (legacy && *name == LEGACY[1]))
    }
}

impl Text {
    /// Adds to a list of policies.
    fn policy(&mut self, start: usize, report: &Report) {
        if self.member(start, report.policy()) {
            self.parameter("q", report.stat.limit);
            if report.window > 0 && report.window.is_multiple_of(1_000_000) {
                self.parameter("w", report.window / 1_000_000);
            }
        }
    }

    /// Adds to a list of what is left.
    fn limit(&mut self, start: usize, report: &Report) {
        if self.member(start, report.policy()) {
            self.parameter("r", report.stat.remaining);
            self.parameter("t", seconds(&report.stat));
        }
    }
}

/// Values that go into the map once all of them are written, into one buffer.
type Written<'a> = SmallVec<[(&'a HeaderName, Range<usize>); 5]>;

/// Writes what the throttles of one place report. `settled` says that the answer is another place's
/// refusal, whose legacy headers stand.
pub(crate) fn write(reports: &[Report], headers: &mut HeaderMap, settled: bool) {
    match reports {
        [report] if report.is_plain() && !report.meets_others(headers) => write_one(report, headers),
        _ => write_all(reports, headers, settled),
    }
}

/// The most frequent answer: one report, under the usual names, on an answer that carries none yet.
fn write_one(report: &Report, headers: &mut HeaderMap) {
    let Stat { limit, remaining, .. } = report.stat;
    let wait = seconds(&report.stat);
    if report.headers.draft && report.headers.legacy {
        // A map has room for six at first. These are five, the answer's type and its length, which axum adds at the
        // end, make seven: growing then would move all the others.
        headers.reserve(6);
    }
    if report.headers.draft {
        let mut text = Text::with_capacity(2 * report.policy().len() + 64);
        text.policy(0, report);
        let end = text.len();
        text.limit(end, report);
        let text = text.into_bytes();
        insert(headers, &POLICY, text.slice(..end));
        insert(headers, &LIMIT, text.slice(end..));
    }
    if report.headers.legacy {
        for (name, number) in LEGACY.iter().zip([limit, remaining, wait]) {
            headers.insert(name, super::number::value(number));
        }
    }
}

fn insert(headers: &mut HeaderMap, name: &HeaderName, text: Bytes) {
    // Names are encoded and the rest are digits, so this never fails; if it did, no header would be
    // better than no answer.
    if let Ok(value) = HeaderValue::from_maybe_shared(text) {
        headers.insert(name, value);
    }
}

/// Any number of reports, on an answer that may carry others.
fn write_all(reports: &[Report], headers: &mut HeaderMap, settled: bool) {
    let mut text = Text::with_capacity(96 * reports.len() + 32);
    let mut written = Written::new();
    if reports.iter().any(|report| report.headers.draft) {
        let drafts = || reports.iter().filter(|report| report.headers.draft);
        let start = list(&mut text, headers, &POLICY);
        drafts().for_each(|report| text.policy(start, report));
        written.push((&POLICY, start..text.len()));
        let start = list(&mut text, headers, &LIMIT);
        drafts().for_each(|report| text.limit(start, report));
        written.push((&LIMIT, start..text.len()));
    }
    for (at, report) in reports.iter().enumerate() {
        let Some(names) = report.names() else { continue };
        let others = reports.iter().enumerate().filter(|(_, other)| other.names() == Some(names));
        if speaks(at, report, others) && !stands(headers, names, report, settled) {
            for (name, number) in
                names.iter().zip([report.stat.limit, report.stat.remaining, seconds(&report.stat)])
            {
                let start = text.len();
                text.number(number);
                written.push((name, start..text.len()));
            }
        }
    }
    headers.reserve(written.len());
    let text = text.into_bytes();
    for (name, range) in written {
        insert(headers, name, text.slice(range));
    }
    own(reports, headers);
}

/// Whether none of the others is nearer to its limit; of equals the first speaks.
fn speaks<'a>(at: usize, report: &Report, mut others: impl Iterator<Item = (usize, &'a Report)>) -> bool {
    !others.any(|(place, other)| other.nearer(report) || (place < at && !report.nearer(other)))
}

/// Starts a list with what the answer carries of it, on however many lines, and says where. A line of another draft,
/// such as a service further in may send, goes: beside ours it would have clients ignore both.
fn list(text: &mut Text, headers: &HeaderMap, name: &HeaderName) -> usize {
    let start = text.len();
    for line in headers.get_all(name).iter().filter(|line| is_list(line.as_bytes())) {
        if text.len() > start {
            text.push(b", ");
        }
        text.push(line.as_bytes());
    }
    start
}

/// Whether the answer's own legacy headers stay: an account nearer to its limit wrote them, or, on a
/// refusal, whoever wrote the answer. Two lines of one of them are two accounts', and no reader knows which.
fn stands(headers: &HeaderMap, names: &[HeaderName; 3], report: &Report, settled: bool) -> bool {
    let Some(there) = headers.get(&names[1]) else { return false };
    if names.iter().any(|name| headers.get_all(name).iter().nth(1).is_some()) {
        return false;
    }
    let there: Option<u64> = there.to_str().ok().and_then(|text| text.parse().ok());
    settled || report.refused || there.is_some_and(|there| there <= report.stat.remaining)
}

/// Headers of the user's own. One that the answer carries already stays: its author is nearer.
fn own(reports: &[Report], headers: &mut HeaderMap) {
    for (at, report) in reports.iter().enumerate() {
        for (name, make) in report.headers.more() {
            let others = reports
                .iter()
                .enumerate()
                .filter(|(_, other)| other.headers.more().iter().any(|(theirs, _)| theirs == name));
            if !headers.contains_key(name)
                && speaks(at, report, others)
                && let Some(value) = make(&report.stat)
            {
                headers.insert(name, value);
            }
        }
    }
}

/// Whole seconds until there is room again for what was asked, or until the account is full.
fn seconds(stat: &Stat) -> u64 {
    let wait = stat.retry_after.unwrap_or(stat.reset_after);
    // Nanoseconds below a microsecond are none of a limit's.
    wait.as_secs().saturating_add(u64::from(wait.subsec_micros() > 0))
}
