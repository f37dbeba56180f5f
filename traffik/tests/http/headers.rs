//! When headers are written, which ones, and from which account.

use std::sync::LazyLock;

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use http::HeaderMap;
use traffik::strategy::{self, IntoStrategy};
use traffik::test_kit::FaultyBackend;
use traffik::{Decision, EXEMPTED, Error, Headers, Parts, Rate, Throttle, ThrottleLayer, Traffik, throttle};

use crate::support::{Client, app, memory, throttle as build};

const FAMILIES: [&str; 5] =
    ["ratelimit-policy", "ratelimit", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"];

fn router(one: &Throttle) -> Router {
    Router::new().route("/", get(async || "")).layer(ThrottleLayer::new([one])).layer(app().build().layer())
}

#[tokio::test]
async fn each_word_writes_its_headers() {
    const ALL: [bool; 5] = [true; 5];
    const NONE: [bool; 5] = [false; 5];
    for (headers, allowed, refused) in [
        (Headers::always(), ALL, ALL),
        (Headers::default(), ALL, ALL),
        (Headers::when_throttled(), NONE, ALL),
        (Headers::never(), NONE, NONE),
        (Headers::custom(), NONE, NONE),
        (Headers::draft(), [true, true, false, false, false], [true, true, false, false, false]),
        (Headers::legacy(), [false, false, true, true, true], [false, false, true, true, true]),
        (Headers::draft().only_throttled(), NONE, [true, true, false, false, false]),
        (Headers::always().when(|_, decision| decision.is_allowed()), ALL, NONE),
        (Headers::always().when(|parts, _| parts.uri.path() != "/"), NONE, NONE),
    ] {
        let one = build("words", "1/min").headers(headers.clone()).build().unwrap();
        let client = Client::of(router(&one)).await;
        for (expected, status) in [(allowed, 200), (refused, 429)] {
            let reply = client.get("/").await;
            assert_eq!(reply.status, status);
            assert_eq!(FAMILIES.map(|name| reply.header(name).is_some()), expected, "{headers:?} {status}");
        }
    }
}

#[tokio::test]
async fn headers_ask_no_backend_again() {
    let backend = FaultyBackend::new(memory().0);
    let one = build("once", "1/min").backend(backend.clone()).build().unwrap();
    let client =
        Client::of(Router::new().route("/", get(async || "")).layer(ThrottleLayer::new([one]))).await;
    client.get("/").await;
    assert_eq!(backend.calls(), 1);
    client.get("/").await;
    assert_eq!(backend.calls(), 2);
}

#[tokio::test]
async fn names_and_values_are_the_users() {
    let headers = Headers::legacy()
        .names("x-quota", "x-quota-left", "x-quota-reset")
        .with("x-quota-used", |stat| stat.used)
        .with("x-quota-of", |stat| stat.uid)
        .with("x-quota-broken", |_| "two\nlines")
        .with_value("x-quota-help", "https://example.com/limits");
    let one = build("custom", "5/min").cost(2).headers(headers).build().unwrap();
    let reply = Client::of(router(&one)).await.get("/").await;
    let shown = ["x-quota", "x-quota-left", "x-quota-reset", "x-quota-used", "x-quota-of", "x-quota-help"]
        .map(|name| reply.header(name).unwrap());
    assert_eq!(shown, ["5", "3", "60", "2", "custom", "https://example.com/limits"]);
    assert_eq!(reply.header("x-quota-broken"), None);
    assert_eq!(FAMILIES.map(|name| reply.header(name)), [None; 5]);
}

#[test]
fn bad_names_and_values_are_mistakes() {
    for headers in [
        Headers::legacy().names("x quota", "x-quota-left", "x-quota-reset"),
        Headers::custom().with("", |stat| stat.used),
        Headers::custom().with_value("größe", "1"),
        Headers::custom().with_value("x-help", "two\nlines"),
        Headers::custom().with_value("content-length", "3"),
        Headers::legacy().names("RateLimit", "x-quota-left", "x-quota-reset"),
        Headers::legacy().names("x-quota", "x-quota-left", "X-Quota"),
        Headers::custom().with("x-used", |stat| stat.used).with_value("X-Used", "1"),
        Headers::legacy().with("x-ratelimit-limit", |stat| stat.limit),
        Headers::custom().with("x-left", |stat| stat.remaining).names("x-quota", "x-left", "x-reset"),
    ] {
        let error = build("bad", "5/min").headers(headers.clone()).build().unwrap_err();
        assert!(error.is_configuration() && error.to_string().contains("header"), "{error}");
        let error = traffik::install(Traffik::builder().headers(headers.clone()).build()).unwrap_err();
        assert!(error.is_configuration(), "{error}");
        let one = build("good", "5/min").build().unwrap();
        assert!(one.set_headers(headers).is_err());
    }
    let first = Headers::custom().with_value("größe", "1").with_value("content-length", "3");
    let error = build("bad", "5/min").headers(first).build().unwrap_err();
    assert!(error.to_string().contains("größe"), "{error}");
}

#[test]
fn a_legacy_name_is_free_where_the_family_is_off() {
    let headers = Headers::draft().with("x-ratelimit-limit", |stat| stat.limit);
    assert!(build("free-name", "5/min").headers(headers).build().is_ok());
}

/// A layer cannot fail, whereas building a throttle can.
#[tokio::test]
async fn what_a_layer_cannot_write_is_left_out() {
    let headers = Headers::draft()
        .names("x quota", "x-quota-left", "x-quota-reset")
        .with("", |stat| stat.used)
        .with_value("größe", "1")
        .with_value("x-help", "two\nlines")
        .with_value("x-own", "1");
    let one = build("left-out", "5/min").build().unwrap();
    let app = router(&one).layer(app().headers(headers).build().layer());
    let reply = Client::of(app).await.get("/").await;
    let names: Vec<_> =
        reply.headers.keys().map(http::HeaderName::as_str).filter(|name| name.contains('x')).collect();
    assert_eq!(names, ["x-own"]);
}

#[tokio::test]
async fn the_app_speaks_where_the_throttle_does_not() {
    let silent = build("silent", "5/min").build().unwrap();
    let own = build("own", "5/min").headers(Headers::draft()).build().unwrap();
    let app = Router::new()
        .route("/", get(async || ""))
        .layer(ThrottleLayer::new([&silent, &own]))
        .layer(app().headers(Headers::never()).build().layer());
    let reply = Client::of(app).await.get("/").await;
    assert_eq!(reply.header("ratelimit"), Some(r#""own";r=4;t=60"#));
    assert_eq!(reply.legacy(), None);
}

#[tokio::test]
async fn stacked_throttles_share_each_line() {
    #[throttle("headers:outer", rate = "9/min")]
    #[throttle("headers:inner", rate = "3/hour")]
    async fn handler() {}
    let around = build("around", "5/min").build().unwrap();
    let further = build("further", "2/min").headers(Headers::legacy()).build().unwrap();
    let app = Router::new()
        .route("/", get(handler))
        .layer(ThrottleLayer::new([&around]))
        .layer(ThrottleLayer::new([&further]))
        .layer(app().build().layer());
    let client = Client::of(app).await;
    let reply = client.get("/").await;
    assert_eq!(
        reply.header("ratelimit-policy"),
        Some(r#""headers:outer";q=9;w=60, "headers:inner";q=3;w=3600, "around";q=5;w=60"#)
    );
    assert_eq!(
        reply.header("ratelimit"),
        Some(r#""headers:outer";r=8;t=60, "headers:inner";r=2;t=3600, "around";r=4;t=60"#)
    );
    // The three legacy headers describe the account closest to its limit, wherever its throttle is.
    assert_eq!(reply.legacy(), Some([2, 1, 60]));
}

#[tokio::test]
async fn who_refuses_speaks_for_the_rest() {
    #[throttle("headers:left", rate = "2/hour")]
    #[throttle("headers:large", rate = "100/min", cost = 60)]
    async fn handler() {}
    let client = Client::of(Router::new().route("/", get(handler)).layer(app().build().layer())).await;
    assert_eq!(client.get("/").await.legacy(), Some([2, 1, 3600]));
    let refused = client.get("/").await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("60")));
    assert_eq!(refused.legacy(), Some([100, 40, 60]));
    assert_eq!(refused.header("ratelimit"), Some(r#""headers:left";r=1;t=3600, "headers:large";r=40;t=60"#));
}

#[tokio::test]
async fn what_the_handler_says_is_merged_or_left() {
    async fn handler() -> impl IntoResponse {
        [
            ("ratelimit-policy", r#""upstream";q=1"#),
            ("x-ratelimit-limit", "1"),
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", "9"),
            ("x-own", "mine"),
        ]
    }
    let headers = Headers::always().with_value("x-own", "ours");
    let one = build("merged", "5/min").headers(headers).build().unwrap();
    let app =
        Router::new().route("/", get(handler)).layer(ThrottleLayer::new([one])).layer(app().build().layer());
    let reply = Client::of(app).await.get("/").await;
    assert_eq!(reply.header("ratelimit-policy"), Some(r#""upstream";q=1, "merged";q=5;w=60"#));
    assert_eq!(reply.legacy(), Some([1, 0, 9]));
    assert_eq!(reply.header("x-own"), Some("mine"));
}

/// Of two accounts that are equally near to their limits, the inner one's numbers stay, whichever families are written.
#[tokio::test]
async fn what_is_as_near_is_left() {
    for headers in [Headers::always(), Headers::legacy()] {
        let handler =
            async || [("x-ratelimit-limit", "7"), ("x-ratelimit-remaining", "4"), ("x-ratelimit-reset", "9")];
        let one = build("near", "5/min").headers(headers).build().unwrap();
        let app = Router::new().route("/", get(handler)).layer(ThrottleLayer::new([one]));
        let reply = Client::of(app.layer(self::app().build().layer())).await.get("/").await;
        assert_eq!(reply.legacy(), Some([7, 4, 9]));
    }
}

/// A refusal is told by whoever made it, though others may have less left.
#[tokio::test]
async fn what_a_refusal_says_is_left() {
    #[throttle("headers:inside", rate = "100/min", cost = 60)]
    async fn inside() {}
    fn own(_: &Parts, _: &traffik::Throttled) -> impl IntoResponse + use<> {
        (http::StatusCode::TOO_MANY_REQUESTS, [("x-ratelimit-remaining", "99")])
    }
    #[throttle("headers:own", rate = "1/min", on_throttled = own)]
    async fn told() {}
    let around = build("headers:around", "30/min").build().unwrap();
    let router =
        Router::new().route("/", get(inside).layer(ThrottleLayer::new([around]))).route("/own", get(told));
    let client = Client::of(router.layer(app().build().layer())).await;
    assert_eq!(client.get("/").await.legacy(), Some([30, 29, 60]));
    assert_eq!(client.get("/").await.legacy(), Some([100, 40, 60]));
    client.get("/own").await;
    assert_eq!(client.get("/own").await.header("x-ratelimit-remaining"), Some("99"));
}

/// Each name has the number of the nearest account of those that use it.
#[tokio::test]
async fn names_of_ones_own_are_kept_apart() {
    let named = || {
        Headers::legacy()
            .names("x-quota", "x-quota-left", "x-quota-reset")
            .with("x-left", |stat| stat.remaining)
    };
    let on = |uid: &str, rate: &str, headers| build(uid, rate).headers(headers).build().unwrap();
    let layer = ThrottleLayer::new([
        on("apart:one", "9/min", named()),
        on("apart:two", "3/min", named().with("x-of", |stat| stat.uid)),
        on("apart:three", "5/min", Headers::legacy().with("x-of", |stat| stat.uid)),
    ]);
    let app = Router::new().route("/", get(async || "")).layer(layer).layer(app().build().layer());
    let reply = Client::of(app).await.get("/").await;
    assert_eq!(reply.legacy(), Some([5, 4, 60]));
    let shown = ["x-quota", "x-quota-left", "x-left", "x-of"].map(|name| reply.header(name).unwrap());
    assert_eq!(shown, ["3", "2", "2", "apart:two"]);
}

/// One member that the current draft does not allow makes clients ignore the whole list, including our own members.
#[tokio::test]
async fn what_an_older_draft_says_is_replaced() {
    async fn handler() -> impl IntoResponse {
        axum::response::AppendHeaders([
            ("ratelimit-policy", "100;w=60"),
            ("ratelimit-policy", r#""upstream";q=100;w=60"#),
            ("ratelimit", "limit=100, remaining=50, reset=5"),
            ("ratelimit", ""),
        ])
    }
    let one = build("t12", "5/min").build().unwrap();
    let app =
        Router::new().route("/", get(handler)).layer(ThrottleLayer::new([one])).layer(app().build().layer());
    let reply = Client::of(app).await.get("/").await;
    assert_eq!(reply.header("ratelimit-policy"), Some(r#""upstream";q=100;w=60, "t12";q=5;w=60"#));
    assert_eq!(reply.header("ratelimit"), Some(r#""t12";r=4;t=60"#));
}

/// Several gateways along the way may each have added a line.
#[tokio::test]
async fn what_comes_twice_is_replaced() {
    for twice in 0..3 {
        let names = ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"];
        let lines = [names[0], names[1], names[2], names[twice]].map(|name| (name, "1"));
        let handler = async move || axum::response::AppendHeaders(lines);
        let one = build("twice", "5/min").build().unwrap();
        let app = Router::new()
            .route("/", get(handler))
            .layer(ThrottleLayer::new([one]))
            .layer(app().build().layer());
        assert_eq!(Client::of(app).await.get("/").await.legacy(), Some([5, 4, 60]), "{}", names[twice]);
    }
}

#[tokio::test]
async fn a_name_within_a_parameter_is_nobodys_policy() {
    async fn handler() -> impl IntoResponse {
        [("ratelimit", r#""upstream";r=1;t=2;pk="t13""#)]
    }
    let one = build("t13", "5/min").build().unwrap();
    let app =
        Router::new().route("/", get(handler)).layer(ThrottleLayer::new([one])).layer(app().build().layer());
    let reply = Client::of(app).await.get("/").await;
    assert_eq!(reply.header("ratelimit"), Some(r#""upstream";r=1;t=2;pk="t13", "t13";r=4;t=60"#));
}

#[tokio::test]
async fn nothing_is_said_of_who_is_not_counted() {
    let exempt = build("exempt", "5/min").identifier(|_: &Parts| EXEMPTED).build().unwrap();
    let unlimited = build("unlimited", "unlimited").build().unwrap();
    let free = build("free", "5/min").cost(0).build().unwrap();
    for one in [exempt, unlimited, free] {
        let reply = Client::of(router(&one)).await.get("/").await;
        assert_eq!(FAMILIES.map(|name| reply.header(name)), [None; 5]);
    }
    let shadow = build("shadow", "1/min").shadow().build().unwrap();
    let client = Client::of(router(&shadow)).await;
    for _ in 0..2 {
        let reply = client.get("/").await;
        assert_eq!(reply.status, 200);
        assert_eq!(FAMILIES.map(|name| reply.header(name)), [None; 5]);
    }
    assert!(matches!(shadow.check("nobody").await, Ok(Decision::Allowed(_))));
}

/// A client that paces itself relies on this: so many units in so many seconds.
#[tokio::test]
async fn a_bucket_tells_the_time_in_which_it_fills() {
    let steady = strategy::Gcra::new;
    for (rate, strategy, policy) in [
        ("20/min", steady().into_strategy(), r#""own";q=1;w=3"#),
        ("20/min", steady().burst(40).into_strategy(), r#""own";q=40;w=120"#),
        // A seventh of a minute is not a whole number of seconds.
        ("7/min", steady().into_strategy(), r#""own";q=1"#),
        ("20/min", strategy::TokenBucket::new().burst(5).into_strategy(), r#""own";q=5;w=15"#),
        ("20/min", strategy::TokenBucket::new().into_strategy(), r#""own";q=20;w=60"#),
        ("20/min", strategy::LeakyBucket::new().into_strategy(), r#""own";q=20;w=60"#),
    ] {
        let own = build("own", rate).strategy(strategy).build().unwrap();
        let client = Client::of(router(&own)).await;
        let mut last = client.get("/").await;
        assert_eq!((last.status, last.header("ratelimit-policy")), (200, Some(policy)));
        while last.status == 200 {
            last = client.get("/").await;
        }
        assert_eq!(last.header("ratelimit-policy"), Some(policy), "refused");
    }
}

#[tokio::test]
async fn handlers_that_hit_by_themselves_write_what_a_gate_would() {
    let (memory, _) = memory();
    let quiet = build("direct:quiet", "2/min").headers(Headers::legacy().only_throttled()).build().unwrap();
    let open = build("direct:open", "3/min").build().unwrap();
    let secret = build("direct:secret", "3/min").shadow().build().unwrap();
    let direct = async move |parts: Parts| -> Result<_, Error> {
        let mut all = HeaderMap::new();
        for throttle in [&open, &secret] {
            let decision = throttle.hit(&parts).await?;
            all.extend(throttle.response_headers(&parts, &decision));
        }
        Ok(all)
    };
    let refused = async move |parts: Parts| -> Result<_, Error> {
        let decision = quiet.hit(&parts).await?;
        Ok((quiet.response_headers(&parts, &decision), decision.is_allowed().to_string()))
    };
    let exempt = build("direct:exempt", "1/min").identifier(|_: &Parts| EXEMPTED).build().unwrap();
    let exempt = async move |parts: Parts| -> Result<_, Error> {
        let decision = exempt.hit(&parts).await?;
        Ok(exempt.response_headers(&parts, &decision))
    };
    #[throttle("direct:gate", rate = "9/min")]
    async fn both(parts: Parts) -> Result<HeaderMap, Error> {
        static INNER: LazyLock<Throttle> = LazyLock::new(|| build("direct:inner", "5/min").build().unwrap());
        let decision = INNER.hit(&parts).await?;
        Ok(INNER.response_headers(&parts, &decision))
    }
    let app = Router::new()
        .route("/direct", get(direct))
        .route("/refused", get(refused))
        .route("/exempt", get(exempt))
        .route("/both", get(both))
        .layer(Traffik::builder().backend(memory).build().layer());
    let client = Client::of(app).await;
    let reply = client.get("/direct").await;
    assert_eq!(reply.header("ratelimit-policy"), Some(r#""direct:open";q=3;w=60"#));
    assert_eq!(reply.header("ratelimit"), Some(r#""direct:open";r=2;t=60"#));
    assert_eq!(reply.legacy(), Some([3, 2, 60]));
    for (body, legacy) in [("true", None), ("true", None), ("false", Some([2, 0, 60]))] {
        let reply = client.get("/refused").await;
        assert_eq!((reply.status, &*reply.body, reply.legacy()), (200, body, legacy));
        assert_eq!(reply.header("ratelimit"), None);
    }
    assert_eq!(client.get("/exempt").await.legacy(), None);
    let reply = client.get("/both").await;
    assert_eq!(reply.header("ratelimit"), Some(r#""direct:inner";r=4;t=60, "direct:gate";r=8;t=60"#));
    assert_eq!(reply.legacy(), Some([5, 4, 60]));
}

/// Without headers of its own, a throttle has the app's.
#[tokio::test]
async fn direct_hits_follow_the_apps_headers() {
    let throttle = build("direct:app", "3/min").build().unwrap();
    let handler = async move |parts: Parts| -> Result<_, Error> {
        let decision = throttle.hit(&parts).await?;
        Ok(throttle.response_headers(&parts, &decision))
    };
    let app = app().headers(Headers::draft()).build();
    let client = Client::of(Router::new().route("/", get(handler)).layer(app.layer())).await;
    let reply = client.get("/").await;
    assert_eq!((reply.header("ratelimit").is_some(), reply.legacy()), (true, None));
}

/// A refusal knows its window. Of a hit that has passed, only a gate does.
#[tokio::test]
async fn direct_hits_know_the_window_of_a_fixed_rate_or_a_refusal() {
    let minute = |_: &Parts| Rate::per_minute(1);
    let throttle = build("direct:window", "1/hour").rate_with(minute).build().unwrap();
    let handler = async move |parts: Parts| -> Result<_, Error> {
        let decision = throttle.hit(&parts).await?;
        Ok(throttle.response_headers(&parts, &decision))
    };
    let client = Client::of(Router::new().route("/", get(handler)).layer(app().build().layer())).await;
    for policy in [r#""direct:window";q=1"#, r#""direct:window";q=1;w=60"#] {
        assert_eq!(client.get("/").await.header("ratelimit-policy"), Some(policy));
    }
}
