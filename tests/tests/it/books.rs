//! Any interleaving of reserving, settling, cancelling, dropping, hitting and waiting. The units must match
//! those of a naive model and never exceed what the account holds.

mod keepers;

use std::time::Duration;

use proptest::prelude::*;
use tokio::runtime::Handle;
use traffik::strategy::{FixedWindow, IntoStrategy, SlidingLog, TokenBucket};
use traffik::test_kit::ManualClock;
use traffik::{Clock, OnCancel, Registry, Reservation, Settled, SharedBackend, Throttle};
use traffik_tests::{RedisServer, strategies};

use self::keepers::{Book, Level, Log, Windows};
use crate::support::{memory, mirrored, prove};

const LIMIT: u64 = 40;
/// So long that Redis, which expires keys in real time, does not expire any while a test is delayed.
const PERIOD: u64 = 1_000_000_000;

#[derive(Debug, Clone, Copy)]
enum Move {
    Advance(u64),
    Hit(u64),
    Reserve(u64),
    /// The index of an open reservation, and the units actually used.
    Settle(usize, u64),
    Cancel(usize),
    Drop(usize),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        prop_oneof![Just(0), 1..PERIOD / 4, Just(PERIOD), 1..3 * PERIOD].prop_map(Move::Advance),
        (1..LIMIT / 2).prop_map(Move::Hit),
        (1..LIMIT + 3).prop_map(Move::Reserve),
        (any::<usize>(), 0..2 * LIMIT).prop_map(|(which, actual)| Move::Settle(which, actual)),
        any::<usize>().prop_map(Move::Cancel),
        any::<usize>().prop_map(Move::Drop),
    ];
    proptest::collection::vec(one, 1..80)
}

/// An open reservation: when and how much was charged, and what the account held afterwards.
struct Open {
    reservation: Reservation,
    at: u64,
    cost: u64,
    held: u64,
}

struct Scene {
    throttle: Throttle,
    clock: ManualClock,
    open: Vec<Open>,
    book: Option<Box<dyn Book>>,
    /// The units a fully used account holds, including its debt.
    most: u64,
    rule: OnCancel,
}

impl Scene {
    fn new(
        (clock, backend): (ManualClock, SharedBackend),
        strategy: impl IntoStrategy,
        book: Option<Box<dyn Book>>,
        rule: OnCancel,
    ) -> Self {
        let rate = traffik::Rate::new(LIMIT, Duration::from_micros(PERIOD)).unwrap();
        let strategy = strategy.into_strategy();
        let most = strategy.capacity(&rate);
        let builder = Throttle::builder("reserve:books").registry(&Registry::new()).backend(backend);
        let throttle = builder.rate(rate).strategy(strategy).on_cancel(rule).build().unwrap();
        Self { throttle, clock, open: Vec::new(), book, most, rule }
    }

    async fn used(&self) -> u64 {
        self.throttle.stat("ann").await.unwrap().unwrap().used
    }

    async fn is_at_its_limit(&self) -> bool {
        self.throttle.stat("ann").await.unwrap().unwrap().remaining == 0
    }

    fn book<T: Default>(&mut self, act: impl FnOnce(&mut dyn Book, u64) -> T) -> T {
        let now = Clock::now(&self.clock);
        self.book.as_deref_mut().map(|book| act(book, now)).unwrap_or_default()
    }

    async fn take(&mut self, step: Move) -> Result<(), TestCaseError> {
        let (now, before) = (Clock::now(&self.clock), self.used().await);
        let room = self.book.as_ref().map(|book| book.room(now));
        let some = |which: usize, open: &Vec<_>| which % open.len().max(1);
        match step {
            Move::Advance(micros) => self.clock.advance(Duration::from_micros(micros)),
            Move::Hit(cost) => {
                let passed = self.throttle.hit("ann").cost(cost).await.unwrap().is_allowed();
                prop_assert_eq!(self.used().await, before + if passed { cost } else { 0 });
                if let Some(room) = room {
                    prop_assert_eq!(passed, cost <= room);
                }
                if passed {
                    self.book(|book, now| book.charge(now, cost));
                }
            }
            Move::Reserve(cost) => {
                let made = self.throttle.reserve("ann").cost(cost).await.ok();
                prop_assert_eq!(self.used().await, before + if made.is_some() { cost } else { 0 });
                if let Some(room) = room {
                    prop_assert_eq!(made.is_some(), cost <= room);
                }
                if let Some(reservation) = made {
                    let held = self.book(|book, now| book.charge(now, cost));
                    self.open.push(Open { reservation, at: now, cost, held });
                }
            }
            Move::Settle(which, actual) if !self.open.is_empty() => {
                let one = self.open.swap_remove(some(which, &self.open));
                let settled = one.reservation.settle(actual).await.unwrap();
                self.corrected(before, (one.at, one.cost, one.held), actual, settled).await?;
            }
            Move::Cancel(which) if !self.open.is_empty() => {
                let one = self.open.swap_remove(some(which, &self.open));
                one.reservation.cancel().await.unwrap();
                self.corrected(before, (one.at, one.cost, one.held), 0, Settled::InFull).await?;
            }
            Move::Drop(which) if !self.open.is_empty() => {
                let one = self.open.swap_remove(some(which, &self.open));
                let tasks = || Handle::current().metrics().num_alive_tasks();
                let before_it = tasks();
                drop(one.reservation);
                // If the store is not immediate, a background task makes the refund.
                while tasks() > before_it {
                    tokio::task::yield_now().await;
                }
                let actual = if self.rule == OnCancel::Keep { one.cost } else { 0 };
                self.corrected(before, (one.at, one.cost, one.held), actual, Settled::InFull).await?;
            }
            Move::Settle(..) | Move::Cancel(_) | Move::Drop(_) => {}
        }
        let used = self.used().await;
        prop_assert!(used <= self.most, "{used} of {}", self.most);
        let now = Clock::now(&self.clock);
        if let Some(book) = &self.book {
            prop_assert_eq!(self.most - used, book.room(now), "after {:?}", step);
        }
        Ok(())
    }

    /// Checks that the units charged now match the units used, apart from those reported as missing.
    async fn corrected(
        &mut self,
        before: u64,
        (at, cost, held): (u64, u64, u64),
        actual: u64,
        settled: Settled,
    ) -> Result<(), TestCaseError> {
        let after = self.used().await;
        match actual.checked_sub(cost) {
            Some(more) => {
                let missing = settled.missing();
                prop_assert_eq!(after, before + more - missing, "{} units found no room", missing);
                prop_assert!(missing == 0 || self.is_at_its_limit().await, "room was left");
                self.book(|book, now| {
                    assert_eq!(missing, more.saturating_sub(book.room(now)));
                    book.charge(now, more - missing);
                });
            }
            None => {
                // A queue's entries leave as a whole: once one is shortened, the next may already have left.
                let whole = self.throttle.strategy().name() == "leaky_queue";
                let most = if whole { before } else { cost - actual };
                prop_assert!(after <= before && before - after <= most, "{before} to {after}");
                // If no time has passed at all, nothing has drained on its own.
                let young = Clock::now(&self.clock) == Clock::now(&ManualClock::new());
                prop_assert!(!young || before - after == cost - actual, "{before} to {after}");
                self.book(|book, now| book.give_back(now, at, held, cost - actual));
            }
        }
        Ok(())
    }
}

async fn follow(mut scene: Scene, steps: Vec<Move>) -> Result<(), TestCaseError> {
    for step in steps {
        scene.take(step).await?;
    }
    Ok(())
}

fn input() -> impl Strategy<Value = (Vec<Move>, OnCancel)> {
    (moves(), prop_oneof![Just(OnCancel::Keep), Just(OnCancel::Refund)])
}

/// Tests every strategy, on fresh stores for every sequence of moves.
fn all(what: &str, cases: u32, store: impl AsyncFn() -> (ManualClock, SharedBackend)) {
    prove(&format!("windows {what}"), cases, input(), async |(steps, rule)| {
        let book = Box::new(Windows::default());
        follow(Scene::new(store().await, FixedWindow::new(), Some(book), rule), steps).await
    });
    prove(
        &format!("buckets with debt {what}"),
        cases,
        (input(), 0_u64..30),
        async |((steps, rule), debt)| {
            let book = Level { level: 0, last: Clock::now(&ManualClock::new()), most: LIMIT + debt };
            let bucket = TokenBucket::new().debt(debt);
            follow(Scene::new(store().await, bucket, Some(Box::new(book)), rule), steps).await
        },
    );
    prove(&format!("logs {what}"), cases, input(), async |(steps, rule)| {
        let book = Box::new(Log::default());
        follow(Scene::new(store().await, SlidingLog::new(), Some(book), rule), steps).await
    });
    for (name, strategy) in strategies(LIMIT) {
        prove(&format!("{name} {what}"), cases / 3, input(), async |(steps, rule)| {
            follow(Scene::new(store().await, strategy.clone(), None, rule), steps).await
        });
    }
}

#[test]
fn units_are_conserved() {
    all("in memory", 200, async || memory());
}

#[test]
fn units_are_conserved_on_redis() {
    let server = RedisServer::start();
    all("on Redis", 12, async || mirrored(&server).await);
}
