//! The fast paths decide and answer like the general path.
//!
//! A throttle that was changed after it was built takes a longer path, even if its settings are the same as
//! before. One with a rule takes the general path, even if the rule never matches. Each triplet compares
//! these two kinds with a throttle that takes the fastest path.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::{HeaderMap, Request};
use proptest::prelude::*;
use tower::ServiceExt;
use traffik::rules::bypass_if;
use traffik::strategy::{Gcra, SlidingLog, TokenBucket};
use traffik::{EXEMPTED, Headers, Identity, Parts, Peer, Throttle, ThrottleBuilder, throttle};

use crate::support::{app, memory, throttle};

fn changed(builder: ThrottleBuilder, cost: u64) -> Throttle {
    let throttle = builder.cost(cost).build().unwrap();
    throttle.set_cost(cost);
    throttle
}

fn ruled(builder: ThrottleBuilder, cost: u64) -> Throttle {
    builder.cost(cost).rule(bypass_if().path("/never")).build().unwrap()
}

/// Defines three handlers whose throttles have these names and the same settings.
macro_rules! triplets {
    ($short:ident, $long:ident, $general:ident, $uid:ident, $($throttle:ident: $make:expr, $cost:expr;)*) => {
        mod $general {
            use super::*;
            $(static $throttle: LazyLock<Throttle> =
                LazyLock::new(|| ruled($make(concat!(stringify!($uid), ":", stringify!($throttle))), $cost));)*
            $(#[throttle($throttle)])*
            pub(super) async fn handler() {}
        }
        mod $short {
            use super::*;
            $(static $throttle: LazyLock<Throttle> =
                LazyLock::new(|| $make(concat!(stringify!($uid), ":", stringify!($throttle))).cost($cost).build().unwrap());)*
            $(#[throttle($throttle)])*
            pub(super) async fn handler() {}
        }
        mod $long {
            use super::*;
            $(static $throttle: LazyLock<Throttle> =
                LazyLock::new(|| changed($make(concat!(stringify!($uid), ":", stringify!($throttle))), $cost));)*
            $(#[throttle($throttle)])*
            pub(super) async fn handler() {}
        }
    };
}

fn paced(uid: &str) -> ThrottleBuilder {
    throttle(uid, "10/s").strategy(Gcra::new().burst(3))
}

fn window(uid: &str) -> ThrottleBuilder {
    throttle(uid, "9/2s")
}

fn scoped(uid: &str) -> ThrottleBuilder {
    throttle(uid, "5/s").strategy(TokenBucket::new().burst(6)).scope("somewhere")
}

fn log(uid: &str) -> ThrottleBuilder {
    throttle(uid, "12/3s").strategy(SlidingLog::new()).identifier(|_: &Parts| "everybody")
}

fn log_of_address(uid: &str) -> ThrottleBuilder {
    throttle(uid, "12/3s").strategy(SlidingLog::new())
}

/// Exempts the first client and counts all others as one.
fn name(parts: &Parts) -> Identity {
    match parts.extensions.get() {
        Some(Peer(IpAddr::V4(ip))) if ip.octets()[3] == 0 => EXEMPTED,
        _ => Identity::key("the others"),
    }
}

fn named_paced(uid: &str) -> ThrottleBuilder {
    paced(uid).identifier(name)
}

fn named_window(uid: &str) -> ThrottleBuilder {
    window(uid).identifier(name)
}

fn named_log(uid: &str) -> ThrottleBuilder {
    log_of_address(uid).identifier(name)
}

fn quiet(uid: &str) -> ThrottleBuilder {
    window(uid).headers(Headers::never())
}

triplets!(short_paced, long_paced, general_paced, one, A: paced, 1;);
triplets!(short_window, long_window, general_window, default, A: window, 2;);
triplets!(short_log, long_log, general_log, log, A: log, 1;);
triplets!(short_two, long_two, general_two, two, A: paced, 1; B: scoped, 2;);
triplets!(short_named_two, long_named_two, general_named_two, named_two, A: named_paced, 1; B: named_window, 2;);
triplets!(short_named_three, long_named_three, general_named_three, named_three, A: named_paced, 1; B: named_window, 2; C: named_log, 1;);
triplets!(short_quiet_first, long_quiet_first, general_quiet_first, quiet_first, A: quiet, 1; B: paced, 1;);
triplets!(short_quiet_last, long_quiet_last, general_quiet_last, quiet_last, A: paced, 1; B: quiet, 1;);
triplets!(short_quiet_third, long_quiet_third, general_quiet_third, quiet_third, A: paced, 1; B: scoped, 1; C: quiet, 1;);
triplets!(short_with_log, long_with_log, general_with_log, with_log, A: window, 2; B: log_of_address, 3;);
triplets!(short_mixed, long_mixed, general_mixed, mixed, A: window, 2; B: log, 1;);
triplets!(short_three, long_three, general_three, three, A: paced, 1; B: window, 2; C: scoped, 1;);
triplets!(short_four, long_four, general_four, four, A: paced, 1; B: window, 3; C: scoped, 1; D: log_of_address, 1;);
triplets!(short_five, long_five, general_five, five, A: paced, 1; B: window, 1; C: scoped, 1; D: log_of_address, 1; E: paced, 2;);
triplets!(short_four_accounts, long_four_accounts, general_four_accounts, four_accounts, A: window, 2; B: paced, 1; C: scoped, 1; D: quiet, 2;);
triplets!(short_five_accounts, long_five_accounts, general_five_accounts, five_accounts, A: quiet, 1; B: scoped, 2; C: window, 1; D: paced, 1; E: scoped, 1;);

/// Two throttles that share an account, as separate registries allow. Both charge it.
fn shared(_: &str) -> ThrottleBuilder {
    paced("shared")
}

triplets!(short_shared, long_shared, general_shared, shared, A: shared, 1; B: shared, 1; C: window, 1;);

/// Sends a request. Returns its status and its rate-limit headers.
async fn ask(router: &Router, client: u8) -> (u16, HeaderMap) {
    let mut request = Request::new(Body::empty());
    request.extensions_mut().insert(Peer(IpAddr::V4(Ipv4Addr::new(10, 0, 0, client))));
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, _) = response.into_parts();
    let headers = parts.headers.into_iter().filter_map(|(name, value)| Some((name?, value)));
    (parts.status.as_u16(), headers.filter(|(name, _)| name.as_str().contains("ratelimit")).collect())
}

fn assert_same(
    requests: &[(u8, u16)],
    short: axum::routing::MethodRouter,
    long: axum::routing::MethodRouter,
    general: axum::routing::MethodRouter,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let all = [short, long, general].map(|handler| {
        let (memory, clock) = memory();
        let app = app().backend(memory).build();
        (Router::new().route("/", handler).layer(app.layer()), clock)
    });
    runtime.block_on(async {
        let mut statuses = Vec::new();
        for (client, passed) in requests {
            let [(short, _), (long, _), (general, _)] = &all;
            let (short, long, general) =
                (ask(short, *client).await, ask(long, *client).await, ask(general, *client).await);
            assert_eq!(short, long, "after {statuses:?}");
            assert_eq!(short, general, "in general, after {statuses:?}");
            statuses.push(short.0);
            all.iter().for_each(|(_, clock)| clock.advance(Duration::from_millis(u64::from(*passed))));
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn they_decide_as_the_general_one(requests in proptest::collection::vec((0..3_u8, 0..300_u16), 1..40)) {
        assert_same(&requests, get(short_paced::handler), get(long_paced::handler), get(general_paced::handler));
        assert_same(&requests, get(short_window::handler), get(long_window::handler), get(general_window::handler));
        assert_same(&requests, get(short_log::handler), get(long_log::handler), get(general_log::handler));
        assert_same(&requests, get(short_two::handler), get(long_two::handler), get(general_two::handler));
        assert_same(&requests, get(short_named_two::handler), get(long_named_two::handler), get(general_named_two::handler));
        assert_same(&requests, get(short_named_three::handler), get(long_named_three::handler), get(general_named_three::handler));
        assert_same(&requests, get(short_quiet_first::handler), get(long_quiet_first::handler), get(general_quiet_first::handler));
        assert_same(&requests, get(short_quiet_last::handler), get(long_quiet_last::handler), get(general_quiet_last::handler));
        assert_same(&requests, get(short_quiet_third::handler), get(long_quiet_third::handler), get(general_quiet_third::handler));
        assert_same(&requests, get(short_with_log::handler), get(long_with_log::handler), get(general_with_log::handler));
        assert_same(&requests, get(short_mixed::handler), get(long_mixed::handler), get(general_mixed::handler));
        assert_same(&requests, get(short_shared::handler), get(long_shared::handler), get(general_shared::handler));
        assert_same(&requests, get(short_three::handler), get(long_three::handler), get(general_three::handler));
        assert_same(&requests, get(short_four::handler), get(long_four::handler), get(general_four::handler));
        assert_same(&requests, get(short_five::handler), get(long_five::handler), get(general_five::handler));
        assert_same(&requests, get(short_four_accounts::handler), get(long_four_accounts::handler), get(general_four_accounts::handler));
        assert_same(&requests, get(short_five_accounts::handler), get(long_five_accounts::handler), get(general_five_accounts::handler));
    }
}

/// The comparison is meaningful: some of these requests are refused, and some are not.
#[test]
fn requests_of_that_kind_are_refused_and_let_pass() {
    let router = Router::new().route("/", get(short_three::handler)).layer(app().build().layer());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let statuses = runtime.block_on(async {
        let mut statuses = Vec::new();
        for _ in 0..5 {
            statuses.push(ask(&router, 1).await.0);
        }
        statuses
    });
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
}
