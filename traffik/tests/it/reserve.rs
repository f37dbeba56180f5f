//! Reservations: charged up front, corrected afterwards.

mod charge;

use std::future::IntoFuture;
use std::time::Duration;

use axum::response::IntoResponse;
use traffik::strategy::{FixedWindow, LeakyQueue, SlidingLog, SlidingWindow, TokenBucket};
use traffik::test_kit::FaultyBackend;
use traffik::{EXEMPTED, MemoryBackend, OnCancel, Registry, Settled, Throttle};

use crate::support::{Far, Result, alone, still, used};

#[tokio::test]
async fn settling_charges_what_was_used() -> Result {
    let throttle = alone("reserve:settle").0.rate("1000/hour").cost(500).build()?;
    for (actual, settled, after) in [
        (320, Settled::InFull, 320),
        (0, Settled::InFull, 320),
        (500, Settled::InFull, 820),
        (10, Settled::InFull, 830),
    ] {
        let cost = if actual == 500 || actual == 320 { 500 } else { 100 };
        let reservation = throttle.reserve("ann").cost(cost).await?;
        assert_eq!(reservation.charged(), cost);
        assert_eq!(reservation.settle(actual).await?, settled);
        assert_eq!(used(&throttle).await, after);
    }
    let more = throttle.reserve("ann").cost(20).await?;
    assert_eq!(more.settle(50).await?, Settled::InFull, "more than was reserved, and there is room");
    assert_eq!(used(&throttle).await, 880);
    throttle.reserve("ann").cost(120).await?.cancel().await?;
    assert_eq!(used(&throttle).await, 880);
    Ok(())
}

#[tokio::test]
async fn what_finds_no_room_takes_the_key_to_its_limit() -> Result {
    let throttle = alone("reserve:limit").0.rate("1000/hour").build()?;
    let reservation = throttle.reserve("ann").cost(600).await?;
    assert_eq!(reservation.settle(1_700).await?, Settled::AtLimit { missing: 700 });
    assert_eq!(used(&throttle).await, 1_000);
    assert!(!throttle.hit("ann").await?.is_allowed());
    let huge = alone("reserve:huge").0.rate("10/hour").build()?;
    let settled = huge.reserve("ann").await?.settle(u64::MAX).await?;
    assert_eq!(settled, Settled::AtLimit { missing: u64::MAX - 10 });
    assert_eq!(settled.missing(), u64::MAX - 10);
    Ok(())
}

#[tokio::test]
async fn where_debt_is_allowed_it_is_taken() -> Result {
    let (builder, clock) = alone("reserve:debt");
    let bucket = TokenBucket::new().burst(100).debt(50);
    let throttle = builder.rate("100/100s").strategy(bucket).build()?;
    let one = throttle.reserve("ann").cost(60).await?;
    let other = throttle.reserve("ann").cost(20).await?;
    assert_eq!(one.settle(110).await?, Settled::InDebt { units: 30 });
    assert_eq!(other.settle(80).await?, Settled::AtLimit { missing: 40 });
    assert_eq!(used(&throttle).await, 150);
    clock.advance(Duration::from_secs(51));
    assert_eq!(used(&throttle).await, 99, "a debt is worked off as anything else");
    Ok(())
}

#[tokio::test]
async fn a_settlement_goes_by_the_limit_it_was_reserved_under() -> Result {
    let throttle = alone("reserve:raised").0.rate("100/hour").build()?;
    let (one, other) = (throttle.reserve("ann").cost(40).await?, throttle.reserve("ann").cost(40).await?);
    throttle.set_rate("500/hour")?;
    assert!(throttle.hit("ann").cost(60).await?.is_allowed());
    assert_eq!(one.settle(30).await?, Settled::InDebt { units: 30 });
    assert_eq!(other.settle(41).await?, Settled::AtLimit { missing: 1 });
    assert_eq!(used(&throttle).await, 130);
    Ok(())
}

#[tokio::test]
async fn a_late_refund_lifts_no_other_window() -> Result {
    let (builder, clock) = alone("reserve:late");
    let throttle = builder.rate("100/min").build()?;
    let reservation = throttle.reserve("ann").cost(80).await?;
    clock.advance(Duration::from_secs(60));
    assert!(throttle.hit("ann").cost(30).await?.is_allowed());
    assert_eq!(reservation.settle(10).await?, Settled::InFull);
    assert_eq!(used(&throttle).await, 30, "the charge went with its window");

    let reservation = throttle.reserve("ann").cost(10).await?;
    clock.advance(Duration::from_secs(60));
    assert_eq!(reservation.settle(25).await?, Settled::InFull);
    assert_eq!(used(&throttle).await, 15, "what is used beyond is charged when it is known");
    Ok(())
}

#[tokio::test]
async fn a_refusal_reserves_nothing() -> Result {
    let throttle = alone("reserve:refused").0.rate("10/min").build()?;
    throttle.reserve("ann").cost(8).await?.settle(8).await?;
    let refused = throttle.reserve("ann").cost(3).await.unwrap_err();
    assert_eq!(refused.throttled().map(|refused| refused.stat().remaining), Some(2));
    assert!(refused.to_string().starts_with("over the limit of reserve:refused"), "{refused}");
    assert_eq!(used(&throttle).await, 8);
    Ok(())
}

#[tokio::test]
async fn the_exempt_have_nothing_to_settle() -> Result {
    let throttle = alone("reserve:exempt").0.rate("10/min").build()?;
    let reservation = throttle.reserve(EXEMPTED).cost(8).await?;
    assert!(reservation.is_empty());
    assert_eq!(reservation.settle(1_000).await?, Settled::Nothing);
    Ok(())
}

#[tokio::test]
async fn a_dropped_reservation_goes_by_the_throttles_rule() -> Result {
    let keeps = alone("reserve:keep").0.rate("10/min").build()?;
    drop(keeps.reserve("ann").cost(4).await?);
    assert_eq!(used(&keeps).await, 4);

    let refunds = alone("reserve:refund").0.rate("10/min").on_cancel(OnCancel::Refund).build()?;
    drop(refunds.reserve("ann").cost(4).await?);
    assert_eq!(used(&refunds).await, 0);
    refunds.reserve("ann").cost(4).await?.settle(3).await?;
    assert_eq!(used(&refunds).await, 3, "what is settled is not given back");
    assert_eq!(refunds.on_cancel(), OnCancel::Refund);
    refunds.set_on_cancel(OnCancel::Keep);
    assert_eq!(refunds.on_cancel(), OnCancel::Keep);
    drop(refunds.reserve("ann").cost(4).await?);
    assert_eq!(used(&refunds).await, 7);
    Ok(())
}

#[tokio::test]
async fn a_backend_that_waits_is_given_back_to_by_a_task() -> Result {
    let memory = still();
    let faulty = FaultyBackend::new(memory);
    let throttle = Throttle::builder("reserve:task")
        .registry(&Registry::new())
        .rate("10/day")
        .backend(faulty.clone())
        .on_cancel(OnCancel::Refund)
        .build()?;
    drop(throttle.reserve("ann").cost(4).await?);
    for _ in 0..1_000 {
        if used(&throttle).await == 0 {
            return Ok(());
        }
        tokio::task::yield_now().await;
    }
    Err("it was never given back".into())
}

/// The rule is about reservations. A plain hit stays charged whenever its caller goes away.
#[tokio::test(start_paused = true)]
async fn a_hit_is_no_reservation() -> Result {
    let throttle = Throttle::builder("reserve:hit").rate("9/day").on_cancel(OnCancel::Refund);
    let throttle = throttle.registry(&Registry::new()).backend(Far(still())).build()?;
    let hit = tokio::time::timeout(Duration::from_millis(10), throttle.hit("ann").into_future());
    assert!(hit.await.is_err());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(used(&throttle).await, 1);
    Ok(())
}

#[tokio::test]
async fn a_failed_settlement_is_an_error_and_never_gives_twice() -> Result {
    let memory = still();
    let faulty = FaultyBackend::new(memory);
    let throttle = Throttle::builder("reserve:fails")
        .registry(&Registry::new())
        .rate("10/day")
        .backend(faulty.clone())
        .on_cancel(OnCancel::Refund)
        .build()?;
    let reservation = throttle.reserve("ann").cost(4).await?;
    let _armed = faulty.clone().fail_next(1);
    let error = reservation.settle(1).await.unwrap_err();
    assert!(error.is_backend());
    tokio::task::yield_now().await;
    assert_eq!(used(&throttle).await, 4, "what may have been given back is not given again");
    Ok(())
}

#[tokio::test]
async fn every_strategy_can_be_settled() -> Result {
    macro_rules! each {
        ($($strategy:expr),*) => {$({
            let throttle = alone("reserve:strategies").0.rate("100/hour").strategy($strategy).build()?;
            assert_eq!(throttle.reserve("ann").cost(50).await?.settle(20).await?, Settled::InFull);
            assert_eq!(throttle.reserve("ann").cost(5).await?.settle(35).await?, Settled::InFull);
            assert_eq!(used(&throttle).await, 55, "{:?}", $strategy);
            let settled = throttle.reserve("ann").cost(5).await?.settle(60).await?;
            assert_eq!(settled, Settled::AtLimit { missing: 15 }, "{:?}", $strategy);
            assert_eq!(used(&throttle).await, 100, "{:?}", $strategy);
        })*};
    }
    each!(FixedWindow::new(), SlidingWindow::new(), SlidingLog::new(), TokenBucket::new(), LeakyQueue::new());
    Ok(())
}

/// A handler may return the error as its answer.
#[tokio::test]
async fn a_reservation_without_room_is_answered_as_a_refused_hit_is() -> Result {
    let throttle = alone("reserve:answer").0.rate("10/hour").build()?;
    let refused = throttle.reserve("ann").cost(11).await.unwrap_err();
    assert_eq!(refused.throttled().map(|throttled| throttled.uid()), Some("reserve:answer"));
    assert_eq!(
        refused.to_string(),
        "over the limit of reserve:answer (10 of 10 left), and a cost of 11 can never pass"
    );
    assert_eq!(refused.into_response().status(), 429);

    let faulty = FaultyBackend::new(MemoryBackend::new());
    faulty.fail();
    let throttle = alone("reserve:down").0.rate("10/hour").backend(faulty).build()?;
    let failed = throttle.reserve("ann").await.unwrap_err();
    assert!(failed.throttled().is_none() && failed.to_string().contains("failed as told"), "{failed}");
    assert_eq!(failed.into_response().status(), 503);
    Ok(())
}
