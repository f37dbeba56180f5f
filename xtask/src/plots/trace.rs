//! Runs a strategy on a bursty trace: 40 seconds of one client, at a rate of 10 hits per 10 seconds.

use std::future::IntoFuture;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use traffik::strategy::IntoStrategy;
use traffik::test_kit::ManualClock;
use traffik::{Error, Identity, MemoryBackend, Priority, Registry, Throttle};

/// The length of the trace, in seconds.
pub(super) const SECONDS: u64 = 40;
/// The width of a bar.
pub(super) const BIN_MS: u64 = 500;
/// The interval at which the account is sampled.
const LOOK_MS: u64 = 100;
const RATE: &str = "10/10s";
/// The trace starts twenty seconds before noon, UTC, at a multiple of ten seconds.
const START_OF_DAY_MS: u64 = (12 * 3_600 - 20) * 1_000;
const DAY_MS: u64 = 86_400_000;

/// The outcomes of the hits within half a second.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bin {
    pub(crate) admitted: u32,
    pub(crate) refused: u32,
}

/// The results of running a strategy on the trace.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) bins: Vec<Bin>,
    /// What remains, sampled ten times a second.
    pub(super) remaining: Vec<u64>,
    pub(super) limit: u64,
}

/// Returns the times of the hits, in milliseconds: a trickle, a burst on either side of a window's edge, silence,
/// a long rush, a trickle.
fn hits() -> Vec<u64> {
    let every = |from: u64, to: u64, step: u64| (from..to).step_by(step as usize);
    let mut hits: Vec<u64> = every(1_000, 8_000, 2_000).collect();
    hits.extend(every(8_550, 9_950, 140));
    hits.extend(every(10_050, 11_450, 140));
    hits.extend(every(21_030, 27_000, 250));
    hits.extend(every(28_030, 39_900, 1_500));
    hits
}

fn now<F: IntoFuture<Output = Result<T, Error>>, T>(question: F) -> Result<T, String> {
    match pin!(question.into_future()).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer.map_err(|error| error.to_string()),
        Poll::Pending => Err("the in-memory store waited".into()),
    }
}

impl Run {
    /// Runs the strategy on the trace. Every hit has the given cost.
    pub(crate) fn of(uid: &str, strategy: impl IntoStrategy, cost: u64) -> Result<Self, String> {
        let clock = ManualClock::new();
        let micros = traffik::Clock::now(&clock);
        // Advance to the start of the trace on the next day.
        let ahead = DAY_MS * 1_000 - micros % (DAY_MS * 1_000) + START_OF_DAY_MS * 1_000;
        clock.advance(Duration::from_micros(ahead));
        let memory = MemoryBackend::builder().clock(clock.clone()).build();
        let throttle = Throttle::builder(uid).rate(RATE).strategy(strategy.into_strategy());
        let throttle = throttle.backend(memory).registry(&Registry::new()).build();
        let throttle = throttle.map_err(|error| error.to_string())?;

        let (mut hits, mut count) = (hits().into_iter().peekable(), 0_usize);
        let mut run = Self {
            bins: vec![Bin::default(); (SECONDS * 1_000 / BIN_MS) as usize],
            remaining: vec![],
            limit: 0,
        };
        for ms in 0..SECONDS * 1_000 {
            if hits.next_if_eq(&ms).is_some() {
                let bin = &mut run.bins[(ms / BIN_MS) as usize];
                let rank = [Priority::Low, Priority::Normal, Priority::Critical][count % 3];
                count += 1;
                match now(throttle.hit(client(rank)).cost(cost))?.is_allowed() {
                    true => bin.admitted += 1,
                    false => bin.refused += 1,
                }
            }
            if ms % LOOK_MS == 0 {
                let stat = now(throttle.stat(client(Priority::Critical)))?.ok_or("exempt")?;
                run.remaining.push(stat.remaining);
                run.limit = run.limit.max(stat.limit);
            }
            clock.advance(Duration::from_millis(1));
        }
        Ok(run)
    }
}

fn client(priority: Priority) -> Identity {
    Identity::key("ann").tier("premium").priority(priority)
}
