//! Checks the breaker against a straightforward model of its definition.

use std::sync::atomic::AtomicU32;

use proptest::prelude::*;

use super::*;

/// A manual clock. The one in the test kit is not available in every build.
#[derive(Debug, Clone, Default)]
struct Hand(Arc<AtomicU64>);

impl Hand {
    fn advance(&self, micros: u64) {
        self.0.fetch_add(micros, Ordering::SeqCst);
    }
}

impl Clock for Hand {
    fn now(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

fn breaker(threshold: u32, cool_down: u64) -> (CircuitBreaker, Hand) {
    let clock = Hand::default();
    let builder = CircuitBreaker::builder().failure_threshold(threshold);
    (builder.cool_down(Duration::from_micros(cool_down)).clock(clock.clone()).build(), clock)
}

fn fail(breaker: &CircuitBreaker, times: u32) {
    for _ in 0..times {
        breaker.permit().expect("closed").settle(false);
    }
}

/// A subscriber that asks the breaker whenever something is logged.
struct Asks(CircuitBreaker, Arc<AtomicU32>);

impl tracing::Subscriber for Asks {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        let _ = format!("{:?}", self.0);
        self.1.fetch_add(1, Ordering::SeqCst);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn it_is_not_locked_while_it_logs() {
    let (breaker, clock) = breaker(1, 1000);
    let logged = Arc::new(AtomicU32::new(0));
    let open_and_close = || {
        fail(&breaker, 1);
        clock.advance(1000);
        breaker.permit().expect("a probe").settle(true);
    };
    tracing::subscriber::with_default(Asks(breaker.clone(), logged.clone()), || {
        // A line that another test logs for the first time just now is taken for one that nobody listens to, until
        // that test's thread has come far enough for the interest in it to be asked for again.
        let both_lines = (0..10_000).any(|_| {
            tracing::callsite::rebuild_interest_cache();
            logged.store(0, Ordering::SeqCst);
            open_and_close();
            std::thread::yield_now();
            logged.load(Ordering::SeqCst) == 2
        });
        assert!(both_lines, "no events");
    });
}

#[test]
fn it_opens_after_failures_in_a_row_and_closes_after_a_probe() {
    let (breaker, clock) = breaker(3, 1000);
    fail(&breaker, 2);
    breaker.permit().expect("closed").settle(true);
    fail(&breaker, 2);
    assert_eq!(breaker.state(), BreakerState::Closed, "not in a row");
    fail(&breaker, 1);
    assert_eq!(breaker.state(), BreakerState::Open);
    clock.advance(999);
    assert!(breaker.permit().is_none());
    clock.advance(1);
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    let mut probe = breaker.permit().expect("a probe");
    assert!(breaker.permit().is_none(), "one probe at a time");
    probe.settle(false);
    assert_eq!(breaker.state(), BreakerState::Open);
    clock.advance(1000);
    breaker.permit().expect("a probe").settle(true);
    assert_eq!(breaker.state(), BreakerState::Closed);
    fail(&breaker, 2);
    assert_eq!(breaker.state(), BreakerState::Closed, "it counts from the start");
}

#[test]
fn a_probe_whose_caller_goes_away_is_taken_over() {
    let (breaker, clock) = breaker(1, 1000);
    fail(&breaker, 1);
    clock.advance(1000);
    drop(breaker.permit().expect("a probe"));
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    breaker.permit().expect("another probe").settle(true);
    assert_eq!(breaker.state(), BreakerState::Closed);
}

/// As one whose future is held by a stream whose consumer is busy: it neither ends nor goes away.
#[test]
fn a_probe_that_never_ends_is_not_the_last() {
    let (breaker, clock) = breaker(1, 1000);
    fail(&breaker, 1);
    clock.advance(1000);
    let mut stalled = breaker.permit().expect("a probe");
    clock.advance(PROBING - 1);
    assert!(breaker.permit().is_none(), "one probe at a time");
    clock.advance(1);
    let mut second = breaker.permit().expect("another probe");
    assert!(breaker.permit().is_none(), "again one at a time");
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    second.settle(true);
    assert_eq!(breaker.state(), BreakerState::Closed);
    stalled.settle(false);
    assert_eq!(breaker.state(), BreakerState::Closed, "its outcome is one of the past");
}

#[test]
fn a_probe_decides_although_an_earlier_one_goes_away() {
    let (breaker, clock) = breaker(1, 1000);
    fail(&breaker, 1);
    clock.advance(1000);
    let stalled = breaker.permit().expect("a probe");
    clock.advance(PROBING);
    let mut second = breaker.permit().expect("another probe");
    drop(stalled);
    second.settle(true);
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn a_slow_probe_still_decides() {
    let (breaker, clock) = breaker(1, 1000);
    fail(&breaker, 1);
    clock.advance(1000);
    let mut slow = breaker.permit().expect("a probe");
    clock.advance(PROBING);
    let _second = breaker.permit().expect("another probe");
    slow.settle(true);
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn outcomes_of_the_past_change_nothing() {
    let (breaker, clock) = breaker(1, 1000);
    let (mut late_success, mut late_failure) = (breaker.permit().unwrap(), breaker.permit().unwrap());
    fail(&breaker, 1);
    late_success.settle(true);
    assert_eq!(breaker.state(), BreakerState::Open);
    clock.advance(1000);
    let mut probe = breaker.permit().expect("a probe");
    late_failure.settle(false);
    assert_eq!(breaker.state(), BreakerState::HalfOpen, "the probe is still under way");
    probe.settle(true);
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn of_many_threads_one_probes() {
    let (breaker, clock) = breaker(1, 1000);
    for _ in 0..50 {
        fail(&breaker, 1);
        clock.advance(1000);
        let given = AtomicU32::new(0);
        let start = std::sync::Barrier::new(4);
        let probes: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        start.wait();
                        let permit = breaker.permit();
                        given.fetch_add(u32::from(permit.is_some()), Ordering::SeqCst);
                        permit
                    })
                })
                .collect();
            threads.into_iter().filter_map(|thread| thread.join().expect("no panic")).collect()
        });
        assert_eq!(given.load(Ordering::SeqCst), 1);
        probes.into_iter().for_each(|mut probe| probe.settle(true));
    }
}

/// The definition as a model that keeps all phases and derives the state from them.
#[derive(Default)]
struct Model {
    /// Every phase so far, the current one last.
    phases: Vec<ModelPhase>,
    /// Failures in a row since the breaker closed or a call succeeded.
    streak: u32,
}

#[derive(Clone, Copy, PartialEq)]
enum ModelPhase {
    Closed,
    Opened {
        at: u64,
        cool_down: u64,
    },
    /// Another call may probe from this instant on.
    Probing {
        another_at: u64,
    },
}

impl Model {
    fn phase(&self) -> ModelPhase {
        self.phases.last().copied().unwrap_or(ModelPhase::Closed)
    }

    fn state(&self, now: u64) -> BreakerState {
        match self.phase() {
            ModelPhase::Closed => BreakerState::Closed,
            ModelPhase::Opened { at, cool_down } if now < at + cool_down => BreakerState::Open,
            ModelPhase::Opened { .. } | ModelPhase::Probing { .. } => BreakerState::HalfOpen,
        }
    }

    /// Returns the number of the phase that the call belongs to, or `None` if the call is not permitted.
    fn permit(&mut self, now: u64, cool_down: u64) -> Option<usize> {
        match (self.state(now), self.phases.last_mut()) {
            (BreakerState::Closed, _) => {}
            (BreakerState::HalfOpen, Some(ModelPhase::Probing { another_at })) => {
                if now < *another_at {
                    return None;
                }
                *another_at = now + cool_down.max(30_000_000);
            }
            (BreakerState::HalfOpen, _) => {
                self.phases.push(ModelPhase::Probing { another_at: now + cool_down.max(30_000_000) });
            }
            (BreakerState::Open, _) => return None,
        }
        Some(self.phases.len())
    }

    fn settle(&mut self, number: usize, outcome: Option<bool>, now: u64, threshold: u32, cool_down: u64) {
        if number != self.phases.len() {
            return;
        }
        match (self.phase(), outcome) {
            (ModelPhase::Probing { .. }, None) => {
                self.phases[number - 1] = ModelPhase::Probing { another_at: now };
            }
            (ModelPhase::Closed, Some(true)) => self.streak = 0,
            (ModelPhase::Closed, Some(false)) => {
                self.streak += 1;
                if self.streak >= threshold {
                    self.phases.push(ModelPhase::Opened { at: now, cool_down });
                }
            }
            (ModelPhase::Probing { .. }, Some(true)) => {
                self.streak = 0;
                self.phases.push(ModelPhase::Closed);
            }
            (ModelPhase::Probing { .. }, Some(false)) => {
                self.phases.push(ModelPhase::Opened { at: now, cool_down });
            }
            _ => {}
        }
    }
}

#[derive(Debug, Clone)]
enum Event {
    Call,
    /// Ends the call that has been under way for the n-th longest time. `None` means that its caller goes away.
    End(usize, Option<bool>),
    Wait(u64),
}

fn event() -> impl Strategy<Value = Event> {
    let outcome = prop_oneof![3 => Just(Some(false)), 2 => Just(Some(true)), 1 => Just(None)];
    prop_oneof![
        4 => Just(Event::Call),
        4 => (0_usize..4, outcome).prop_map(|(which, outcome)| Event::End(which, outcome)),
        2 => (0_u64..60).prop_map(Event::Wait),
        1 => (29_999_990_u64..30_000_010).prop_map(Event::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn it_does_what_the_model_does(
        threshold in 1_u32..4,
        cool_down in 0_u64..100,
        events in prop::collection::vec(event(), 1..120),
    ) {
        let (breaker, clock) = breaker(threshold, cool_down);
        let mut model = Model::default();
        let mut under_way: Vec<(Permit, usize)> = Vec::new();
        for event in events {
            let now = clock.now();
            match event {
                Event::Call => {
                    let (permit, number) = (breaker.permit(), model.permit(now, cool_down));
                    prop_assert_eq!(permit.is_some(), number.is_some());
                    under_way.extend(permit.zip(number));
                }
                Event::End(which, outcome) if which < under_way.len() => {
                    let (mut permit, number) = under_way.remove(which);
                    model.settle(number, outcome, now, threshold, cool_down);
                    if let Some(succeeded) = outcome {
                        permit.settle(succeeded);
                    }
                }
                Event::End(..) => {}
                Event::Wait(micros) => clock.advance(micros),
            }
            prop_assert_eq!(breaker.state(), model.state(clock.now()));
        }
    }
}
