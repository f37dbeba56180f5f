//! Changing at run time what answers say. Every attribute and layer that uses the throttle, and
//! says nothing else of its own, follows with the next request.

use super::Throttle;
use crate::error::Error;
use crate::headers::Headers;
use crate::response::{IntoAnswer, OnThrottled};

impl Throttle {
    /// Changes which rate-limit headers answers carry.
    ///
    /// # Errors
    /// When a name or a value among them can't stand in a header; nothing is changed then.
    pub fn set_headers(&self, headers: Headers) -> Result<(), Error> {
        if let Some(error) = headers.error() {
            return Err(error);
        }
        self.change(|settings| {
            settings.answers.headers = Some(headers);
            Ok(())
        })
    }

    /// Changes what refused requests are answered.
    pub fn set_on_throttled<K>(&self, answer: impl IntoAnswer<K>) {
        let answer = OnThrottled::Answer(answer.into_answer());
        self.adjust(|settings| settings.answers.on_throttled = Some(answer));
    }

    /// Runs the handler from now on even when refused; it reads the [`Outcome`](crate::Outcome).
    pub fn set_continue_when_throttled(&self) {
        self.adjust(|settings| settings.answers.on_throttled = Some(OnThrottled::Continue));
    }
}
