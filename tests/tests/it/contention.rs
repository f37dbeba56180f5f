//! Many concurrent hits by one client, under a strategy without a Lua twin: exactly the limit passes, and a
//! store that answers is not mistaken for one that is down.

use std::fmt;
use std::future::{IntoFuture, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};

use traffik::strategy::{Ask, FixedWindow, Op, State, Strategy, Tiered, Verdict};
use traffik::{
    BreakerState, CircuitBreaker, Decision, Error, OnError, Rate, RedisBackend, SharedBackend, Throttle,
};
use traffik_tests::RedisServer;

use crate::support::{FOREVER, memory, patient, throttle, used};

const LIMIT: usize = 40;

/// Hits concurrently, cycling through these throttles.
async fn hammer(throttles: &[Throttle], hits: usize) -> Vec<Result<Decision, Error>> {
    let throttles = throttles.iter().cycle().take(hits).cloned();
    let hits: Vec<_> =
        throttles.map(|throttle| tokio::spawn(async move { throttle.hit("ann").await })).collect();
    let mut results = Vec::new();
    for hit in hits {
        results.push(hit.await.unwrap());
    }
    results
}

/// Uses one connection, and then two, like two processes that know nothing of each other's locks on the key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exactly_the_limit_passes_however_many_hits_come_at_once() {
    for processes in [1, 2] {
        let server = RedisServer::start();
        let breaker = CircuitBreaker::new();
        let mut throttles = Vec::new();
        for _ in 0..processes {
            let builder = throttle("hammered", &format!("{LIMIT}/{FOREVER}")).strategy(Tiered::new());
            let builder = builder.on_error(OnError::allow().breaker(breaker.clone()));
            throttles.push(builder.backend(patient(&server).await).build().unwrap());
        }
        let results = hammer(&throttles, 200).await;
        let failed: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).collect();
        assert!(failed.is_empty(), "{processes} processes: {failed:?}");
        // A hit that passed uncounted would be `Exempt`.
        let passed = results.iter().flatten().filter(|decision| decision.is_allowed()).count();
        let used = used(&throttles[0]).await;
        assert_eq!((passed, used), (LIMIT, LIMIT as u64), "passed and counted, {processes} processes");
        assert_eq!(breaker.state(), BreakerState::Closed);
    }
}

/// Another client changes the key before every swap, so that none succeeds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_passes_uncounted_for_hammering_a_key() {
    let server = RedisServer::start();
    let hook = Hook::default();
    let (_, spare) = memory();
    let breaker = CircuitBreaker::builder().failure_threshold(1).build();
    let on_error = OnError::retry(3).or(OnError::fallback(spare)).or(OnError::allow());
    let hooked = build(&server, Duration::from_secs(1), &hook, on_error.breaker(breaker.clone())).await;
    assert!(hooked.hit("ann").await.unwrap().is_allowed());

    let key = server.keys().remove(0);
    let mut connection = server.connection();
    let mut change = redis::cmd("APPEND");
    change.arg(&key).arg("x");
    hook.set(move || change.exec(&mut connection).unwrap());
    let began = Instant::now();
    for result in hammer(std::slice::from_ref(&hooked), 8).await {
        let error = result.expect_err("none of them can be counted");
        assert!(error.is_contention() && error.is_backend() && !error.is_timeout(), "{error}");
    }
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(breaker.state(), BreakerState::Closed, "the store has answered");
    hook.set(|| {});
    assert!(hooked.hit("ann").await.unwrap().is_allowed());
}

/// If the server hangs while one hit holds the key's lock, it is down for the hits that wait for the lock, too.
#[tokio::test]
async fn a_silent_server_is_an_outage_to_all_who_wait() {
    let server = Arc::new(RedisServer::start());
    let hook = Hook::default();
    let timeout = Duration::from_millis(300);
    let hooked = build(&server, timeout, &hook, OnError::throttle()).await;
    assert!(hooked.hit("ann").await.unwrap().is_allowed());

    let paused = server.clone();
    hook.set(move || paused.pause());
    for result in hammer(std::slice::from_ref(&hooked), 8).await {
        let error = result.unwrap_err();
        assert!(error.is_timeout() && !error.is_contention(), "{error}");
    }
    hooked.set_on_error(OnError::allow());
    for result in hammer(std::slice::from_ref(&hooked), 8).await {
        assert_eq!(result.unwrap(), Decision::Exempt, "passed uncounted");
    }
    server.resume();
}

/// As in a `select!` one of whose other branches takes its time.
#[tokio::test]
async fn a_hit_that_is_not_polled_holds_nobody_up() {
    let server = RedisServer::start();
    let hook = Hook::default();
    let hooked = build(&server, Duration::from_secs(2), &hook, OnError::throttle()).await;

    let has_read = Arc::new(AtomicBool::new(false));
    let reads = has_read.clone();
    hook.set(move || reads.store(true, Ordering::SeqCst));
    let mut stalled = pin!(hooked.hit("ann").into_future());
    while !has_read.load(Ordering::SeqCst) {
        let polled = poll_fn(|cx| Poll::Ready(stalled.as_mut().poll(cx))).await;
        assert!(polled.is_pending(), "its swap has yet to be answered");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for used in [2, 3] {
        assert_eq!(hooked.hit("ann").await.unwrap().stat().unwrap().used, used);
    }
    assert_eq!(stalled.await.unwrap().stat().unwrap().used, 1);
}

async fn build(server: &RedisServer, timeout: Duration, hook: &Hook, on_error: OnError) -> Throttle {
    let redis = RedisBackend::builder(server.url()).timeout(timeout).connect().await.unwrap();
    let builder = throttle("hooked", &format!("1000/{FOREVER}")).strategy(hook.clone());
    builder.backend(SharedBackend::from(redis)).on_error(on_error).build().unwrap()
}

/// A custom fixed window with a hook that runs between its read and its swap.
#[derive(Clone, Default)]
struct Hook(Arc<Mutex<Option<Act>>>);

type Act = Box<dyn FnMut() + Send>;

impl Hook {
    fn set(&self, act: impl FnMut() + Send + 'static) {
        *self.0.lock().unwrap() = Some(Box::new(act));
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook")
    }
}

impl Strategy for Hook {
    fn name(&self) -> &str {
        "hook"
    }

    fn validate(&self, rate: &Rate) -> Result<(), String> {
        FixedWindow::new().validate(rate)
    }

    fn capacity(&self, rate: &Rate) -> u64 {
        rate.limit()
    }

    fn step(&self, state: &mut State, ask: &Ask<'_>) -> Verdict {
        if ask.op == Op::Hit
            && let Some(act) = &mut *self.0.lock().unwrap()
        {
            act();
        }
        FixedWindow::new().step(state, ask)
    }
}
