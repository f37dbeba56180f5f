//! Many calls in flight at once.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::oracle::{Asked, Suite};
use super::strategies;
use crate::backend::{BackendError, Op, Verdicts};
use crate::rate::Rate;
use crate::strategy::{FixedWindow, LeakyQueue, SlidingLog, SlidingWindow, Strategy, TokenBucket};

/// Drives all futures concurrently to completion.
async fn all<T>(futures: impl IntoIterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut waiting: Vec<Pin<Box<_>>> = futures.into_iter().map(Box::pin).collect();
    let mut done = Vec::with_capacity(waiting.len());
    poll_fn(move |context| {
        waiting.retain_mut(|future| match future.as_mut().poll(context) {
            Poll::Ready(value) => {
                done.push(value);
                false
            }
            Poll::Pending => true,
        });
        if waiting.is_empty() { Poll::Ready(std::mem::take(&mut done)) } else { Poll::Pending }
    })
    .await
}

/// Makes this many hits at once, each in its own future, alternating between the batches.
async fn storm(suite: &Suite, batches: &[&[Asked]], hits: usize) -> Vec<Result<Verdicts, BackendError>> {
    let backend = &suite.backend;
    let hit = async |asked: &[Asked]| {
        let hits: Vec<_> = asked.iter().map(Asked::hit).collect();
        backend.get().decide(Op::Hit, &hits).await
    };
    all(batches.iter().cycle().take(hits).map(|batch| hit(batch))).await
}

/// However hits interleave, exactly the limit is admitted.
pub(super) async fn exact_totals(suite: Suite) {
    for strategy in strategies::core() {
        let rate = Rate::per_hour(60);
        let policy = suite.policy("conformance:storm", rate, &strategy);
        let name = suite.name(&format!("{strategy:?}"));
        let client = suite.asked(&policy, name.as_str(), 1);
        let mut passed = 0;
        for _ in 0..8 {
            for outcome in storm(&suite, &[std::slice::from_ref(&client)], 16).await {
                match outcome {
                    Ok(verdicts) => passed += u64::from(verdicts.admitted()),
                    Err(error) => suite.require(false, || format!("{strategy:?}, 16 hits at once: {error}")),
                }
            }
        }
        let most = strategy.capacity(&rate);
        suite.require(passed == most, || {
            format!("{strategy:?}: {passed} of 128 hits at once passed, not {most}")
        });
    }
}

/// Batches that share one account: the other accounts are charged exactly as often as batches pass.
pub(super) async fn whole_batches(mut suite: Suite) {
    let strategies: [Arc<dyn Strategy>; 5] = [
        Arc::new(FixedWindow::new()),
        Arc::new(SlidingWindow::new()),
        Arc::new(SlidingLog::new()),
        Arc::new(TokenBucket::new()),
        Arc::new(LeakyQueue::new()),
    ];
    for strategy in strategies {
        let shared = suite.policy("conformance:shared", Rate::per_hour(50), &strategy);
        let apart = suite.policy("conformance:apart", Rate::per_hour(1_000), &strategy);
        let name = suite.name(&format!("{strategy:?}"));
        let batch = [suite.asked(&shared, name.as_str(), 1), suite.asked(&apart, name.as_str(), 1)];
        let turned: Vec<Asked> = batch.iter().rev().cloned().collect();
        let mut passed = 0;
        for _ in 0..4 {
            for outcome in storm(&suite, &[&batch, &turned], 20).await {
                match outcome {
                    Ok(verdicts) => passed += u64::from(verdicts.admitted()),
                    Err(error) => {
                        suite.require(false, || format!("{strategy:?}, 20 batches at once: {error}"))
                    }
                }
            }
        }
        suite
            .require(passed == 50, || format!("{strategy:?}: {passed} of 80 batches at once passed, not 50"));
        let used =
            suite.ask(Op::Check, &turned).await.each.iter().map(|verdict| verdict.used).collect::<Vec<_>>();
        suite.require(used == [50, 50], || {
            format!("{strategy:?}: 50 batches left {used:?} used of two accounts")
        });
    }
}

/// A call that is dropped halfway has charged its whole batch, or nothing.
pub(super) async fn dropped_calls(mut suite: Suite) {
    let strategy: Arc<dyn Strategy> = Arc::new(FixedWindow::new());
    let policies = ["conformance:left", "conformance:right"]
        .map(|uid| suite.policy(uid, Rate::per_hour(1_000), &strategy));
    let name = suite.name("dropped");
    let batch = policies.each_ref().map(|policy| suite.asked(policy, name.as_str(), 1));
    for polls in 1..20 {
        {
            let hits: Vec<_> = batch.iter().map(Asked::hit).collect();
            let mut call = suite.backend.get().decide(Op::Hit, &hits);
            for _ in 0..polls % 4 {
                if call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
                    break;
                }
            }
        }
        let used =
            suite.ask(Op::Check, &batch).await.each.iter().map(|verdict| verdict.used).collect::<Vec<_>>();
        suite.require(used[0] == used[1], || format!("a dropped call left {used:?} used of two accounts"));
    }
}
