//! Throttles as values: decisions, settings, and what is rejected when they are built.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use traffik::strategy::{FixedWindow, Gcra, Strategy, TokenBucket};
use traffik::test_kit::FaultyBackend;
use traffik::{Decision, DenialCache, EXEMPTED, Identity, MemoryBackend, Parts, Rate};
use traffik::{Registry, SharedBackend, Throttle};
use traffik::{bypass_if, hit_all, throttle_if};

use crate::support::{Result, alone, get_from, memory, still};

#[tokio::test]
async fn a_decision_tells_the_account() -> Result {
    let (builder, clock) = alone("b:account");
    let throttle = builder.rate("10/min").cost(2).build()?;
    let Decision::Allowed(stat) = throttle.hit("ann").cost(3).await? else { panic!("refused") };
    assert_eq!((stat.uid, stat.limit, stat.remaining, stat.used), ("b:account", 10, 7, 3));
    clock.advance(Duration::from_secs(20));
    assert_eq!(stat.reset_after, Duration::from_secs(60));
    let refused = throttle.hit("ann").cost(8).await?;
    let refused = refused.throttled().ok_or("allowed")?;
    assert_eq!(refused.retry_after(), Some(Duration::from_secs(40)));
    assert_eq!(throttle.hit("ann").cost(11).await?.throttled().ok_or("allowed")?.retry_after(), None);
    assert!(throttle.check("ann").cost(7).await?.is_allowed());
    assert!(!throttle.check("ann").cost(8).await?.is_allowed());
    assert_eq!(throttle.stat("ann").await?.ok_or("exempt")?.remaining, 7, "checks and refusals took nothing");
    assert_eq!(throttle.stat(EXEMPTED).await?, None);
    throttle.refund("ann", 100).await?;
    assert_eq!(throttle.stat("ann").await?.ok_or("exempt")?.remaining, 10, "never above a full account");
    let _ = throttle.hit("ann").cost(10).await?;
    throttle.reset("ann").await?;
    assert!(throttle.hit("ann").await?.into_result()?.is_some());
    Ok(())
}

#[tokio::test]
async fn subjects_of_every_kind_are_accounts_of_their_own() -> Result {
    let (builder, _clock) = alone("b:subjects");
    let throttle = builder.rate("1/min").build()?;
    let ip: IpAddr = "10.0.0.1".parse()?;
    assert!(throttle.hit(ip).await?.is_allowed());
    assert!(throttle.hit("10.0.0.1").await?.is_allowed());
    assert!(throttle.hit(7_u64).await?.is_allowed());
    assert!(throttle.hit(String::from("7")).await?.is_allowed());
    assert!(throttle.hit(Identity::key("x".repeat(10_000))).await?.is_allowed());
    assert!(throttle.hit(None::<String>).await?.is_allowed());
    assert!(!throttle.hit(ip).await?.is_allowed());
    assert!(!throttle.hit("7").await?.is_allowed());
    for _ in 0..3 {
        assert_eq!(throttle.hit(EXEMPTED).await?, Decision::Exempt);
    }
    let (parts, ()) = get_from("/", "10.0.0.1", &[]).map(|_| ()).into_parts();
    assert!(!throttle.hit(&parts).await?.is_allowed(), "a request is its client's address");
    Ok(())
}

#[tokio::test]
async fn several_throttles_are_charged_all_or_none() -> Result {
    let (memory, registry) = (SharedBackend::from(still()), Registry::new());
    let throttle = |uid: &str, rate: &str| {
        Throttle::builder(uid).rate(rate).backend(&memory).registry(&registry).build()
    };
    let (burst, hourly) = (throttle("b:burst", "5/min")?, throttle("b:hourly", "3/hour")?);
    for _ in 0..3 {
        assert!(hit_all([&burst, &hourly], "ann").await?.is_allowed());
    }
    for _ in 0..4 {
        let refused = hit_all([&burst, &hourly], "ann").await?;
        assert_eq!(refused.throttled().ok_or("allowed")?.uid(), "b:hourly");
    }
    assert_eq!(burst.stat("ann").await?.ok_or("exempt")?.used, 3, "the refused hits charged neither");

    let elsewhere =
        Throttle::builder("b:elsewhere").rate("1/day").backend(still()).registry(&registry).build()?;
    let _ = elsewhere.hit("ann").await?;
    assert!(!hit_all([&burst, &elsewhere], "ann").await?.is_allowed());
    assert_eq!(
        burst.stat("ann").await?.ok_or("exempt")?.used,
        3,
        "given back when the second backend refused"
    );

    assert!(hit_all([&burst, &burst], "ann").await?.is_allowed());
    assert_eq!(burst.stat("ann").await?.ok_or("exempt")?.used, 5, "named twice, charged twice");
    Ok(())
}

/// Separate registries may give one uid several limits. On one store that is a single
/// account, and every limit holds.
#[tokio::test]
async fn a_uid_with_several_limits_keeps_the_lowest() -> Result {
    let memory = still();
    let build = |rate| {
        Throttle::builder("b:twice").rate(rate).registry(&Registry::new()).backend(memory.clone()).build()
    };
    let (wide, narrow) = (build("100/min")?, build("4/min")?);
    for (both, client) in [([&wide, &narrow], "ann"), ([&narrow, &wide], "bob")] {
        for expected in [true, true, false] {
            assert_eq!(hit_all(both, client).await?.is_allowed(), expected, "{client} pays twice each time");
        }
    }
    Ok(())
}

/// Whether the store answers at once or not.
#[tokio::test]
async fn of_several_that_admit_the_nearest_to_its_limit_is_reported() -> Result {
    for backend in [SharedBackend::from(still()), FaultyBackend::new(still()).into()] {
        let on = |uid: &str, rate: &str| {
            Throttle::builder(uid).rate(rate).backend(&backend).registry(&Registry::new()).build()
        };
        let (free, wide, near) = (on("b:free", "unlimited")?, on("b:wide", "9/min")?, on("b:near", "3/min")?);
        for all in [[&free, &wide, &near], [&near, &wide, &free]] {
            let decision = hit_all(all, "ann").await?;
            assert_eq!(decision.stat().map(|stat| stat.uid), Some("b:near"));
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_identifier_that_throttles_share_runs_once() -> Result {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    fn identify(_: &Parts) -> Identity {
        CALLS.fetch_add(1, Ordering::SeqCst);
        Identity::key("ann")
    }
    for backend in [SharedBackend::from(still()), FaultyBackend::new(still()).into()] {
        let on = |uid: &str| {
            let builder = Throttle::builder(uid).rate("9/min").backend(&backend).identifier(identify);
            builder.registry(&Registry::new()).build()
        };
        let (one, other) = (on("b:one")?, on("b:other")?);
        let (parts, ()) = http::Request::new(()).into_parts();
        let before = CALLS.load(Ordering::SeqCst);
        assert!(hit_all([&one, &other], &parts).await?.is_allowed());
        assert_eq!(CALLS.load(Ordering::SeqCst) - before, 1);
    }
    Ok(())
}

/// Whoever switches a throttle off may still correct its accounts.
#[tokio::test]
async fn a_throttle_that_is_off_can_be_refunded_and_reset() -> Result {
    let throttle =
        Throttle::builder("b:off").rate("9/min").registry(&Registry::new()).backend(still()).build()?;
    let used = async || -> Result<u64> {
        throttle.set_enabled(true);
        let used = throttle.stat("ann").await?.ok_or("counted")?.used;
        throttle.set_enabled(false);
        Ok(used)
    };
    assert!(throttle.hit("ann").cost(5).await?.is_allowed());
    assert_eq!(used().await?, 5);
    throttle.refund("ann", 2).await?;
    assert_eq!(used().await?, 3);
    throttle.reset("ann").await?;
    assert_eq!(used().await?, 0);
    Ok(())
}

/// While a new burst is being rolled out, processes with either setting share one store.
#[tokio::test]
async fn a_smaller_burst_forgives_nothing_that_a_larger_has_lent() -> Result {
    let (memory, clock) = memory();
    let cases: [[Arc<dyn Strategy>; 2]; 3] = [
        [Arc::new(TokenBucket::new().burst(5)), Arc::new(TokenBucket::new().burst(100))],
        [Arc::new(TokenBucket::new().debt(1)), Arc::new(TokenBucket::new().debt(99))],
        [Arc::new(Gcra::new().burst(5)), Arc::new(Gcra::new().burst(100))],
    ];
    for both in cases {
        let [small, large] = both.map(|strategy| {
            let builder = Throttle::builder("b:burst").rate("10/hour").registry(&Registry::new());
            builder.strategy(strategy).backend(memory.clone()).build()
        });
        let (small, large) = (small?, large?);
        let mut passed = 0;
        for _ in 0..10 {
            passed += u64::from(small.hit("ann").await?.is_allowed());
            for _ in 0..100 {
                passed += u64::from(large.hit("ann").await?.is_allowed());
            }
            clock.advance(Duration::from_secs(360));
        }
        assert!(passed <= 125 + 20, "{passed}: both full accounts, and what came back in an hour");
        small.reset("ann").await?;
        large.reset("ann").await?;
    }
    Ok(())
}

#[tokio::test]
async fn contexts_nest_and_isolate() -> Result {
    let throttle =
        Throttle::builder("b:dynamic").rate("1/min").dynamic_backend().registry(&Registry::new()).build()?;
    let error = throttle.hit("u").await.expect_err("no context");
    assert!(error.is_configuration() && error.to_string().contains("b:dynamic"), "{error}");
    let (outer, inner) = (still(), still());
    outer
        .scope(async {
            assert!(throttle.hit("u").await?.is_allowed());
            assert!(!throttle.hit("u").await?.is_allowed());
            inner
                .scope(async {
                    assert!(throttle.hit("u").await?.is_allowed());
                    tokio::task::yield_now().await;
                    assert!(!throttle.hit("u").await?.is_allowed());
                    Ok::<_, traffik::Error>(())
                })
                .await?;
            assert!(!throttle.hit("u").await?.is_allowed());
            Ok::<_, traffik::Error>(())
        })
        .await?;
    assert!(throttle.hit("u").await.is_err());
    Ok(())
}

#[tokio::test]
async fn what_a_function_tells_takes_precedence_over_the_context() -> Result {
    static TOLD: LazyLock<MemoryBackend> = LazyLock::new(still);
    let builder = Throttle::builder("b:told").rate("1/min").registry(&Registry::new());
    let throttle =
        builder.dynamic_backend_with(|_: &Parts| Some(SharedBackend::from(TOLD.clone()))).build()?;
    let (parts, ()) = http::Request::new(()).into_parts();
    let context = still();
    SharedBackend::from(context.clone()).scope(async { throttle.hit(&parts).await.map(drop) }).await?;
    assert_eq!((TOLD.len(), context.len()), (1, 0));
    Ok(())
}

#[test]
fn what_is_wrong_is_said_when_it_is_built() {
    let registry = Registry::new();
    let fresh = |uid: &str| Throttle::builder(uid).registry(&registry);
    let says = |result: std::result::Result<Throttle, traffik::Error>, words: &[&str]| {
        let error = result.expect_err("built");
        assert!(error.is_configuration());
        for word in words {
            assert!(error.to_string().contains(word), "{error} should say {word}");
        }
    };
    says(fresh("e:1").build(), &["e:1", "no rate"]);
    says(fresh("e:2").rate("5/mins").build(), &["e:2", "mins", "min"]);
    says(fresh("e 3").rate("5/min").build(), &["e 3"]);
    says(fresh("").rate("5/min").build(), &["empty"]);
    says(fresh("e:4").rate("5/min").cost(6).build(), &["6", "5", "never"]);
    says(fresh("e:5").rate("5/min").strategy(Gcra::new()).cost(2).build(), &["gcra", "burst"]);
    says(
        fresh("e:6").rate("5/min").backend(still()).dynamic_backend().build(),
        &["e:6", "backend", "dynamic"],
    );
    says(fresh("e:7").rate("999999937/8784 h").strategy(TokenBucket::new()).build(), &["2^53", "burst"]);
    says(fresh("e:8").rate("5/min").rule(bypass_if().path("no-slash")).build(), &["no-slash"]);
    says(fresh("e:9").rate(Rate::per_second(0)).build(), &["e:9", "zero"]);
    let _kept = fresh("e:twice").rate("5/min").build().expect("a first");
    says(fresh("e:twice").rate("5/min").build(), &["e:twice", "builder.rs"]);
    assert!(TokenBucket::new().burst(10) != TokenBucket::new());
}

#[tokio::test]
async fn rules_choose_the_requests() -> Result {
    let (builder, _clock) = alone("b:rules");
    let throttle = builder
        .rate("1/min")
        .identifier(|_: &Parts| "everyone")
        .rule(bypass_if().path("/health").method(http::Method::GET))
        .rule(throttle_if().path("/api/**").when(|req| !req.headers.contains_key("x-internal")))
        .build()?;
    let parts = |path: &str, headers: &[(&str, &str)]| get_from(path, "10.0.0.1", headers).into_parts().0;
    for path in ["/health", "/other", "/apiary"] {
        for _ in 0..2 {
            assert_eq!(throttle.hit(&parts(path, &[])).await?, Decision::Exempt, "{path}");
        }
    }
    assert_eq!(throttle.hit(&parts("/api/x", &[("x-internal", "1")])).await?, Decision::Exempt);
    assert!(throttle.hit(&parts("/api/x", &[])).await?.stat().is_some());
    assert!(!throttle.hit(&parts("/api/y/z", &[])).await?.is_allowed());
    Ok(())
}

#[tokio::test]
async fn settings_change_at_run_time() -> Result {
    let (builder, _clock) = alone("b:changing");
    let throttle = builder.rate("2/min").build()?;
    for expected in [true, true, false] {
        assert_eq!(throttle.hit("u").await?.is_allowed(), expected);
    }
    throttle.set_rate("3/min")?;
    assert_eq!(throttle.stat("u").await?.ok_or("exempt")?.used, 2, "a new limit keeps what was used");
    assert!(throttle.hit("u").await?.is_allowed());
    assert!(throttle.set_rate("3/mins").is_err());
    assert_eq!(throttle.rate(), Some(Rate::per_minute(3)), "a bad rate changes nothing");
    throttle.set_strategy(FixedWindow::new().staggered())?;
    throttle.set_cost(3);
    assert!(throttle.hit("u").await?.is_allowed());
    assert!(!throttle.hit("u").await?.is_allowed());
    throttle.set_enabled(false);
    assert_eq!(throttle.hit("u").await?, Decision::Exempt);
    throttle.set_enabled(true);
    throttle.set_backend(still())?;
    assert!(throttle.hit("u").await?.is_allowed());
    Ok(())
}

#[test]
fn a_backend_that_is_looked_up_cannot_be_changed() -> Result {
    let throttle = Throttle::builder("it:looked_up").rate("1/min").dynamic_backend().build()?;
    let error = throttle.set_backend(still()).unwrap_err().to_string();
    assert!(error.contains(r#""it:looked_up" looks its backend up for each request"#), "{error}");
    assert!(throttle.backend().is_none());
    Ok(())
}

/// A check reports what a hit would do: if it costs nothing, it consults no store, even if the
/// account exceeds a lowered limit.
#[tokio::test]
async fn a_check_of_nothing_passes_as_a_hit_of_nothing_does() -> Result {
    let registry = Registry::new();
    let waits = DenialCache::new(still(), 10); // not immediate, so this takes the general path
    for backend in [SharedBackend::from(still()), SharedBackend::from(waits)] {
        let build = |uid| Throttle::builder(uid).rate("10/min").registry(&registry).backend(&backend);
        let throttle = build("b:nothing").build()?;
        let _ = throttle.hit("ann").cost(10).await?;
        throttle.set_rate("5/min")?;
        assert_eq!(throttle.hit("ann").cost(0).await?, Decision::Exempt);
        assert_eq!(throttle.check("ann").cost(0).await?, Decision::Exempt);
        assert!(!throttle.check("ann").await?.is_allowed());

        let nobody = |_: &Parts| -> Identity { panic!("a free request's identifier ran") };
        let free = build("b:nothing:free").cost(0).identifier(nobody).build()?;
        let (parts, ()) = get_from("/", "10.0.0.1", &[]).map(|_| ()).into_parts();
        assert_eq!(free.hit(&parts).await?, Decision::Exempt);
        assert_eq!(free.check(&parts).await?, Decision::Exempt);
    }
    Ok(())
}

#[tokio::test]
async fn a_change_that_would_refuse_everybody_is_refused() -> Result {
    let throttle = Throttle::builder("b:change")
        .rate("100/min")
        .cost(10)
        .backend(still())
        .registry(&Registry::new())
        .build()?;
    let expected = "a cost of 10 can never pass, since";
    for error in [throttle.set_rate("9/min").unwrap_err(), throttle.set_strategy(Gcra::new()).unwrap_err()] {
        assert!(error.is_configuration() && error.to_string().contains(expected), "{error}");
    }
    assert!(throttle.hit("ann").await?.is_allowed(), "nothing was changed");
    throttle.set_rate("10/min")?;
    throttle.set_strategy(Gcra::new().burst(10))?;
    assert!(throttle.hit("ann").await?.is_allowed());
    Ok(())
}
