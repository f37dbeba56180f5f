//! Answers to requests that do not get through: `429`, `503`, `500`.
//!
//! RFC 6585 (429), RFC 9110 §10.2.3 (`Retry-After`), RFC 9457 (problem details), and the problem
//! types of draft-ietf-httpapi-ratelimit-headers-10.

use std::fmt;
use std::sync::Arc;

use axum_core::body::Body;
use axum_core::response::{IntoResponse, Response};
use http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::Parts;
use crate::backend::BoxFuture;
use crate::decision::Throttled;
use crate::headers::Headers;
use crate::resilience::Outage;

const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";
const REDUCED_CAPACITY: &str = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity";

/// How a throttle, or an app, answers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answers {
    pub(crate) headers: Option<Headers>,
    pub(crate) on_throttled: Option<OnThrottled>,
    pub(crate) refund_on: Option<fn(StatusCode) -> bool>,
}

/// What a refused request gets.
#[derive(Clone)]
pub(crate) enum OnThrottled {
    /// This function's answer.
    Answer(Answer),
    /// The handler runs anyway, and reads the [`Outcome`](crate::Outcome).
    Continue,
}

impl fmt::Debug for OnThrottled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Answer(_) => "fn(&Parts, &Throttled)",
            Self::Continue => "continue",
        })
    }
}

/// A stored answer to refusals.
pub type Answer = Arc<dyn for<'a> Fn(&'a Parts, &'a Throttled) -> BoxFuture<'a, Response> + Send + Sync>;

/// A function `Fn(&Parts, &Throttled) -> impl IntoResponse`, sync or async.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot answer a refused request",
    note = "write `fn(req: &traffik::Parts, refused: &traffik::Throttled) -> impl IntoResponse`, sync or async"
)]
pub trait IntoAnswer<Kind> {
    /// The stored form.
    fn into_answer(self) -> Answer;
}

impl<F, R> IntoAnswer<(crate::request_fn::Sync_, R)> for F
where
    F: Fn(&Parts, &Throttled) -> R + Send + Sync + 'static,
    R: IntoResponse,
{
    fn into_answer(self) -> Answer {
        Arc::new(move |parts, throttled| {
            let response = self(parts, throttled).into_response();
            Box::pin(std::future::ready(response))
        })
    }
}

/// One call of an async answer, for one lifetime of its arguments.
pub trait AsyncAnswer<'a>: Fn(&'a Parts, &'a Throttled) -> <Self as AsyncAnswer<'a>>::Future {
    /// What the function gives.
    type Answer;
    /// Its future.
    type Future: Future<Output = Self::Answer> + Send + 'a;
}

impl<'a, F, Fut> AsyncAnswer<'a> for F
where
    F: Fn(&'a Parts, &'a Throttled) -> Fut,
    Fut: Future + Send + 'a,
{
    type Answer = Fut::Output;
    type Future = Fut;
}

impl<F, R> IntoAnswer<(crate::request_fn::Async_, R)> for F
where
    F: for<'a> AsyncAnswer<'a, Answer = R> + Send + Sync + 'static,
    R: IntoResponse,
{
    fn into_answer(self) -> Answer {
        Arc::new(move |parts, throttled| {
            let future = self(parts, throttled);
            Box::pin(async move { future.await.into_response() })
        })
    }
}

/// Seconds as `Retry-After` wants them: whole, rounded up, at least 1.
pub(crate) fn whole_seconds(micros: u128) -> u64 {
    u64::try_from(micros.div_ceil(1_000_000)).unwrap_or(u64::MAX).max(1)
}

fn retry_after(throttled: &Throttled) -> Option<u64> {
    throttled.retry_after().map(|wait| whole_seconds(wait.as_micros()))
}

/// Whether the client would rather not have JSON: it lists what it accepts, and nothing fits.
fn prefers_text(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(ACCEPT).iter().peekable();
    values.peek().is_some()
        && !values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).any(|range| {
            let range = range.split(';').next().unwrap_or_default().trim();
            ["*/*", "application/*", "application/json", "application/problem+json"]
                .iter()
                .any(|json| range.eq_ignore_ascii_case(json))
        })
}

/// `429`, without rate-limit headers.
pub(crate) fn refusal(request: Option<&HeaderMap>, refused: &[&Throttled]) -> Response {
    let wait = refused.first().and_then(|throttled| retry_after(throttled));
    let detail = match (wait, refused.first()) {
        (Some(seconds), _) => format!("Too many requests. Retry in {seconds} s."),
        (None, Some(throttled)) => format!(
            "The request costs {} units, and the limit is {}: it cannot pass at any time.",
            throttled.cost(),
            throttled.stat().limit
        ),
        (None, None) => "Too many requests.".into(),
    };
    let mut response = if request.is_some_and(prefers_text) {
        plain(StatusCode::TOO_MANY_REQUESTS, detail)
    } else {
        // Uids are plain ASCII without quotes, and the detail is ours: nothing needs escaping.
        let policies: Vec<_> = refused.iter().map(|throttled| format!("\"{}\"", throttled.uid())).collect();
        problem(StatusCode::TOO_MANY_REQUESTS, format!(
            "{{\"type\":\"{QUOTA_EXCEEDED}\",\"title\":\"Too Many Requests\",\"status\":429,\"detail\":\"{detail}\",\
             \"violated-policies\":[{}]}}",
            policies.join(",")
        ))
    };
    if let Some(seconds) = wait {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// `503` or `500`, and never a word about the cause.
pub(crate) fn outage(outage: Outage, request: &HeaderMap) -> Response {
    match outage {
        Outage::Unavailable => {
            const DETAIL: &str = "The service is short of capacity. Retry in a moment.";
            let mut response = if prefers_text(request) {
                plain(StatusCode::SERVICE_UNAVAILABLE, DETAIL.into())
            } else {
                problem(StatusCode::SERVICE_UNAVAILABLE, format!(
                    "{{\"type\":\"{REDUCED_CAPACITY}\",\"title\":\"Service Unavailable\",\"status\":503,\
                     \"detail\":\"{DETAIL}\"}}"
                ))
            };
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(1));
            response
        }
        Outage::Pass | Outage::Raise => problem(
            StatusCode::INTERNAL_SERVER_ERROR,
            "{\"type\":\"about:blank\",\"title\":\"Internal Server Error\",\"status\":500}".into(),
        ),
    }
}

fn plain(status: StatusCode, text: String) -> Response {
    (status, [(CONTENT_TYPE, "text/plain; charset=utf-8")], Body::from(text)).into_response()
}

fn problem(status: StatusCode, json: String) -> Response {
    (status, [(CONTENT_TYPE, "application/problem+json")], Body::from(json)).into_response()
}

impl IntoResponse for Throttled {
    fn into_response(self) -> Response {
        let mut response = refusal(None, &[&self]);
        Headers::default().write_one(response.headers_mut(), self.stat(), self.period());
        response
    }
}
