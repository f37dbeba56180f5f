//! `Charge`, the extractor: a handler settles what the gate and the layers have charged.

mod layers;

use std::sync::LazyLock;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::FromRequestParts;
use axum::routing::get;
use http::StatusCode;
use traffik::strategy::TokenBucket;
use traffik::test_kit::{FaultyBackend, ManualClock};
use traffik::{
    Charge, EXEMPTED, Headers, MemoryBackend, OnCancel, Registry, Settled, Throttle, ThrottleLayer, Traffik,
    throttle,
};

use crate::support::{Result, get_from, isolated, send, statuses, still};

async fn used(throttle: &Throttle, request: &http::Request<Body>) -> u64 {
    let (parts, _) = http::Request::builder().body(()).unwrap().into_parts();
    let mut parts = parts;
    parts.extensions = request.extensions().clone();
    throttle.stat(&parts).await.unwrap().map_or(0, |stat| stat.used)
}

fn on(uid: &str, rate: &str, memory: &MemoryBackend) -> traffik::ThrottleBuilder {
    Throttle::builder(uid).rate(rate).registry(&Registry::new()).backend(memory.clone())
}

/// Sends a request and returns the remainder that the legacy header of the response reports.
async fn remaining(app: &Router, path: &str) -> u64 {
    let response = send(app, get_from(path, "192.0.2.1", &[])).await;
    response.headers()["x-ratelimit-remaining"].to_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn one_throttle_is_settled_to_what_was_used() {
    #[throttle("charge:one", rate = "1000/hour", cost = 100)]
    async fn one(charge: Charge) -> String {
        assert_eq!(charge.charged(), 100);
        format!("{:?}", charge.settle(30).await.unwrap())
    }
    let (app, _) = isolated(Router::new().route("/", get(one)));
    for before in [0, 30, 60] {
        assert_eq!(remaining(&app, "/").await, 1_000 - before - 100);
    }
}

#[tokio::test]
async fn one_that_is_cancelled_costs_nothing() {
    #[throttle("charge:cancelled", rate = "1000/hour", cost = 100)]
    async fn none(charge: Charge) {
        charge.cancel().await.unwrap();
    }
    let (app, _) = isolated(Router::new().route("/", get(none)));
    for _ in 0..2 {
        assert_eq!(remaining(&app, "/").await, 900, "as of when the handler began");
    }
}

#[tokio::test]
async fn of_several_one_is_named() {
    #[throttle("charge:requests", rate = "60/hour")]
    #[throttle("charge:tokens", rate = "1000/hour", cost = 100)]
    async fn two(charge: Charge) -> String {
        assert_eq!(charge.charged(), 101);
        let settled = charge.of("charge:tokens").settle(250).await.unwrap();
        let again = charge.of("charge:tokens").settle(1_000).await.unwrap();
        let unknown = charge.of("charge:nobody").settle(7).await.unwrap();
        assert_eq!((again, unknown), (Settled::Nothing, Settled::Nothing), "settled once");
        format!("{settled:?} {}", charge.charged())
    }
    let (app, _) = isolated(Router::new().route("/", get(two)));
    let response = send(&app, get_from("/", "192.0.2.1", &[])).await;
    assert_eq!(crate::support::body(response).await, "InFull 251");
    let limits = send(&app, get_from("/", "192.0.2.1", &[])).await;
    let limits = limits.headers()["ratelimit"].to_str().unwrap().to_owned();
    assert!(
        limits.contains(r#""charge:requests";r=58"#) && limits.contains(r#""charge:tokens";r=650"#),
        "{limits}"
    );
}

#[tokio::test]
async fn a_stack_is_settled_in_one_call() -> Result {
    #[throttle("charge:minute", rate = "500/min", cost = 100)]
    #[throttle("charge:day", rate = "1000/day", cost = 300)]
    async fn both(charge: Charge) -> String {
        format!("{:?}", charge.settle(200).await.unwrap())
    }
    let calls = traffik_counting();
    let app = Router::new().route("/", get(both));
    let app = app.layer(Traffik::builder().backend(calls.clone()).build().layer());
    let response = send(&app, get_from("/", "192.0.2.1", &[])).await;
    assert_eq!(crate::support::body(response).await, "InFull");
    assert_eq!(calls.calls(), 2, "one to decide, and one to settle");
    let limits = send(&app, get_from("/", "192.0.2.1", &[])).await;
    let limits = limits.headers()["ratelimit"].to_str().unwrap().to_owned();
    assert!(
        limits.contains(r#""charge:minute";r=200"#) && limits.contains(r#""charge:day";r=500"#),
        "{limits}"
    );
    Ok(())
}

/// Of one store as of several, and whichever comes first.
#[tokio::test]
async fn a_stack_is_settled_as_badly_as_the_worst_of_it() {
    static MEMORY: LazyLock<MemoryBackend> = LazyLock::new(still);
    static WIDE: LazyLock<Throttle> = LazyLock::new(|| on("charge:wide", "9/day", &MEMORY).build().unwrap());
    static NARROW: LazyLock<Throttle> =
        LazyLock::new(|| on("charge:narrow", "5/day", &MEMORY).build().unwrap());
    static APART: LazyLock<Throttle> =
        LazyLock::new(|| on("charge:apart", "9/day", &still()).build().unwrap());
    #[throttle(WIDE)]
    #[throttle(NARROW)]
    #[throttle(APART)]
    async fn all(charge: Charge) -> String {
        format!("{:?}", charge.settle(7).await.unwrap())
    }
    let app = Router::new().route("/", get(all));
    let response = send(&app, get_from("/", "192.0.2.1", &[])).await;
    assert_eq!(crate::support::body(response).await, "AtLimit { missing: 2 }");
}

#[tokio::test]
async fn a_settlement_never_fails_the_response() {
    static FAULTY: LazyLock<FaultyBackend> = LazyLock::new(|| FaultyBackend::new(still()));
    #[throttle("charge:fails", rate = "1000/day", cost = 100)]
    async fn fails(charge: Charge) -> &'static str {
        let _armed = FAULTY.clone().fail_next(1);
        charge.settle(30).await.ok();
        "answered"
    }
    let app = Router::new().route("/", get(fails));
    let app = app.layer(Traffik::builder().backend(FAULTY.clone()).build().layer());
    let response = send(&app, get_from("/", "192.0.2.1", &[])).await;
    assert_eq!(
        (response.status(), crate::support::body(response).await.as_str()),
        (StatusCode::OK, "answered")
    );
}

#[tokio::test]
async fn a_streamed_answer_settles_at_its_end() -> Result {
    static TOKENS: LazyLock<Throttle> = LazyLock::new(|| {
        let memory = still();
        on("charge:streamed", "1000/day", &memory).on_cancel(OnCancel::Refund).cost(100).build().unwrap()
    });
    #[throttle(TOKENS)]
    async fn streamed(charge: Charge) -> Body {
        let pieces = futures_util::stream::unfold((Some(charge), 0), async |(charge, sent)| {
            if sent < 3 {
                return Some((Ok::<_, std::convert::Infallible>(Bytes::from("word ")), (charge, sent + 1)));
            }
            charge?.settle(sent).await.ok();
            None
        });
        Body::from_stream(pieces)
    }
    let app = Router::new().route("/", get(streamed));
    let request = || get_from("/", "192.0.2.1", &[]);
    let response = send(&app, request()).await;
    assert_eq!(used(&TOKENS, &request()).await, 100, "reserved until the end");
    assert_eq!(crate::support::body(response).await, "word word word ");
    assert_eq!(used(&TOKENS, &request()).await, 3);

    drop(send(&app, request()).await);
    assert_eq!(used(&TOKENS, &request()).await, 3, "the client went away, and the rule gives back");
    Ok(())
}

#[tokio::test]
async fn a_client_that_goes_away_follows_the_rule() -> Result {
    static KEEPS: LazyLock<Throttle> =
        LazyLock::new(|| on("charge:keeps", "1000/day", &still()).cost(100).build().unwrap());
    static REFUNDS: LazyLock<Throttle> = LazyLock::new(|| {
        let builder = on("charge:refunds", "1000/day", &still());
        builder.cost(100).on_cancel(OnCancel::Refund).build().unwrap()
    });
    #[throttle(KEEPS)]
    #[throttle(REFUNDS)]
    async fn hangs(charge: Charge) {
        std::future::pending::<()>().await;
        charge.settle(1).await.ok();
    }
    let app = Router::new().route("/", get(hangs));
    let request = || get_from("/", "192.0.2.1", &[]);
    let mut call = Box::pin(send(&app, request()));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(call.as_mut().poll(&mut cx).is_pending());
    assert_eq!((used(&KEEPS, &request()).await, used(&REFUNDS, &request()).await), (100, 100));
    drop(call);
    assert_eq!((used(&KEEPS, &request()).await, used(&REFUNDS, &request()).await), (100, 0));
    Ok(())
}

/// A WebSocket, for example, keeps the head of its request for as long as it is open.
#[tokio::test]
async fn whoever_keeps_the_request_keeps_no_charge() -> Result {
    static KEPT: std::sync::Mutex<Vec<traffik::Parts>> = std::sync::Mutex::new(Vec::new());
    fn refunds(uid: &str) -> Throttle {
        on(uid, "1000/day", &still()).cost(100).on_cancel(OnCancel::Refund).build().unwrap()
    }
    static GATE: LazyLock<Throttle> = LazyLock::new(|| refunds("charge:kept:gate"));
    static LAYER: LazyLock<Throttle> = LazyLock::new(|| refunds("charge:kept:layer"));
    #[throttle(GATE)]
    async fn keeps(charge: Charge, parts: traffik::Parts) {
        let layer = charge.of(LAYER.uid());
        assert_eq!((charge.charged(), layer.charged()), (100, 100));
        KEPT.lock().unwrap().push(parts);
    }
    let app = Router::new().route("/", get(keeps)).layer(ThrottleLayer::new([&*LAYER]));
    let request = || get_from("/", "192.0.2.1", &[]);
    assert_eq!(send(&app, request()).await.status(), StatusCode::OK);
    assert_eq!((used(&GATE, &request()).await, used(&LAYER, &request()).await), (0, 0));
    assert_eq!(KEPT.lock().unwrap().len(), 1);
    Ok(())
}

/// An extractor before `Charge` that rejects some requests and never completes others.
struct Before;

impl<S: Sync> FromRequestParts<S> for Before {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut traffik::Parts, _: &S) -> std::result::Result<Self, StatusCode> {
        match parts.uri.path() {
            "/rejected" => Err(StatusCode::BAD_REQUEST),
            "/waits" => std::future::pending().await,
            _ => Ok(Self),
        }
    }
}

#[tokio::test]
async fn a_charge_that_the_handler_never_saw_follows_the_rule_too() -> Result {
    static KEEPS: LazyLock<Throttle> =
        LazyLock::new(|| on("charge:unseen:keeps", "1000/day", &still()).cost(100).build().unwrap());
    static REFUNDS: LazyLock<Throttle> = LazyLock::new(|| {
        let builder = on("charge:unseen:refunds", "1000/day", &still()).headers(Headers::never());
        builder.cost(100).on_cancel(OnCancel::Refund).build().unwrap()
    });
    mod another {
        /// Has the same name, but is a different type.
        pub(super) struct Charge;

        impl<S: Sync> axum::extract::FromRequestParts<S> for Charge {
            type Rejection = std::convert::Infallible;

            async fn from_request_parts(_: &mut traffik::Parts, _: &S) -> Result<Self, Self::Rejection> {
                Ok(Self)
            }
        }
    }
    #[throttle(KEEPS)]
    #[throttle(REFUNDS)]
    async fn settles(_: Before, charge: Charge) {
        charge.settle(30).await.unwrap();
    }
    #[throttle(REFUNDS)]
    async fn alone(_: Before, charge: Charge) {
        charge.settle(30).await.unwrap();
    }
    #[throttle(REFUNDS)]
    async fn other(_: another::Charge) {}
    let app = Router::new().route("/other", get(other)).route("/alone/{path}", get(alone)).fallback(settles);
    let used = async || {
        let request = get_from("/", "192.0.2.1", &[]);
        [used(&KEEPS, &request).await, used(&REFUNDS, &request).await]
    };
    assert_eq!(statuses(&app, "/rejected", "192.0.2.1", 1).await, [400]);
    assert_eq!(used().await, [100, 0]);
    let mut call = Box::pin(send(&app, get_from("/waits", "192.0.2.1", &[])));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(call.as_mut().poll(&mut cx).is_pending());
    assert_eq!(used().await, [200, 100]);
    drop(call);
    assert_eq!(used().await, [200, 0]);
    assert_eq!(statuses(&app, "/settled", "192.0.2.1", 1).await, [200]);
    assert_eq!(used().await, [230, 30]);
    assert_eq!(statuses(&app, "/other", "192.0.2.1", 1).await, [200]);
    assert_eq!(used().await, [230, 130], "who answers without a charge is charged");
    assert_eq!(statuses(&app, "/alone/settled", "192.0.2.1", 1).await, [200]);
    assert_eq!(used().await, [230, 160]);
    Ok(())
}

/// A layer has charged in place of the handler's own throttle.
#[tokio::test]
async fn what_a_layer_charged_for_a_handler_that_never_saw_it_follows_the_rule_too() -> Result {
    static REFUNDS: LazyLock<Throttle> = LazyLock::new(|| {
        let builder = on("charge:unseen:layer", "1000/day", &still()).cost(100);
        builder.on_cancel(OnCancel::Refund).build().unwrap()
    });
    #[throttle(REFUNDS)]
    async fn settles(_: Before, charge: Charge) {
        charge.settle(30).await.unwrap();
    }
    let app = Router::new().fallback(settles).layer(ThrottleLayer::new([&*REFUNDS]));
    let used = async || used(&REFUNDS, &get_from("/", "192.0.2.1", &[])).await;
    assert_eq!(statuses(&app, "/rejected", "192.0.2.1", 1).await, [400]);
    assert_eq!(used().await, 0);
    let mut call = Box::pin(send(&app, get_from("/waits", "192.0.2.1", &[])));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(call.as_mut().poll(&mut cx).is_pending());
    assert_eq!(used().await, 100);
    drop(call);
    assert_eq!(used().await, 0);
    assert_eq!(statuses(&app, "/settled", "192.0.2.1", 1).await, [200]);
    assert_eq!(used().await, 30);
    Ok(())
}

/// The same while the gate is still charging what the handler costs beyond that.
#[tokio::test(start_paused = true)]
async fn what_a_layer_charged_follows_the_rule_while_the_gate_asks_for_more() -> Result {
    static DEARER: LazyLock<Throttle> = LazyLock::new(|| {
        let slow = FaultyBackend::new(still()).delay(Duration::from_millis(50));
        let builder = on("charge:unseen:dearer", "100/day", &still()).backend(slow).cost(10);
        builder.on_cancel(OnCancel::Refund).build().unwrap()
    });
    #[throttle(DEARER, cost = 30)]
    async fn settles(charge: Charge) {
        charge.settle(20).await.unwrap();
    }
    let app = Router::new().fallback(settles).layer(ThrottleLayer::new([&*DEARER]));
    let request = || get_from("/", "192.0.2.1", &[]);
    for patience in [20, 70] {
        let call = send(&app, request());
        assert!(tokio::time::timeout(Duration::from_millis(patience), call).await.is_err());
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(used(&DEARER, &request()).await, 0, "gone after {patience} ms");
    }
    assert_eq!(statuses(&app, "/", "192.0.2.1", 5).await, [200, 200, 200, 200, 429]);
    assert_eq!(used(&DEARER, &request()).await, 80, "what a refusal gave back was given back once");
    Ok(())
}

#[tokio::test]
async fn refund_on_gives_back_what_was_settled_and_no_more() -> Result {
    static THROTTLE: LazyLock<Throttle> =
        LazyLock::new(|| on("charge:refund_on", "1000/day", &still()).cost(100).build().unwrap());
    #[throttle(THROTTLE, refund_on = "5xx")]
    async fn fails(charge: Charge) -> StatusCode {
        charge.settle(30).await.unwrap();
        StatusCode::INTERNAL_SERVER_ERROR
    }
    let request = || get_from("/", "192.0.2.1", &[]);
    let app = Router::new().route("/", get(fails));
    let inside = used(&THROTTLE, &request()).await;
    let (mut parts, ()) = http::Request::builder().body(()).unwrap().into_parts();
    parts.extensions = request().extensions().clone();
    assert!(THROTTLE.hit(&parts).cost(50).await?.is_allowed());
    send(&app, request()).await;
    assert_eq!((inside, used(&THROTTLE, &request()).await), (0, 50), "others' units stay charged");
    Ok(())
}

#[tokio::test]
async fn what_a_settlement_takes_besides_can_be_given_back_for_longer() -> Result {
    static CLOCK: LazyLock<ManualClock> = LazyLock::new(ManualClock::new);
    static LEAKS: LazyLock<Throttle> = LazyLock::new(|| {
        let memory = MemoryBackend::builder().clock(CLOCK.clone()).build();
        on("charge:leaks", "10/10s", &memory).strategy(TokenBucket::new()).build().unwrap()
    });
    #[throttle(LEAKS, refund_on = "5xx")]
    async fn fails(charge: Charge) -> StatusCode {
        // One unit drains after one second, and five units after five.
        charge.settle(5).await.unwrap();
        CLOCK.advance(Duration::from_secs(3));
        StatusCode::INTERNAL_SERVER_ERROR
    }
    let app = Router::new().route("/", get(fails));
    let request = || get_from("/", "192.0.2.1", &[]);
    send(&app, request()).await;
    assert_eq!(used(&LEAKS, &request()).await, 0, "of five, two were left");
    Ok(())
}

#[tokio::test]
async fn what_a_settlement_takes_later_has_a_window_and_an_age_of_its_own() -> Result {
    static CLOCK: LazyLock<ManualClock> = LazyLock::new(ManualClock::new);
    static MEMORY: LazyLock<MemoryBackend> =
        LazyLock::new(|| MemoryBackend::builder().clock(CLOCK.clone()).build());
    static COUNTS: LazyLock<Throttle> =
        LazyLock::new(|| on("charge:later:window", "100/min", &MEMORY).cost(10).build().unwrap());
    static LEAKS: LazyLock<Throttle> = LazyLock::new(|| {
        on("charge:later:bucket", "10/10s", &MEMORY).cost(4).strategy(TokenBucket::new()).build().unwrap()
    });
    #[throttle(COUNTS, refund_on = "5xx")]
    async fn counts(charge: Charge, request: axum::extract::Request) -> StatusCode {
        CLOCK.advance(Duration::from_secs(60));
        let (parts, _) = request.into_parts();
        assert!(COUNTS.hit(&parts).cost(5).await.unwrap().is_allowed());
        charge.settle(25).await.unwrap();
        StatusCode::INTERNAL_SERVER_ERROR
    }
    #[throttle(LEAKS, refund_on = "5xx")]
    async fn leaks(charge: Charge, request: axum::extract::Request) -> StatusCode {
        CLOCK.advance(Duration::from_secs(5));
        let (parts, _) = request.into_parts();
        assert!(LEAKS.hit(&parts).cost(3).await.unwrap().is_allowed());
        charge.settle(5).await.unwrap();
        StatusCode::INTERNAL_SERVER_ERROR
    }
    let app = Router::new().route("/counts", get(counts)).route("/leaks", get(leaks));
    let request = |path| get_from(path, "192.0.2.1", &[]);
    send(&app, request("/counts")).await;
    assert_eq!(
        used(&COUNTS, &request("/")).await,
        5,
        "fifteen were charged in the second window, five are others'"
    );
    send(&app, request("/leaks")).await;
    assert_eq!(used(&LEAKS, &request("/")).await, 3, "four had leaked, one is given back, three are others'");
    Ok(())
}

/// Whoever settles after the response finds that it has been refunded, and charges nothing.
#[tokio::test]
async fn what_has_gone_back_with_the_response_is_not_settled_any_more() {
    static THROTTLE: LazyLock<Throttle> =
        LazyLock::new(|| on("charge:gone", "1000/day", &still()).cost(100).build().unwrap());
    static LATER: std::sync::Mutex<Option<Charge>> = std::sync::Mutex::new(None);
    #[throttle(THROTTLE, refund_on = "5xx")]
    async fn fails(charge: Charge) -> StatusCode {
        *LATER.lock().unwrap() = Some(charge);
        StatusCode::INTERNAL_SERVER_ERROR
    }
    let app = Router::new().route("/", get(fails));
    let request = || get_from("/", "192.0.2.1", &[]);
    send(&app, request()).await;
    let charge = LATER.lock().unwrap().take().unwrap();
    assert_eq!(charge.settle(30).await.unwrap(), Settled::Nothing);
    assert_eq!(used(&THROTTLE, &request()).await, 0);
}

/// The handler's throttles are on two backends, the first of which is slow. By the time the second charge is
/// settled, it has already been refunded with the response.
#[tokio::test(start_paused = true)]
async fn what_goes_back_with_the_response_is_not_settled_back_as_well() -> Result {
    static SLOW: LazyLock<Throttle> = LazyLock::new(|| {
        let backend = FaultyBackend::new(still()).delay(Duration::from_millis(50));
        on("charge:race:slow", "1000/day", &still()).backend(backend).build().unwrap()
    });
    static QUICK: LazyLock<Throttle> =
        LazyLock::new(|| on("charge:race:quick", "1000/day", &still()).cost(100).build().unwrap());
    #[throttle(SLOW)]
    #[throttle(QUICK, refund_on = "5xx")]
    async fn fails(charge: Charge) -> StatusCode {
        tokio::spawn(charge.settle(30));
        tokio::task::yield_now().await;
        StatusCode::INTERNAL_SERVER_ERROR
    }
    let app = Router::new().route("/", get(fails));
    let request = || get_from("/", "192.0.2.1", &[]);
    send(&app, request()).await;
    assert_eq!(used(&QUICK, &request()).await, 0, "given back with the response");
    let (mut parts, ()) = http::Request::builder().body(()).unwrap().into_parts();
    parts.extensions = request().extensions().clone();
    assert!(QUICK.hit(&parts).cost(50).await?.is_allowed());
    tokio::time::sleep(Duration::from_millis(90)).await;
    assert_eq!(used(&SLOW, &request()).await, 30, "the settlement has come to its end");
    assert_eq!(used(&QUICK, &request()).await, 50, "others' units stay charged");
    Ok(())
}

#[tokio::test]
async fn the_exempt_get_an_empty_charge_and_nobody_a_charge_without_a_throttle() {
    fn nobody(_: &traffik::Parts) -> traffik::Identity {
        EXEMPTED
    }
    #[throttle("charge:exempt", rate = "1/hour", cost = 1, identifier = nobody)]
    async fn exempt(charge: Charge) -> String {
        assert!(charge.is_empty());
        format!("{:?}", charge.settle(1_000).await.unwrap())
    }
    async fn unthrottled(_: Charge) {}
    let app = Router::new().route("/", get(exempt)).route("/unthrottled", get(unthrottled));
    let (app, _) = isolated(app);
    assert_eq!(statuses(&app, "/", "192.0.2.1", 3).await, [200; 3]);
    assert_eq!(statuses(&app, "/unthrottled", "192.0.2.1", 1).await, [500]);
}

/// Creates a store that counts its calls and checks that none of them names a key twice.
fn traffik_counting() -> Counting {
    Counting { inner: MemoryBackend::builder().clock(ManualClock::new()).build(), calls: Default::default() }
}

#[derive(Debug, Clone)]
struct Counting {
    inner: MemoryBackend,
    calls: std::sync::Arc<std::sync::atomic::AtomicU64>,
}

impl Counting {
    fn calls(&self) -> u64 {
        self.calls.load(std::sync::atomic::Ordering::SeqCst)
    }
}

impl traffik::Backend for Counting {
    fn name(&self) -> &'static str {
        "counting"
    }

    fn decide<'a>(
        &'a self,
        op: traffik::Op,
        hits: &'a [traffik::Hit<'a>],
    ) -> traffik::BoxFuture<'a, std::result::Result<traffik::Verdicts, traffik::BackendError>> {
        self.calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let keys: std::collections::BTreeSet<u64> = hits.iter().map(traffik::Hit::hash).collect();
        assert_eq!(keys.len(), hits.len(), "{op:?} of {hits:?}");
        self.inner.decide(op, hits)
    }
}
