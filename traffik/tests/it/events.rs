//! Events about decisions: they name the uid and the outcome, belong to the request's own
//! span, and never reveal the client.

use std::io::Write;
use std::sync::{Arc, LazyLock, Mutex};

use axum::Router;
use axum::routing::get;

use crate::support::{get_from, isolated, send, still};
use axum::response::IntoResponse;
use tracing_subscriber::fmt::MakeWriter;
use traffik::test_kit::FaultyBackend;
use traffik::{
    Backend, BackendError, BoxFuture, CircuitBreaker, EXEMPTED, Hit, Identity, OnCancel, OnError, Op,
    Registry, Throttle, Verdicts, throttle,
};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn take(&self) -> Vec<String> {
        let bytes = std::mem::take(&mut *self.0.lock().unwrap());
        String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Registers interest in every event but records none. As the process-wide default, it keeps an event enabled
/// even if a test without a subscriber is the first to reach it.
struct Nobody;

impl tracing::Subscriber for Nobody {
    fn register_callsite(&self, _: &'static tracing::Metadata<'static>) -> tracing::subscriber::Interest {
        tracing::subscriber::Interest::sometimes()
    }

    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        false
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::Id {
        tracing::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::Id, _: &tracing::Id) {}
    fn event(&self, _: &tracing::Event<'_>) {}
    fn enter(&self, _: &tracing::Id) {}
    fn exit(&self, _: &tracing::Id) {}
}

/// Returns the lines logged at this level and above while `work` runs.
fn told<F: Future>(level: tracing::Level, work: F) -> Vec<String> {
    static DEFAULT: std::sync::Once = std::sync::Once::new();
    DEFAULT.call_once(|| tracing::subscriber::set_global_default(Nobody).unwrap());
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(lines.clone())
        .with_max_level(level)
        .with_ansi(false)
        .without_time()
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let span = tracing::info_span!("request", id = 7);
            tracing::Instrument::instrument(work, span).await
        });
    });
    lines.take()
}

fn rarely(uid: &str, backend: impl Into<traffik::SharedBackend>) -> Throttle {
    let registry = Registry::new();
    Throttle::builder(uid).rate("1/min").backend(backend).registry(&registry).build().unwrap()
}

#[test]
fn decisions_are_told_with_uid_and_outcome_under_the_requests_span() {
    let throttle = rarely("told", still());
    let lines = told(tracing::Level::TRACE, async {
        assert!(throttle.hit("alice").await.unwrap().is_allowed());
        assert!(!throttle.hit("alice").await.unwrap().is_allowed());
        assert!(throttle.hit(EXEMPTED).await.unwrap().is_allowed());
        // Checks are not hits.
        assert!(!throttle.check("alice").await.unwrap().is_allowed());
    });
    assert_eq!(lines.len(), 3, "{lines:#?}");
    for (line, outcome) in lines.iter().zip(["allowed", "denied", "exempt"]) {
        assert!(line.contains("request{id=7}: traffik:"), "{line}");
        assert!(line.contains(&format!(r#"uid="told" outcome="{outcome}""#)), "{line}");
        assert!(!line.contains("alice"), "{line}");
    }
    assert!(lines[0].contains("TRACE") && lines[0].contains("remaining=0"), "{lines:#?}");
    assert!(lines[1].contains("DEBUG") && lines[1].contains("retry_after=Some("), "{lines:#?}");
}

/// The throttle itself can pass requests, and its limit may be raised at runtime, so this is not a setup error.
#[test]
fn a_handler_whose_cost_can_never_pass_is_told_of_once() {
    static SHARED: LazyLock<Throttle> =
        LazyLock::new(|| Throttle::builder("told:shared").rate("5/min").build().unwrap());
    #[throttle(SHARED, cost = 6)]
    async fn too_much() {}
    #[throttle(SHARED, cost = 5)]
    async fn just_enough() {}
    let routes = Router::new().route("/too-much", get(too_much)).route("/enough", get(just_enough));
    let (router, _) = isolated(routes);
    for (path, statuses, lines) in [("/too-much", [429, 429], 1), ("/enough", [200, 429], 0)] {
        let told = told(tracing::Level::ERROR, async {
            for status in statuses {
                assert_eq!(send(&router, get_from(path, "10.0.0.1", &[])).await.status(), status, "{path}");
            }
        });
        assert_eq!(told.len(), lines, "{told:#?}");
        assert!(told.iter().all(|line| line.contains("a cost of 6 can never pass")), "{told:#?}");
    }
}

/// The gate runs either before other extractors or alone, with two throttles or three. The requests are the
/// client's first, a second one that passes, and one that is refused.
#[test]
fn a_gate_tells_of_each_of_its_throttles_once() {
    #[throttle("told:a", rate = "2/min")]
    #[throttle("told:b", rate = "9/min", cost = 3)]
    async fn two() {}
    #[throttle("told:c", rate = "2/min")]
    #[throttle("told:d", rate = "9/min", cost = 3)]
    async fn two_before(_: http::Method) {}
    #[throttle("told:e", rate = "2/min")]
    #[throttle("told:f", rate = "9/min", cost = 3)]
    #[throttle("told:g", rate = "9/min")]
    async fn three() {}
    let router =
        Router::new().route("/two", get(two)).route("/before", get(two_before)).route("/three", get(three));
    let (router, _) = isolated(router);
    let denied = ["denied", "uncharged", "uncharged"];
    for (path, uids) in [("/two", "ab"), ("/before", "cd"), ("/three", "efg")] {
        for (outcomes, remaining) in
            [(["allowed"; 3], [1, 6, 8]), (["allowed"; 3], [0, 3, 7]), (denied, [0; 3])]
        {
            let lines = told(tracing::Level::TRACE, async {
                send(&router, get_from(path, "10.0.0.1", &[])).await;
            });
            let lines: Vec<_> = lines.iter().filter(|line| line.contains("outcome=")).collect();
            assert_eq!(lines.len(), uids.len(), "{lines:#?}");
            for (((uid, line), outcome), remaining) in uids.chars().zip(lines).zip(outcomes).zip(remaining) {
                assert!(line.contains(&format!(r#"uid="told:{uid}" outcome="{outcome}""#)), "{line}");
                let rest = line.split_once("remaining=").map(|(_, rest)| rest);
                assert!(
                    outcome != "allowed" || rest.is_some_and(|rest| rest.starts_with(&remaining.to_string())),
                    "{line}"
                );
            }
        }
    }
}

#[test]
fn a_gate_that_costs_nothing_tells_of_it_once() {
    #[throttle("told:free:a", rate = "2/min", cost = 0)]
    #[throttle("told:free:b", rate = "2/min", cost = 0)]
    async fn free() {}
    let (router, _) = isolated(Router::new().route("/", get(free)));
    let lines = told(tracing::Level::TRACE, async {
        send(&router, get_from("/", "10.0.0.1", &[])).await;
    });
    let lines: Vec<_> = lines.iter().filter(|line| line.contains("outcome=")).collect();
    assert_eq!(lines.len(), 2, "{lines:#?}");
    for (uid, line) in ["a", "b"].into_iter().zip(lines) {
        assert!(line.contains(&format!(r#"uid="told:free:{uid}" outcome="exempt""#)), "{line}");
    }
}

#[test]
fn a_backend_that_waits_is_called_in_a_span_of_its_own() {
    let flaky = FaultyBackend::new(still()).fail_next(1);
    let throttle = rarely("told:flaky", flaky);
    let lines = told(tracing::Level::DEBUG, async {
        assert!(throttle.hit("alice").await.is_err());
        assert!(throttle.hit("alice").await.unwrap().is_allowed());
        assert!(!throttle.hit("alice").await.unwrap().is_allowed());
    });
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(lines[0].contains(r#"uid="told:flaky" outcome="error""#), "{lines:#?}");
    assert!(lines[1].contains(r#"outcome="denied""#), "{lines:#?}");
    assert!(lines.iter().all(|line| !line.contains("alice")), "{lines:#?}");
}

#[test]
fn at_info_and_above_nothing_tells_who_it_is_about() {
    let secret = "token-5f2c";
    let flaky = FaultyBackend::new(still()).fail_next(2);
    let throttle = rarely("told:quiet", flaky);
    let lines = told(tracing::Level::INFO, async {
        for _ in 0..5 {
            let _ = throttle.hit(Identity::key(secret)).await;
        }
    });
    assert_eq!(lines.len(), 2, "the two failures: {lines:#?}");
    assert!(lines.iter().all(|line| !line.contains(secret)), "{lines:#?}");
}

/// The breaker reports that it opens. Another line for every request would flood the log.
#[test]
fn while_a_breaker_is_open_requests_are_no_news() {
    let faulty = FaultyBackend::new(still());
    faulty.fail();
    let breaker = CircuitBreaker::builder().failure_threshold(1).build();
    let throttle = Throttle::builder("told:open").rate("9/min").backend(faulty).registry(&Registry::new());
    let throttle = throttle.on_error(OnError::throttle().breaker(breaker)).build().unwrap();
    let asked = async || throttle.hit("alice").await.unwrap_err().into_response().status();
    let lines = told(tracing::Level::INFO, async { assert_eq!(asked().await, 503) });
    assert_eq!(lines.len(), 3, "it opens, the backend could not decide, the handler gave up: {lines:#?}");
    for (level, expected) in [(tracing::Level::INFO, 0), (tracing::Level::DEBUG, 2)] {
        let lines = told(level, async { assert_eq!(asked().await, 503) });
        assert_eq!(lines.len(), expected, "{lines:#?}");
    }
}

/// Handlers often discard the result with `.ok()`. The log then still reports what a settlement lost.
#[test]
fn a_settlement_that_fails_is_told() {
    let faulty = FaultyBackend::new(still());
    let throttle = rarely("told:settled", faulty.clone());
    let lines = told(tracing::Level::INFO, async {
        for settled in [0, 5] {
            let reservation = throttle.reserve(Identity::from(settled)).await.unwrap();
            let _armed = faulty.clone().fail_next(1);
            reservation.settle(settled).await.ok();
        }
    });
    assert_eq!(lines.len(), 2, "{lines:#?}");
    for line in lines {
        assert!(line.contains(r#"WARN request{id=7}: traffik: the backend could not make a correction uid="told:settled" outcome="error""#), "{line}");
    }
}

/// Refunds that were still pending when the runtime ended.
#[test]
fn what_a_runtime_that_ends_leaves_charged_is_told() {
    let on = |uid: &str, rule| {
        let slow = FaultyBackend::new(still()).delay(std::time::Duration::from_millis(50));
        let builder = Throttle::builder(uid).rate("9/min").backend(slow).registry(&Registry::new());
        builder.on_cancel(rule).build().unwrap()
    };
    let reserving = on("ended:reserved", OnCancel::Refund);
    let lines = told(tracing::Level::WARN, async {
        drop(reserving.reserve("ann").await.unwrap());
    });
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].contains(r#"uid="ended:reserved""#), "{lines:#?}");
    assert!(
        lines[0].contains("a dropped reservation could not be refunded, and stays charged"),
        "{lines:#?}"
    );

    // Neither refused nor on several backends, but given back if its caller goes away.
    let lines = told(tracing::Level::WARN, async {
        let reserved = reserving.reserve("bob");
        assert!(tokio::time::timeout(std::time::Duration::from_millis(10), reserved).await.is_err());
    });
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].contains("a refused or abandoned request stays charged"), "{lines:#?}");

    let both = ["ended:one", "ended:other"].map(|uid| on(uid, OnCancel::Keep));
    let lines = told(tracing::Level::WARN, async {
        let hit = traffik::hit_all(&both, "ann");
        assert!(tokio::time::timeout(std::time::Duration::from_millis(10), hit).await.is_err());
    });
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].contains("a refused or abandoned request stays charged"), "{lines:#?}");
}

/// Contention, of which a client can cause as much as it likes.
#[derive(Debug)]
struct Contended;

impl Backend for Contended {
    fn name(&self) -> &'static str {
        "contended"
    }

    fn decide<'a>(&'a self, _: Op, _: &'a [Hit<'a>]) -> BoxFuture<'a, Result<Verdicts, BackendError>> {
        Box::pin(std::future::ready(Err(BackendError::contention("others kept changing the key"))))
    }
}

/// In an outage, and while a client hammers one key, every request fails in the same way.
#[test]
fn a_flood_of_failures_is_no_flood_of_warnings() {
    const FLOOD: usize = 2_000;
    let down = FaultyBackend::new(still());
    down.fail();
    let next = FaultyBackend::new(still());
    let fallback = Throttle::builder("flood:fallback").rate("1/min").backend(down.clone());
    let fallback = fallback.on_error(OnError::fallback(next)).registry(&Registry::new()).build().unwrap();
    let contended = rarely("flood:contended", Contended);
    for (throttle, kinds) in [
        (rarely("flood:down", down), &["the backend could not decide", "a handler failed"][..]),
        (fallback, &["the backend could not decide; trying its fallback"]),
        (contended, &["the backend could not decide"]),
    ] {
        let ask = async || {
            if let Err(error) = throttle.hit("alice").await {
                assert_eq!(error.into_response().status(), 503);
            }
        };
        let began = std::time::Instant::now();
        let lines = told(tracing::Level::WARN, async {
            for _ in 0..FLOOD {
                ask().await;
            }
        });
        let seconds = usize::try_from(began.elapsed().as_secs()).unwrap() + 1;
        assert!(lines.iter().all(|line| line.contains(&format!("uid={:?}", throttle.uid()))), "{lines:#?}");
        // Whoever looks for a single request still finds it.
        let one = told(tracing::Level::DEBUG, ask());
        let count = |lines: &[String], kind| lines.iter().filter(|line| line.contains(kind)).count();
        for kind in kinds {
            assert!((10..=10 * seconds).contains(&count(&lines, kind)), "{kind}, in {seconds} s: {lines:#?}");
            assert_eq!(count(&one, kind), 1, "{kind}: {one:#?}");
        }
        assert_eq!(lines.len(), kinds.iter().map(|kind| count(&lines, kind)).sum::<usize>(), "{lines:#?}");
    }
}

/// Failed work that is to be charged, of a client over its limit or in an outage.
#[test]
fn a_flood_of_work_that_fails_is_no_flood_of_warnings() {
    let down = FaultyBackend::new(still());
    down.fail();
    for (throttle, kind) in [
        (
            rarely("flood:work:over", still()),
            "failed work was not charged, because the client is over its limit",
        ),
        (rarely("flood:work:down", down), "failed work could not be charged"),
    ] {
        let began = std::time::Instant::now();
        let lines = told(tracing::Level::WARN, async {
            for _ in 0..2_000 {
                let quota = throttle.quota("alice").apply_on_error(true);
                let failed = quota.run(async |quota| {
                    quota.add(1);
                    Err::<(), _>(std::io::Error::from(std::io::ErrorKind::NotFound).into())
                });
                assert!(failed.await.is_err());
            }
        });
        let seconds = usize::try_from(began.elapsed().as_secs()).unwrap() + 1;
        let count = lines.iter().filter(|line| line.contains(kind)).count();
        assert!((10..=10 * seconds).contains(&count), "{kind}, in {seconds} s: {lines:#?}");
    }
}
