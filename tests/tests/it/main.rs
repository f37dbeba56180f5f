//! One binary for all integration tests: they link once.

#![forbid(unsafe_code)]
// A test's helpers are tests too.
#![allow(clippy::unwrap_used)]

mod attribute;
mod books;
mod concurrency;
mod conformance;
mod contention;
mod corpus;
mod costs;
mod custom;
mod denials;
mod exemptions;
mod expiry;
mod garbage;
mod identities;
mod mirror;
mod muldiv;
mod one_call;
mod outage;
mod quota;
mod reserve;
mod scripts;
mod several;
mod strategy_table;
mod support;
mod tenants;
