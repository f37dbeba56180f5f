//! The library as its users see it: attribute and builder on real routers, in memory.

#![allow(missing_docs)]

mod allocations;
mod attribute;
mod builder;
mod contract;
mod failure;
mod memory;
mod support;
