//! The library as its users see it: attribute and builder on real routers, in memory.

// A test says what it proves by its name, and its helpers are tests too.
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
mod policies;
mod quota;
mod refunds;
mod reserve;
mod support;
mod survival;
