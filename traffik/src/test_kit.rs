//! What this library is tested with, for testing yours: a clock moved by hand, a backend that
//! fails on demand, a gate that stands open, and the suite that every backend must pass.

mod clock;
mod conformance;
mod faulty;

pub use clock::ManualClock;
pub use conformance::conformance;
pub use faulty::FaultyBackend;

/// An open gate, for calling a throttled handler directly in a unit test:
/// `export(open_gate(), State(state)).await`.
#[cfg(feature = "axum")]
#[must_use]
pub fn open_gate<G, P>() -> crate::axum::Gate<G, P> {
    crate::axum::Gate::open()
}
