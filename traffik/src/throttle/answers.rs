//! Changing at run time what answers say. Every attribute and layer that uses the throttle, and
//! says nothing else of its own, follows with the next request.

use super::Throttle;
use crate::error::Error;
use crate::headers::Headers;
use crate::response::{IntoAnswer, OnThrottled};
use crate::settings::Settings;

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
        self.answer(|settings| settings.answers.on_throttled = Some(answer));
    }

    /// Runs the handler from now on even when refused; it reads the [`Outcome`](crate::Outcome).
    pub fn set_continue_when_throttled(&self) {
        self.answer(|settings| settings.answers.on_throttled = Some(OnThrottled::Continue));
    }

    fn answer(&self, change: impl FnOnce(&mut Settings)) {
        // The change itself cannot fail.
        let _ = self.change(|settings| {
            change(settings);
            Ok(())
        });
    }
}
