//! The denial cache: an attack costs the store one call per client and window, and no client is told anything
//! that the store would not have said.

mod meanwhile;

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use traffik::strategy::{
    Adaptive, Ask, CostAdaptive, FixedWindow, Gcra, IntoStrategy, LeakyBucket, LeakyQueue, PriorityReserve,
    SlidingLog, SlidingWindow, State, Strategy as Counting, Tiered, TimeOfDay, TokenBucket,
};
use traffik::test_kit::{FaultyBackend, ManualClock};
use traffik::{
    Backend, BackendError, BoxFuture, BreakerState, CircuitBreaker, Decision, DenialCache, Hit, Identity,
    MemoryBackend, OnError, Op, Priority, Rate, Registry, SharedBackend, Throttle, Verdict, Verdicts,
    hit_all,
};

use crate::support::{Result, on};

type StdResult<T, E> = std::result::Result<T, E>;

/// A store that counts its calls, the cache in front of it, and the clock of both.
struct Setup {
    clock: ManualClock,
    store: FaultyBackend,
    cache: SharedBackend,
    size: DenialCache,
}

fn setup(clients: usize) -> Setup {
    let clock = ManualClock::new();
    let store = FaultyBackend::new(MemoryBackend::builder().clock(clock.clone()).build());
    let size = DenialCache::with_clock(store.clone(), clients, clock.clone());
    Setup { clock, store, cache: size.clone().into(), size }
}

#[tokio::test]
async fn an_attack_costs_one_call_a_client_and_window() -> Result {
    let setup = setup(10_000);
    let throttle = on("denial:attack", "3/min", &setup.cache).build()?;
    for window in 1..=5_u64 {
        for client in 0..100_u64 {
            for _ in 0..3 {
                assert!(throttle.hit(client).await?.is_allowed());
            }
        }
        let before = setup.store.calls();
        for round in 0..50_u64 {
            setup.clock.advance(Duration::from_secs(1));
            for client in 0..100_u64 {
                let decision = throttle.hit(client).await?;
                let refused = decision.throttled().ok_or("let through")?;
                assert_eq!(refused.retry_after(), Some(Duration::from_secs(59 - round)), "it counts down");
                assert_eq!((refused.stat().remaining, refused.stat().used, refused.stat().limit), (0, 3, 3));
                assert_eq!(refused.stat().reset_after, Duration::from_secs(59 - round));
            }
        }
        assert_eq!(setup.store.calls() - before, 100, "window {window}");
        setup.clock.advance(Duration::from_secs(10));
    }
    Ok(())
}

#[tokio::test]
async fn any_size_will_do() -> Result {
    for clients in [usize::MAX, 0] {
        let setup = setup(clients);
        let throttle = on("denial:size", "1/min", &setup.cache).build()?;
        for allowed in [true, false, false] {
            assert_eq!(throttle.hit("ann").await?.is_allowed(), allowed);
        }
        assert_eq!((setup.store.calls(), setup.size.len()), (2, 1));
    }
    // Also fewer than make up a set.
    let setup = setup(2);
    let throttle = on("denial:few", "1/min", &setup.cache).build()?;
    for client in 0..9_u64 {
        assert!(throttle.hit(client).await?.is_allowed() && !throttle.hit(client).await?.is_allowed());
        assert!(setup.size.len() <= 2);
    }
    Ok(())
}

#[tokio::test]
async fn a_disabled_throttle_remembers_no_refusal() -> Result {
    let setup = setup(100);
    let throttle = on("denial:off", "1/min", &setup.cache).build()?;
    assert!(throttle.hit("ann").await?.is_allowed());
    assert!(!throttle.hit("ann").await?.is_allowed());
    throttle.set_enabled(false);
    assert_eq!(throttle.hit("ann").await?, Decision::Exempt);
    throttle.set_enabled(true);
    assert!(!throttle.hit("ann").await?.is_allowed());
    assert_eq!(setup.store.calls(), 2);
    Ok(())
}

/// A remembered refusal says nothing about the store, which may be down.
#[tokio::test]
async fn a_breaker_learns_nothing_from_what_is_remembered() -> Result {
    let setup = setup(100);
    let breaker = CircuitBreaker::builder().failure_threshold(2).clock(setup.clock.clone()).build();
    let on_error = OnError::raise().breaker(breaker.clone());
    let on = |uid| on(uid, "1/min", &setup.cache).on_error(on_error.clone()).build();
    let both = [&on("denial:breaker")?, &on("denial:breaker:two")?];
    assert!(hit_all(both, "attacker").await?.is_allowed());
    assert!(!hit_all(both, "attacker").await?.is_allowed());
    setup.store.fail();
    for client in ["ann", "bob"] {
        let calls = setup.store.calls();
        assert!(!hit_all(both, "attacker").await?.is_allowed());
        assert_eq!(setup.store.calls(), calls, "it is remembered");
        hit_all(both, client).await.unwrap_err();
    }
    assert_eq!(breaker.state(), BreakerState::Open);
    // Nor does it close a breaker that is about to probe.
    setup.clock.advance(Duration::from_secs(30));
    assert!(!hit_all(both, "attacker").await?.is_allowed());
    assert_ne!(breaker.state(), BreakerState::Closed);
    Ok(())
}

#[tokio::test]
async fn a_refusal_that_others_may_end_is_not_remembered() -> Result {
    let setup = setup(100);
    let throttle = on("denial:adaptive", "100/100s", &setup.cache).strategy(CostAdaptive::new()).build()?;
    assert!(throttle.hit("ann").cost(100).await?.is_allowed());
    for calls in 2..5 {
        assert!(!throttle.hit("ann").cost(50).await?.is_allowed());
        assert_eq!(setup.store.calls(), calls);
    }
    assert!(setup.size.is_empty());
    // Nor is it as part of a stack.
    let full = on("denial:full", "1/min", &setup.cache).build()?;
    assert!(full.hit("ann").await?.is_allowed());
    assert!(!hit_all([&throttle, &full], "ann").await?.is_allowed());
    assert!(setup.size.is_empty());
    Ok(())
}

#[tokio::test]
async fn what_changes_an_account_makes_it_forgotten() -> Result {
    let setup = setup(1000);
    let throttle = on("denial:change", "3/min", &setup.cache).build()?;
    let refused = async || -> Result<bool> { Ok(!throttle.hit("ann").cost(3).await?.is_allowed()) };
    assert!(throttle.hit("ann").await?.is_allowed());
    assert!(refused().await? && refused().await?);

    throttle.refund("ann", 1).await?;
    assert!(!refused().await?, "a refund");
    assert!(refused().await? && refused().await?);
    throttle.reset("ann").await?;
    let reserved = throttle.reserve("ann").await?;
    assert!(refused().await? && refused().await?);
    reserved.settle(0).await?;
    assert!(!refused().await?, "a settlement");
    assert!(refused().await? && refused().await?);
    throttle.reset("ann").await?;
    assert!(!refused().await?, "a reset");
    assert!(refused().await? && refused().await?);
    throttle.set_rate("6/min")?;
    assert!(!refused().await?, "another rate");
    assert!(refused().await? && refused().await?);
    throttle.set_strategy(TokenBucket::new().burst(9))?;
    assert!(!refused().await?, "another strategy");
    throttle.set_strategy(Tiered::new())?;
    assert!(!refused().await?);
    assert!(!refused().await?);
    assert!(refused().await? && refused().await?);
    throttle.set_strategy(Tiered::new().others(2))?;
    assert!(!refused().await?, "the same strategy with another limit");
    assert!(!refused().await?);
    let before = setup.store.calls();
    for _ in 0..5 {
        assert!(refused().await?);
    }
    assert_eq!(setup.store.calls() - before, 1, "and that is what is remembered from now on");
    Ok(())
}

#[tokio::test]
async fn a_refused_cost_says_nothing_about_another() -> Result {
    let setup = setup(1000);
    let throttle = on("denial:cost", "10/min", &setup.cache).strategy(TokenBucket::new()).build()?;
    assert!(throttle.hit("ann").cost(5).await?.is_allowed());
    for _ in 0..3 {
        let refused = throttle.hit("ann").cost(10).await?;
        let wait = refused.throttled().ok_or("let through")?.retry_after();
        assert_eq!(wait, Some(Duration::from_secs(30)));
    }
    let before = setup.store.calls();
    assert!(throttle.hit("ann").cost(5).await?.is_allowed(), "the cheaper fits");
    let waits = [(10, 60), (7, 42), (1, 6)];
    for (cost, seconds) in waits.into_iter().cycle().take(30) {
        let refused = throttle.hit("ann").cost(cost).await?;
        let wait = refused.throttled().ok_or("let through")?.retry_after();
        assert_eq!(wait, Some(Duration::from_secs(seconds)), "cost {cost}");
    }
    assert_eq!(setup.store.calls() - before, 4, "one for the one that fits, one for each that does not");
    assert!(!throttle.hit("bob").cost(11).await?.is_allowed());
    assert!(throttle.hit("bob").cost(10).await?.is_allowed());
    Ok(())
}

/// Of more than four costs, those that are refused for longest are remembered. A check that passes forgets none.
#[tokio::test]
async fn four_costs_are_remembered() -> Result {
    let setup = setup(1000);
    let throttle = on("denial:costs", "10/min", &setup.cache).strategy(TokenBucket::new()).build()?;
    assert!(throttle.hit("ann").cost(9).await?.is_allowed());
    let calls = async |cost| -> Result<u64> {
        let before = setup.store.calls();
        assert!(!throttle.hit("ann").cost(cost).await?.is_allowed(), "{cost}");
        Ok(setup.store.calls() - before)
    };
    for cost in [4, 2, 5, 3] {
        assert_eq!(calls(cost).await?, 1);
    }
    assert!(throttle.check("ann").cost(1).await?.is_allowed());
    for cost in [4, 2, 5, 3] {
        assert_eq!(calls(cost).await?, 0);
    }
    assert_eq!(calls(6).await?, 1);
    for (cost, expected) in [(3, 0), (4, 0), (5, 0), (6, 0), (2, 1)] {
        assert_eq!(calls(cost).await?, expected, "{cost}");
    }
    Ok(())
}

#[tokio::test]
async fn tiers_and_priorities_are_clients_of_their_own() -> Result {
    let setup = setup(1000);
    let tiers = Tiered::new().tier("gold", 3);
    let tiered = on("denial:tier", "1/min", &setup.cache).strategy(tiers).build()?;
    let plain = || Identity::key("ann");
    assert!(tiered.hit(plain()).await?.is_allowed());
    assert!(!tiered.hit(plain()).await?.is_allowed());
    let gold = || plain().tier("gold");
    while tiered.hit(gold()).await?.is_allowed() {}
    // One account, of which the latest refusal is remembered.
    for who in [gold(), plain()] {
        assert!(!tiered.hit(who.clone()).await?.is_allowed());
        let before = setup.store.calls();
        assert!(!tiered.hit(who).await?.is_allowed());
        assert_eq!(setup.store.calls(), before);
    }
    let reserve = on("denial:priority", "10/min", &setup.cache).strategy(PriorityReserve::new()).build()?;
    let low = || plain().priority(Priority::Low);
    while reserve.hit(low()).await?.is_allowed() {}
    assert!(!reserve.hit(low()).await?.is_allowed());
    assert!(reserve.hit(plain().priority(Priority::Critical)).await?.is_allowed());
    Ok(())
}

/// Also if another registry has a throttle of the same name.
#[tokio::test]
async fn a_refusal_says_nothing_about_another_scope() -> Result {
    let setup = setup(1000);
    let strategy = FixedWindow::new().into_strategy();
    let on = || on("denial:scope", "1/min", &setup.cache).strategy(strategy.clone());
    let (plain, scoped) = (on().build()?, on().scope("eu").build()?);
    assert!(plain.hit("ann").await?.is_allowed());
    assert!(!plain.hit("ann").await?.is_allowed());
    assert!(scoped.hit("ann").await?.is_allowed());
    Ok(())
}

#[tokio::test]
async fn a_stack_is_answered_only_if_all_of_it_is_known() -> Result {
    let setup = setup(1000);
    let burst = on("denial:burst", "5/s", &setup.cache).build()?;
    let daily = on("denial:daily", "2/day", &setup.cache).build()?;
    let both = async || -> Result<&'static str> {
        let decision = hit_all([&burst, &daily], "ann").await?;
        Ok(decision.throttled().map_or("passed", |refused| refused.uid()))
    };
    assert_eq!([both().await?, both().await?], ["passed", "passed"]);
    let before = setup.store.calls();
    for _ in 0..20 {
        assert_eq!(both().await?, "denial:daily");
    }
    assert_eq!(setup.store.calls() - before, 1);
    // From now on the first throttle in source order refuses, too, and that is what the store would report.
    for _ in 0..3 {
        assert!(burst.hit("ann").await?.is_allowed());
    }
    assert_eq!(both().await?, "denial:burst");
    setup.clock.advance(Duration::from_secs(1));
    assert_eq!(both().await?, "denial:daily");

    // Of refusals in one answer, each is remembered for as long as it lasts.
    let short = on("denial:short", "1/s", &setup.cache).build()?;
    let long = on("denial:long", "1/day", &setup.cache).build()?;
    assert!(hit_all([&short, &long], "ann").await?.is_allowed());
    assert!(!hit_all([&short, &long], "ann").await?.is_allowed());
    setup.clock.advance(Duration::from_secs(2));
    let before = setup.store.calls();
    assert!(!long.hit("ann").await?.is_allowed());
    assert_eq!(setup.store.calls(), before);
    Ok(())
}

#[tokio::test]
async fn room_that_time_takes_away_is_not_remembered() -> Result {
    let fading = [
        ("hour", TimeOfDay::new().hours(9, 24, 10).into_strategy(), Duration::from_secs(9 * 3600)),
        (
            "load",
            Adaptive::new().threshold(50).reduction(10).floor(10).into_strategy(),
            Duration::from_secs(24 * 3600),
        ),
    ];
    for (name, strategy, until) in fading {
        // The manual clock starts at midnight.
        let setup = setup(1000);
        let first = on("denial:fading", "10/day", &setup.cache).strategy(strategy).cost(4).build()?;
        let second = on("denial:full", "1/300h", &setup.cache).strategy(SlidingLog::new()).build()?;
        let both = async || -> Result<(&'static str, Option<Duration>)> {
            let decision = hit_all([&first, &second], "ann").await?;
            let refused = decision.throttled().ok_or("let through")?;
            Ok((refused.uid(), refused.retry_after()))
        };
        assert!(first.hit("ann").cost(6).await?.is_allowed());
        assert!(second.hit("ann").await?.is_allowed());
        assert_eq!(both().await?.0, "denial:full", "{name}");
        setup.clock.advance(until);
        // The first in source order has lost its room without any hit.
        let reported = both().await?;
        let wait = first.check("ann").await?.throttled().ok_or("let through")?.retry_after();
        assert_eq!(reported, ("denial:fading", wait), "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn it_is_bounded_and_an_attacker_is_kept_longest() -> Result {
    let setup = setup(100);
    let (long, short) = (on("denial:long", "1/day", &setup.cache), on("denial:short", "1/s", &setup.cache));
    let (long, short) = (long.build()?, short.build()?);
    for _ in 0..2 {
        let _ = long.hit("attacker").await?;
    }
    for client in 0..2_000_u64 {
        for _ in 0..2 {
            let _ = short.hit(client).await?;
        }
        assert!(setup.size.len() <= 100, "{}", setup.size.len());
    }
    let before = setup.store.calls();
    assert!(!long.hit("attacker").await?.is_allowed());
    assert_eq!(setup.store.calls(), before, "still remembered");
    Ok(())
}

#[tokio::test]
async fn the_longest_refusal_of_a_client_tells_how_long_it_is_kept() -> Result {
    let setup = setup(2);
    let throttle = on("denial:kept", "10/min", &setup.cache).strategy(TokenBucket::new()).build()?;
    for (client, costs) in [("ann", &[1, 5][..]), ("bob", &[3]), ("cid", &[4])] {
        assert!(throttle.hit(client).cost(10).await?.is_allowed());
        for cost in costs {
            assert!(!throttle.hit(client).cost(*cost).await?.is_allowed());
        }
    }
    let before = setup.store.calls();
    for (client, cost) in [("ann", 1), ("ann", 5), ("cid", 4)] {
        assert!(!throttle.hit(client).cost(cost).await?.is_allowed());
    }
    assert_eq!(setup.store.calls(), before, "bob's would have been over first");
    Ok(())
}

#[derive(Debug, Clone)]
enum Event {
    Hit(u64, u64),
    Check(u64, u64),
    Stack(u64),
    Refund(u64, u64),
    Reset(u64),
    Rate(bool),
    Wait(u64),
}

fn event() -> impl Strategy<Value = Event> {
    let (client, cost) = (0_u64..2, 1_u64..8);
    prop_oneof![
        6 => (client.clone(), cost.clone()).prop_map(|(client, cost)| Event::Hit(client, cost)),
        2 => (client.clone(), cost.clone()).prop_map(|(client, cost)| Event::Check(client, cost)),
        4 => client.clone().prop_map(Event::Stack),
        1 => (client.clone(), cost).prop_map(|(client, cost)| Event::Refund(client, cost)),
        1 => client.prop_map(Event::Reset),
        1 => any::<bool>().prop_map(Event::Rate),
        4 => (0_u64..900_000).prop_map(Event::Wait),
    ]
}

/// Returns what must be the same with and without the cache, and the remainder, which must not be larger with it.
fn told(decision: &Decision) -> (bool, Option<(&'static str, Option<Duration>)>, u64) {
    let refused = decision.throttled().map(|refused| (refused.uid(), refused.retry_after()));
    (decision.is_allowed(), refused, decision.stat().map_or(0, |stat| stat.remaining))
}

fn all() -> Vec<Arc<dyn Counting>> {
    vec![
        FixedWindow::new().into_strategy(),
        FixedWindow::new().staggered().into_strategy(),
        SlidingWindow::new().into_strategy(),
        SlidingLog::new().into_strategy(),
        TokenBucket::new().into_strategy(),
        TokenBucket::new().burst(9).debt(3).into_strategy(),
        LeakyBucket::new().into_strategy(),
        LeakyQueue::new().into_strategy(),
        Gcra::new().burst(4).into_strategy(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn nobody_hears_what_the_store_would_not_have_said(
        which in 0..all().len(),
        events in prop::collection::vec(event(), 1..80),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let setup = setup(1000);
            let plain = MemoryBackend::builder().clock(setup.clock.clone()).build().into();
            let strategy = all().swap_remove(which);
            let pair = |backend| {
                ["denial:one", "denial:two"].map(|uid| {
                    on(uid, "5/s", backend).strategy(strategy.clone()).build().unwrap()
                })
            };
            let (cached, plain) = (pair(&setup.cache), pair(&plain));
            for event in events {
                let mut heard = Vec::new();
                for [one, two] in [&cached, &plain] {
                    let decision = match event {
                        Event::Hit(client, cost) => one.hit(client).cost(cost).await.unwrap(),
                        Event::Check(client, cost) => one.check(client).cost(cost).await.unwrap(),
                        Event::Stack(client) => hit_all([one, two], client).await.unwrap(),
                        Event::Refund(client, units) => {
                            one.refund(client, units).await.unwrap();
                            Decision::Exempt
                        }
                        Event::Reset(client) => {
                            one.reset(client).await.unwrap();
                            Decision::Exempt
                        }
                        Event::Rate(more) => {
                            one.set_rate(if more { "7/s" } else { "5/s" }).unwrap();
                            Decision::Exempt
                        }
                        Event::Wait(_) => Decision::Exempt,
                    };
                    heard.push(told(&decision));
                }
                if let Event::Wait(micros) = event {
                    setup.clock.advance(Duration::from_micros(micros));
                }
                let [cached, plain] = &heard[..] else { unreachable!() };
                assert_eq!((cached.0, cached.1), (plain.0, plain.1), "{event:?} under {strategy:?}");
                assert!(cached.2 <= plain.2, "{event:?} under {strategy:?}: {} left of {}", cached.2, plain.2);
            }
        });
    }
}

/// A known answer needs no call, and thus no permit from the breaker.
#[tokio::test]
async fn an_open_breaker_frees_nobody_who_is_known_to_be_refused() -> Result {
    for on_error in [OnError::allow(), OnError::fallback(MemoryBackend::new())] {
        let faulty = FaultyBackend::new(MemoryBackend::builder().clock(ManualClock::new()).build());
        let breaker = CircuitBreaker::builder().failure_threshold(1).build();
        let throttle = Throttle::builder("denials:open").rate("1/day").registry(&Registry::new());
        let throttle = throttle.backend(DenialCache::new(faulty.clone(), 1_000));
        let throttle = throttle.on_error(on_error.breaker(breaker.clone())).build()?;
        assert!(throttle.hit("ann").await?.is_allowed());
        assert!(!throttle.hit("ann").await?.is_allowed());
        faulty.fail();
        assert!(throttle.hit("bob").await?.is_allowed());
        assert_eq!(breaker.state(), BreakerState::Open);
        assert!(!throttle.hit("ann").await?.is_allowed());
        assert!(!throttle.check("ann").await?.is_allowed());
        assert!(!hit_all([&throttle], "ann").await?.is_allowed());
        assert!(throttle.hit("eve").await?.is_allowed(), "nobody knows of her");
    }
    Ok(())
}
