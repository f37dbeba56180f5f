//! One account at a time: which hits share it, and how it fills again.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use super::oracle::{Asked, Suite};
use super::strategies;
use crate::backend::{Op, Verdict};
use crate::identity::{ANONYMOUS, Identity};
use crate::rate::Rate;
use crate::strategy::{FixedWindow, SlidingLog, Strategy, TokenBucket};

/// Hits that differ in anything but cost, tier and priority are counted separately.
pub(super) async fn counted_apart(mut suite: Suite) {
    let fixed: Arc<dyn Strategy> = Arc::new(FixedWindow::new());
    let log: Arc<dyn Strategy> = Arc::new(SlidingLog::new());
    let once = |suite: &Suite, uid, strategy| suite.policy(uid, Rate::per_hour(1), strategy);
    let policy = once(&suite, "conformance:a", &fixed);

    let name = suite.name("ann");
    let salt = suite.random.next() ^ suite.name("").len() as u64;
    let (high, low) = ((salt >> 32) as u32, salt as u32);
    let identities = [
        Identity::key(name.as_str()),
        Identity::key(format!("{name}:b")),
        Identity::key(format!("{name}|b")),
        Identity::key(format!("{name}\0b")),
        Identity::key(format!("{{{name}}}")),
        Identity::key(format!("{name}é")),
        Identity::key(format!("{name} ")),
        Identity::key(name.to_uppercase()),
        Identity::key(format!("{name}{}", "x".repeat(10_000))),
        Identity::key(format!("{name}{}y", "x".repeat(9_999))),
    ];
    let mut all: Vec<Asked> =
        identities.into_iter().map(|identity| suite.asked(&policy, identity, 1)).collect();

    // These are the same in every run, so the scope identifies the run.
    let address = Ipv4Addr::from_bits(low);
    let public = [
        ANONYMOUS,
        Identity::from(u64::from(low)),
        Identity::from(u64::from(high) << 32 | 7),
        Identity::key(low.to_string()),
        Identity::key(address.to_string()),
        Identity::from(std::net::IpAddr::from(address)),
        Identity::from(std::net::IpAddr::from(Ipv6Addr::from_bits(u128::from(salt)))),
    ];
    for identity in public {
        all.push(Asked { scope: Some(name.clone()), ..suite.asked(&policy, identity, 1) });
    }

    let scoped = |scope: &str, identity: &str| Asked {
        scope: Some(scope.to_owned()),
        ..suite.asked(&policy, Identity::key(format!("{name}{identity}")), 1)
    };
    all.extend([scoped("", ""), scoped("b", "a"), scoped("ab", ""), scoped("a", "b"), scoped("", "ab")]);
    all.extend([scoped("b|a", ""), scoped("b", "|a"), scoped(&"s".repeat(5_000), "")]);

    let ann = Identity::key(name.as_str());
    let other_uid = once(&suite, "conformance:a:b", &fixed);
    let other_strategy = once(&suite, "conformance:a", &log);
    let other_period = suite.policy("conformance:a", Rate::per_day(1), &fixed);
    for policy in [&other_uid, &other_strategy, &other_period] {
        all.push(suite.asked(policy, ann.clone(), 1));
    }

    for (place, asked) in all.iter().enumerate() {
        let verdict = suite.agree_on(Op::Hit, asked).await;
        let free = || format!("account {place} of {} shares with an earlier one: {asked:?}", all.len());
        suite.require(verdict.admitted, free);
    }
    for asked in &all {
        let verdict = suite.agree_on(Op::Hit, asked).await;
        suite.require(!verdict.admitted, || format!("two hits of one account were counted apart: {asked:?}"));
    }
}

/// A check changes nothing, a refund returns no more than was taken, and a reset forgets.
pub(super) async fn given_back_and_forgotten(mut suite: Suite) {
    for strategy in strategies::core().into_iter().chain(strategies::narrow()) {
        let policy = suite.policy("conformance:back", Rate::per_minute(200), &strategy);
        let name = suite.name(strategy.name()) + &format!("{strategy:?}");
        let client = suite.asked(&policy, strategies::client(&name, 6), 1);
        let full = suite.agree_on(Op::Check, &client).await.remaining;
        let cost = full.div_ceil(2);
        suite.agree_on(Op::Hit, &client.cost(cost)).await;
        for looked in [1, full, full + 1, 1, 0, u64::MAX] {
            suite.agree_on(Op::Check, &client.cost(looked)).await;
        }
        let left = suite.agree_on(Op::Check, &client).await.remaining;
        suite.require(left == full - cost, || format!("{strategy:?}: {left} of {full} left after {cost}"));
        for refunded in [0, 1, full, u64::MAX] {
            suite.agree_on(Op::Refund { at: None }, &client.cost(refunded)).await;
        }
        let left = suite.agree_on(Op::Check, &client).await.remaining;
        suite.require(left == full, || format!("{strategy:?}: {left} of {full} left after refunds"));
        suite.agree_on(Op::Hit, &client.cost(full)).await;
        suite.agree_on(Op::Hit, &client).await;
        suite.agree_on(Op::Reset, &client).await;
        let left = suite.agree_on(Op::Check, &client).await.remaining;
        suite.require(left == full, || format!("{strategy:?}: {left} of {full} left after a reset"));
        suite.agree_on(Op::Reset, &client).await;
        suite.agree_on(Op::Refund { at: Some(0) }, &client).await;

        // A settle refunds what was not used, and charges what was used in addition, up to the
        // limit.
        let charged = suite.agree(Op::Hit, &[client.cost(cost)]).await.now;
        let settle = Op::Settle { at: charged };
        suite.agree_on(settle, &client.cost(cost - 1).back(true)).await;
        let left = suite.agree_on(Op::Check, &client).await.remaining;
        suite.require(left == full - 1, || format!("{strategy:?}: {left} of {full} left after 1 was used"));
        let settled = suite.agree_on(settle, &client.cost(full + 6)).await;
        suite.require(settled.admitted && settled.remaining == 0 && settled.wait == 7, || {
            format!("{strategy:?}: a settle of {} into {left} came to {settled:?}", full + 6)
        });
        let settled = suite.agree_on(settle, &client.cost(1)).await;
        suite.require(settled.admitted && settled.wait == 1, || {
            format!("{strategy:?}: a settle into an account at its limit came to {settled:?}")
        });
    }
}

/// The reported waits are true, and an idle account is full again when it says.
pub(super) async fn idle_accounts_fill(mut suite: Suite) {
    let also: [Arc<dyn Strategy>; 1] = [Arc::new(TokenBucket::new().burst(3))];
    for strategy in strategies::core().into_iter().chain(strategies::narrow()).chain(also) {
        let policy = suite.policy("conformance:idle", Rate::per_hour(100), &strategy);
        let name = suite.name(strategy.name()) + &format!("{strategy:?}");
        let client = suite.asked(&policy, strategies::client(&name, 6), 1);
        let full = suite.agree_on(Op::Check, &client).await.remaining;
        let mut last = suite.agree_on(Op::Hit, &client.cost(full)).await;
        for _ in 0..3 {
            let refused = suite.agree_on(Op::Hit, &client).await;
            suite.require(!refused.admitted && refused.wait != Verdict::NEVER, || {
                format!("{strategy:?}: a full account must be refused for a while, not {refused:?}")
            });
            suite.clock.advance(Duration::from_micros(refused.wait - 1));
            let early = suite.agree_on(Op::Hit, &client).await;
            suite.require(!early.admitted, || format!("{strategy:?}: passed 1 µs before {refused:?}"));
            suite.clock.advance(Duration::from_micros(1));
            last = suite.agree_on(Op::Hit, &client).await;
            suite.require(last.admitted, || {
                format!("{strategy:?}: did not pass after {refused:?}, but {last:?}")
            });
            let rest = last.remaining;
            if rest > 0 {
                last = suite.agree_on(Op::Hit, &client.cost(rest)).await;
            }
        }
        suite.clock.advance(Duration::from_micros(last.reset_after));
        for later in [0, 1, 2_000_000] {
            suite.clock.advance(Duration::from_micros(later));
            suite.agree_on(Op::Check, &client.cost(full)).await;
        }
    }
}
