//! `#[throttle]` on handlers of a real router.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use http::{Request, StatusCode};
use traffik::test_kit::FaultyBackend;
use traffik::throttle as limit;
use traffik::{
    BackendLayer, EXEMPTED, Identity, Outcome, Parts, Rate, SharedBackend, Throttle, Throttled, Traffik,
    throttle,
};

use crate::support::{body, get_from, isolated, send, statuses, still};

#[throttle("attr:burst", rate = "3/min")]
#[throttle("attr:sustained", rate = "5/hour")]
async fn stacked() -> &'static str {
    "ok"
}

#[tokio::test]
async fn both_limits_hold_and_the_first_that_refuses_is_reported() {
    let (app, clock) = isolated(Router::new().route("/", get(stacked)));
    assert_eq!(statuses(&app, "/", "10.0.0.1", 4).await, [200, 200, 200, 429]);
    let refused = send(&app, get_from("/", "10.0.0.1", &[])).await;
    assert_eq!(refused.headers()["retry-after"], "60");
    assert_eq!(
        refused.headers()["ratelimit-policy"],
        "\"attr:burst\";q=3;w=60, \"attr:sustained\";q=5;w=3600"
    );
    assert_eq!(refused.headers()["x-ratelimit-limit"], "3");
    assert!(body(refused).await.contains("\"violated-policies\":[\"attr:burst\"]"));
    assert_eq!(statuses(&app, "/", "10.0.0.2", 1).await, [200], "another client is another account");

    clock.advance(Duration::from_secs(60));
    // Two are left of the hour, because the refused hits of the first minute took nothing from it.
    assert_eq!(statuses(&app, "/", "10.0.0.1", 3).await, [200, 200, 429]);
    let refused = send(&app, get_from("/", "10.0.0.1", &[])).await;
    assert!(body(refused).await.contains("\"violated-policies\":[\"attr:sustained\"]"));
}

fn by_key(parts: &Parts) -> Identity {
    match parts.headers.get("x-admin-token") {
        Some(token) if token == "s3cret" => EXEMPTED,
        _ => Identity::from(parts.headers.get("x-api-key").and_then(|key| key.to_str().ok())),
    }
}

async fn by_key_later(parts: &Parts) -> Identity {
    tokio::task::yield_now().await;
    by_key(parts)
}

static COUNTED: LazyLock<FaultyBackend> = LazyLock::new(|| FaultyBackend::new(still()));

#[throttle("attr:exempt", rate = "2/min", identifier = by_key_later, backend = COUNTED.clone())]
async fn exempting() {}

#[tokio::test]
async fn the_exempt_touch_no_backend() {
    let app = Router::new().route("/", get(exempting));
    for _ in 0..5 {
        let response = send(&app, get_from("/", "10.0.0.1", &[("x-admin-token", "s3cret")])).await;
        assert_eq!(response.status(), 200);
        assert!(!response.headers().contains_key("ratelimit"));
    }
    assert_eq!(COUNTED.calls(), 0);
    for expected in [200, 200, 429] {
        let response = send(&app, get_from("/", "10.0.0.1", &[("x-api-key", "k")])).await;
        assert_eq!(response.status(), expected);
    }
    assert_eq!(COUNTED.calls(), 3);
}

static STACK_CALLS: LazyLock<FaultyBackend> = LazyLock::new(|| FaultyBackend::new(still()));
static IDENTIFIED: AtomicUsize = AtomicUsize::new(0);

fn counting_identifier(_: &Parts) -> u64 {
    IDENTIFIED.fetch_add(1, Ordering::SeqCst) as u64 / 1000
}

#[throttle("attr:one-call:a", rate = "9/min", identifier = counting_identifier, backend = STACK_CALLS.clone())]
#[throttle("attr:one-call:b", rate = "9/hour", identifier = counting_identifier, backend = STACK_CALLS.clone())]
#[throttle("attr:one-call:c", rate = "9/day", identifier = counting_identifier, backend = STACK_CALLS.clone())]
async fn three_on_one() {}

#[tokio::test]
async fn each_backend_handle_is_one_call_and_each_identifier_runs_once() {
    let app = Router::new().route("/", get(three_on_one));
    assert_eq!(statuses(&app, "/", "10.0.0.1", 2).await, [200, 200]);
    assert_eq!(IDENTIFIED.load(Ordering::SeqCst), 2);
    assert_eq!(STACK_CALLS.calls(), 2, "three throttles, one call a request");
}

#[throttle("attr:cost:inferred", rate = "10/min", cost = |_| 10, scope = |req| req.method.to_string())]
async fn inferred() {}

#[throttle("attr:cost:literal", rate = "10/min", cost = 4)]
async fn literal() {}

#[throttle("attr:cost:header", rate = "10/min", cost = |req| {
    req.headers.get("x-cost").and_then(|cost| cost.to_str().ok()?.parse::<u64>().ok()).unwrap_or(1)
}, identifier = never_when_free)]
async fn by_header() {}

async fn heavy(parts: &Parts) -> u64 {
    tokio::task::yield_now().await;
    parts.uri.path().len() as u64
}

#[throttle("attr:cost:async", rate = "10/min", cost = heavy)]
async fn by_path() {}

static IDENTIFIED_FREE: AtomicUsize = AtomicUsize::new(0);

fn never_when_free(_: &Parts) -> &'static str {
    IDENTIFIED_FREE.fetch_add(1, Ordering::SeqCst);
    "somebody"
}

#[tokio::test]
async fn costs_are_literal_computed_or_none() {
    let app = Router::new()
        .route("/literal", get(literal))
        .route("/header", get(by_header))
        .route("/1234", get(by_path))
        .route("/inferred", get(inferred));
    let (app, _clock) = isolated(app);
    assert_eq!(statuses(&app, "/literal", "10.0.0.1", 3).await, [200, 200, 429]);
    assert_eq!(statuses(&app, "/1234", "10.0.0.1", 3).await, [200, 200, 429]);
    assert_eq!(statuses(&app, "/inferred", "10.0.0.1", 2).await, [200, 429]);
    for (cost, expected) in
        [("0", 200), ("0", 200), ("7", 200), ("4", 429), ("0", 200), ("3", 200), ("1", 429)]
    {
        let response = send(&app, get_from("/header", "10.0.0.1", &[("x-cost", cost)])).await;
        assert_eq!(response.status(), expected, "cost {cost}");
    }
    assert_eq!(IDENTIFIED_FREE.load(Ordering::SeqCst), 4, "a cost of 0 passes before the identifier runs");
    let never = send(&app, get_from("/header", "10.0.0.1", &[("x-cost", "11")])).await;
    assert_eq!(never.status(), 429);
    assert!(!never.headers().contains_key("retry-after"), "waiting cannot help");
}

#[limit("attr:nested:inner", rate = "2/min")]
#[throttle("attr:nested:middle", rate = "3/min")]
async fn nested_below() {}

#[throttle("attr:nested:top", rate = "1/min")]
#[limit("attr:nested:bottom", rate = "5/min")]
async fn nested() {}

static BOTTOM: LazyLock<Option<Throttle>> =
    LazyLock::new(|| traffik::Registry::global().get("attr:nested:bottom"));

#[tokio::test]
async fn two_nested_gates_are_one_decision() {
    let (app, clock) = isolated(Router::new().route("/", get(nested)).route("/below", get(nested_below)));
    assert_eq!(statuses(&app, "/below", "10.0.0.1", 3).await, [200, 200, 429]);
    for _ in 0..5 {
        // One of these five passes. The upper throttle refuses the others, which charges neither.
        let _ = send(&app, get_from("/", "10.0.0.1", &[])).await;
    }
    assert!(BOTTOM.is_some());
    clock.advance(Duration::from_secs(30));
    let response = send(&app, get_from("/", "10.0.0.1", &[])).await;
    assert_eq!(response.status(), 429);
    assert_eq!(
        response.headers()["ratelimit"],
        "\"attr:nested:top\";r=0;t=30, \"attr:nested:bottom\";r=4;t=30"
    );
}

static UPLOADS: LazyLock<Throttle> =
    LazyLock::new(|| Throttle::builder("attr:uploads").rate("10/min").build().expect("a valid throttle"));

#[throttle(UPLOADS, cost = 6)]
async fn upload(text: String) -> String {
    text
}

#[throttle(UPLOADS, cost = 2, scope = "thumbnails")]
async fn thumbnail() {}

#[tokio::test]
async fn a_static_throttle_is_shared_and_refuses_before_the_body_is_read() {
    let (app, _clock) = isolated(Router::new().route("/", post(upload)).route("/thumb", get(thumbnail)));
    let request = |text: &'static str| Request::post("/").body(axum::body::Body::from(text)).unwrap();
    assert_eq!(body(send(&app, request("hello")).await).await, "hello");
    let unread = axum::body::Body::from_stream(futures_util::stream::once(async {
        Err::<axum::body::Bytes, _>(std::io::Error::other("the body was read"))
    }));
    let refused = send(&app, Request::post("/").body(unread).unwrap()).await;
    assert_eq!(refused.status(), 429);
    assert_eq!(
        statuses(&app, "/thumb", "10.0.0.1", 6).await,
        [200, 200, 200, 200, 200, 429],
        "a scope of its own"
    );
}

#[throttle("attr:continue", rate = "1/min", on_throttled = "continue")]
async fn cached(outcome: Outcome) -> &'static str {
    if outcome.is_throttled() { "stale" } else { "fresh" }
}

async fn teapot(_: &Parts, refused: &Throttled) -> (StatusCode, String) {
    tokio::task::yield_now().await;
    (StatusCode::IM_A_TEAPOT, refused.uid().into())
}

#[throttle("attr:answer", rate = "1/min", on_throttled = teapot, headers = "throttled")]
async fn answering() {}

#[throttle("attr:shadow", rate = "1/min", mode = "shadow")]
#[throttle("attr:shadowed", rate = "3/min")]
async fn shadowed() {}

static ON_TRIAL: LazyLock<Throttle> =
    LazyLock::new(|| Throttle::builder("attr:trial").rate("2/min").shadow().build().unwrap());

#[throttle(ON_TRIAL)]
async fn on_trial() {}

#[throttle(ON_TRIAL, mode = "enforce")]
async fn in_earnest() {}

#[tokio::test]
async fn refusals_are_answered_as_told() {
    let app = Router::new().route("/c", get(cached)).route("/a", get(answering)).route("/s", get(shadowed));
    let (app, _clock) = isolated(app);
    assert_eq!(body(send(&app, get_from("/c", "10.0.0.1", &[])).await).await, "fresh");
    assert_eq!(body(send(&app, get_from("/c", "10.0.0.1", &[])).await).await, "stale");
    let passed = send(&app, get_from("/a", "10.0.0.1", &[])).await;
    assert!(!passed.headers().contains_key("ratelimit"));
    let refused = send(&app, get_from("/a", "10.0.0.1", &[])).await;
    assert_eq!((refused.status().as_u16(), refused.headers().contains_key("ratelimit")), (418, true));
    assert_eq!(body(refused).await, "attr:answer");
    assert_eq!(statuses(&app, "/s", "10.0.0.1", 4).await, [200, 200, 200, 429]);
}

#[tokio::test]
async fn a_route_may_enforce_what_is_on_trial_elsewhere() {
    let (app, _clock) = isolated(Router::new().route("/t", get(on_trial)).route("/e", get(in_earnest)));
    assert_eq!(statuses(&app, "/t", "10.0.0.1", 1).await, [200]);
    assert_eq!(statuses(&app, "/e", "10.0.0.1", 2).await, [200, 429]);
    assert_eq!(statuses(&app, "/t", "10.0.0.1", 2).await, [200, 200]);
}

#[throttle("attr:refund", rate = "2/min", refund_on = "5xx")]
async fn failing(State(fails): State<&'static AtomicUsize>) -> StatusCode {
    let left = fails.fetch_sub(1, Ordering::SeqCst);
    if left > 1 { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK }
}

#[tokio::test]
async fn a_failure_of_ours_costs_the_client_nothing() {
    static FAILS: AtomicUsize = AtomicUsize::new(4);
    let (app, _clock) = isolated(Router::new().route("/", get(failing)).with_state(&FAILS));
    assert_eq!(statuses(&app, "/", "10.0.0.1", 6).await, [500, 500, 500, 200, 200, 429]);
}

fn plan(parts: &Parts) -> Rate {
    if parts.headers.contains_key("x-premium") { Rate::per_minute(3) } else { Rate::per_minute(1) }
}

#[throttle("attr:rate", rate = plan)]
async fn planned() {}

const FIXED: Rate = Rate::per_minute(2);

#[throttle("attr:rate:const", rate = const FIXED, strategy = "token_bucket")]
async fn constant() {}

#[throttle("attr:unlimited", rate = |_: &Parts| Rate::UNLIMITED)]
async fn unlimited() {}

#[tokio::test]
async fn rates_are_literal_constant_or_computed() {
    let app = Router::new().route("/p", get(planned)).route("/c", get(constant)).route("/u", get(unlimited));
    let (app, _clock) = isolated(app);
    assert_eq!(statuses(&app, "/p", "10.0.0.1", 2).await, [200, 429]);
    for expected in [200, 200, 200, 429] {
        let premium = send(&app, get_from("/p", "10.0.0.2", &[("x-premium", "1")])).await;
        assert_eq!(premium.status(), expected);
    }
    assert_eq!(statuses(&app, "/c", "10.0.0.1", 3).await, [200, 200, 429]);
    assert_eq!(statuses(&app, "/u", "10.0.0.1", 9).await, [200; 9]);
}

#[throttle("attr:dynamic", rate = "1/min", dynamic_backend)]
async fn dynamic() {}

#[throttle("attr:dynamic:fn", rate = "1/min", dynamic_backend = tenant)]
async fn dynamic_fn() {}

static TENANT: LazyLock<SharedBackend> = LazyLock::new(|| still().into());

fn tenant(parts: &Parts) -> Option<SharedBackend> {
    parts.headers.contains_key("x-tenant").then(|| TENANT.clone())
}

#[tokio::test]
async fn a_dynamic_backend_is_the_contexts() {
    let bare = Router::new().route("/", get(dynamic)).route("/fn", get(dynamic_fn));
    assert_eq!(statuses(&bare, "/", "10.0.0.1", 1).await, [500], "never the hidden in-memory default");

    let tenants: [SharedBackend; 2] = [still().into(), still().into()];
    let resolve =
        BackendLayer::resolve(move |req: &Parts| match req.headers.get("x-plan")?.to_str().ok()? {
            "gold" => Some(tenants[0].clone()),
            "free" => Some(tenants[1].clone()),
            _ => None,
        });
    let router_wide = Traffik::builder().backend(still()).build();
    let app = bare.layer(resolve).layer(router_wide.layer());
    for plan in ["gold", "free", "other"] {
        for expected in [200, 429] {
            let response = send(&app, get_from("/", "10.0.0.1", &[("x-plan", plan)])).await;
            assert_eq!(response.status(), expected, "{plan}");
        }
    }
    for header in ["x-tenant", "x-none"] {
        for expected in [200, 429] {
            let response = send(&app, get_from("/fn", "10.0.0.1", &[(header, "1")])).await;
            assert_eq!(response.status(), expected, "{header}");
        }
    }
}
