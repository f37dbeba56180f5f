//! Layers around layers and gates: each throttle charges once, and a request that is
//! turned away is charged nowhere.

use std::sync::LazyLock;

use axum::Router;
use axum::extract::Extension;
use axum::routing::get;
use traffik::{Parts, Throttle, ThrottleLayer, Traffik, throttle};

use crate::support::{Client, app, memory, throttle as build};

static SHARED: LazyLock<Throttle> =
    LazyLock::new(|| Throttle::builder("nested:shared").rate("3/min").build().unwrap());

#[tokio::test]
async fn one_throttle_is_charged_once_a_request() {
    #[throttle(SHARED)]
    async fn inner() -> &'static str {
        "inner"
    }
    let app = Router::new()
        .route("/", get(inner))
        .layer(ThrottleLayer::new([&*SHARED]))
        .layer(ThrottleLayer::new([&*SHARED]))
        .layer(app().build().layer());
    let client = Client::of(app).await;
    let reply = client.get("/").await;
    assert_eq!(reply.header("ratelimit-policy"), Some(r#""nested:shared";q=3;w=60"#));
    assert_eq!(reply.legacy(), Some([3, 2, 60]));
    assert_eq!(client.statuses("/").await, [200, 200, 429]);
}

#[tokio::test]
async fn a_larger_cost_further_in_charges_the_difference() {
    static COSTS: LazyLock<Throttle> =
        LazyLock::new(|| Throttle::builder("nested:costs").rate("10/min").build().unwrap());
    #[throttle(COSTS, cost = 4)]
    async fn fixed() {}
    #[throttle(COSTS, cost = |_| 4_u64)]
    async fn computed() {}
    #[throttle(COSTS, scope = "elsewhere")]
    async fn scoped() {}
    #[throttle(COSTS, cost = 0)]
    async fn cheap() {}
    let app = Router::new()
        .route("/fixed", get(fixed))
        .route("/computed", get(computed))
        .route("/scoped", get(scoped))
        .route("/cheap", get(cheap))
        .layer(ThrottleLayer::new([&*COSTS]))
        .layer(app().build().layer());
    let client = Client::of(app).await;
    for (path, left) in [("/fixed", 6), ("/computed", 2), ("/cheap", 1)] {
        let reply = client.get(path).await;
        assert_eq!(reply.status, 200);
        let legacy = reply.legacy().unwrap();
        assert_eq!(legacy[1], left, "{path}");
        assert_eq!(reply.header("ratelimit"), Some(&*format!(r#""nested:costs";r={left};t=60"#)));
    }
    // Refused further in, so what the layer charged is refunded.
    assert_eq!(client.statuses("/fixed").await, [429, 429]);
    // The scope has an account of its own, of which one unit is used.
    let reply = client.get("/scoped").await;
    assert_eq!((reply.status, reply.legacy()), (200, Some([10, 0, 60])));
    assert_eq!(client.get("/cheap").await.status, 429);
}

/// What the layer has charged is given back with the refusal, which speaks of the whole cost.
#[tokio::test]
async fn a_refused_difference_is_reported_as_the_whole_cost() {
    static WHOLE: LazyLock<Throttle> =
        LazyLock::new(|| Throttle::builder("nested:whole").rate("5/min").build().unwrap());
    fn told(_: &Parts, refused: &traffik::Throttled) -> (http::StatusCode, String) {
        let stat = refused.stat();
        (http::StatusCode::TOO_MANY_REQUESTS, format!("{} {} {}", refused.cost(), stat.remaining, stat.used))
    }
    #[throttle(WHOLE, cost = 3, on_throttled = told)]
    async fn heavy() {}
    #[throttle(WHOLE, cost = |_| 6_u64)]
    async fn never() {}
    #[throttle(WHOLE, cost = 2)]
    #[throttle("nested:whole:other", rate = "1/min", cost = |_| 2_u64)]
    async fn other() {}
    let app = Router::new()
        .route("/heavy", get(heavy))
        .route("/never", get(never))
        .route("/other", get(other))
        .layer(ThrottleLayer::new([&*WHOLE]))
        .layer(app().build().layer());
    let client = Client::of(app).await;
    assert_eq!(client.get("/heavy").await.status, 200);

    let reply = client.get("/heavy").await;
    assert_eq!((reply.status, &*reply.body), (429, "3 2 3"));
    assert_eq!(reply.header("ratelimit"), Some(r#""nested:whole";r=2;t=60"#));
    assert_eq!(reply.legacy(), Some([5, 2, 60]));
    assert_eq!(reply.header("retry-after"), Some("60"));

    // The difference would fit into a full account, but not along with what the layer charges.
    let reply = client.get("/never").await;
    assert_eq!((reply.status, reply.header("retry-after")), (429, None));
    assert!(reply.body.contains("The request costs 6 units, but the limit is 5"), "{}", reply.body);
    assert_eq!(reply.legacy().unwrap()[1], 2);

    // Another throttle refuses, and so gives this one's charge back, too.
    let reply = client.get("/other").await;
    assert_eq!(reply.status, 429);
    assert!(reply.header("ratelimit").unwrap().contains(r#""nested:whole";r=2;"#), "{:?}", reply.headers);
}

#[tokio::test]
async fn who_is_turned_away_further_in_is_charged_nowhere() {
    #[throttle("nested:inner", rate = "1/min")]
    async fn inner() {}
    let (outer, middle) =
        (build("outer", "10/min").build().unwrap(), build("middle", "10/min").cost(2).build().unwrap());
    let (memory, _clock) = memory();
    let traffik = Traffik::builder().backend(memory.clone()).client_ip(traffik::ClientIp::default()).build();
    let app = Router::new()
        .route("/", get(inner))
        .layer(ThrottleLayer::new([&middle]))
        .layer(ThrottleLayer::new([&outer]))
        .layer(traffik.layer());
    let client = Client::of(app).await;
    assert_eq!(client.statuses("/").await, [200, 429, 429, 429]);
    let refused = client.get("/").await;
    assert_eq!(refused.legacy(), Some([1, 0, 60]));
    assert_eq!(
        refused.header("ratelimit"),
        Some(r#""nested:inner";r=0;t=60, "middle";r=8;t=60, "outer";r=9;t=60"#)
    );
    assert_eq!(refused.json()["violated-policies"], serde_json::json!(["nested:inner"]));
}

#[tokio::test]
async fn an_outage_further_in_charges_nobody_either() {
    let backend = traffik::test_kit::FaultyBackend::new(memory().0);
    backend.fail();
    let outer = build("outer", "2/min").build().unwrap();
    let inner = build("inner", "2/min").backend(backend.clone()).build().unwrap();
    let app = Router::new()
        .route("/", get(async || ""))
        .layer(ThrottleLayer::new([&inner]))
        .layer(ThrottleLayer::new([&outer]))
        .layer(app().build().layer());
    let client = Client::of(app).await;
    assert_eq!(client.statuses("/").await, [503; 5]);
    backend.heal();
    assert_eq!(client.statuses("/").await, [200, 200, 429]);
}

#[tokio::test]
async fn a_refund_and_a_refusal_give_back_once() {
    #[throttle("nested:refused", rate = "1/min")]
    async fn inner() {}
    let outer = build("outer", "5/min").refund_on_status(|status| status.is_client_error()).build().unwrap();
    let app = Router::new()
        .route("/", get(inner))
        .route("/free", get(async || ""))
        .layer(ThrottleLayer::new([&outer]))
        .layer(app().build().layer());
    let client = Client::of(app).await;
    assert_eq!(client.statuses("/free").await, [200, 200]);
    assert_eq!(client.statuses("/").await, [200, 429, 429, 429]);
    // Exactly three units are used.
    assert_eq!(client.statuses("/free").await, [200, 200, 429]);
}

#[tokio::test]
async fn direct_calls_always_count() {
    let direct = build("direct", "4/min").build().unwrap();
    async fn handler(Extension(direct): Extension<Throttle>, parts: Parts) -> Result<(), traffik::Throttled> {
        direct.hit(&parts).await.unwrap().into_result().map(drop)
    }
    let app = Router::new()
        .route("/", get(handler))
        .layer(Extension(direct.clone()))
        .layer(ThrottleLayer::new([&direct]))
        .layer(app().build().layer());
    let client = Client::of(app).await;
    assert_eq!(client.statuses("/").await, [200, 200, 429]);
}

/// A middle layer may call the inner service several times and answer as it likes.
#[tokio::test]
async fn what_is_given_back_is_given_back_once_and_for_the_final_answer() {
    #[throttle("nested:narrow", rate = "1/min")]
    async fn narrow() {}
    async fn tries(
        mut request: axum::extract::Request,
        next: axum::middleware::Next,
    ) -> axum::response::Response {
        let (times, serves) = match request.uri().path() {
            "/retried" => (3, false),
            _ => (1, true),
        };
        *request.uri_mut() = "/narrow".parse().unwrap();
        let mut last = None;
        for _ in 0..times {
            let (parts, _) = request.into_parts();
            let again = axum::extract::Request::from_parts(parts.clone(), axum::body::Body::empty());
            last = Some(next.clone().run(again).await);
            request = axum::extract::Request::from_parts(parts, axum::body::Body::empty());
        }
        if serves { axum::response::IntoResponse::into_response("served") } else { last.unwrap() }
    }
    let outer = build("nested:outer", "100/min").build().unwrap();
    let inner = Router::new().route("/narrow", get(narrow)).fallback(get(narrow));
    let app = inner
        .layer(axum::middleware::from_fn(tries))
        .layer(ThrottleLayer::new([&outer]))
        .layer(app().build().layer());
    let client = Client::of(app).await;
    // What is left after a request that is served whatever happens further in.
    let left = async || client.get("/served").await.legacy().unwrap()[1];
    assert_eq!(left().await, 99);
    assert_eq!(left().await, 98, "the narrow one refused, and the client was served");
    assert_eq!(client.statuses("/retried").await, [429, 429]);
    assert_eq!(left().await, 97, "six refusals further in, and nothing was charged for two answers");
}

#[tokio::test]
async fn what_was_free_at_a_layer_is_charged_in_full_further_in() {
    static READS: LazyLock<Throttle> = LazyLock::new(|| {
        let free = |parts: &Parts| u64::from(parts.method != http::Method::GET);
        Throttle::builder("nested:free").rate("20/min").cost_with(free).build().unwrap()
    });
    static READS_LATER: LazyLock<Throttle> = LazyLock::new(|| {
        let free = async |_: &Parts| 0_u64;
        Throttle::builder("nested:free_later").rate("20/min").cost_with(free).build().unwrap()
    });
    #[throttle(READS, cost = 10)]
    async fn export() {}
    #[throttle(READS_LATER, cost = 10)]
    async fn later() {}
    async fn cheap() {}
    let app = Router::new()
        .route("/export", get(export))
        .route("/later", get(later))
        .route("/cheap", get(cheap))
        .layer(ThrottleLayer::new([&*READS, &*READS_LATER]))
        .layer(app().build().layer());
    let client = Client::of(app).await;
    assert_eq!(client.statuses("/cheap").await, [200; 30]);
    assert_eq!(client.statuses("/export").await, [200, 200, 429]);
    assert_eq!(client.statuses("/later").await, [200, 200, 429]);
}

/// The refusal is the layer's and is reported as such, even if each request has a rate of its own.
#[tokio::test]
async fn a_stricter_handler_tells_the_policy_that_refused() {
    static TRIAL: LazyLock<Throttle> = LazyLock::new(|| {
        let rate = |_: &Parts| traffik::Rate::per_minute(1);
        Throttle::builder("nested:rated").rate_with(rate).shadow().build().unwrap()
    });
    #[throttle(TRIAL, mode = "enforce")]
    async fn enforced() {}
    let app = Router::new().route("/", get(enforced)).layer(ThrottleLayer::new([&*TRIAL]));
    let client = Client::of(app.layer(crate::support::app().build().layer())).await;
    assert_eq!(client.get("/").await.status, 200);
    let refused = client.get("/").await;
    assert_eq!(
        (refused.status, refused.header("ratelimit-policy")),
        (429, Some(r#""nested:rated";q=1;w=60"#))
    );
}

#[tokio::test]
async fn a_handler_can_be_stricter_than_the_layer_around_it() {
    static TRIAL: LazyLock<Throttle> =
        LazyLock::new(|| Throttle::builder("nested:trial").rate("2/min").shadow().build().unwrap());
    static OPEN: LazyLock<Throttle> = LazyLock::new(|| {
        Throttle::builder("nested:open").rate("2/min").continue_when_throttled().build().unwrap()
    });
    async fn busy(_: &Parts, refused: &traffik::Throttled) -> (http::StatusCode, String) {
        (http::StatusCode::TOO_MANY_REQUESTS, format!("busy: {}", refused.uid()))
    }
    #[throttle(TRIAL, mode = "enforce")]
    async fn enforced() {}
    #[throttle(TRIAL)]
    async fn tried() {}
    #[throttle(OPEN, on_throttled = busy)]
    async fn answered() {}
    #[throttle(OPEN)]
    async fn open() {}
    for (path, strict) in [("/enforced", true), ("/tried", false), ("/answered", true), ("/open", false)] {
        let app = Router::new()
            .route("/enforced", get(enforced))
            .route("/tried", get(tried))
            .route("/answered", get(answered))
            .route("/open", get(open))
            .layer(ThrottleLayer::new([&*TRIAL, &*OPEN]))
            .layer(app().build().layer());
        let client = Client::of(app).await;
        let expected = if strict { [200, 200, 429, 429] } else { [200; 4] };
        assert_eq!(client.statuses(path).await, expected, "{path}");
        if path == "/answered" {
            assert_eq!(client.get(path).await.body, "busy: nested:open");
        }
    }
}
