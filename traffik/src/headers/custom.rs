//! What was asked for beyond the two families: other names, and headers of one's own.

use std::fmt;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use crate::decision::Stat;

/// Makes a header's value from an account.
pub(super) type Make = Arc<dyn Fn(&Stat) -> Option<HeaderValue> + Send + Sync>;

#[derive(Clone, Default)]
pub(super) struct Custom {
    /// The policy's name, encoded.
    pub(super) policy: Option<Box<str>>,
    /// Names for limit, remaining and reset.
    pub(super) names: Option<[HeaderName; 3]>,
    pub(super) more: Vec<(HeaderName, Make)>,
    /// The first mistake, reported where a throttle or an app is given the headers.
    pub(super) mistake: Option<String>,
}

impl Custom {
    /// Reads a header's name. A bad one is noted, and its header left out.
    pub(super) fn name(&mut self, name: &str) -> Option<HeaderName> {
        let read = name.parse().ok();
        if read.is_none() {
            self.fail(format!(
                "{name:?} is no header name; write letters, digits and \"-\", such as \"x-quota-left\""
            ));
        }
        read
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
