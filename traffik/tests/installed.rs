//! What applies when a router's `Traffik` leaves a setting open. This is a test binary of its own, because a
//! process has one default for all of its tests.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use axum::Router;
use axum::body::Body;
use axum::extract::connect_info::MockConnectInfo;
use axum::routing::get;
use http::{Request, Response};
use std::net::SocketAddr;
use tower::ServiceExt;
use traffik::test_kit::ManualClock;
use traffik::{ClientIp, Headers, MemoryBackend, OnError, SharedBackend, Traffik, throttle};

#[throttle("installed:own", rate = "1/min")]
async fn own() {}

#[throttle("installed:dynamic", rate = "1/min", dynamic_backend)]
async fn dynamic() {}

async fn send(app: &Router, path: &str, client: &str) -> Response<Body> {
    let request = Request::get(path).header("x-forwarded-for", client).body(Body::empty()).unwrap();
    app.clone().oneshot(request).await.unwrap()
}

async fn status(app: &Router, path: &str, client: &str) -> u16 {
    send(app, path, client).await.status().as_u16()
}

fn routes() -> Router {
    Router::new().route("/own", get(own)).route("/dynamic", get(dynamic))
}

/// Makes all requests appear to come from a proxy.
fn behind(app: Router) -> Router {
    app.layer(MockConnectInfo("10.0.0.1:80".parse::<SocketAddr>().unwrap()))
}

fn memory() -> MemoryBackend {
    MemoryBackend::builder().clock(ManualClock::new()).build()
}

#[tokio::test]
async fn a_router_says_what_it_says_and_the_rest_is_said_further_out() {
    // Nothing is installed yet, so the proxy counts as the client, and the dynamic throttle has no backend.
    let bare = behind(routes().layer(Traffik::builder().headers(Headers::draft()).build().layer()));
    assert_eq!(status(&bare, "/dynamic", "203.0.113.1").await, 500);
    assert_eq!(status(&bare, "/own", "203.0.113.1").await, 200);
    assert_eq!(status(&bare, "/own", "203.0.113.2").await, 429);

    let backend: SharedBackend = memory().into();
    let process = Traffik::builder()
        .backend(&backend)
        .client_ip(ClientIp::behind(["10.0.0.0/8"]))
        .headers(Headers::legacy())
        .on_error(OnError::raise())
        .build();
    traffik::install(process).unwrap();
    let error = traffik::install(Traffik::builder().backend(backend).build()).unwrap_err();
    assert!(error.is_configuration() && error.to_string().contains("already installed"), "{error}");
    // Now clients are told apart and counted on the process-wide backend.
    for path in ["/own", "/dynamic"] {
        assert_eq!(status(&bare, path, "203.0.113.1").await, 200, "{path}");
        assert_eq!(status(&bare, path, "203.0.113.1").await, 429, "{path}");
        let answer = send(&bare, path, "203.0.113.2").await;
        assert_eq!(answer.status(), 200, "{path}");
        // The router's own setting takes precedence.
        assert!(
            answer.headers().contains_key("ratelimit") && !answer.headers().contains_key("x-ratelimit-limit")
        );
    }

    // An inner layer complements an outer one, and what neither sets falls back to the process-wide default.
    let answers = Traffik::builder().on_throttled(async |_: &_, _: &_| "later").build();
    let counters = Traffik::builder().backend(memory()).headers(Headers::never()).build();
    let nested = behind(routes().layer(answers.layer()).layer(counters.layer()));
    for path in ["/own", "/dynamic"] {
        let answer = send(&nested, path, "203.0.113.1").await;
        assert!(answer.status() == 200 && !answer.headers().contains_key("x-ratelimit-limit"), "{answer:?}");
        let refused = send(&nested, path, "203.0.113.1").await;
        let body = axum::body::to_bytes(refused.into_body(), 100).await.unwrap();
        assert_eq!(body, "later", "{path}");
        assert_eq!(status(&nested, path, "203.0.113.2").await, 200, "{path}");
    }
}
