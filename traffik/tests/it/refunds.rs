//! `refund_on`: the status of a response refunds the cost, per throttle, while the body streams on.

use std::convert::Infallible;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::routing::get;
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use traffik::strategy::TokenBucket;
use traffik::test_kit::FaultyBackend;
use traffik::{Charge, MemoryBackend, Registry, Settled, Throttle, ThrottleLayer, Traffik, throttle};

use crate::support::{Result, get_from, isolated, memory, send, statuses, still, used};

/// Counts the pieces of the body, each of which is made when it is asked for.
static MADE: AtomicUsize = AtomicUsize::new(0);

fn pieces() -> Body {
    Body::from_stream(futures_util::stream::unfold(0, async |sent| {
        MADE.fetch_add(1, Ordering::SeqCst);
        (sent < 3).then(|| (Ok::<_, Infallible>(Bytes::from(format!("{sent} "))), sent + 1))
    }))
}

fn on(uid: &str, memory: &MemoryBackend) -> Throttle {
    Throttle::builder(uid)
        .rate("10/day")
        .registry(&Registry::new())
        .backend(memory.clone())
        .identifier(|_: &traffik::Parts| "ann")
        .build()
        .unwrap()
}

static MEMORY: LazyLock<MemoryBackend> = LazyLock::new(still);
static REFUNDS: LazyLock<Throttle> = LazyLock::new(|| on("refunds:refunds", &MEMORY));
static KEEPS: LazyLock<Throttle> = LazyLock::new(|| on("refunds:keeps", &MEMORY));

#[throttle(REFUNDS, refund_on = "5xx")]
#[throttle(KEEPS)]
async fn failing() -> Response<Body> {
    Response::builder().status(StatusCode::BAD_GATEWAY).header("x-own", "kept").body(pieces()).unwrap()
}

/// The same through a layer with a different body type.
async fn bare() -> Response<Body> {
    Response::builder().status(StatusCode::BAD_GATEWAY).header("x-own", "kept").body(pieces()).unwrap()
}

#[tokio::test]
async fn the_body_streams_on_untouched() -> Result {
    let layered = Throttle::builder("refunds:layer")
        .rate("10/day")
        .registry(&Registry::new())
        .backend(MEMORY.clone())
        .identifier(|_: &traffik::Parts| "ann")
        .refund_on_status(|status| status.is_server_error())
        .build()?;
    let app = Router::new()
        .route("/layer", get(bare).layer(ThrottleLayer::new([&layered])))
        .route("/attribute", get(failing));
    for path in ["/attribute", "/layer"] {
        MADE.store(0, Ordering::SeqCst);
        let response = send(&app, get_from(path, "192.0.2.1", &[])).await;
        assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
        assert_eq!(response.headers()["x-own"], "kept");
        assert_eq!(MADE.load(Ordering::SeqCst), 0, "{path}: nothing has been asked for yet");
        assert_eq!(
            (used(&REFUNDS).await, used(&layered).await),
            (0, 0),
            "{path}: given back by the status alone"
        );
        let mut body = response.into_body();
        assert_eq!(body.size_hint().exact(), None);
        for piece in 0..3 {
            let frame = body.frame().await.ok_or("a piece")??;
            assert_eq!(frame.into_data().ok(), Some(Bytes::from(format!("{piece} "))), "{path}");
            assert_eq!(MADE.load(Ordering::SeqCst), piece + 1, "{path}: each when it is asked for");
        }
        assert!(body.frame().await.is_none());
    }
    assert_eq!(used(&KEEPS).await, 1, "the throttle beside it keeps its cost");
    Ok(())
}

#[throttle("refunds:error", rate = "1/day", refund_on = "error")]
async fn missing() -> StatusCode {
    StatusCode::NOT_FOUND
}

#[throttle("refunds:5xx", rate = "1/day", refund_on = "5xx")]
async fn missing_is_no_5xx() -> StatusCode {
    StatusCode::NOT_FOUND
}

fn teapots(status: StatusCode) -> bool {
    status == StatusCode::IM_A_TEAPOT
}

#[throttle("refunds:fn", rate = "1/day", refund_on = teapots)]
async fn teapot() -> StatusCode {
    StatusCode::IM_A_TEAPOT
}

#[tokio::test]
async fn which_statuses_is_said_per_throttle() {
    let app = Router::new().route("/error", get(missing)).route("/5xx", get(missing_is_no_5xx));
    let (app, _) = isolated(app.route("/fn", get(teapot)));
    assert_eq!(statuses(&app, "/error", "192.0.2.1", 3).await, [404; 3]);
    assert_eq!(statuses(&app, "/5xx", "192.0.2.1", 3).await, [404, 429, 429]);
    assert_eq!(statuses(&app, "/fn", "192.0.2.1", 3).await, [418; 3]);
}

/// The status of a refusal refunds nothing, since nothing was charged.
#[tokio::test]
async fn a_refusal_is_no_error_to_give_back() {
    #[throttle("refunds:refused", rate = "1/day", refund_on = "error")]
    async fn fine() {}
    let (app, _) = isolated(Router::new().route("/", get(fine)));
    assert_eq!(statuses(&app, "/", "192.0.2.1", 4).await, [200, 429, 429, 429]);
}

/// What a refusal refunds on an earlier backend is reported as remaining.
#[tokio::test]
async fn what_goes_back_on_an_earlier_backend_is_left_again() -> Result {
    let on = |uid: &str, rate: &str, strategy: TokenBucket| {
        let builder = Throttle::builder(uid).rate(rate).strategy(strategy).registry(&Registry::new());
        builder.backend(still()).build()
    };
    let plain = TokenBucket::new();
    let [first, second] = [on("back:first", "10/hour", plain)?, on("back:second", "9/hour", plain.debt(5))?];
    let last = on("back:last", "1/hour", plain)?;
    let app = Router::new().route("/", get(async || ""));
    let app = app.layer(ThrottleLayer::new([&first, &second, &last]));
    for status in [200, 429] {
        let response = send(&app, get_from("/", "192.0.2.1", &[])).await;
        let told = response.headers()["ratelimit"].to_str()?;
        let left: Vec<_> = told.split(',').filter_map(|one| one.split(';').nth(1)).collect();
        assert_eq!((response.status().as_u16(), left), (status, vec!["r=9", "r=13", "r=0"]));
    }
    Ok(())
}

#[tokio::test]
async fn what_is_on_several_backends_goes_back_to_each() -> Result {
    static FIRST: LazyLock<Throttle> = LazyLock::new(|| on("apart:first", &still()));
    static SECOND: LazyLock<Throttle> = LazyLock::new(|| on("apart:second", &still()));
    #[throttle(FIRST, refund_on = "5xx")]
    #[throttle(SECOND, refund_on = "5xx")]
    async fn fails() -> StatusCode {
        StatusCode::BAD_GATEWAY
    }
    assert!(SECOND.hit("ann").await?.is_allowed());
    let app = Router::new().route("/", get(fails));
    assert_eq!(statuses(&app, "/", "192.0.2.1", 3).await, [502; 3]);
    assert_eq!((used(&FIRST).await, used(&SECOND).await), (0, 1));
    Ok(())
}

/// If the store stops answering, a response is delayed by one deadline, however many throttles make a refund.
#[tokio::test(start_paused = true)]
async fn what_goes_back_with_an_answer_is_one_call() -> Result {
    static STORE: LazyLock<FaultyBackend> = LazyLock::new(|| FaultyBackend::new(still()));
    #[throttle("together:minute", rate = "100/min", refund_on = "5xx")]
    #[throttle("together:hour", rate = "1000/hour", cost = 3, refund_on = "5xx")]
    #[throttle("together:day", rate = "9999/day", cost = 7, refund_on = "5xx")]
    async fn fails(uri: http::Uri, charge: Charge) -> StatusCode {
        match uri.path() {
            "/settled" => assert_eq!(charge.of("together:hour").settle(50).await.unwrap(), Settled::InFull),
            "/silent" => drop(STORE.clone().delay(Duration::from_secs(9))),
            _ => {}
        }
        StatusCode::BAD_GATEWAY
    }
    let app = Router::new().fallback(fails).layer(Traffik::builder().backend(STORE.clone()).build().layer());
    // The calls are to decide, to settle, and to refund. Units charged by a settlement are a separate charge
    // on the same account, which takes a second call to refund.
    for (path, expected) in [("/", 2), ("/settled", 4), ("/", 2), ("/silent", 2)] {
        let (calls, began) = (STORE.calls(), tokio::time::Instant::now());
        let response = send(&app, get_from(path, "192.0.2.1", &[])).await;
        assert_eq!((response.status().as_u16(), STORE.calls() - calls), (502, expected), "{path}");
        let told = response.headers()["ratelimit"].to_str()?;
        assert!(["r=99;", "r=997;", "r=9992;"].iter().all(|left| told.contains(left)), "{path}: {told}");
        assert!(began.elapsed() <= traffik::DEFAULT_DEADLINE, "{path}: {:?}", began.elapsed());
    }
    Ok(())
}

/// The remainder is not understated, even where an account may go below zero.
#[tokio::test]
async fn what_a_layer_gives_back_is_left_on_credit_too() -> Result {
    let on = |uid: &str, rate: &str, debt: u64| {
        let builder = Throttle::builder(uid).rate(rate).strategy(TokenBucket::new().debt(debt));
        builder.registry(&Registry::new()).backend(still()).build()
    };
    let (outside, inside) = (on("credit:outside", "10/hour", 5)?, on("credit:inside", "1/hour", 0)?);
    let app = Router::new().route("/", get(async || ""));
    let app = app.layer(ThrottleLayer::new([&inside])).layer(ThrottleLayer::new([&outside]));
    for status in [200, 429] {
        let response = send(&app, get_from("/", "192.0.2.1", &[])).await;
        let told = response.headers()["ratelimit"].to_str()?;
        assert_eq!(response.status(), status);
        assert!(told.contains(r#""credit:outside";r=14;"#), "{told}");
    }
    Ok(())
}

/// As the guide says: only a reservation knows when it was charged.
#[tokio::test]
async fn a_direct_refund_takes_the_current_window_and_a_reservation_its_own() -> Result {
    let (memory, clock) = memory();
    let throttle = on("refunds:windows", &memory);
    let reservation = throttle.reserve("ann").cost(5).await?;
    throttle.hit("ann").cost(5).await?.into_result()?;
    clock.advance(Duration::from_secs(86_400));
    throttle.hit("ann").cost(8).await?.into_result()?;
    reservation.cancel().await?;
    assert_eq!(used(&throttle).await, 8);
    throttle.refund("ann", 5).await?;
    assert_eq!(used(&throttle).await, 3);
    Ok(())
}
