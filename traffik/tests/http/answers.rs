//! The responses that refused clients get.

use std::time::Duration;

use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use traffik::{Error, Headers, Outcome, Parts, Throttle, ThrottleLayer, Throttled, Traffik, throttle};

use crate::support::{Client, app, memory, throttle as build};

#[tokio::test]
async fn problems_are_json_unless_the_client_reads_none() {
    let one = build("answers", "1/min").build().unwrap();
    let app = Router::new()
        .route("/", get(async || ""))
        .layer(ThrottleLayer::new([one]))
        .layer(app().build().layer());
    let client = Client::of(app).await;
    client.get("/").await;
    let reply = client.get("/").await;
    assert_eq!(reply.status, 429);
    assert_eq!(reply.header("content-type"), Some("application/problem+json"));
    assert_eq!(reply.header("retry-after"), Some("60"));
    assert_eq!(
        reply.json(),
        serde_json::json!({
            "type": "https://iana.org/assignments/http-problem-types#quota-exceeded",
            "title": "Too Many Requests",
            "status": 429,
            "detail": "Too many requests. Retry in 60 s.",
            "violated-policies": ["answers"],
        })
    );
    let reply = client.send("GET", "/", &[("accept", "text/plain")]).await;
    assert_eq!((reply.status, reply.header("content-type")), (429, Some("text/plain; charset=utf-8")));
    assert_eq!(reply.body, "Too many requests. Retry in 60 s.");
    assert_eq!(reply.header("retry-after"), Some("60"));
}

#[tokio::test]
async fn what_can_never_pass_is_told_no_time() {
    let one = build("never", "5/min").cost_with(|_: &Parts| 6_u64).build().unwrap();
    let app = Router::new()
        .route("/", get(async || ""))
        .layer(ThrottleLayer::new([one]))
        .layer(app().build().layer());
    let reply = Client::of(app).await.get("/").await;
    assert_eq!((reply.status, reply.header("retry-after")), (429, None));
    assert_eq!(
        reply.json()["detail"],
        "The request costs 6 units, but the limit is 5: it can never succeed."
    );
}

/// Once the reported wait is over, the request passes unless others are charged meanwhile. It passes no earlier.
#[tokio::test]
async fn the_wait_is_that_of_the_refusal_which_yields_last() {
    #[throttle("answers:seconds", rate = "1/2s")]
    #[throttle("answers:hour", rate = "1/hour")]
    #[throttle("answers:minute", rate = "1/min")]
    #[throttle("answers:day", rate = "1/day", mode = "shadow")]
    async fn handler() {}
    let stack = ["1/2s", "1/hour", "1/min"].map(|rate| build(&rate.replace('/', ":"), rate).build().unwrap());
    let shadow = build("shadow", "1/day").shadow().build().unwrap();
    let layers =
        Router::new().route("/", get(async || "")).layer(ThrottleLayer::new(stack.iter().chain([&shadow])));
    for app in [Router::new().route("/", get(handler)), layers] {
        let (memory, clock) = memory();
        let app = app.layer(Traffik::builder().backend(memory).build().layer());
        let client = Client::of(app).await;
        assert_eq!(client.get("/").await.status, 200);
        let reply = client.get("/").await;
        assert_eq!((reply.status, reply.header("retry-after")), (429, Some("3600")));
        assert_eq!(reply.json()["detail"], "Too many requests. Retry in 3600 s.");
        assert_eq!(reply.legacy(), Some([1, 0, 2]), "the first that refused");
        let reply = client.send("GET", "/", &[("accept", "text/plain")]).await;
        assert_eq!(reply.body, "Too many requests. Retry in 3600 s.");
        clock.advance(Duration::from_secs(3599));
        let reply = client.get("/").await;
        assert_eq!((reply.status, reply.header("retry-after")), (429, Some("1")));
        clock.advance(Duration::from_secs(1));
        assert_eq!(client.get("/").await.status, 200);
    }
}

#[tokio::test]
async fn who_lets_pass_keeps_nobody_waiting() {
    #[throttle("answers:lenient", rate = "1/hour", on_throttled = "continue")]
    #[throttle("answers:strict", rate = "1/min")]
    async fn handler(_: Outcome) {}
    let (memory, clock) = memory();
    let app =
        Router::new().route("/", get(handler)).layer(Traffik::builder().backend(memory).build().layer());
    let client = Client::of(app).await;
    assert_eq!(client.get("/").await.status, 200);
    assert_eq!(client.get("/").await.header("retry-after"), Some("60"));
    clock.advance(Duration::from_secs(60));
    assert_eq!(client.get("/").await.status, 200);
}

#[tokio::test]
async fn one_refusal_for_ever_leaves_no_time_to_come_back() {
    let some = build("some", "1/min").build().unwrap();
    let cost = |parts: &Parts| if parts.uri.path() == "/large" { 6_u64 } else { 1 };
    let never = build("never", "5/min").cost_with(cost).build().unwrap();
    let app = Router::new()
        .route("/{*path}", get(async || ""))
        .layer(ThrottleLayer::new([some, never]))
        .layer(app().build().layer());
    let client = Client::of(app).await;
    assert_eq!(client.get("/small").await.status, 200);
    assert_eq!(client.get("/small").await.header("retry-after"), Some("60"));
    let reply = client.get("/large").await;
    assert_eq!((reply.status, reply.header("retry-after")), (429, None));
    assert_eq!(
        reply.json()["detail"],
        "The request costs 6 units, but the limit is 5: it can never succeed."
    );
}

/// The wait is rounded up. It is added where the status allows for one and the handler has not set it.
#[tokio::test]
async fn an_answer_of_ones_own_is_told_when_to_come_back() {
    const OWN: [(&str, &str); 1] = [("retry-after", "7")];
    const NONE: [(&str, &str); 0] = [];
    fn tell(parts: &Parts, _: &Throttled) -> (StatusCode, axum::response::Response) {
        let own = parts.uri.query() == Some("own");
        let headers = if own { OWN.into_response() } else { NONE.into_response() };
        let status = parts.uri.path().trim_start_matches('/').parse().unwrap();
        (StatusCode::from_u16(status).unwrap(), headers)
    }
    let (memory, clock) = memory();
    let quick = build("quick", "1/min").on_throttled(tell).build().unwrap();
    let slow = build("slow", "1/hour").build().unwrap();
    let app = Router::new()
        .route("/{status}", get(async || ""))
        .layer(ThrottleLayer::new([quick, slow]))
        .layer(Traffik::builder().backend(memory).build().layer());
    let client = Client::of(app).await;
    assert_eq!(client.get("/200").await.status, 200);
    clock.advance(Duration::from_millis(400));
    for (path, status, wait) in [
        ("/429", 429, Some("3600")),
        ("/503", 503, Some("3600")),
        ("/429?own", 429, Some("7")),
        ("/503?own", 503, Some("7")),
        ("/200", 200, None),
        ("/418", 418, None),
        ("/418?own", 418, Some("7")),
    ] {
        let reply = client.get(path).await;
        assert_eq!((reply.status, reply.header("retry-after")), (status, wait), "{path}");
        assert!(reply.header("ratelimit").is_some(), "{path}");
    }
}

#[tokio::test]
async fn an_answer_of_ones_own_to_what_never_passes_is_told_no_time() {
    let busy = |_: &Parts, _: &Throttled| StatusCode::TOO_MANY_REQUESTS;
    let one = build("never", "5/min").cost_with(|_: &Parts| 6_u64).on_throttled(busy).build().unwrap();
    let app = Router::new()
        .route("/", get(async || ""))
        .layer(ThrottleLayer::new([one]))
        .layer(app().build().layer());
    let reply = Client::of(app).await.get("/").await;
    assert_eq!((reply.status, reply.header("retry-after")), (429, None));
}

/// A header of that name among the throttle's own headers was set on purpose, too.
#[tokio::test]
async fn a_wait_among_ones_own_headers_stays() {
    let busy = |_: &Parts, _: &Throttled| StatusCode::TOO_MANY_REQUESTS;
    let headers = Headers::draft().with_value("retry-after", "9");
    let one = build("own", "1/min").on_throttled(busy).headers(headers).build().unwrap();
    let app = Router::new()
        .route("/", get(async || ""))
        .layer(ThrottleLayer::new([one]))
        .layer(app().build().layer());
    let client = Client::of(app).await;
    client.get("/").await;
    assert_eq!(client.get("/").await.header("retry-after"), Some("9"));
}

#[tokio::test]
async fn answers_are_the_throttles_or_else_the_apps() {
    async fn teapot(parts: &Parts, refused: &Throttled) -> (StatusCode, String) {
        tokio::task::yield_now().await;
        (StatusCode::IM_A_TEAPOT, format!("{} {}", parts.uri.path(), refused.uid()))
    }
    let plain = build("plain", "1/min").build().unwrap();
    let own = build("own", "1/min").on_throttled(teapot).build().unwrap();
    let app = Router::new()
        .route("/plain", get(async || "").layer(ThrottleLayer::new([plain])))
        .route("/own", get(async || "").layer(ThrottleLayer::new([own])))
        .layer(app().on_throttled(|_: &Parts, _: &Throttled| Json("slow down")).build().layer());
    let client = Client::of(app).await;
    assert_eq!(client.statuses("/plain").await, [200, 200]);
    let reply = client.get("/plain").await;
    assert_eq!((&*reply.body, reply.header("x-ratelimit-remaining")), ("\"slow down\"", Some("0")));
    assert_eq!(client.statuses("/own").await, [200, 418]);
    let reply = client.get("/own").await;
    assert_eq!((&*reply.body, reply.legacy()), ("/own own", Some([1, 0, 60])));
}

#[tokio::test]
async fn an_attribute_has_the_last_word() {
    #[throttle("answers:attribute", rate = "1/min", on_throttled = brief)]
    async fn attribute() {}
    fn brief(_: &Parts, refused: &Throttled) -> String {
        format!("no: {}", refused.uid())
    }
    let client = Client::of(Router::new().route("/", get(attribute)).layer(app().build().layer())).await;
    client.get("/").await;
    assert_eq!(client.get("/").await.body, "no: answers:attribute");
}

#[tokio::test]
async fn shadows_count_and_refuse_nobody() {
    #[throttle("answers:shadow", rate = "1/min", mode = "shadow")]
    #[throttle("answers:real", rate = "3/min")]
    async fn handler() {}
    let client = Client::of(Router::new().route("/", get(handler)).layer(app().build().layer())).await;
    assert_eq!(client.statuses("/").await, [200, 200, 200, 429]);
    assert_eq!(client.get("/").await.json()["violated-policies"], serde_json::json!(["answers:real"]));
}

#[tokio::test]
async fn refusals_and_errors_are_answers_of_handlers() {
    let (memory, clock) = memory();
    let throttle = build("handler", "1/min").backend(memory).build().unwrap();
    async fn handler(throttle: Throttle) -> Result<&'static str, axum::response::ErrorResponse> {
        throttle.hit("ann").await?.into_result()?;
        Ok("in")
    }
    let broken = build("handler:broken", "1/min").backend({
        let backend = traffik::test_kit::FaultyBackend::new(crate::support::memory().0);
        backend.fail();
        backend
    });
    let broken: Result<Throttle, Error> = broken.build();
    let broken = broken.unwrap();
    let app = Router::new()
        .route("/", get(async move || handler(throttle).await))
        .route("/broken", get(async move || handler(broken).await));
    let client = Client::of(app).await;
    assert_eq!(client.get("/").await.body, "in");
    clock.advance(Duration::from_millis(500));
    let reply = client.get("/").await;
    assert_eq!(
        (reply.status, reply.header("retry-after"), reply.legacy()),
        (429, Some("60"), Some([1, 0, 60]))
    );
    assert_eq!(reply.json()["violated-policies"], serde_json::json!(["handler"]));
    let reply = client.get("/broken").await;
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
}
