//! [`Outcome`]: what handlers learn about the decision on their request.

use std::convert::Infallible;
use std::sync::LazyLock;

use axum::Router;
use axum::body::Body;
use axum::middleware::{Next, from_fn};
use axum::routing::get;
use http::{Request, Response};
use tower::{Layer, ServiceExt, service_fn};
use traffik::test_kit::FaultyBackend;
use traffik::{
    Charge, EXEMPTED, Identity, OnError, Outcome, Parts, Peer, Stat, Throttle, ThrottleLayer, Throttled,
    throttle,
};

use crate::support::{Client, app, memory, throttle as build};

/// The uid, the units used and the units left of each account, as text.
fn shown(outcome: &Outcome) -> String {
    let account = |stat: &Stat| format!("{} {}/{}", stat.uid, stat.used, stat.remaining);
    outcome.stats().iter().map(account).collect::<Vec<_>>().join(", ")
}

async fn show(outcome: Outcome) -> String {
    shown(&outcome)
}

#[tokio::test]
async fn a_handler_may_run_anyway() {
    #[throttle("answers:fresh", rate = "2/min", on_throttled = "continue")]
    async fn prices(outcome: Outcome) -> String {
        outcome.throttled().map_or("fresh".into(), |refused| format!("cached, for want of {}", refused.uid()))
    }
    let client = Client::of(Router::new().route("/", get(prices)).layer(app().build().layer())).await;
    for body in ["fresh", "fresh", "cached, for want of answers:fresh", "cached, for want of answers:fresh"] {
        let reply = client.get("/").await;
        assert_eq!((reply.status, &*reply.body), (200, body));
        assert!(reply.legacy().is_some());
    }
}

#[tokio::test]
async fn who_lets_pass_hides_nobody_who_refuses() {
    #[throttle("answers:soft", rate = "1/min", on_throttled = "continue")]
    #[throttle("answers:hard", rate = "3/min")]
    async fn handler(outcome: Outcome) -> String {
        outcome.is_throttled().to_string()
    }
    let client = Client::of(Router::new().route("/", get(handler)).layer(app().build().layer())).await;
    assert_eq!(client.get("/").await.body, "false");
    // The request runs, so the other throttle charges for it.
    for left in [1, 0] {
        let reply = client.get("/").await;
        assert_eq!((&*reply.body, reply.status), ("true", 200));
        assert_eq!(
            reply.header("ratelimit"),
            Some(&*format!(r#""answers:soft";r=0;t=60, "answers:hard";r={left};t=60"#))
        );
    }
    let refused = client.get("/").await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.header("retry-after"), Some("60"));
}

/// A handler learns of the decision of a layer further out, whether or not it has a throttle of its own besides.
#[tokio::test]
async fn a_handler_under_its_own_throttle_as_a_layer_runs_anyway() {
    static BOTH: LazyLock<Throttle> =
        LazyLock::new(|| build("both", "2/min").continue_when_throttled().build().unwrap());
    #[throttle(BOTH, on_throttled = "continue")]
    async fn alone(outcome: Outcome) -> String {
        outcome.is_throttled().to_string()
    }
    #[throttle(BOTH)]
    #[throttle("answers:beside", rate = "9/min")]
    async fn beside(outcome: Outcome) -> String {
        outcome.is_throttled().to_string()
    }
    let app = Router::new()
        .route("/alone", get(alone))
        .route("/beside", get(beside))
        .layer(ThrottleLayer::new([&*BOTH]))
        .layer(app().build().layer());
    let client = Client::of(app).await;
    for (path, throttled) in
        [("/alone", "false"), ("/beside", "false"), ("/alone", "true"), ("/beside", "true")]
    {
        let reply = client.get(path).await;
        assert_eq!((reply.status, &*reply.body), (200, throttled), "{path}");
    }
}

#[tokio::test]
async fn a_layer_and_a_gate_may_both_let_pass() {
    #[throttle("answers:gate", rate = "3/min", on_throttled = "continue")]
    async fn handler(outcome: Outcome) -> String {
        outcome.throttled().map_or("", Throttled::uid).into()
    }
    let layer = build("layer", "1/min").continue_when_throttled().build().unwrap();
    let app = Router::new()
        .route("/", get(handler))
        .layer(ThrottleLayer::new([layer]))
        .layer(app().build().layer());
    let client = Client::of(app).await;
    let mut bodies = Vec::new();
    for _ in 0..4 {
        bodies.push(client.get("/").await.body);
    }
    assert_eq!(bodies, ["", "layer", "layer", "layer"]);
}

#[tokio::test]
async fn an_outcome_without_a_throttle_is_the_programmers_mistake() {
    let app = Router::new().route("/", get(async |_: Outcome| ""));
    assert_eq!(Client::of(app).await.get("/").await.status, 500);
}

#[tokio::test]
async fn an_outcome_and_a_charge_may_be_optional() {
    async fn shared(outcome: Option<Outcome>, charge: Option<Charge>) -> String {
        let throttled = outcome.map(|outcome| outcome.is_throttled());
        format!("{throttled:?} {:?}", charge.map(|charge| charge.charged()))
    }
    #[throttle("answers:optional", rate = "1/min", on_throttled = "continue")]
    async fn throttled(outcome: Option<Outcome>, charge: Option<Charge>) -> String {
        shared(outcome, charge).await
    }
    let routes = Router::new().route("/throttled", get(throttled)).route("/free", get(shared));
    let client = Client::of(routes.layer(app().build().layer())).await;
    for (path, expected) in
        [("/throttled", "Some(false) Some(1)"), ("/throttled", "Some(true) Some(0)"), ("/free", "None None")]
    {
        assert_eq!(client.get(path).await.body, expected, "{path}");
    }
}

#[tokio::test]
async fn a_handler_sees_what_its_clients_have_left() {
    #[throttle("outcome:minute", rate = "5/min", cost = 2)]
    #[throttle("outcome:hour", rate = "3/hour", headers = "never")]
    async fn handler(outcome: Outcome) -> String {
        let nearest = outcome.nearest().map(|stat| stat.uid);
        let hour = outcome.stat("outcome:hour").map(|stat| stat.remaining);
        assert_eq!((outcome.is_throttled(), outcome.stat("outcome:none")), (false, None));
        format!("{}; {nearest:?}, {hour:?}", shown(&outcome))
    }
    let client = Client::of(Router::new().route("/", get(handler)).layer(app().build().layer())).await;
    for body in [
        r#"outcome:minute 2/3, outcome:hour 1/2; Some("outcome:hour"), Some(2)"#,
        r#"outcome:minute 4/1, outcome:hour 2/1; Some("outcome:minute"), Some(1)"#,
    ] {
        assert_eq!(client.get("/").await.body, body);
    }
    assert_eq!(client.get("/").await.status, 429);
}

/// The same by each of the ways in which a gate can come to its decision.
#[tokio::test]
async fn however_a_request_is_decided_its_handler_learns_of_it() {
    async fn slow(_: &Parts) -> Identity {
        tokio::task::yield_now().await;
        Identity::from("ann")
    }
    #[throttle("outcome:quick", rate = "3/min")]
    async fn quick(outcome: Outcome) -> String {
        shown(&outcome)
    }
    #[throttle("outcome:slow", rate = "3/min", identifier = slow)]
    async fn waiting(outcome: Outcome) -> String {
        shown(&outcome)
    }
    #[throttle("outcome:silent", rate = "3/min", headers = "never", refund_on = "error")]
    async fn silent(outcome: Option<Outcome>, charge: Charge) -> String {
        format!("{} {}", outcome.as_ref().map(shown).unwrap_or_default(), charge.charged())
    }
    use traffik::throttle as limit;
    #[throttle("outcome:outer", rate = "3/min")]
    #[limit("outcome:inner", rate = "2/min")]
    async fn apart(outcome: Outcome) -> String {
        shown(&outcome)
    }
    let routes = Router::new()
        .route("/quick", get(quick))
        .route("/slow", get(waiting))
        .route("/silent", get(silent))
        .route("/apart", get(apart));
    let client = Client::of(routes.layer(app().build().layer())).await;
    for (path, body) in [
        ("/quick", "outcome:quick 1/2"),
        ("/slow", "outcome:slow 1/2"),
        ("/silent", "outcome:silent 1/2 1"),
        ("/apart", "outcome:outer 1/2, outcome:inner 1/1"),
        ("/quick", "outcome:quick 2/1"),
    ] {
        assert_eq!(client.get(path).await.body, body);
    }
}

#[tokio::test]
async fn what_counts_nothing_or_in_secret_is_not_shown() {
    fn friend(parts: &Parts) -> Identity {
        if parts.headers.contains_key("x-friend") { EXEMPTED } else { traffik::client_ip(parts) }
    }
    #[throttle("outcome:friends", rate = "5/min", identifier = friend)]
    #[throttle("outcome:secret", rate = "1/min", mode = "shadow")]
    #[throttle("outcome:free", rate = "5/min", cost = 0)]
    async fn handler(outcome: Outcome) -> String {
        assert!(!outcome.is_throttled());
        shown(&outcome)
    }
    let client = Client::of(Router::new().route("/", get(handler)).layer(app().build().layer())).await;
    for body in ["outcome:friends 1/4", "outcome:friends 2/3"] {
        assert_eq!(client.get("/").await.body, body);
    }
    assert_eq!(client.send("GET", "/", &[("x-friend", "")]).await.body, "");
}

#[tokio::test]
async fn layers_and_attributes_are_shown_together() {
    static SHARED: LazyLock<Throttle> = LazyLock::new(|| build("shared", "9/min").build().unwrap());
    #[throttle("outcome:own", rate = "5/min")]
    async fn own(outcome: Outcome) -> String {
        shown(&outcome)
    }
    #[throttle(SHARED)]
    async fn again(outcome: Outcome) -> String {
        shown(&outcome)
    }
    #[throttle(SHARED, cost = 3)]
    async fn more(outcome: Outcome) -> String {
        shown(&outcome)
    }
    #[throttle(SHARED, scope = "room")]
    async fn scoped(outcome: Outcome) -> String {
        format!("{}; {}", shown(&outcome), outcome.stat("shared").map_or(0, |stat| stat.used))
    }
    let outer = build("outer", "90/min").build().unwrap();
    let routes = Router::new()
        .route("/own", get(own))
        .route("/again", get(again))
        .route("/more", get(more))
        .route("/scoped", get(scoped))
        .route("/none", get(show));
    let app = routes
        .layer(ThrottleLayer::new([&*SHARED]))
        .layer(ThrottleLayer::new([outer]))
        .layer(app().build().layer());
    let client = Client::of(app).await;
    for (path, body) in [
        ("/none", "outer 1/89, shared 1/8"),
        ("/own", "outer 2/88, shared 2/7, outcome:own 1/4"),
        ("/again", "outer 3/87, shared 3/6"),
        ("/more", "outer 4/86, shared 6/3"),
        ("/scoped", "outer 5/85, shared 7/2, shared 1/8; 1"),
    ] {
        assert_eq!(client.get(path).await.body, body, "{path}");
    }
}

/// The account that a layer has charged is shown even if the rest of the cost is not counted, or in secret.
#[tokio::test]
async fn what_a_layer_has_counted_stays_shown() {
    static STORE: LazyLock<FaultyBackend> = LazyLock::new(|| FaultyBackend::new(memory().0));
    static SHARED: LazyLock<Throttle> = LazyLock::new(|| {
        let shared = build("shared", "9/min").backend(STORE.clone());
        shared.on_error(OnError::allow()).build().unwrap()
    });
    #[throttle(SHARED, cost = 3)]
    async fn failing(outcome: Outcome) -> String {
        shown(&outcome)
    }
    #[throttle(SHARED, cost = 3, mode = "shadow")]
    async fn secret(outcome: Outcome) -> String {
        shown(&outcome)
    }
    let fail = from_fn(async |request: Request<Body>, next: Next| {
        STORE.fail();
        let response = next.run(request).await;
        STORE.heal();
        response
    });
    let app = Router::new()
        .route("/failing", get(failing).layer(fail))
        .route("/secret", get(secret))
        .layer(ThrottleLayer::new([&*SHARED]))
        .layer(app().build().layer());
    let client = Client::of(app).await;
    assert_eq!(client.get("/failing").await.body, "shared 1/8");
    assert_eq!(client.get("/secret").await.body, "shared 2/7");
}

#[tokio::test]
async fn a_middleware_that_asks_for_an_outcome_leaves_one() {
    #[throttle("outcome:asks", rate = "9/min")]
    async fn asks(_: Outcome, request: Request<Body>, next: Next) -> Response<Body> {
        next.run(request).await
    }
    #[throttle("outcome:silent-one", rate = "9/min")]
    async fn silent(request: Request<Body>, next: Next) -> Response<Body> {
        next.run(request).await
    }
    #[throttle("outcome:inside", rate = "5/min")]
    async fn handler(outcome: Outcome) -> String {
        shown(&outcome)
    }
    let app = Router::new()
        .route("/asks", get(handler).layer(from_fn(asks)))
        .route("/asks/none", get(show).layer(from_fn(asks)))
        .route("/silent", get(handler).layer(from_fn(silent)))
        .route("/silent/none", get(show).layer(from_fn(silent)))
        .layer(app().build().layer());
    let client = Client::of(app).await;
    for (path, body) in [
        ("/asks", "outcome:asks 1/8, outcome:inside 1/4"),
        ("/asks/none", "outcome:asks 2/7"),
        ("/silent", "outcome:inside 2/3"),
    ] {
        assert_eq!(client.get(path).await.body, body, "{path}");
    }
    assert_eq!(client.get("/silent/none").await.status, 500);
}

#[tokio::test]
async fn a_refusal_that_lets_pass_is_shown_with_the_rest() {
    #[throttle("outcome:strict", rate = "9/min")]
    #[throttle("outcome:lenient", rate = "1/min", on_throttled = "continue")]
    #[throttle("outcome:last", rate = "7/min")]
    async fn handler(outcome: Outcome) -> String {
        format!("{}; {:?}", shown(&outcome), outcome.throttled().map(Throttled::uid))
    }
    let client = Client::of(Router::new().route("/", get(handler)).layer(app().build().layer())).await;
    for body in [
        "outcome:strict 1/8, outcome:lenient 1/0, outcome:last 1/6; None",
        r#"outcome:strict 2/7, outcome:lenient 1/0, outcome:last 2/5; Some("outcome:lenient")"#,
    ] {
        assert_eq!(client.get("/").await.body, body);
    }
}

#[tokio::test]
async fn services_without_extractors_read_it_from_the_request() {
    let (memory, _) = memory();
    let throttle = build("service", "2/min").backend(memory).continue_when_throttled().build().unwrap();
    let service = service_fn(async |request: Request<Body>| {
        let outcome = Outcome::of(request.extensions()).unwrap();
        Ok::<_, Infallible>(Response::new(format!("{} {}", outcome.is_throttled(), shown(&outcome))))
    });
    let service = ThrottleLayer::new([throttle]).layer(service);
    for text in ["false service 1/1", "false service 2/0", "true service 2/0"] {
        let mut request = Request::new(Body::empty());
        assert_eq!(Outcome::of(request.extensions()), None);
        request.extensions_mut().insert(Peer("192.0.2.1".parse().unwrap()));
        let response = service.clone().oneshot(request).await.unwrap();
        let body = axum::body::to_bytes(Body::new(response.into_body()), 100).await.unwrap();
        assert_eq!(&body[..], text.as_bytes());
    }
}

#[tokio::test]
async fn one_can_be_made_from_decisions() {
    let (memory, _) = memory();
    let one = build("made:one", "1/min").backend(memory.clone()).build().unwrap();
    let other = build("made:other", "5/min").backend(memory).build().unwrap();
    let mut decisions = Vec::new();
    for throttle in [&other, &one, &one, &other] {
        decisions.push(throttle.hit("ann").await.unwrap());
    }
    decisions.push(one.hit(EXEMPTED).await.unwrap());
    let outcome: Outcome = decisions.into_iter().collect();
    assert_eq!(shown(&outcome), "made:other 1/4, made:one 1/0, made:one 1/0, made:other 2/3");
    assert_eq!(outcome.throttled().map(Throttled::uid), Some("made:one"));
    assert_eq!(outcome.nearest().map(|stat| stat.uid), Some("made:one"));
    assert_eq!(outcome.stat("made:other").map(|stat| stat.used), Some(2));
    let refused = outcome.throttled().cloned();
    assert_eq!(shown(&Outcome::from(refused)), "made:one 1/0");
    assert_eq!(Outcome::from(None), Outcome::default());
}
