//! Changes to a throttle's responses at run time. Every attribute and layer that uses the throttle follows
//! from the next request on, unless it overrides the setting.

use super::Throttle;
use crate::error::Error;
use crate::headers::Headers;
use crate::response::{IntoAnswer, OnThrottled};

impl Throttle {
    /// Changes which rate-limit headers responses carry.
    ///
    /// # Errors
    /// Fails, and changes nothing, if a header's name or value is invalid.
    pub fn set_headers(&self, headers: Headers) -> Result<(), Error> {
        if let Some(error) = headers.error() {
            return Err(error);
        }
        self.change(|settings| {
            settings.response.headers = Some(headers);
            Ok(())
        })
    }

    /// Changes the response to refused requests.
    pub fn set_on_throttled<K>(&self, answer: impl IntoAnswer<K>) {
        let answer = OnThrottled::Answer(answer.into_answer());
        self.adjust(|settings| settings.response.on_throttled = Some(answer));
    }

    /// Lets the handler run even for refused requests from now on; it can read the
    /// [`Outcome`](crate::Outcome).
    ///
    /// [`set_on_throttled`](Self::set_on_throttled) takes that back. The refusal is a response itself: `429`, with the
    /// body and both families of headers that are the default.
    ///
    /// ```
    /// # use traffik::{Parts, Throttle, Throttled};
    /// # let api = Throttle::builder("docs:set_continue").rate("100/min").build()?;
    /// api.set_continue_when_throttled();
    /// // Once the incident is over:
    /// api.set_on_throttled(|_: &Parts, refused: &Throttled| refused.clone());
    /// # Ok::<(), traffik::Error>(())
    /// ```
    pub fn set_continue_when_throttled(&self) {
        self.adjust(|settings| settings.response.on_throttled = Some(OnThrottled::Continue));
    }
}
