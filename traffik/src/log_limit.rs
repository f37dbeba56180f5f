//! [`LogLimit`]: keeps a flood of requests from becoming a flood of log lines.
//!
//! In an outage, or while one client hammers a key, every request fails in the same way. The first failures tell what
//! is wrong, and metrics count the rest.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tracing::level_filters::LevelFilter;

use crate::clock::{Clock, SystemClock};

/// How many lines one place in the code writes about one throttle in a second.
const LINES: u32 = 10;

const SECOND: u64 = 1_000_000;

/// Limits the lines that one place in the code writes, separately for each throttle: one that fails does not hide
/// another.
pub(crate) struct LogLimit(Mutex<BTreeMap<&'static str, Window>>);

/// What one throttle has logged since an instant.
#[derive(Default)]
struct Window {
    began: u64,
    lines: u32,
    /// Lines left out since the last that was written.
    suppressed: u64,
}

impl LogLimit {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// Whether a line may be written, and how many were left out before it, if any.
    pub(crate) fn admit(&self, uid: &'static str) -> Option<Option<u64>> {
        if LevelFilter::current() < LevelFilter::WARN {
            return None;
        }
        self.admit_at(uid, SystemClock.now())
    }

    fn admit_at(&self, uid: &'static str, now: u64) -> Option<Option<u64>> {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        windows.entry(uid).or_default().admit(now)
    }
}

impl Window {
    fn admit(&mut self, now: u64) -> Option<Option<u64>> {
        if now.saturating_sub(self.began) >= SECOND {
            (self.began, self.lines) = (now, 0);
        }
        if self.lines == LINES {
            self.suppressed += 1;
            return None;
        }
        self.lines += 1;
        let suppressed = std::mem::take(&mut self.suppressed);
        Some((suppressed > 0).then_some(suppressed))
    }
}

/// Logs an event at this level (`warn` or `error`), or at `debug` if it is one too many. The throttle's uid comes first,
/// or `""` where none is known; it is not logged unless it is also among the fields.
macro_rules! log_limited {
    ($level:ident, $uid:expr, $($event:tt)*) => {{
        static LIMIT: $crate::log_limit::LogLimit = $crate::log_limit::LogLimit::new();
        match LIMIT.admit($uid) {
            Some(suppressed) => tracing::$level!(target: "traffik", suppressed, $($event)*),
            None => tracing::debug!(target: "traffik", $($event)*),
        }
    }};
}

pub(crate) use log_limited;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_lines_a_second_and_throttle_and_none_is_lost_silently() {
        let limit = LogLimit::new();
        let start = 1_800_000_000 * SECOND;
        let lines = |uid, now| (0..100).filter_map(|_| limit.admit_at(uid, now)).collect::<Vec<_>>();
        assert_eq!(lines("one", start), [None; 10]);
        assert_eq!(lines("one", start + SECOND - 1), []);
        assert_eq!(lines("two", start + SECOND - 1), [None; 10], "another throttle");
        let next = lines("one", start + SECOND);
        assert_eq!((next.len(), next[0], next[1]), (10, Some(190), None));
        assert_eq!(limit.admit_at("one", start), None, "an earlier instant belongs to the same second");
    }
}
