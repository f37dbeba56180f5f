//! Throttles in a running system are listed, switched and changed under load.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use traffik::strategy::{Ask, FixedWindow, State, Strategy, TokenBucket};
use traffik::test_kit::ManualClock;
use traffik::{
    Headers, MemoryBackend, Parts, Rate, Registry, Throttle, ThrottleLayer, Throttled, Verdict, bypass_if,
    throttle,
};

use crate::support::{Client, app};

#[test]
fn it_lists_live_settings() {
    let registry = Registry::new();
    let build = |uid, rate: &str| Throttle::builder(uid).rate(rate).registry(&registry).build().unwrap();
    let (_b, a) = (build("b", "5/min"), build("a", "7/hour"));
    let uids = || registry.iter().map(|one| one.uid()).collect::<Vec<_>>();
    assert_eq!(uids(), ["a", "b"]);
    a.set_rate("9/min").unwrap();
    a.set_cost(3);
    a.set_strategy(TokenBucket::new()).unwrap();
    let seen = registry.get("a").unwrap();
    assert_eq!(
        (seen.rate().unwrap().to_string(), seen.cost(), seen.strategy().name()),
        ("9/min".into(), Some(3), "token_bucket")
    );
    assert!(seen.backend().is_none());
    a.set_backend(MemoryBackend::new()).unwrap();
    assert_eq!(seen.backend().unwrap().get().name(), "memory");
    assert!(registry.get("c").is_none());
    drop((a, seen));
    assert_eq!(uids(), ["b"]);
}

/// A rule may own a handle to the registry. If there is no room for the rule, it is
/// dropped after the lock is released.
#[test]
fn a_rule_without_room_is_let_go_of_after_the_lock() {
    struct Watch(Registry);
    impl Drop for Watch {
        fn drop(&mut self) {
            assert!(self.0.get("nobody").is_none());
        }
    }
    let (registry, (done, wait)) = (Registry::new(), std::sync::mpsc::channel());
    for n in 0..1024 {
        registry.disable(&format!("u{n}"));
    }
    std::thread::spawn(move || {
        let watch = Watch(registry.clone());
        let watched = move |_: &Parts| watch.0.get("nobody").is_none();
        done.send(registry.add_rule("one-more", bypass_if().when(watched)).unwrap()).unwrap();
    });
    assert_eq!(wait.recv_timeout(Duration::from_secs(30)), Ok(false), "it waits for itself");
}

/// Likewise, a replaced setting may own a handle to the throttle.
#[test]
fn what_is_replaced_is_let_go_of_after_the_lock() {
    struct Watch(Throttle);
    impl Drop for Watch {
        fn drop(&mut self) {
            self.0.set_cost(2);
        }
    }
    let one = Throttle::builder("watched").rate("5/min").registry(&Registry::new()).build().unwrap();
    let (watch, seen) = (Watch(one.clone()), one.clone());
    let (done, wait) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        one.set_on_throttled(move |_: &Parts, _: &Throttled| watch.0.uid());
        one.set_on_throttled(|_: &Parts, _: &Throttled| "another");
        done.send(()).unwrap();
    });
    assert_eq!(wait.recv_timeout(Duration::from_secs(30)), Ok(()), "it waits for itself");
    assert_eq!(seen.cost(), Some(2));
}

/// So may a rejected setting.
#[test]
fn a_strategy_that_is_refused_is_let_go_of_after_the_lock() {
    #[derive(Debug)]
    struct Watch(Throttle);
    impl Drop for Watch {
        fn drop(&mut self) {
            self.0.set_cost(2);
        }
    }
    impl Strategy for Watch {
        fn name(&self) -> &str {
            "watch"
        }
        fn validate(&self, _: &Rate) -> Result<(), String> {
            Err("it counts nothing".into())
        }
        fn capacity(&self, _: &Rate) -> u64 {
            0
        }
        fn step(&self, _: &mut State, _: &Ask<'_>) -> Verdict {
            Verdict::default()
        }
    }
    let one = Throttle::builder("refused").rate("5/min").registry(&Registry::new()).build().unwrap();
    let (watch, seen) = (Watch(one.clone()), one.clone());
    let (done, wait) = std::sync::mpsc::channel();
    std::thread::spawn(move || done.send(one.set_strategy(watch).is_err()).unwrap());
    assert_eq!(wait.recv_timeout(Duration::from_secs(30)), Ok(true), "it waits for itself");
    assert_eq!(seen.cost(), Some(2));
}

/// A subscriber that is told there is no room may query the registry.
#[test]
fn an_order_without_room_is_told_after_the_lock() {
    struct Asks(Registry);
    impl tracing::Subscriber for Asks {
        fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::Id {
            tracing::Id::from_u64(1)
        }
        fn record(&self, _: &tracing::Id, _: &tracing::span::Record<'_>) {}
        fn record_follows_from(&self, _: &tracing::Id, _: &tracing::Id) {}
        fn event(&self, _: &tracing::Event<'_>) {
            assert!(self.0.get("nobody").is_none());
        }
        fn enter(&self, _: &tracing::Id) {}
        fn exit(&self, _: &tracing::Id) {}
    }
    let (registry, (done, wait)) = (Registry::new(), std::sync::mpsc::channel());
    for n in 0..1024 {
        registry.disable(&format!("u{n}"));
    }
    std::thread::spawn(move || {
        let answers = tracing::subscriber::with_default(Asks(registry.clone()), || {
            [registry.disable("one-more"), registry.add_rule("one-more", bypass_if()).unwrap()]
        });
        done.send(answers).unwrap();
    });
    assert_eq!(wait.recv_timeout(Duration::from_secs(30)), Ok([false, false]), "it waits for itself");
}

#[test]
fn two_of_one_uid_name_both_places() {
    let registry = Registry::new();
    let _first = Throttle::builder("twice").rate("5/min").registry(&registry).build().unwrap();
    let line = line!() + 1;
    let error = Throttle::builder("twice").rate("5/min").registry(&registry).build().unwrap_err().to_string();
    for place in [format!("registry.rs:{}:", line - 2), format!("registry.rs:{line}:")] {
        assert!(error.contains(&place), "{error}");
    }
}

#[tokio::test]
async fn one_or_all_are_switched_off_and_on() {
    let registry = Registry::new();
    let build = |uid| Throttle::builder(uid).rate("1/min").registry(&registry).build().unwrap();
    let (first, second) = (build("first"), build("second"));
    let app = Router::new().route("/", get(async || "")).layer(ThrottleLayer::new([&first, &second]));
    let client = Client::of(app.layer(crate::support::app().build().layer())).await;
    assert_eq!(client.statuses("/").await, [200, 429]);
    assert!(registry.disable("first"));
    assert_eq!(client.statuses("/").await, [429]);
    assert!(registry.disable("second") && !registry.disable("third"));
    assert_eq!(client.statuses("/").await, [200, 200]);
    assert!(registry.enable("first"));
    assert_eq!(client.statuses("/").await, [429]);
    registry.disable_all();
    assert!(!first.is_enabled() && !second.is_enabled());
    assert_eq!(client.statuses("/").await, [200, 200]);
    registry.enable_all();
    assert_eq!(client.statuses("/").await, [429]);
}

#[throttle("registry:early", rate = "1/min")]
async fn early() {}

#[tokio::test]
async fn what_is_asked_before_a_throttle_is_there_is_done_when_it_comes() {
    let registry = Registry::new();
    let build = |uid| Throttle::builder(uid).rate("1/min").registry(&registry).build().unwrap();
    let rule = || bypass_if().path("/health");

    assert!(!registry.disable("off") && !registry.disable("on") && !registry.enable("on"));
    assert!(!registry.add_rule("ruled", rule()).unwrap());
    assert!(registry.add_rule("ruled", bypass_if().path("a/**b")).is_err());
    let (off, on, ruled) = (build("off"), build("on"), build("ruled"));
    assert_eq!([&off, &on, &ruled].map(Throttle::is_enabled), [false, true, true]);
    let app = Router::new()
        .route("/health", get(async || ""))
        .route("/", get(async || ""))
        .layer(ThrottleLayer::new([&ruled]));
    let client = Client::of(app.layer(crate::support::app().build().layer())).await;
    assert_eq!(client.statuses("/").await, [200, 429]);
    assert_eq!(client.statuses("/health").await, [200, 200]);

    // An order applies once: a new throttle of that name starts afresh.
    drop(off);
    assert!(build("off").is_enabled());

    registry.disable_all();
    let late = build("late");
    assert!(!late.is_enabled() && !on.is_enabled());
    assert!(!registry.enable("later"));
    assert!(build("later").is_enabled());
    assert!(!registry.disable("last"));
    registry.enable_all();
    assert!(late.is_enabled() && build("last").is_enabled());
}

#[test]
fn orders_for_nobody_are_bounded() {
    let registry = Registry::new();
    for number in 0..2000 {
        assert!(!registry.disable(&format!("nobody:{number}")));
    }
    let build = |uid| Throttle::builder(uid).rate("1/min").registry(&registry).build().unwrap();
    assert!(!build("nobody:1023").is_enabled());
    assert!(build("nobody:1999").is_enabled());
}

/// An attribute's throttle is built at the first request to its handler.
#[tokio::test]
async fn an_attribute_can_be_switched_off_before_its_first_request() {
    assert!(Registry::global().get("registry:early").is_none());
    assert!(!Registry::global().disable("registry:early"));
    let app = Router::new().route("/", get(early)).layer(app().build().layer());
    let client = Client::of(app).await;
    assert_eq!(client.statuses("/").await, [200, 200]);
    assert!(Registry::global().enable("registry:early"));
    assert_eq!(client.statuses("/").await, [200, 429]);
}

/// A limit that has been tried out is enforced without a new release, wherever it is used.
#[tokio::test]
async fn shadow_mode_is_switched_off_and_on() {
    static TRIAL: LazyLock<Throttle> =
        LazyLock::new(|| Throttle::builder("registry:trial").rate("1/min").shadow().build().unwrap());

    #[throttle(TRIAL)]
    async fn tried() {}

    #[throttle(TRIAL, scope = "apart", mode = "enforce")]
    async fn enforced() {}

    let layered = Router::new().route("/", get(async || "")).layer(ThrottleLayer::new([&*TRIAL]));
    let app = Router::new()
        .route("/tried", get(tried))
        .route("/enforced", get(enforced))
        .nest("/layered", layered)
        .layer(app().build().layer());
    let client = Client::of(app).await;
    for (shadow, second) in [(true, 200), (false, 429), (true, 200)] {
        Registry::global().get("registry:trial").unwrap().set_shadow(shadow);
        assert_eq!(TRIAL.is_shadow(), shadow);
        for path in ["/tried", "/layered"] {
            let memory = MemoryBackend::builder().clock(ManualClock::new()).build();
            TRIAL.set_backend(memory.clone()).unwrap();
            assert_eq!(client.statuses(path).await, [200, second], "{path}, shadow: {shadow}");
            assert_eq!(memory.len(), 1, "it counts either way");
            let direct = TRIAL.hit("ann").await.unwrap().is_allowed();
            assert_eq!((direct, TRIAL.hit("ann").await.unwrap().is_allowed()), (true, shadow));
        }
        assert_eq!(client.statuses("/enforced").await, [200, 429], "a place of use has the last word");
    }
}

/// Everything that can be changed is changed over and over while requests come in.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn changes_are_whole_under_load() {
    const LIMITS: [u64; 2] = [1_000_000, 2_000_000];
    let registry = Registry::new();
    // The limit and the cost always change together, so that the remainder tells the settings apart.
    let one = Throttle::builder("hammered").rate("1000000/day").registry(&registry).build().unwrap();
    let clock = ManualClock::new();
    let memory = || MemoryBackend::builder().clock(clock.clone()).build();
    let (first, second) = (memory(), memory());
    let router = Router::new()
        .route("/", get(async || ""))
        .layer(ThrottleLayer::new([&one]))
        .layer(app().build().layer());
    let client = Client::of(router).await;
    let done = Arc::new(AtomicBool::new(false));
    let refused = Arc::new(AtomicU64::new(0));
    let changes = std::thread::spawn({
        let (registry, done) = (registry.clone(), done.clone());
        move || {
            let mut rounds = 0_u64;
            while !done.load(Ordering::SeqCst) {
                let one = registry.get("hammered").unwrap();
                let odd = rounds % 2 == 1;
                one.set_rate(format!("{}/day", LIMITS[usize::from(odd)])).unwrap();
                one.set_cost(1 + rounds % 3);
                if odd {
                    one.set_strategy(TokenBucket::new()).unwrap()
                } else {
                    one.set_strategy(FixedWindow::new()).unwrap()
                }
                one.set_backend(if odd { &first } else { &second }.clone()).unwrap();
                one.set_headers(if odd { Headers::draft() } else { Headers::always() }).unwrap();
                one.set_on_throttled(|_: &Parts, _: &Throttled| "refused");
                one.set_on_error(traffik::OnError::allow());
                if rounds.is_multiple_of(16) {
                    registry.add_rule("hammered", bypass_if().path("/never")).unwrap();
                }
                assert!(registry.disable("hammered") && registry.enable("hammered"));
                assert_eq!(registry.iter().count(), 1);
                rounds += 1;
                std::thread::yield_now();
            }
            rounds
        }
    });
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (client, refused) = (client.clone(), refused.clone());
        tasks.spawn(async move {
            for _ in 0..150 {
                let reply = client.get("/").await;
                assert_eq!(reply.status, 200, "{reply:?}");
                if reply.body == "refused" {
                    refused.fetch_add(1, Ordering::SeqCst);
                }
                // A response says nothing while the throttle is off, and otherwise names one of the two limits.
                if let Some(policy) = reply.header("ratelimit-policy") {
                    let limits = LIMITS.map(|limit| format!(r#""hammered";q={limit};w=86400"#));
                    assert!(limits.iter().any(|limit| limit == policy), "{policy}");
                }
            }
        });
    }
    while let Some(finished) = tasks.join_next().await {
        finished.unwrap();
    }
    done.store(true, Ordering::SeqCst);
    let rounds = changes.join().unwrap();
    assert!(rounds > 10, "{rounds} rounds");
    assert_eq!(refused.load(Ordering::SeqCst), 0);

    // Afterwards, the throttle has the settings that were made last.
    one.set_backend(memory()).unwrap();
    one.set_cost(1);
    one.set_rate("2/min").unwrap();
    assert_eq!(client.get("/").await.body, "");
    assert_eq!(client.get("/").await.body, "");
    assert_eq!(client.get("/").await.body, "refused");
    clock.advance(Duration::from_secs(60));
    assert_eq!(client.get("/").await.body, "");
}
