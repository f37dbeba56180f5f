//! Browsers: preflight requests, and refusals that scripts can read.

use axum::Router;
use axum::routing::post;
use http::Method;
use tower_http::cors::{Any, CorsLayer};
use traffik::{ThrottleLayer, bypass_if, throttle};

use crate::support::{Client, app, throttle as build};

const ORIGIN: (&str, &str) = ("origin", "https://shop.example");
const PREFLIGHT: [(&str, &str); 3] =
    [ORIGIN, ("access-control-request-method", "POST"), ("access-control-request-headers", "x-key")];

fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::POST])
        .allow_headers(Any)
        .expose_headers([http::header::RETRY_AFTER, "ratelimit".parse().unwrap()])
}

#[tokio::test]
async fn outside_of_a_layer_it_answers_preflights_and_marks_refusals() {
    let one = build("cors", "1/min").build().unwrap();
    let app = Router::new()
        .route("/", post(async || ""))
        .layer(ThrottleLayer::new([one]))
        .layer(app().build().layer())
        .layer(cors());
    let client = Client::of(app).await;
    for _ in 0..5 {
        let preflight = client.send("OPTIONS", "/", &PREFLIGHT).await;
        assert_eq!((preflight.status, preflight.header("access-control-allow-origin")), (200, Some("*")));
    }
    assert_eq!(client.send("POST", "/", &[ORIGIN]).await.status, 200);
    let refused = client.send("POST", "/", &[ORIGIN]).await;
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (429, Some("*")));
    assert_eq!(refused.header("access-control-expose-headers"), Some("retry-after,ratelimit"));
    assert_eq!(refused.header("retry-after"), Some("60"));
}

#[tokio::test]
async fn it_does_the_same_for_attributes() {
    #[throttle("cors:attribute", rate = "1/min")]
    async fn handler() {}
    let app = Router::new().route("/", post(handler)).layer(app().build().layer()).layer(cors());
    let client = Client::of(app).await;
    for status in [200, 429] {
        assert_eq!(client.send("OPTIONS", "/", &PREFLIGHT).await.status, 200);
        let reply = client.send("POST", "/", &[ORIGIN]).await;
        assert_eq!((reply.status, reply.header("access-control-allow-origin")), (status, Some("*")));
    }
}

#[tokio::test]
async fn inside_of_a_layer_preflights_can_be_bypassed() {
    let bypass = || bypass_if().method(Method::OPTIONS);
    for (one, preflights) in
        [(build("counted", "1/min"), 429), (build("bypassed", "1/min").rule(bypass()), 200)]
    {
        let app = Router::new()
            .route("/", post(async || ""))
            .layer(cors())
            .layer(ThrottleLayer::new([one.build().unwrap()]))
            .layer(app().build().layer());
        let client = Client::of(app).await;
        assert_eq!(client.send("OPTIONS", "/", &PREFLIGHT).await.status, 200);
        assert_eq!(client.send("OPTIONS", "/", &PREFLIGHT).await.status, preflights);
    }
}
