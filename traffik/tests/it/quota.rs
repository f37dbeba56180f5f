//! Quotas: hits are queued and then charged together, or not at all.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse;
use axum::routing::get;
use traffik::test_kit::FaultyBackend;
use traffik::{EXEMPTED, OnCancel, Parts, QuotaContext, QuotaError, Registry, Throttle};

use crate::support::{Result, get_from, send, still, throttle, used};

#[tokio::test]
async fn work_that_succeeds_is_charged_in_the_end() -> Result {
    let rows = throttle("quota:ok", "10/hour", still());
    let answer = rows.quota("ann").run(async |q| {
        q.add(3);
        q.add(2);
        assert_eq!((q.queued_cost(), q.applied_cost(), q.active(), q.depth()), (5, 0, true, 0));
        assert_eq!(used(&rows).await, 0, "not before the end");
        Ok("done")
    });
    assert_eq!(answer.await?, "done");
    assert_eq!(used(&rows).await, 5);
    Ok(())
}

#[tokio::test]
async fn work_that_fails_is_not() -> Result {
    let rows = throttle("quota:error", "10/hour", still());
    let failed = rows.quota("ann").run(async |q| {
        q.add(3);
        Err::<(), _>("no such table".into())
    });
    let error = failed.await.unwrap_err();
    assert!(matches!(&error, QuotaError::Work(work) if work.to_string() == "no such table"), "{error}");
    assert_eq!(used(&rows).await, 0);
    Ok(())
}

/// Reports print an error and then its sources, each once.
#[tokio::test]
async fn an_error_of_the_work_is_not_its_own_source() -> Result {
    #[derive(Debug)]
    struct Outer(std::num::ParseIntError);
    impl std::fmt::Display for Outer {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("no such row")
        }
    }
    impl std::error::Error for Outer {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }
    let rows = throttle("quota:source", "10/hour", still());
    let failed = rows.quota("ann").run(async |_| Err::<(), _>(Outer("x".parse::<u8>().unwrap_err()).into()));
    let error = failed.await.unwrap_err();
    let chain: Vec<_> = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source())
        .map(ToString::to_string)
        .collect();
    assert_eq!(chain, ["no such row", "invalid digit found in string"]);
    Ok(())
}

#[tokio::test]
async fn all_or_chosen_errors_are_paid_for() -> Result {
    let rows = throttle("quota:paid", "10/hour", still());
    let fail = async |q: traffik::Quota<'_>, units| {
        let all = q.run(async |q| {
            q.add(units);
            Err::<(), _>(std::io::Error::from(std::io::ErrorKind::TimedOut).into())
        });
        assert!(matches!(all.await, Err(QuotaError::Work(_))));
    };
    fail(rows.quota("ann").apply_on_error(true), 3).await;
    assert_eq!(used(&rows).await, 3);
    let of = |kind| {
        move |error: &traffik::BoxError| {
            error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == kind)
        }
    };
    fail(rows.quota("ann").apply_on_error(of(std::io::ErrorKind::NotFound)), 2).await;
    assert_eq!(used(&rows).await, 3);
    fail(rows.quota("ann").apply_on_error(of(std::io::ErrorKind::TimedOut)), 2).await;
    assert_eq!(used(&rows).await, 5);
    fail(rows.quota("ann").apply_on_error(false), 2).await;
    fail(rows.quota("ann").apply_on_error(|_: &traffik::BoxError| false), 2).await;
    assert_eq!(used(&rows).await, 5);
    fail(rows.quota("ann").apply_on_error(true), 6).await;
    assert_eq!(used(&rows).await, 5, "what does not fit is not charged, and the work's error stands");
    Ok(())
}

#[tokio::test]
async fn several_throttles_are_charged_all_or_none_in_one_call() -> Result {
    let backend = still();
    let (rows, bytes) = (
        throttle("quota:rows", "10/hour", backend.clone()),
        throttle("quota:bytes", "100/hour", backend.clone()),
    );
    let quota = QuotaContext::new("ann");
    for (throttle, units) in [(&rows, 2), (&rows, 2), (&bytes, 50), (&rows, 1)] {
        quota.add(throttle, units);
    }
    assert_eq!(quota.queued_cost(), 55);
    let shown = format!("{quota:?}");
    assert!(shown.contains(r#"[("quota:rows", 4), ("quota:bytes", 50), ("quota:rows", 1)]"#), "{shown}");
    assert!(!shown.contains("ann"), "{shown}");
    assert!(quota.check().await?.is_allowed());
    assert_eq!((used(&rows).await, used(&bytes).await), (0, 0), "a check charges nothing");
    assert!(quota.apply().await?.is_allowed());
    assert_eq!((used(&rows).await, used(&bytes).await), (5, 50));
    assert!(quota.apply().await?.is_allowed(), "and charges once");
    assert_eq!((used(&rows).await, used(&bytes).await), (5, 50));
    assert_eq!((quota.queued_cost(), quota.applied_cost(), quota.active()), (0, 55, false));

    quota.add(&rows, 1);
    quota.add(&bytes, 51);
    let refused = quota.apply().await?;
    assert_eq!(refused.throttled().map(traffik::Throttled::uid), Some("quota:bytes"));
    assert_eq!((used(&rows).await, used(&bytes).await), (5, 50));
    assert_eq!((quota.queued_cost(), quota.active()), (52, true), "a refusal leaves the queue as it was");
    quota.cancel().await?;
    assert_eq!((quota.queued_cost(), quota.active()), (0, false));
    Ok(())
}

#[tokio::test]
async fn a_check_on_several_backends_charges_none() -> Result {
    let rows = Throttle::builder("quota:far:rows").rate("10/hour").on_cancel(OnCancel::Refund);
    let rows = rows.backend(FaultyBackend::new(still())).registry(&Registry::new()).build()?;
    let bytes = throttle("quota:far:bytes", "10/hour", FaultyBackend::new(still()));
    assert!(rows.hit("ann").cost(3).await?.is_allowed());
    let quota = QuotaContext::new("ann");
    quota.add(&rows, 1);
    quota.add(&bytes, 2);
    assert!(quota.check().await?.is_allowed());
    tokio::task::yield_now().await;
    assert_eq!((used(&rows).await, used(&bytes).await), (3, 0), "nor does it refund");
    assert!(quota.apply().await?.is_allowed());
    assert_eq!((used(&rows).await, used(&bytes).await), (4, 2));
    Ok(())
}

/// What one backend had charged before another refused goes back once, not again when what was reserved is dropped.
#[tokio::test]
async fn a_refused_reservation_goes_back_once() -> Result {
    let rows =
        Throttle::builder("quota:once:rows").rate("10/hour").backend(still()).on_cancel(OnCancel::Refund);
    let rows = rows.registry(&Registry::new()).build()?;
    let bytes = throttle("quota:once:bytes", "1/hour", still());
    assert!(rows.hit("ann").cost(3).await?.is_allowed());
    let quota = QuotaContext::new("ann");
    quota.add(&rows, 2);
    quota.add(&bytes, 2);
    assert!(!quota.reserve().await?.is_allowed());
    assert_eq!(used(&rows).await, 3);
    Ok(())
}

/// Throttles of two registries may share an account.
#[tokio::test]
async fn what_two_throttles_hold_of_one_account_goes_back_as_it_was_charged() -> Result {
    let memory = still();
    let [one, other] = [0, 1].map(|_| throttle("quota:shared", "10/hour", memory.clone()));
    assert!(one.hit("ann").cost(4).await?.is_allowed());
    let quota = QuotaContext::new("ann");
    quota.add(&one, 1);
    quota.add(&other, 2);
    assert!(quota.reserve().await?.is_allowed());
    assert_eq!(used(&one).await, 7);
    quota.cancel().await?;
    assert_eq!(used(&one).await, 4);
    quota.add(&one, u64::MAX);
    quota.add(&other, 2);
    assert!(!quota.check().await?.is_allowed(), "the sum of both costs");
    Ok(())
}

#[tokio::test]
async fn work_whose_quota_is_refused_is_told() -> Result {
    let rows = throttle("quota:refused", "4/hour", still());
    let refused = rows.quota("ann").run(async |q| {
        q.add(5);
        Ok(())
    });
    let error = refused.await.unwrap_err();
    assert_eq!(error.throttled().map(traffik::Throttled::cost), Some(5));
    assert_eq!(error.into_response().status(), 429);
    assert_eq!(used(&rows).await, 0);
    Ok(())
}

#[tokio::test]
async fn a_refusal_within_the_work_is_told_as_one() -> Result {
    let rows = throttle("quota:within", "4/hour", still());
    let refused = rows.quota("ann").run(async |q| {
        q.nested()
            .run(async |inner| {
                inner.add(5);
                inner.check().await?.into_result()?;
                Ok(())
            })
            .await?;
        Ok(())
    });
    assert_eq!(refused.await.unwrap_err().throttled().map(traffik::Throttled::cost), Some(5));
    let reserved = rows.quota("ann").run(async |_| {
        let _ = rows.reserve("ann").cost(5).await?;
        Ok(())
    });
    assert!(reserved.await.unwrap_err().throttled().is_some());
    Ok(())
}

#[tokio::test]
async fn what_is_held_is_given_back_if_the_end_fails() -> Result {
    let faulty = FaultyBackend::new(still());
    let (held, queued) =
        (throttle("quota:held", "10/hour", still()), throttle("quota:queued", "10/hour", faulty.clone()));
    let answer = QuotaContext::new("ann").run(async |q| {
        q.add(&held, 3);
        assert!(q.reserve().await?.is_allowed());
        q.add(&queued, 1);
        faulty.fail();
        Ok("done")
    });
    assert!(matches!(answer.await, Err(QuotaError::Failed(error)) if error.is_backend()));
    assert_eq!(used(&held).await, 0);
    Ok(())
}

#[tokio::test]
async fn nested_contexts_merge_into_the_outer_one() -> Result {
    let rows = throttle("quota:nested", "10/hour", still());
    rows.quota("ann")
        .run(async |outer| {
            outer.add(1);
            let inner = outer.nested();
            assert_eq!(inner.depth(), 1);
            inner
                .run(async |inner| {
                    inner.add(2);
                    inner
                        .nested()
                        .run(async |innermost| {
                            innermost.add(3);
                            assert_eq!(innermost.depth(), 2);
                            Ok(())
                        })
                        .await?;
                    Ok(())
                })
                .await?;
            let failed = outer.nested().run(async |inner| {
                inner.add(4);
                Err::<(), _>("only this part".into())
            });
            assert!(failed.await.is_err());
            assert_eq!((outer.queued_cost(), used(&rows).await), (6, 0));
            Ok(())
        })
        .await?;
    assert_eq!(used(&rows).await, 6);
    Ok(())
}

#[tokio::test]
async fn a_check_inside_counts_what_is_queued_outside() -> Result {
    let rows = throttle("quota:check:nested", "5/hour", still());
    let outer = rows.quota("ann");
    outer.add(3);
    let inner = outer.nested();
    inner.add(2);
    assert!(inner.check().await?.is_allowed());
    inner.add(1);
    assert!(!inner.check().await?.is_allowed(), "3 outside and 3 inside, decided together");
    assert!(outer.check().await?.is_allowed(), "what is inside may yet be cancelled");
    Ok(())
}

#[tokio::test]
async fn what_is_held_is_taken_now_and_given_back_on_cancel() -> Result {
    let rows = throttle("quota:held", "10/hour", still());
    let quota = rows.quota("ann");
    quota.add(7);
    assert!(quota.reserve().await?.is_allowed());
    assert_eq!(
        (used(&rows).await, quota.queued_cost(), quota.applied_cost(), quota.active()),
        (7, 0, 0, true)
    );
    assert!(!rows.hit("ann").cost(4).await?.is_allowed(), "others see it taken");
    quota.cancel().await?;
    assert_eq!((used(&rows).await, quota.active()), (0, false));

    quota.add(7);
    assert!(quota.reserve().await?.is_allowed());
    quota.add(2);
    assert!(quota.apply().await?.is_allowed());
    assert_eq!((used(&rows).await, quota.applied_cost()), (9, 9));
    quota.cancel().await?;
    assert_eq!(used(&rows).await, 9, "what is applied stays");

    let failed = rows.quota("ann").run(async |q| {
        q.add(1);
        assert!(q.reserve().await?.is_allowed());
        assert_eq!(used(&rows).await, 10);
        Err::<(), _>("too late".into())
    });
    assert!(failed.await.is_err());
    assert_eq!(used(&rows).await, 9);
    Ok(())
}

#[tokio::test]
async fn what_is_held_of_several_throttles_is_given_back_in_one_call() -> Result {
    let store = FaultyBackend::new(still());
    let (rows, bytes) =
        (throttle("quota:rows", "10/hour", store.clone()), throttle("quota:bytes", "10/hour", store.clone()));
    let quota = QuotaContext::new("ann");
    for throttle in [&rows, &bytes] {
        quota.add(throttle, 3);
        assert!(quota.reserve().await?.is_allowed());
    }
    let before = store.calls();
    quota.cancel().await?;
    assert_eq!(store.calls() - before, 1);
    assert_eq!((used(&rows).await, used(&bytes).await), (0, 0));
    Ok(())
}

#[tokio::test]
async fn a_hold_inside_is_the_outer_ones_to_decide() -> Result {
    let rows = throttle("quota:held:nested", "10/hour", still());
    let outer = rows.quota("ann");
    outer
        .nested()
        .run(async |inner| {
            inner.add(7);
            let _held = inner.reserve().await?;
            Ok(())
        })
        .await?;
    assert_eq!((used(&rows).await, outer.active()), (7, true));
    outer.cancel().await?;
    assert_eq!(used(&rows).await, 0);

    let inner = outer.nested();
    inner.add(4);
    assert!(inner.reserve().await?.is_allowed());
    inner.add(1);
    assert!(inner.apply().await?.is_allowed());
    assert_eq!((inner.applied_cost(), outer.applied_cost(), outer.queued_cost()), (5, 0, 1));
    assert!(outer.apply().await?.is_allowed());
    assert_eq!((used(&rows).await, outer.applied_cost()), (5, 5));
    Ok(())
}

#[tokio::test]
async fn a_dropped_hold_goes_by_the_throttles_rule() -> Result {
    for (rule, left) in [(OnCancel::Keep, 3), (OnCancel::Refund, 0)] {
        let rows = throttle("quota:dropped", "10/hour", still());
        rows.set_on_cancel(rule);
        let quota = rows.quota("ann");
        quota.add(3);
        assert!(quota.reserve().await?.is_allowed());
        drop(quota);
        assert_eq!(used(&rows).await, left, "{rule:?}");
        let kept = rows.quota("ann");
        kept.add(2);
        assert!(kept.apply().await?.is_allowed());
        drop(kept);
        assert_eq!(used(&rows).await, left + 2, "what is applied stays, under {rule:?}");
    }
    Ok(())
}

#[tokio::test]
async fn after_an_outage_nothing_is_charged_twice() -> Result {
    let faulty = FaultyBackend::new(still());
    let rows = throttle("quota:outage", "10/hour", faulty.clone());
    let quota = rows.quota("ann");
    quota.add(3);
    faulty.fail();
    assert!(quota.apply().await.unwrap_err().is_backend());
    faulty.heal();
    assert!(quota.apply().await?.is_allowed());
    assert_eq!(
        (used(&rows).await, quota.applied_cost()),
        (0, 0),
        "it may have been charged, and is not again"
    );
    Ok(())
}

#[tokio::test]
async fn the_exempt_pay_nothing() -> Result {
    let rows = throttle("quota:exempt", "1/hour", still());
    let quota = rows.quota(EXEMPTED);
    quota.add(1_000);
    assert!(quota.reserve().await?.is_allowed() && quota.apply().await?.is_allowed());
    Ok(())
}

#[tokio::test]
async fn a_handler_runs_its_work_under_a_quota() -> Result {
    static ROWS: std::sync::LazyLock<Throttle> =
        std::sync::LazyLock::new(|| throttle("quota:handler", "4/hour", still()));
    async fn write(parts: Parts) -> std::result::Result<String, QuotaError> {
        ROWS.quota(&parts)
            .run(async |q| {
                q.add(3);
                tokio::task::yield_now().await;
                Ok(format!("{}", q.queued_cost()))
            })
            .await
    }
    let app: Router = Router::new().route("/", get(write));
    for status in [200, 429] {
        let response: http::Response<Body> = send(&app, get_from("/", "192.0.2.1", &[])).await;
        assert_eq!(response.status(), status);
    }
    Ok(())
}

/// What is reported as charged has been charged.
#[tokio::test]
async fn what_is_not_counted_is_not_applied() -> Result {
    let rows = throttle("quota:uncounted", "10/hour", still());
    let shadow = Throttle::builder("quota:shadow").rate("10/hour").shadow().backend(still());
    let shadow = shadow.registry(&Registry::new()).build()?;
    for (quota, account) in [(rows.quota(EXEMPTED), None), (shadow.quota("ann"), Some(&shadow))] {
        quota.add(11);
        assert!(quota.reserve().await?.is_allowed());
        assert_eq!((quota.queued_cost(), quota.active()), (0, false), "nothing is held");
        quota.add(11);
        assert!(quota.apply().await?.is_allowed());
        assert_eq!(quota.applied_cost(), 0);
        if let Some(account) = account {
            quota.add(7);
            assert!(quota.apply().await?.is_allowed());
            assert_eq!((quota.applied_cost(), used(account).await), (7, 7));
        }
    }
    Ok(())
}

/// The queue may be the last to own a throttle, which is dropped after the lock is released.
#[test]
fn a_throttle_that_is_cancelled_is_let_go_of_after_the_lock() {
    struct Watch(Arc<QuotaContext<'static>>);
    impl Drop for Watch {
        fn drop(&mut self) {
            assert_eq!(self.0.queued_cost(), 0);
        }
    }
    let (done, wait) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let quota = Arc::new(QuotaContext::new("ann"));
        let watch = Watch(quota.clone());
        let watched = Throttle::builder("quota:watched").rate("5/min").registry(&Registry::new());
        let watched = watched.cost_with(move |_: &Parts| watch.0.queued_cost()).build().unwrap();
        quota.add(&watched, 1);
        drop(watched);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        done.send(runtime.block_on(quota.cancel()).is_ok()).unwrap();
    });
    assert_eq!(wait.recv_timeout(Duration::from_secs(30)), Ok(true), "it waits for itself");
}
