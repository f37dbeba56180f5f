//! Responses to requests that do not get through: `429`, `503`, `500`.
//!
//! They follow RFC 6585 (429), RFC 9110 §10.2.3 (`Retry-After`), RFC 9457 (problem details), and the
//! problem types of draft-ietf-httpapi-ratelimit-headers-10. Clients that list what they accept without
//! listing JSON get plain text instead; gRPC clients get a status (`RESOURCE_EXHAUSTED`, `UNAVAILABLE`,
//! `INTERNAL`) with the time to wait.

mod accept;
mod answer;
mod grpc;

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum_core::body::Body;
use axum_core::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use http_body::{Body as HttpBody, Frame};

pub use answer::{Answer, AsyncAnswer, IntoAnswer, SyncAnswer};
pub(crate) use answer::{OnThrottled, ResponseSettings};

use crate::Parts;
use crate::decision::Throttled;
use crate::error::Error;
use crate::headers::{self, Headers, Report};
use crate::log_limit::log_limited;
use crate::outage::Outage;

const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";
const REDUCED_CAPACITY: &str = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity";

/// Seconds as `Retry-After` requires them: whole, rounded up, at least 1.
pub(crate) fn whole_seconds(wait: Duration) -> u64 {
    u64::try_from(wait.as_micros().div_ceil(1_000_000)).unwrap_or(u64::MAX).max(1)
}

/// Of several refusals of one request, the one that lasts longest: a retry before it ends is useless.
pub(crate) fn last<'a>(
    first: &'a Throttled,
    others: impl IntoIterator<Item = &'a Throttled>,
) -> &'a Throttled {
    let yields = |refused: &Throttled| (refused.retry_after().is_none(), refused.retry_after());
    others.into_iter().fold(first, |last, other| if yields(other) > yields(last) { other } else { last })
}

/// The `429` response, without rate-limit headers. `last` is the refusal that tells how long to wait.
/// `policies` are the names of all violated policies, encoded as by [`Headers::policy`], which is valid in
/// JSON as well.
pub(crate) fn refusal(request: Option<&Parts>, last: &Throttled, policies: &[&str]) -> Response {
    let wait = last.retry_after();
    let detail = match wait.map(whole_seconds) {
        Some(seconds) => format!("Too many requests. Retry in {seconds} s."),
        None => format!(
            "The request costs {} units, but the limit is {}: it can never succeed.",
            last.cost(),
            last.stat().limit
        ),
    };
    let json = || {
        let mut json = format!(
            "{{\"type\":\"{QUOTA_EXCEEDED}\",\"title\":\"Too Many Requests\",\"status\":429,\"detail\":\"{detail}\",\
             \"violated-policies\":["
        );
        for (place, policy) in policies.iter().enumerate() {
            json.push_str(if place == 0 { "\"" } else { ",\"" });
            json.push_str(policy);
            json.push('"');
        }
        json.push_str("]}");
        json
    };
    let codes = (StatusCode::TOO_MANY_REQUESTS, grpc::Code::ResourceExhausted);
    respond(request, codes, &detail, wait, &json)
}

/// Adds `Retry-After` to a user-defined response, if its status allows for that and its author did not set
/// it.
pub(crate) fn complete(response: &mut Response, last: &Throttled) {
    if let (StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE, Some(wait)) =
        (response.status(), last.retry_after())
    {
        insert_if_absent(response, &RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
    }
}

/// Takes the body out of an answer to `HEAD`, and states the length that it would have had. Axum's router does the
/// same. A bare hyper service has to: over HTTP/2, hyper sends whatever body it is given, and the client takes that
/// for an error of the protocol.
pub(crate) fn for_method(mut response: Response, method: &Method) -> Response {
    if *method == Method::HEAD {
        let body = std::mem::replace(response.body_mut(), Body::new(Omitted));
        if let Some(length) = body.size_hint().exact() {
            insert_if_absent(&mut response, &CONTENT_LENGTH, HeaderValue::from(length));
        }
    }
    response
}

fn insert_if_absent(response: &mut Response, name: &HeaderName, value: HeaderValue) {
    if !response.headers().contains_key(name) {
        response.headers_mut().insert(name, value);
    }
}

/// A body that is not sent. Unlike an empty one it has no known length, or a length of 0 would be stated for a streamed
/// answer.
struct Omitted;

impl HttpBody for Omitted {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        true
    }
}

/// The `503` or `500` response, which never mentions the cause.
pub(crate) fn outage(outage: Outage, request: Option<&Parts>) -> Response {
    const SHORT: &str = "The service is short of capacity. Retry in a moment.";
    const WAIT: Duration = Duration::from_secs(1);
    const TITLE: &str = "Internal Server Error";
    match outage {
        Outage::Unavailable => {
            let codes = (StatusCode::SERVICE_UNAVAILABLE, grpc::Code::Unavailable);
            respond(request, codes, SHORT, Some(WAIT), &|| {
                format!(
                    "{{\"type\":\"{REDUCED_CAPACITY}\",\"title\":\"Service Unavailable\",\"status\":503,\
                     \"detail\":\"{SHORT}\"}}"
                )
            })
        }
        Outage::Pass | Outage::Raise => {
            let codes = (StatusCode::INTERNAL_SERVER_ERROR, grpc::Code::Internal);
            respond(request, codes, TITLE, None, &|| {
                format!("{{\"type\":\"about:blank\",\"title\":\"{TITLE}\",\"status\":500}}")
            })
        }
    }
}

/// A response in the form that the client reads: a gRPC status, plain text, or else problem+json.
fn respond(
    request: Option<&Parts>,
    (status, code): (StatusCode, grpc::Code),
    text: &str,
    wait: Option<Duration>,
    json: &dyn Fn() -> String,
) -> Response {
    let mut response = if let Some(content_type) = request.and_then(grpc::content_type) {
        grpc::status(content_type, code, text, wait)
    } else if request.is_some_and(|request| accept::prefers_text(&request.headers)) {
        typed(status, "text/plain; charset=utf-8", text.to_owned())
    } else {
        typed(status, "application/problem+json", json())
    };
    if let Some(wait) = wait {
        response.headers_mut().insert(&RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
    }
    response
}

fn typed(status: StatusCode, content_type: &'static str, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(&CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

impl IntoResponse for Throttled {
    /// Responds with `429`, `Retry-After`, problem+json, and both families of rate-limit headers.
    fn into_response(self) -> Response {
        let mut response = refusal(None, &self, &[self.uid()]);
        let report = Report {
            headers: Headers::always(),
            stat: self.stat().clone(),
            window: self.window(),
            refused: true,
            charged: 0,
        };
        headers::write(&[report], response.headers_mut(), false);
        response
    }
}

impl IntoResponse for Error {
    /// Responds with `503` if the backend could not decide, and with `500` if the throttle's `on_error` is
    /// `"raise"` or if the throttle is misconfigured. The cause is logged.
    fn into_response(self) -> Response {
        const GAVE_UP: &str = "a handler failed because no decision could be made";
        let uid = self.uid();
        if self.is_breaker_open() || self.is_contention() {
            // The breaker has already logged that it opened, and contention is caused by one client that hammers its
            // key; one line per request would flood the log.
            tracing::debug!(target: "traffik", uid, error = %self, "{GAVE_UP}");
        } else {
            log_limited!(error, uid.unwrap_or_default(), uid, error = %self, "{GAVE_UP}");
        }
        outage(self.outage(), None)
    }
}
