//! The metrics for operators, as a recorder receives them.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::task::{Context, Waker};
use std::time::Duration;

use std::future::IntoFuture;

use crate::support::{statuses, still, throttle};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use traffik::test_kit::{FaultyBackend, ManualClock};
use traffik::{DenialCache, EXEMPTED, OnError, Registry, SharedBackend, Throttle, hit_all};

/// Maps `name{label=value,…}` to its value. Histograms are given as their count and sum.
type Seen = BTreeMap<String, String>;

fn recorded(work: impl AsyncFnOnce()) -> Seen {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    metrics::with_local_recorder(&recorder, || {
        traffik::metrics::describe();
        runtime.block_on(work());
    });
    seen(snapshotter)
}

fn seen(snapshotter: metrics_util::debugging::Snapshotter) -> Seen {
    let line = |(key, _, _, value): (metrics_util::CompositeKey, _, _, DebugValue)| {
        let key = key.key();
        let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let value = match value {
            DebugValue::Counter(count) => count.to_string(),
            DebugValue::Gauge(gauge) => gauge.to_string(),
            DebugValue::Histogram(values) => format!("{} in all {}", values.len(), {
                values.iter().map(|value| value.into_inner()).sum::<f64>()
            }),
        };
        (format!("{}{{{}}}", key.name(), labels.join(",")), value)
    };
    snapshotter.snapshot().into_vec().into_iter().map(line).collect()
}

fn hits(uid: &str, backend: &str, outcome: &str) -> String {
    format!("traffik_hits_total{{uid={uid},backend={backend},outcome={outcome}}}")
}

fn memory() -> SharedBackend {
    still().into()
}

#[test]
fn every_outcome_has_its_counter() {
    let memory = memory();
    let api = throttle("m:api", "10/min", &memory);
    let seen = recorded(async || {
        for _ in 0..4 {
            let _ = api.hit("ann").cost(4).await.unwrap();
        }
        let _ = api.hit(EXEMPTED).await.unwrap();
        let _ = api.hit("ann").cost(0).await.unwrap();
        let _ = api.check("ann").await.unwrap();
        api.refund("ann", 1).await.unwrap();
    });
    let expected = [
        (hits("m:api", "memory", "allowed"), "2".to_owned()),
        (hits("m:api", "memory", "denied"), "2".to_owned()),
        (hits("m:api", "none", "exempt"), "2".to_owned()),
        ("traffik_units_total{uid=m:api,backend=memory}".to_owned(), "8".to_owned()),
    ];
    for (key, value) in &expected {
        assert_eq!(seen.get(key), Some(value), "{key} in {seen:#?}");
    }
    // Two waits, each no longer than the window.
    let waits = &seen["traffik_retry_after_seconds{uid=m:api,backend=memory}"];
    assert!(waits.starts_with("2 in all "), "{waits}");
    assert_eq!(seen.len(), expected.len() + 1, "{seen:#?}");
}

#[test]
fn what_another_refuses_is_uncharged_and_shadows_are_told_apart() {
    let memory = memory();
    let (tight, wide) = (throttle("m:tight", "1/min", &memory), throttle("m:wide", "9/min", &memory));
    let registry = Registry::new();
    let dark = Throttle::builder("m:dark").rate("1/min").backend(&memory).registry(&registry).shadow();
    let dark = dark.build().unwrap();
    let seen = recorded(async || {
        for _ in 0..3 {
            let _ = hit_all([&wide, &tight], "ann").await.unwrap();
        }
        for _ in 0..3 {
            assert!(hit_all([&dark, &wide], "bob").await.unwrap().is_allowed());
        }
    });
    assert_eq!(seen[&hits("m:tight", "memory", "allowed")], "1");
    assert_eq!(seen[&hits("m:tight", "memory", "denied")], "2");
    assert_eq!(seen[&hits("m:wide", "memory", "uncharged")], "2");
    assert_eq!(seen[&hits("m:wide", "memory", "allowed")], "4");
    assert_eq!(seen["traffik_units_total{uid=m:wide,backend=memory}"], "4");
    assert_eq!(seen[&hits("m:dark", "memory", "shadowed")], "2");
    assert_eq!(seen[&hits("m:dark", "memory", "allowed")], "1");
}

#[test]
fn calls_that_wait_are_timed_and_failures_counted() {
    let flaky = FaultyBackend::new(still()).fail_next(1).delay(Duration::from_millis(1));
    let name = traffik::Backend::name(&flaky);
    let backend = SharedBackend::from(flaky);
    let api = throttle("m:flaky", "10/min", &backend);
    let seen = recorded(async || {
        assert!(api.hit("ann").await.is_err());
        assert!(api.hit("ann").await.unwrap().is_allowed());
        let mut waiting = Box::pin(api.hit("ann").into_future());
        let first = waiting.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(first.is_pending());
        drop(waiting);
    });
    assert_eq!(seen[&hits("m:flaky", name, "error")], "1");
    assert_eq!(seen[&hits("m:flaky", name, "allowed")], "1");
    for outcome in ["ok", "error", "dropped"] {
        let key = format!("traffik_backend_seconds{{backend={name},outcome={outcome}}}");
        assert!(seen.get(&key).is_some_and(|value| value.starts_with("1 in all ")), "{key} in {seen:#?}");
    }
    assert_eq!(seen[&format!("traffik_backend_calls{{backend={name}}}")], "0");
}

#[test]
fn a_hit_counts_on_the_backend_that_decided_it() {
    let flaky = FaultyBackend::new(still());
    let denials = DenialCache::with_clock(flaky.clone(), 100, ManualClock::new());
    let fallback = Throttle::builder("m:fallback").rate("9/min").backend(flaky.clone());
    let fallback = fallback.on_error(OnError::fallback(memory())).registry(&Registry::new()).build().unwrap();
    let remembered = throttle("m:remembered", "1/min", denials);
    let seen = recorded(async || {
        for _ in 0..3 {
            let _ = remembered.hit("ann").await.unwrap();
        }
        flaky.fail();
        assert!(fallback.hit("ann").await.unwrap().is_allowed());
    });
    assert_eq!(seen[&hits("m:fallback", "memory", "allowed")], "1");
    // What an alert has to look at: no hit was left undecided, but the call failed.
    assert!(!seen.keys().any(|key| key.starts_with("traffik_hits_total") && key.contains("outcome=error")));
    assert!(seen["traffik_backend_seconds{backend=faulty,outcome=error}"].starts_with("1 in all "));
    assert_eq!(seen[&hits("m:remembered", "faulty", "denied")], "2", "one of them without a call");
}

#[test]
fn a_recorder_that_comes_late_is_served_from_then_on() {
    let memory = memory();
    let api = throttle("m:late", "10/min", &memory);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert!(runtime.block_on(api.hit("ann").into_future()).unwrap().is_allowed());
    let seen = recorded(async || {
        let _ = api.hit("ann").await.unwrap();
    });
    assert_eq!(seen[&hits("m:late", "memory", "allowed")], "1");
}

/// Counted as the module's documentation describes.
#[test]
fn what_is_let_past_a_refusal_is_decided_twice_and_a_reservation_is_its_hit() {
    static MEMORY: LazyLock<SharedBackend> = LazyLock::new(memory);
    static LETS_PASS: LazyLock<Throttle> = LazyLock::new(|| {
        let builder = Throttle::builder("m:lets_pass").rate("1/min").backend(&*MEMORY);
        builder.registry(&Registry::new()).continue_when_throttled().build().unwrap()
    });
    static BESIDE: LazyLock<Throttle> = LazyLock::new(|| throttle("m:beside", "9/min", &*MEMORY));
    #[traffik::throttle(LETS_PASS)]
    #[traffik::throttle(BESIDE)]
    async fn handler() {}
    let app = axum::Router::new().route("/", axum::routing::get(handler));
    let seen = recorded(async || {
        assert_eq!(statuses(&app, "/", "192.0.2.1", 3).await, [200; 3]);
        BESIDE.reserve("zoe").cost(2).await.unwrap().settle(7).await.unwrap();
    });
    for (uid, outcome, expected) in [
        ("m:lets_pass", "allowed", "1"),
        ("m:lets_pass", "denied", "2"),
        ("m:beside", "uncharged", "2"),
        ("m:beside", "allowed", "4"),
    ] {
        assert_eq!(seen[&hits(uid, "memory", outcome)], expected, "{uid} {outcome}");
    }
    assert_eq!(seen["traffik_units_total{uid=m:beside,backend=memory}"], "5", "two of seven are its own");
}

#[test]
fn a_call_under_way_when_the_recorder_comes_is_not_counted_down() {
    let flaky = FaultyBackend::new(still()).delay(Duration::from_millis(1));
    let name = traffik::Backend::name(&flaky);
    let api = throttle("m:under-way", "10/min", flaky);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _entered = runtime.enter();
    let mut waiting = Box::pin(api.hit("ann").into_future());
    assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let decision = metrics::with_local_recorder(&recorder, || runtime.block_on(waiting)).unwrap();
    assert!(decision.is_allowed());
    let calls = format!("traffik_backend_calls{{backend={name}}}");
    assert_eq!(seen(snapshotter).get(&calls), None);
}
