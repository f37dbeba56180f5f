//! Callers that go away in the middle, and functions of the user's that panic: nothing is poisoned,
//! nothing stays locked, and the counters are right.

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

/// Waits twice before it decides, and twice after.
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

#[tokio::test]
async fn dropped_at_every_await_point() -> Result {
    let [one, two] = [(); 2].map(|()| SharedBackend::from(Slow(still())));
    let stack = [throttle("drop:a", &one), throttle("drop:b", &one), throttle("drop:c", &two)];
    let mut finished_after = None;
    for polls in 1..60_u64 {
        let who = format!("client {polls}");
        let finished = {
            let mut hit = pin!(async { hit_all(&stack, who.as_str()).await });
            let mut polled = 0;
            poll_fn(|context| {
                polled += 1;
                match hit.as_mut().poll(context) {
                    Poll::Ready(decision) => Poll::Ready(Some(decision)),
                    Poll::Pending if polled == polls => Poll::Ready(None),
                    Poll::Pending => Poll::Pending,
                }
            })
            .await
        };
        // What is given back is given back in the background.
        tokio::time::sleep(Duration::from_millis(5)).await;
        let mut used = Vec::new();
        for throttle in &stack {
            used.push(throttle.stat(who.as_str()).await?.ok_or("exempt")?.used);
        }
        if let Some(decision) = finished {
            assert!(decision?.is_allowed());
            assert_eq!(used, [1, 1, 1]);
            finished_after = Some(polls);
            break;
        }
        assert_eq!(used[0], used[1], "of one backend all or nothing, after {polls} polls");
        // Nothing is locked: the same client goes on.
        assert!(hit_all(&stack, who.as_str()).await?.is_allowed());
    }
    assert!(finished_after.is_some_and(|polls| polls > 5), "{finished_after:?}");
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
