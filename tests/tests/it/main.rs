//! All integration tests in one binary, so that they are linked only once.

#![forbid(unsafe_code)]
// Clippy does not recognize helper functions outside of `#[test]` as test code.
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
mod horizon;
mod identities;
mod large_batches;
mod log_refunds;
mod mirror;
mod muldiv;
mod one_call;
mod outage;
mod overload;
mod permissions;
mod quota;
mod reserve;
mod rolling;
mod runtimes;
mod scripts;
mod server_words;
mod several;
mod strategy_table;
mod support;
mod tenants;
