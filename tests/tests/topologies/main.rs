//! Redis Cluster and Sentinel: real processes that move slots, die and are promoted, under load.

#![forbid(unsafe_code)]
// Clippy does not recognize helper functions outside of `#[test]` as test code.
#![allow(clippy::unwrap_used)]

mod cluster;
mod failover;
mod lazy;
mod load;
mod mistakes;
mod permissions;
mod sentinel;
mod table;
