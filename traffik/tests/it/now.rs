//! `now`: decisions for code that is not async, outside of any runtime.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use http::Method;
use traffik::strategy::Gcra;
use traffik::test_kit::{FaultyBackend, ManualClock};
use traffik::{
    Decision, EXEMPTED, Identity, MemoryBackend, Parts, Rate, Registry, Throttle, ThrottleBuilder, bypass_if,
    throttle_if,
};

fn builder(uid: &str, rate: &str) -> ThrottleBuilder {
    let memory = MemoryBackend::builder().clock(ManualClock::new()).build();
    Throttle::builder(uid).rate(rate).backend(memory).registry(&Registry::new())
}

fn request(path: &str) -> Parts {
    http::Request::get(path).header("x-user", "ann").body(()).unwrap().into_parts().0
}

fn user(parts: &Parts) -> Identity {
    parts.headers.get("x-user").and_then(|user| user.to_str().ok()).map(str::to_owned).into()
}

#[test]
fn hits_checks_and_queries_take_no_future() {
    for builder in [builder("now", "3/min"), builder("now", "3/min").strategy(Gcra::new().burst(3))] {
        let throttle = builder.build().unwrap();
        assert!(throttle.hit("ann").now().unwrap().is_allowed());
        assert!(throttle.check("ann").cost(2).now().unwrap().is_allowed());
        assert!(throttle.hit(String::from("ann")).cost(2).now().unwrap().is_allowed());
        assert!(!throttle.check(Identity::from("ann")).now().unwrap().is_allowed());
        let refused = throttle.hit("ann").now().unwrap();
        assert_eq!(refused.stat(), throttle.stat("ann").now().unwrap().as_ref());
        assert!(!refused.is_allowed());
        assert_eq!(throttle.stat("ann").now().unwrap().map(|stat| stat.used), Some(3));
        assert_eq!(throttle.hit(EXEMPTED).now().unwrap(), Decision::Exempt);
        assert!(throttle.hit(7).now().unwrap().is_allowed());
    }
}

/// Whatever takes a throttle off the short paths but keeps nobody waiting.
#[test]
fn requests_are_decided_at_once_if_their_functions_are_sync() {
    let plain = builder("now:plain", "2/min").identifier(user);
    let rule = builder("now:rule", "2/min").identifier(user).rule(throttle_if().method(Method::GET));
    let rule = rule.rule(bypass_if().when(|parts: &Parts| parts.uri.path() == "/free"));
    let scope = builder("now:scope", "2/min").identifier(user).scope_with(|_: &Parts| "room".to_owned());
    let rate = builder("now:rate", "9/min").identifier(user).rate_with(|_: &Parts| Rate::per_minute(2));
    let cost = builder("now:cost", "4/min").identifier(user).cost_with(|_: &Parts| 2_u64);
    for builder in [plain, rule, scope, rate, cost] {
        let throttle = builder.build().unwrap();
        let allowed = [(); 3].map(|()| throttle.hit(&request("/")).now().unwrap().is_allowed());
        assert_eq!(allowed, [true, true, false], "{}", throttle.uid());
    }
    let shadow = builder("now:shadow", "1/min").identifier(user).shadow().build().unwrap();
    let decisions = [(); 2].map(|()| shadow.hit(&request("/")).now().unwrap());
    assert!(matches!(decisions, [Decision::Allowed(_), Decision::Exempt]));
    assert_eq!(shadow.stat("ann").now().unwrap().map(|stat| stat.remaining), Some(0));
}

#[test]
fn what_may_wait_is_an_error_and_charges_nothing() {
    async fn slow(_: &Parts) -> Identity {
        Identity::from("ann")
    }
    let store = FaultyBackend::new(MemoryBackend::new());
    let elsewhere = Throttle::builder("now:elsewhere").rate("5/min").backend(store.clone());
    let elsewhere = elsewhere.registry(&Registry::new()).build().unwrap();
    let error = elsewhere.hit("ann").now().unwrap_err();
    assert!(error.is_configuration());
    assert_eq!(
        error.to_string(),
        "throttle \"now:elsewhere\" can't decide at once: its backend or a function of the request may have to wait, \
         or its backend depends on the request; await the call instead"
    );
    assert!(elsewhere.check("ann").now().is_err() && elsewhere.stat("ann").now().is_err());
    assert_eq!(store.calls(), 0);

    let identifier = builder("now:identifier", "5/min").identifier(slow).build().unwrap();
    assert!(identifier.hit(&request("/")).now().is_err());
    assert_eq!(identifier.stat("ann").now().unwrap().map(|stat| stat.used), Some(0));
    let rule = throttle_if().when(|_: &Parts| async { true });
    let rule = builder("now:async-rule", "5/min").rule(rule).build().unwrap();
    assert!(rule.hit(&request("/")).now().is_err());
    // A client that is given needs no function of the request.
    assert!(identifier.hit("ann").now().unwrap().is_allowed());
    assert!(rule.hit("ann").now().unwrap().is_allowed());

    let dynamic = Throttle::builder("now:dynamic").rate("5/min").dynamic_backend();
    let dynamic = dynamic.registry(&Registry::new()).build().unwrap();
    assert!(dynamic.hit("ann").now().is_err());
}

/// Whether something may wait is known of the settings by which the hit is then decided.
#[test]
fn a_backend_that_is_changed_meanwhile_is_not_called() {
    let (memory, store) = (MemoryBackend::new(), FaultyBackend::new(MemoryBackend::new()));
    let changing = builder("now:changing", "5/min").shadow().build().unwrap();
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                changing.set_backend(store.clone()).unwrap();
                changing.set_backend(memory.clone()).unwrap();
            }
        });
        for _ in 0..50_000 {
            let _ = changing.hit("ann").now();
        }
        is_done.store(true, Ordering::Relaxed);
    });
    assert_eq!(store.calls(), 0);
}
