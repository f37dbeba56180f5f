//! What a throttle reports to the client, and by which headers.

use http::HeaderMap;

use super::{ThrottleUse, app};
use crate::Parts;
use crate::app::Traffik;
use crate::decision::{Decision, Stat, Throttled};
use crate::headers::{self, Headers, Report};
use crate::pipeline::ThrottleDecision;
use crate::settings::Settings;
use crate::throttle::Throttle;

static DEFAULT_HEADERS: Headers = Headers::always();

/// The headers that a throttle puts on its answers.
#[inline]
pub(super) fn headers<'a>(settings: &'a Settings, parts: &'a Parts) -> &'a Headers {
    match &settings.response.headers {
        Some(headers) => headers,
        None => app(parts).and_then(Traffik::headers).unwrap_or(&DEFAULT_HEADERS),
    }
}

/// The state of the account, unless the throttle is in shadow mode, of which nobody outside should learn.
pub(super) fn visible_stat(decided: &ThrottleDecision) -> Option<&Stat> {
    decided.decision.stat().filter(|_| !decided.shadow)
}

/// What a throttle reports on the answer, if anything.
pub(super) fn report(
    one: &ThrottleUse,
    decided: &ThrottleDecision,
    parts: &Parts,
    refused: bool,
) -> Option<Report> {
    let stat = visible_stat(decided)?;
    let settings = one.throttle.settings();
    let headers = headers(&settings, parts);
    headers.wanted(parts, &decided.decision, refused).then(|| Report {
        headers: headers.clone(),
        stat: stat.clone(),
        window: decided.window,
        refused: !decided.decision.is_allowed(),
        charged: 0,
    })
}

impl Throttle {
    /// Returns the headers that report a decision, for handlers that call [`hit`](Self::hit) themselves: those that a
    /// gate would write under this throttle's [`Headers`], or else the app's. Axum takes them as part of a response.
    ///
    /// They are empty if nothing was counted, the throttle is in shadow mode, or its [`Headers`] leave this response
    /// alone. Where the rate is computed from the request, `RateLimit-Policy` tells the window, `w`, of refusals only.
    /// `Retry-After` is not among them; a `429` of your own has it from [`Throttled::retry_after`]. The decision has to be
    /// this throttle's: one of [`hit_all`](crate::hit_all) may be another's.
    ///
    /// ```
    /// # use std::sync::LazyLock;
    /// # use axum::response::{IntoResponse, Response};
    /// # use traffik::{Parts, Throttle};
    /// # static SEARCH: LazyLock<Throttle> =
    /// #     LazyLock::new(|| Throttle::builder("docs:response_headers").rate("20/min").build().unwrap());
    /// async fn search(parts: Parts) -> Result<Response, traffik::Error> {
    ///     let decision = SEARCH.hit(&parts).await?;
    ///     let headers = SEARCH.response_headers(&parts, &decision);
    ///     Ok((headers, if decision.is_allowed() { "found" } else { "try again" }).into_response())
    /// }
    /// ```
    #[must_use]
    pub fn response_headers(&self, parts: &Parts, decision: &Decision) -> HeaderMap {
        let mut map = HeaderMap::new();
        let settings = self.settings();
        let (headers, refused) = (headers(&settings, parts), !decision.is_allowed());
        if let Some(stat) = decision.stat()
            && !settings.shadow
            && headers.wanted(parts, decision, refused)
        {
            let window = decision.throttled().map_or_else(|| settings.window(), Throttled::window);
            let report = Report { headers: headers.clone(), stat: stat.clone(), window, refused, charged: 0 };
            headers::write(&[report], &mut map, false);
        }
        map
    }
}
