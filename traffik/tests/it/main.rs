//! The library as users see it: attribute and builder on real routers, in memory.

// The name of a test says what it proves, so it needs no docs. Clippy does not recognize helper functions
// outside of `#[test]` as test code.
#![allow(missing_docs, clippy::unwrap_used)]

mod allocations;
mod attribute;
mod builder;
mod contract;
mod denials;
mod events;
mod failure;
mod instants;
mod memory;
#[cfg(feature = "metrics")]
mod metrics;
mod now;
mod policies;
mod quota;
mod refunds;
mod reserve;
mod support;
mod survival;
mod wait;
