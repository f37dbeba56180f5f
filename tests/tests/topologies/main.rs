//! Redis Cluster and Sentinel: real processes that move slots, die and are promoted, under load.

#![forbid(unsafe_code)]
// A test's helpers are tests too.
#![allow(clippy::unwrap_used)]

mod cluster;
mod failover;
mod lazy;
mod load;
mod mistakes;
mod sentinel;
mod table;
