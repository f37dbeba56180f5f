//! The attribute's gate: it runs before the body is read, follows live settings, and can be stacked.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex};

use axum::Router;
use axum::extract::{FromRequest, Request};
use axum::routing::post;
use http::StatusCode;
use traffik::test_kit::open_gate;
use traffik::{Charge, Headers, Outcome, Parts, Throttle, Throttled, throttle};

use crate::support::{Client, app, throttle as build};

static BODIES: AtomicU32 = AtomicU32::new(0);

/// Counts how often a body is read.
struct Body;

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = StatusCode;

    async fn from_request(_: Request, _: &S) -> Result<Self, StatusCode> {
        BODIES.fetch_add(1, Ordering::SeqCst);
        Ok(Self)
    }
}

#[tokio::test]
async fn a_refusal_reads_no_body() {
    #[throttle("gate:body", rate = "1/min")]
    async fn handler(_: Body) {}
    let client = Client::of(Router::new().route("/", post(handler)).layer(app().build().layer())).await;
    for status in [200, 429, 429] {
        assert_eq!(client.send("POST", "/", &[]).await.status, status);
    }
    assert_eq!(BODIES.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_handler_whose_throttles_cannot_be_built_answers_500() {
    static TAKEN: LazyLock<Throttle> =
        LazyLock::new(|| Throttle::builder("gate:taken").rate("1/min").build().unwrap());
    #[throttle("gate:taken", rate = "2/min")]
    async fn handler() {}
    LazyLock::force(&TAKEN);
    let client = Client::of(Router::new().route("/", post(handler)).layer(app().build().layer())).await;
    let reply = client.send("POST", "/", &[]).await;
    assert_eq!(reply.status, 500);
    assert!(!reply.body.contains("gate:taken"), "{}", reply.body);
}

#[tokio::test]
async fn the_gate_follows_the_throttles_settings() {
    static LIVE: LazyLock<Throttle> =
        LazyLock::new(|| Throttle::builder("gate:live").rate("100/min").build().unwrap());
    #[throttle(LIVE)]
    async fn plain() {}
    #[throttle(LIVE, on_throttled = brief)]
    async fn own() {}
    fn brief(_: &Parts, _: &Throttled) -> &'static str {
        "own"
    }
    let app =
        Router::new().route("/plain", post(plain)).route("/own", post(own)).layer(app().build().layer());
    let client = Client::of(app).await;
    let ask = async |path: &str| client.send("POST", path, &[]).await;
    assert!(ask("/plain").await.legacy().is_some());
    LIVE.set_headers(Headers::draft()).unwrap();
    let reply = ask("/plain").await;
    assert_eq!((reply.legacy(), reply.header("ratelimit").is_some()), (None, true));
    LIVE.set_headers(Headers::never()).unwrap();
    assert_eq!(ask("/plain").await.header("ratelimit"), None);
    LIVE.set_rate("2/min").unwrap();
    LIVE.set_on_throttled(|_: &Parts, _: &Throttled| "changed");
    assert_eq!(ask("/plain").await.body, "changed");
    // What the attribute sets takes precedence.
    assert_eq!(ask("/own").await.body, "own");
    LIVE.set_continue_when_throttled();
    assert_eq!(ask("/plain").await.body, "");
    assert_eq!(ask("/own").await.body, "own");
    LIVE.set_cost(0);
    assert_eq!(ask("/own").await.body, "");
}

#[tokio::test]
async fn a_gate_that_costs_nothing_lets_in_until_it_does() {
    static FREE: LazyLock<Throttle> =
        LazyLock::new(|| Throttle::builder("gate:free").rate("2/min").cost(0).build().unwrap());
    static OTHER: LazyLock<Throttle> =
        LazyLock::new(|| Throttle::builder("gate:other").rate("2/min").cost(0).build().unwrap());
    #[throttle(FREE)]
    #[throttle(OTHER)]
    async fn handler() {}
    let client = Client::of(Router::new().route("/", post(handler)).layer(app().build().layer())).await;
    let ask = async || client.send("POST", "/", &[]).await;
    for _ in 0..3 {
        let reply = ask().await;
        assert_eq!((reply.status, reply.legacy()), (200, None));
    }
    OTHER.set_cost(1);
    for status in [200, 200, 429] {
        let reply = ask().await;
        assert_eq!((reply.status, reply.legacy().is_some()), (status, true));
    }
}

#[tokio::test]
async fn a_gate_that_costs_nothing_but_cannot_be_built_answers_500() {
    static TAKEN: LazyLock<Throttle> =
        LazyLock::new(|| Throttle::builder("gate:free:taken").rate("1/min").build().unwrap());
    #[throttle("gate:free:taken", rate = "2/min", cost = 0)]
    #[throttle("gate:free:built", rate = "2/min", cost = 0)]
    async fn handler() {}
    LazyLock::force(&TAKEN);
    let client = Client::of(Router::new().route("/", post(handler)).layer(app().build().layer())).await;
    assert_eq!(client.send("POST", "/", &[]).await.status, 500);
}

#[tokio::test]
async fn a_throttled_handler_can_be_called_directly() {
    #[throttle("gate:direct", rate = "1/min")]
    async fn greet(name: String) -> String {
        format!("hello, {name}")
    }
    for _ in 0..3 {
        let response = greet(open_gate(), "ann".into()).await;
        assert_eq!(response.status(), 200);
        let body = axum::body::to_bytes(response.into_body(), 100).await.unwrap();
        assert_eq!(&body[..], b"hello, ann");
    }
}

#[tokio::test]
async fn what_a_gate_leaves_can_be_made_for_a_direct_call() {
    #[throttle("gate:direct:left", rate = "1/min", cost = 1, on_throttled = "continue")]
    async fn handler(outcome: Outcome, charge: Charge) -> String {
        format!("{} {:?}", outcome.is_throttled(), charge.settle(7).await.unwrap())
    }
    let one = build("gate:direct:refuses", "1/min").build().unwrap();
    let refused = one.hit("ann").cost(2).await.unwrap().throttled().cloned();
    for (throttled, expected) in [(None, "false Nothing"), (refused, "true Nothing")] {
        let response = handler(open_gate(), throttled.into(), Charge::default()).await;
        let body = axum::body::to_bytes(response.into_body(), 100).await.unwrap();
        assert_eq!(&body[..], expected.as_bytes());
    }
}

#[tokio::test]
async fn an_attribute_that_expands_on_its_own_joins_the_decision() {
    use traffik::throttle as limit;
    #[throttle("gate:outer", rate = "5/min")]
    #[limit("gate:renamed", rate = "2/min")]
    async fn handler() {}
    let client = Client::of(Router::new().route("/", post(handler)).layer(app().build().layer())).await;
    let mut left = Vec::new();
    for _ in 0..4 {
        let reply = client.send("POST", "/", &[]).await;
        left.push((reply.status, reply.header("ratelimit").unwrap().to_owned()));
    }
    // A single decision: a refusal by the second throttle charges the first nothing.
    let said = |first, second| format!(r#""gate:outer";r={first};t=60, "gate:renamed";r={second};t=60"#);
    assert_eq!(left, [(200, said(4, 1)), (200, said(3, 0)), (429, said(3, 0)), (429, said(3, 0))]);
}

/// The outermost attribute absorbs those that it recognizes by name. The others come later.
#[tokio::test]
async fn an_attribute_of_another_name_stands_last() {
    use traffik::throttle as limit;
    #[throttle("gate:first", rate = "5/min")]
    #[limit("gate:third", rate = "5/min")]
    #[throttle("gate:second", rate = "5/min")]
    async fn handler() {}
    let client = Client::of(Router::new().route("/", post(handler)).layer(app().build().layer())).await;
    let reply = client.send("POST", "/", &[]).await;
    let policies =
        [r#""gate:first""#, r#""gate:second""#, r#""gate:third""#].map(|name| format!("{name};q=5;w=60"));
    assert_eq!(reply.header("ratelimit-policy"), Some(&*policies.join(", ")));
}

#[tokio::test]
async fn parameters_are_dropped_with_the_body_or_after_the_response() {
    static LOG: Mutex<Vec<&str>> = Mutex::new(Vec::new());
    fn log(what: &'static str) {
        LOG.lock().unwrap().push(what);
    }
    struct Logged<const N: usize>;
    impl<const N: usize> Drop for Logged<N> {
        fn drop(&mut self) {
            log(["named", "unnamed", "local"][N]);
        }
    }
    impl<S: Sync, const N: usize> axum::extract::FromRequestParts<S> for Logged<N> {
        type Rejection = ();

        async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, ()> {
            Ok(Self)
        }
    }
    struct Answer;
    impl axum::response::IntoResponse for Answer {
        fn into_response(self) -> axum::response::Response {
            log("response");
            ().into_response()
        }
    }
    #[throttle("gate:drops", rate = "5/min")]
    async fn handler(_unnamed: Logged<1>, named: Logged<0>) -> Answer {
        let _local = Logged::<2>;
        let _ = &named;
        Answer
    }
    let app = Router::new().route("/", post(handler)).layer(app().build().layer());
    assert_eq!(Client::of(app).await.send("POST", "/", &[]).await.status, 200);
    assert_eq!(*LOG.lock().unwrap(), ["local", "named", "response", "unnamed"]);
}
