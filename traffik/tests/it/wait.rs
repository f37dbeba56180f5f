//! Hits that wait for room. Tokio's paused clock jumps from one sleep to the next, and the stores follow it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;
use traffik::strategy::{Ask, Gcra, SlidingLog, State, Strategy, Verdict};
use traffik::test_kit::FaultyBackend;
use traffik::{Clock, MemoryBackend, Rate, Registry, SharedBackend, Throttle, ThrottleBuilder};

use crate::support::Result;

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

/// Tokio's clock, counted from some instant in 2026.
#[derive(Debug)]
struct TokioClock(Instant);

impl Clock for TokioClock {
    fn now(&self) -> u64 {
        1_790_000_000_000_000 + self.0.elapsed().as_micros() as u64
    }
}

fn memory() -> MemoryBackend {
    MemoryBackend::builder().clock(TokioClock(Instant::now())).build()
}

fn on(backend: impl Into<SharedBackend>, rate: &str) -> ThrottleBuilder {
    Throttle::builder("wait").rate(rate).backend(backend).registry(&Registry::new())
}

#[tokio::test(start_paused = true)]
async fn it_passes_when_there_is_room_and_hardly_later() -> Result {
    let throttle = on(memory(), "10/s").strategy(Gcra::new()).build()?;
    let start = Instant::now();
    for hit in 0..20 {
        let before = Instant::now();
        assert!(throttle.hit("ann").wait_up_to(SECOND).await?.is_allowed());
        let (waited, least) = (before.elapsed(), if hit == 0 { 0 } else { 100 });
        // A tenth of jitter, and what the timer rounds up to.
        assert!(waited >= least * MILLI && waited <= (least + least / 10 + 1) * MILLI, "{waited:?}");
    }
    assert!(start.elapsed() >= 19 * 100 * MILLI);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn who_waits_in_vain_is_told_at_once() -> Result {
    let throttle = on(memory(), "1/min").strategy(SlidingLog::new()).build()?;
    assert!(throttle.hit("ann").wait_up_to(Duration::MAX).await?.is_allowed());
    let start = Instant::now();
    for (cost, patience) in [(1, Duration::ZERO), (1, 59 * SECOND), (2, Duration::MAX)] {
        let decision = throttle.hit("ann").cost(cost).wait_up_to(patience).await?;
        let refused = decision.throttled().ok_or("passed")?;
        assert_eq!(refused.retry_after(), (cost == 1).then_some(60 * SECOND));
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(throttle.stat("ann").await?.ok_or("exempt")?.used, 1);
    // Just as long as it takes: there is no room for jitter.
    assert!(throttle.hit("ann").wait_up_to(60 * SECOND).await?.is_allowed());
    assert!(start.elapsed() >= 60 * SECOND && start.elapsed() <= 60 * SECOND + MILLI);
    Ok(())
}

/// In any second, no more than five pass, and all do in the end.
#[tokio::test(start_paused = true)]
async fn many_who_wait_keep_to_the_limit() -> Result {
    let throttle = on(memory(), "5/s").strategy(SlidingLog::new()).build()?;
    let start = Instant::now();
    let hits = (0..40).map(|_| async {
        let allowed = throttle.hit("ann").wait_up_to(60 * SECOND).await.is_ok_and(|hit| hit.is_allowed());
        (allowed, start.elapsed())
    });
    let mut passed = join_all(hits).await;
    assert!(passed.iter().all(|(allowed, _)| *allowed));
    passed.sort();
    for (first, sixth) in passed.iter().zip(&passed[5..]) {
        assert!(sixth.1 - first.1 >= SECOND, "{first:?} {sixth:?}");
    }
    assert!(start.elapsed() <= 10 * SECOND, "{:?}", start.elapsed());
    Ok(())
}

/// One unit at a time becomes free, and only one of those who wait can have it. If all of them came back for each, a
/// thousand would make half a million attempts.
#[tokio::test(start_paused = true)]
async fn many_who_wait_do_not_all_come_back_for_each_unit() -> Result {
    const MANY: u64 = 1_000;
    let attempts = Arc::new(AtomicU64::new(0));
    let throttle = on(memory(), "200/s").strategy(Counted(attempts.clone())).build()?;
    let start = Instant::now();
    let hits = (0..MANY).map(|_| throttle.hit("ann").wait_up_to(60 * SECOND));
    assert!(join_all(hits).await.into_iter().all(|hit| hit.is_ok_and(|hit| hit.is_allowed())));
    let attempts = attempts.load(Ordering::Relaxed);
    assert!((MANY..100 * MANY).contains(&attempts), "{attempts}");
    // Five seconds, and little more.
    assert!(start.elapsed() <= 8 * SECOND, "{:?}", start.elapsed());
    Ok(())
}

/// [`Gcra`], with the number of its steps.
#[derive(Debug)]
struct Counted(Arc<AtomicU64>);

impl Strategy for Counted {
    fn name(&self) -> &str {
        "counted"
    }

    fn validate(&self, rate: &Rate) -> std::result::Result<(), String> {
        Gcra::new().validate(rate)
    }

    fn capacity(&self, rate: &Rate) -> u64 {
        Gcra::new().capacity(rate)
    }

    fn step(&self, state: &mut State, ask: &Ask<'_>) -> Verdict {
        self.0.fetch_add(1, Ordering::Relaxed);
        Gcra::new().step(state, ask)
    }
}

#[tokio::test(start_paused = true)]
async fn who_stops_waiting_is_charged_nothing() -> Result {
    let throttle = on(memory(), "1/s").build()?;
    assert!(throttle.hit("ann").await?.is_allowed());
    let waiting = throttle.hit("ann").wait_up_to(60 * SECOND);
    assert!(tokio::time::timeout(MILLI, waiting).await.is_err());
    tokio::time::advance(SECOND).await;
    assert_eq!(throttle.stat("ann").await?.ok_or("exempt")?.used, 0);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn failures_are_not_waited_for() -> Result {
    let throttle = on(FaultyBackend::new(memory()).fail_next(1), "1/s").build()?;
    let start = Instant::now();
    let error = throttle.hit("ann").wait_up_to(60 * SECOND).await.expect_err("the backend is down");
    assert!(error.is_backend());
    assert_eq!(start.elapsed(), Duration::ZERO);
    Ok(())
}

/// Nothing else needs a runtime here, so nothing else may be asked of the caller.
#[test]
fn only_waiting_takes_a_runtime() -> Result {
    let memory = MemoryBackend::builder().clock(traffik::test_kit::ManualClock::new()).build();
    let throttle = on(memory, "1/s").build()?;
    let block_on = |patience| futures_util::FutureExt::now_or_never(throttle.hit("ann").wait_up_to(patience));
    assert!(block_on(SECOND).ok_or("pending")??.is_allowed());
    assert!(!block_on(Duration::ZERO).ok_or("pending")??.is_allowed());
    let error = block_on(60 * SECOND).ok_or("pending")?.expect_err("there is no runtime");
    assert!(error.is_configuration() && error.to_string().contains("tokio runtime"), "{error}");
    Ok(())
}
