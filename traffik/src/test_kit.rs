//! Tools for testing your own app, which also test this library: a manually advanced clock, a backend that
//! fails on demand, an open gate, and the conformance suite that every backend must pass.

mod clock;
mod conformance;
mod faulty;

pub use clock::ManualClock;
pub use conformance::conformance;
pub use faulty::FaultyBackend;

/// Returns an open gate, for calling a throttled handler directly in a unit test:
/// `export(open_gate(), State(state)).await`.
#[cfg(feature = "axum")]
#[must_use]
pub fn open_gate<G, P>() -> crate::axum::Gate<G, P> {
    crate::axum::Gate::open()
}
