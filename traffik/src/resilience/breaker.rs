//! [`CircuitBreaker`]: stops calling a backend that keeps failing (Nygard, "Release It!", 2007).
//!
//! ```text
//! closed ── failures in a row reach the threshold ──▶ open
//! open ──── cool-down over, the next call probes ──▶ half-open
//! half-open ── the probe succeeds ──▶ closed
//! half-open ── the probe fails ─────▶ open, for another cool-down
//! half-open ── the probe's caller goes away ──▶ the next call probes
//! half-open ── the probe never ends ────────▶ after a while, another call probes as well
//! ```

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::OnError;
use crate::clock::{Clock, SystemClock, micros};

/// Stops calling a backend that keeps failing: while the breaker is open, calls fail immediately.
///
/// This is a cheap handle; clones share one breaker. It starts closed, opens after a number of consecutive
/// failures, and half-opens after the cool-down for a single call, whose outcome closes the breaker or
/// opens it for another cool-down. Outcomes of calls that were in flight when it opened change nothing.
///
/// A call that is not polled does not end, not even at its deadline. So if the single call has not ended
/// after 30 s (or the cool-down, if that is longer), another one is let through.
///
/// ```
/// use std::time::Duration;
/// use traffik::{CircuitBreaker, MemoryBackend, OnError};
///
/// // After five failures in a row, Redis is left alone for ten seconds, and this process counts by itself.
/// let breaker = CircuitBreaker::builder().failure_threshold(5).cool_down(Duration::from_secs(10)).build();
/// let on_error = OnError::fallback(MemoryBackend::new()).breaker(breaker.clone());
/// # let _ = traffik::Throttle::builder("docs:breaker").rate("1/min").on_error(on_error);
/// ```
#[derive(Clone)]
pub struct CircuitBreaker(Arc<Inner>);

/// How long a probe may take, in microseconds, before another call probes as well. A future that nobody polls
/// (one of a stream whose consumer is busy, or on a runtime that nobody drives) would otherwise keep the breaker
/// from ever closing. Longer than any sensible deadline, so that a backend that hangs gets one call at a time.
const PROBING: u64 = 30_000_000;

struct Inner {
    threshold: u32,
    cool_down: u64,
    clock: Arc<dyn Clock>,
    /// Counts the changes of phase: an outcome counts only in the phase in which its call began.
    era: AtomicU64,
    /// Whether `state` is anything but closed without failures. Most calls check nothing else.
    troubled: AtomicBool,
    state: Mutex<State>,
}

struct State {
    phase: Phase,
    /// Consecutive failures.
    failures: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Closed,
    /// No call goes out before this instant.
    Open(u64),
    /// One call is in flight. Another one may follow from this instant on.
    Probing(u64),
}

/// What is logged.
enum Change {
    Opened { failures: u32 },
    Recovered,
}

/// The state of a [`CircuitBreaker`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BreakerState {
    /// Calls go out.
    Closed,
    /// Calls fail immediately.
    Open,
    /// The cool-down is over: one call may probe, or is probing, and the others fail immediately.
    HalfOpen,
}

impl CircuitBreaker {
    /// Creates a breaker that opens for 5 s after 5 consecutive failures.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Returns a builder, which sets threshold, cool-down and clock.
    pub fn builder() -> CircuitBreakerBuilder {
        CircuitBreakerBuilder {
            threshold: 5,
            cool_down: Duration::from_secs(5),
            clock: Arc::new(SystemClock),
        }
    }

    /// Returns the current state.
    #[must_use]
    pub fn state(&self) -> BreakerState {
        match self.lock().phase {
            Phase::Closed => BreakerState::Closed,
            Phase::Open(until) if self.0.clock.now() < until => BreakerState::Open,
            Phase::Open(_) | Phase::Probing(_) => BreakerState::HalfOpen,
        }
    }

    pub(super) fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Returns a permit for one call, or `None` while calls are to fail immediately.
    fn permit(&self) -> Option<Permit> {
        // Read the era first: if the phase changes right afterwards, the call's outcome belongs to the
        // past.
        let mut era = self.0.era.load(Ordering::Acquire);
        if self.0.troubled.load(Ordering::Acquire) {
            let mut state = self.lock();
            match state.phase {
                Phase::Closed => {}
                Phase::Open(until) | Phase::Probing(until) => {
                    let now = self.0.clock.now();
                    if now < until {
                        return None;
                    }
                    let probing = Phase::Probing(now.saturating_add(self.0.cool_down.max(PROBING)));
                    if matches!(state.phase, Phase::Probing(_)) {
                        // The same phase: whichever probe ends first decides.
                        state.phase = probing;
                    } else {
                        self.turn(&mut state, probing);
                    }
                }
            }
            era = self.0.era.load(Ordering::Acquire);
        }
        Some(Permit { breaker: self.clone(), era, settled: false })
    }

    /// Records the outcome of a call permitted in `era`; `None` if its caller went away.
    fn settle(&self, era: u64, succeeded: Option<bool>) {
        if succeeded == Some(true) && !self.0.troubled.load(Ordering::Acquire) {
            return;
        }
        // Logged without the lock: a subscriber may ask for the state, or call through the same breaker.
        match self.record(era, succeeded) {
            Some(Change::Opened { failures }) => tracing::warn!(
                target: "traffik",
                failures,
                cool_down_ms = self.0.cool_down / 1000,
                "the backend keeps failing; its circuit breaker opened"
            ),
            Some(Change::Recovered) => {
                tracing::info!(target: "traffik", "the backend has recovered; its circuit breaker closed");
            }
            None => {}
        }
    }

    fn record(&self, era: u64, succeeded: Option<bool>) -> Option<Change> {
        let mut state = self.lock();
        if era != self.0.era.load(Ordering::Acquire) {
            return None;
        }
        match (state.phase, succeeded) {
            (Phase::Closed, Some(true)) => {
                state.failures = 0;
                self.0.troubled.store(false, Ordering::Release);
                None
            }
            (Phase::Closed, Some(false)) => {
                state.failures += 1;
                self.0.troubled.store(true, Ordering::Release);
                (state.failures >= self.0.threshold).then(|| self.open(&mut state))
            }
            (Phase::Probing(_), Some(true)) => {
                state.failures = 0;
                self.turn(&mut state, Phase::Closed);
                Some(Change::Recovered)
            }
            (Phase::Probing(_), Some(false)) => Some(self.open(&mut state)),
            (Phase::Probing(_), None) => {
                // The same phase: another probe may still be in flight, and decide.
                state.phase = Phase::Probing(0);
                None
            }
            (Phase::Closed, None) | (Phase::Open(_), _) => None,
        }
    }

    fn open(&self, state: &mut State) -> Change {
        let until = self.0.clock.now().saturating_add(self.0.cool_down);
        self.turn(state, Phase::Open(until));
        Change::Opened { failures: state.failures }
    }

    fn turn(&self, state: &mut State, phase: Phase) {
        state.phase = phase;
        self.0.era.fetch_add(1, Ordering::AcqRel);
        self.0.troubled.store(phase != Phase::Closed, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that runs under this lock leaves the state half-changed, not even a panic of an injected
        // clock.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for CircuitBreaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitBreaker")
            .field("state", &self.state())
            .field("failure_threshold", &self.0.threshold)
            .field("cool_down", &Duration::from_micros(self.0.cool_down))
            .finish()
    }
}

/// Builds a [`CircuitBreaker`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct CircuitBreakerBuilder {
    threshold: u32,
    cool_down: Duration,
    clock: Arc<dyn Clock>,
}

impl CircuitBreakerBuilder {
    /// Sets how many consecutive failures open the breaker: at least 1, and 5 by default.
    pub fn failure_threshold(mut self, failures: u32) -> Self {
        self.threshold = failures.max(1);
        self
    }

    /// Sets how long the breaker stays open before a call may probe. The default is 5 s.
    pub fn cool_down(mut self, cool_down: Duration) -> Self {
        self.cool_down = cool_down;
        self
    }

    /// Sets the clock. The default is [`SystemClock`].
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Builds the breaker, closed.
    #[must_use]
    pub fn build(self) -> CircuitBreaker {
        CircuitBreaker(Arc::new(Inner {
            threshold: self.threshold,
            cool_down: micros(self.cool_down),
            clock: self.clock,
            era: AtomicU64::new(0),
            troubled: AtomicBool::new(false),
            state: Mutex::new(State { phase: Phase::Closed, failures: 0 }),
        }))
    }
}

/// A permit for one call. If it is dropped unsettled, the caller went away and nothing is known.
struct Permit {
    breaker: CircuitBreaker,
    era: u64,
    settled: bool,
}

impl Permit {
    fn settle(&mut self, succeeded: bool) {
        self.settled = true;
        self.breaker.settle(self.era, Some(succeeded));
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.settled {
            self.breaker.settle(self.era, None);
        }
    }
}

/// The permits of one call, one per breaker: stacked throttles may bring several breakers or share one.
#[derive(Default)]
pub(crate) struct Permits(Vec<Permit>);

impl Permits {
    /// Whether a throttle with this policy may take part in the call.
    pub(crate) fn admit(&mut self, on_error: &OnError) -> bool {
        let Some(breaker) = on_error.guard() else { return true };
        if self.0.iter().any(|permit| permit.breaker.same(breaker)) {
            return true;
        }
        let permit = breaker.permit();
        let given = permit.is_some();
        self.0.extend(permit);
        given
    }

    pub(super) fn settle(&mut self, succeeded: bool) {
        self.0.iter_mut().for_each(|permit| permit.settle(succeeded));
    }

    /// Renews the permits for a retry of the same call; returns `false` if any of the breakers has opened.
    pub(super) fn renew(&mut self) -> bool {
        let renewed: Option<Vec<_>> = self.0.iter().map(|permit| permit.breaker.permit()).collect();
        match renewed {
            Some(renewed) => {
                self.0 = renewed;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests;
