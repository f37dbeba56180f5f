//! Callers that go away midway, and user functions that panic: nothing is poisoned, nothing stays
//! locked, and the counts are correct.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use traffik::{
    Backend, BackendError, BoxFuture, Hit, Identity, MemoryBackend, Op, Parts, Registry, SharedBackend,
    Throttle, Verdicts, hit_all,
};

use crate::support::{Result, still};

/// A backend that yields twice before it decides, and twice after.
#[derive(Debug)]
struct Slow(MemoryBackend);

impl Backend for Slow {
    fn name(&self) -> &'static str {
        "slow"
    }

    fn decide<'a>(
        &'a self,
        op: Op,
        hits: &'a [Hit<'a>],
    ) -> BoxFuture<'a, std::result::Result<Verdicts, BackendError>> {
        Box::pin(async move {
            for _ in 0..2 {
                tokio::task::yield_now().await;
            }
            let verdicts = self.0.decide(op, hits).await;
            for _ in 0..2 {
                tokio::task::yield_now().await;
            }
            verdicts
        })
    }
}

fn throttle(uid: &str, backend: &SharedBackend) -> Throttle {
    let builder = Throttle::builder(uid).rate("100/day").registry(&Registry::new());
    builder.backend(backend).build().expect("a valid throttle")
}

/// Polls a future up to `polls` times and then drops it. Returns its output if it completed.
async fn polled<T>(polls: u64, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut polled = 0;
    poll_fn(|context| {
        polled += 1;
        match future.as_mut().poll(context) {
            Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
            Poll::Pending if polled == polls => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Lets background tasks finish. The test's runtime has a single thread, and its tasks wait for nothing but yields.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

async fn used(stack: &[Throttle], who: &str) -> Result<Vec<u64>> {
    let mut used = Vec::new();
    for throttle in stack {
        used.push(throttle.stat(who).await?.ok_or("exempt")?.used);
    }
    Ok(used)
}

#[tokio::test]
async fn dropped_at_every_await_point_of_one_backend() -> Result {
    let slow = SharedBackend::from(Slow(still()));
    let stack = [throttle("drop:a", &slow), throttle("drop:b", &slow)];
    for polls in 1..60_u64 {
        let who = format!("client {polls}");
        let finished = polled(polls, async { hit_all(&stack, who.as_str()).await }).await;
        settle().await;
        let used = used(&stack, &who).await?;
        if let Some(decision) = finished {
            assert!(decision?.is_allowed() && polls > 4, "{polls}");
            assert_eq!(used, [1, 1]);
            return Ok(());
        }
        assert_eq!(used[0], used[1], "all or nothing, after {polls} polls");
        // Nothing stays locked: the same client can continue.
        assert!(hit_all(&stack, who.as_str()).await?.is_allowed());
    }
    Err("never finished".into())
}

#[tokio::test]
async fn dropped_at_every_await_point_between_backends() -> Result {
    let [one, two, three] = [(); 3].map(|()| SharedBackend::from(Slow(still())));
    let memory = SharedBackend::from(still());
    let stack = [
        throttle("drop:a", &one),
        throttle("drop:b", &one),
        throttle("drop:c", &memory),
        throttle("drop:d", &two),
        throttle("drop:e", &three),
    ];
    for polls in 1..60_u64 {
        let who = format!("client {polls}");
        let finished = polled(polls, async { hit_all(&stack, who.as_str()).await }).await;
        settle().await;
        let used = used(&stack, &who).await?;
        if let Some(decision) = finished {
            assert!(decision?.is_allowed() && polls > 12, "{polls}");
            assert_eq!(used, [1; 5]);
            return Ok(());
        }
        assert_eq!(used, [0; 5], "nobody got an answer, after {polls} polls");
        assert!(hit_all(&stack, who.as_str()).await?.is_allowed());
    }
    Err("never finished".into())
}

/// The same through a router whose handler waits, too: a request that was let in has
/// been charged by every throttle.
#[tokio::test]
async fn dropped_at_every_await_point_of_a_request() -> Result {
    use tower::ServiceExt;

    let [one, two] = [(); 2].map(|()| SharedBackend::from(Slow(still())));
    let who = |parts: &Parts| Identity::key(parts.uri.path());
    let limit = |uid: &str, backend: &SharedBackend| {
        let builder = Throttle::builder(uid).rate("100/day").registry(&Registry::new());
        builder.identifier(who).backend(backend).build()
    };
    let stack = [limit("route:a", &one)?, limit("route:b", &two)?];
    let handler = async || {
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        "hello"
    };
    let app = axum::Router::new().route("/{client}", axum::routing::get(handler));
    let app = app.layer(traffik::ThrottleLayer::new([&stack[0], &stack[1]]));
    let mut entered = 0;
    for polls in 1..60_u64 {
        let path = format!("/{polls}");
        let request = http::Request::get(&path).body(axum::body::Body::empty())?;
        let answered = polled(polls, app.clone().oneshot(request)).await;
        settle().await;
        let used = used(&stack, &path).await?;
        if let Some(response) = answered {
            assert_eq!((response?.status().as_u16(), used), (200, vec![1, 1]));
            assert!(entered > 0, "no client went away while the handler was at work");
            return Ok(());
        }
        match used[..] {
            [0, 0] => assert_eq!(entered, 0, "after {polls} polls"),
            [1, 1] => entered += 1,
            _ => return Err(format!("{used:?} after {polls} polls").into()),
        }
    }
    Err("never finished".into())
}

/// A refund that is in progress when the client goes away is made exactly once.
#[tokio::test]
async fn dropped_while_it_is_given_back() -> Result {
    let [one, two, three] = [(); 3].map(|()| SharedBackend::from(Slow(still())));
    let stack = [throttle("back:a", &one), throttle("back:b", &two), throttle("back:c", &three)];
    for polls in 1..60_u64 {
        let who = format!("client {polls}");
        for (throttle, cost) in stack.iter().zip([5, 5, 100]) {
            assert!(throttle.hit(who.as_str()).cost(cost).await?.is_allowed());
        }
        let refused = polled(polls, async { hit_all(&stack, who.as_str()).await }).await;
        settle().await;
        assert_eq!(used(&stack, &who).await?, [5, 5, 100], "after {polls} polls");
        if let Some(decision) = refused {
            assert_eq!(decision?.throttled().map(|refusal| refusal.uid()), Some("back:c"));
            assert!(polls > 16, "given back without waiting: {polls}");
            return Ok(());
        }
    }
    Err("never finished".into())
}

/// The client goes away while the second backend is being asked. Whatever that one answers, the
/// charge on the first is refunded.
#[tokio::test(start_paused = true)]
async fn dropped_before_a_backend_answers_or_fails() -> Result {
    use traffik::test_kit::FaultyBackend;

    for failures in [0, 1] {
        let one = SharedBackend::from(still());
        let faulty = FaultyBackend::new(still()).delay(Duration::from_millis(20));
        let two = SharedBackend::from(faulty.clone().fail_next(failures));
        let stack = [throttle("late:a", &one), throttle("late:b", &two)];
        assert!(polled(1, async { hit_all(&stack, "ann").await }).await.is_none());
        assert_eq!(faulty.calls(), 1, "it was asked before the client went away");
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(used(&stack, "ann").await?, [0, 0], "{failures} failures");
        assert_eq!(faulty.calls(), 3 - failures, "asked, given back where it had charged, looked at");
    }
    Ok(())
}

#[test]
fn panicking_identifiers_and_costs_charge_nothing_and_poison_nothing() {
    static PANIC: AtomicBool = AtomicBool::new(true);
    fn perhaps() {
        assert!(!PANIC.load(Ordering::SeqCst), "a mistake of the user's");
    }
    fn who(_: &Parts) -> Identity {
        perhaps();
        Identity::from("ann")
    }
    fn cost(_: &Parts) -> u64 {
        perhaps();
        3
    }
    let backend = SharedBackend::from(still());
    let build = |builder: traffik::ThrottleBuilder| {
        builder.rate("10/day").registry(&Registry::new()).backend(&backend).build().expect("a valid throttle")
    };
    let plain = build(Throttle::builder("panic:plain").identifier(|_: &Parts| Identity::from("ann")));
    let broken = [
        build(Throttle::builder("panic:who").identifier(who)),
        build(Throttle::builder("panic:cost").identifier(|_: &Parts| Identity::from("ann")).cost_with(cost)),
    ];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let parts = http::Request::get("/").body(()).expect("a request").into_parts().0;
    for broken in &broken {
        for _ in 0..5 {
            let hit = || runtime.block_on(async { hit_all([&plain, broken], &parts).await });
            assert!(catch_unwind(AssertUnwindSafe(hit)).is_err(), "the panic is the user's to see");
        }
    }
    PANIC.store(false, Ordering::SeqCst);
    runtime.block_on(async {
        let used =
            async |throttle: &Throttle| throttle.stat("ann").await.ok().flatten().map(|stat| stat.used);
        assert_eq!(used(&plain).await, Some(0), "nothing was charged");
        for broken in &broken {
            assert!(hit_all([&plain, broken], &parts).await.is_ok_and(|decision| decision.is_allowed()));
        }
        assert_eq!([used(&plain).await, used(&broken[0]).await, used(&broken[1]).await], [2, 1, 3].map(Some));
    });
}

#[tokio::test]
async fn a_panicking_handler_has_been_charged_once_and_locks_nothing() -> Result {
    use tower::ServiceExt;

    let backend = SharedBackend::from(still());
    let who = |_: &Parts| Identity::from("ann");
    let builder = Throttle::builder("panic:handler").rate("3/day").identifier(who).registry(&Registry::new());
    let limited = builder.backend(&backend).build()?;
    let handler = async || {
        assert!(std::hint::black_box(false), "a mistake of the user's");
        "hello"
    };
    let app = axum::Router::new().route("/", axum::routing::get(handler));
    let app = app.layer(traffik::ThrottleLayer::new([&limited]));
    for hit in 1..=5 {
        let request = http::Request::get("/").body(axum::body::Body::empty())?;
        let served = tokio::spawn(app.clone().oneshot(request)).await;
        if hit <= 3 {
            assert!(served.is_err_and(|error| error.is_panic()), "hit {hit}");
        } else {
            assert_eq!(served??.status(), 429, "hit {hit}");
        }
        assert_eq!(limited.stat("ann").await?.ok_or("exempt")?.used, hit.min(3));
    }
    Ok(())
}
