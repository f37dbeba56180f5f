//! Custom names for the two families, and custom headers.

use std::fmt;
use std::sync::Arc;

use http::{HeaderName, HeaderValue, header};

use crate::decision::Stat;

/// Names that already have a meaning: the draft's own headers, and the headers that frame a message.
const TAKEN: [HeaderName; 5] = [
    HeaderName::from_static("ratelimit"),
    HeaderName::from_static("ratelimit-policy"),
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
];

/// Computes a header's value from an account.
pub(super) type Make = Arc<dyn Fn(&Stat) -> Option<HeaderValue> + Send + Sync>;

#[derive(Clone, Default)]
pub(super) struct Custom {
    /// The policy's name, encoded.
    pub(super) policy: Option<Box<str>>,
    /// Names for limit, remaining and reset.
    pub(super) names: Option<[HeaderName; 3]>,
    pub(super) more: Vec<(HeaderName, Make)>,
    /// The first mistake, reported when a throttle or an app is given the headers.
    pub(super) mistake: Option<String>,
}

impl Custom {
    /// Parses a header's name. An invalid one is recorded as a mistake, and its header left out.
    pub(super) fn name(&mut self, name: &str) -> Option<HeaderName> {
        let read: Option<HeaderName> = name.parse().ok();
        match &read {
            None => self.fail(format!(
                "{name:?} is not a valid header name; use letters, digits and \"-\", such as \"x-quota-left\""
            )),
            Some(name) if TAKEN.contains(name) => {
                self.fail(format!(
                    "{name} already has another meaning; choose another name, such as \"x-quota-left\""
                ));
            }
            Some(_) => return read,
        }
        None
    }

    /// Parses the names of limit, remaining and reset.
    pub(super) fn three(&mut self, names: [&str; 3]) -> Option<[HeaderName; 3]> {
        let [Some(limit), Some(remaining), Some(reset)] = names.map(|name| self.name(name)) else {
            return None;
        };
        for (one, other) in [(&limit, &remaining), (&limit, &reset), (&remaining, &reset)] {
            if one == other {
                self.fail(format!(
                    "two of limit, remaining and reset are named {one}; give each its own name"
                ));
                return None;
            }
        }
        Some([limit, remaining, reset])
    }

    pub(super) fn fail(&mut self, mistake: String) {
        self.mistake.get_or_insert(mistake);
    }
}

impl fmt::Debug for Custom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more: Vec<_> = self.more.iter().map(|(name, _)| name).collect();
        f.debug_struct("Custom")
            .field("policy", &self.policy)
            .field("names", &self.names)
            .field("more", &more)
            .finish()
    }
}
