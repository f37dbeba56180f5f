//! What happens to an account while a call about it is under way, and what happens to what is forgotten.

use super::*;

/// A store that decides hits immediately but answers them late.
#[derive(Debug)]
struct Late(MemoryBackend);

impl Backend for Late {
    fn name(&self) -> &'static str {
        "late"
    }

    fn decide<'a>(&'a self, op: Op, hits: &'a [Hit<'a>]) -> BoxFuture<'a, StdResult<Verdicts, BackendError>> {
        Box::pin(async move {
            let verdicts = self.0.decide(op, hits).await;
            if op == Op::Hit {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            verdicts
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_meanwhile_keeps_a_refusal_from_being_remembered() -> Result {
    let clock = ManualClock::new();
    let late = Late(MemoryBackend::builder().clock(clock.clone()).build());
    let cache = DenialCache::with_clock(late, 1000, clock).into();
    let throttle = on("denial:race", "1/min", &cache).build()?;
    assert!(throttle.hit("ann").await?.is_allowed());
    let (refused, reset) = tokio::join!(throttle.hit("ann").into_future(), async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        throttle.reset("ann").await
    });
    reset?;
    assert!(!refused?.is_allowed(), "decided before the reset, and told after it");
    assert!(throttle.hit("ann").await?.is_allowed());
    Ok(())
}

/// A strategy that asks the cache something when it is dropped.
#[derive(Debug)]
struct Watch(DenialCache);

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.0.len();
    }
}

impl Counting for Watch {
    fn name(&self) -> &str {
        "watch"
    }

    fn validate(&self, rate: &Rate) -> StdResult<(), String> {
        FixedWindow::new().validate(rate)
    }

    fn capacity(&self, rate: &Rate) -> u64 {
        rate.limit()
    }

    fn step(&self, state: &mut State, ask: &Ask<'_>) -> Verdict {
        FixedWindow::new().step(state, ask)
    }
}

/// What is remembered may be the last to own a strategy, which is dropped after the lock is released.
#[test]
fn a_strategy_that_is_forgotten_is_let_go_of_after_the_lock() {
    let (done, wait) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let cache = setup(1).size;
            let watched = async |client: &str| {
                let throttle = on("denial:watched", "1/day", cache.clone());
                let throttle = throttle.strategy(Watch(cache.clone())).build().unwrap();
                assert!(throttle.hit(client).await.unwrap().is_allowed());
                assert!(!throttle.hit(client).await.unwrap().is_allowed());
                throttle
            };
            drop(watched("ann").await);
            drop(watched("displaces ann").await);
            watched("bob").await.reset("bob").await.unwrap();
            drop(watched("eve").await);
            watched("displaces eve").await.reset("displaces eve").await.unwrap();
            assert!(cache.is_empty());
        });
        done.send(()).unwrap();
    });
    assert_eq!(wait.recv_timeout(Duration::from_secs(30)), Ok(()), "it waits for itself");
}

/// However long the answer takes, a refusal is not repeated once its wait is over.
#[tokio::test(start_paused = true)]
async fn a_wait_counts_from_the_question() -> Result {
    let clock = ManualClock::new();
    let late = Late(MemoryBackend::builder().clock(clock.clone()).build());
    let cache = DenialCache::with_clock(late, 1000, clock.clone()).into();
    let throttle = on("denial:late", "1/min", &cache).build()?;
    assert!(throttle.hit("ann").await?.is_allowed());
    let (refused, ()) = tokio::join!(throttle.hit("ann").into_future(), async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        clock.advance(Duration::from_secs(30));
    });
    assert!(!refused?.is_allowed());
    clock.advance(Duration::from_secs(30));
    assert!(throttle.hit("ann").await?.is_allowed());
    Ok(())
}

/// A store whose answer takes a while each way.
#[derive(Debug)]
struct Remote {
    memory: MemoryBackend,
    clock: ManualClock,
    way: Duration,
}

impl Backend for Remote {
    fn name(&self) -> &'static str {
        "remote"
    }

    fn decide<'a>(&'a self, op: Op, hits: &'a [Hit<'a>]) -> BoxFuture<'a, StdResult<Verdicts, BackendError>> {
        Box::pin(async move {
            self.clock.advance(self.way);
            let verdicts = self.memory.decide(op, hits).await;
            self.clock.advance(self.way);
            verdicts
        })
    }
}

/// The call that was refused may have taken longer than the one that follows, so the wait is counted from its answer.
#[tokio::test]
async fn a_client_that_waits_as_a_repeated_refusal_says_passes() -> Result {
    for strategy in [IntoStrategy::into_strategy(FixedWindow::new()), SlidingLog::new().into_strategy()] {
        let clock = ManualClock::new();
        let memory = MemoryBackend::builder().clock(clock.clone()).build();
        let remote = |way| Remote { memory: memory.clone(), clock: clock.clone(), way };
        let far = DenialCache::with_clock(remote(Duration::from_millis(40)), 1000, clock.clone()).into();
        let near = remote(Duration::ZERO).into();
        let [far, near] = [&far, &near].map(|backend| on("denial:honest", "1/s", backend));
        let [far, near] = [far.strategy(strategy.clone()).build()?, near.strategy(strategy).build()?];
        assert!(far.hit("ann").await?.is_allowed());
        assert!(!far.hit("ann").await?.is_allowed(), "asks the store");
        clock.advance(Duration::from_millis(300));
        let repeated = far.hit("ann").await?;
        let wait = repeated.throttled().and_then(traffik::Throttled::retry_after).ok_or("passed")?;
        clock.advance(wait);
        assert!(near.hit("ann").await?.is_allowed(), "{wait:?} were too short");
    }
    Ok(())
}
