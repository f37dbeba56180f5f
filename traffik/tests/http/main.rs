//! The HTTP interface, over real sockets and with real clients, without waiting for time to pass.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod allocations;
mod answers;
mod client_ip;
mod cors;
mod fast_paths;
mod gate;
mod grpc;
mod headers;
mod identifier;
mod layer;
mod neighbours;
mod nested;
mod outcome;
mod registry;
mod rules;
#[cfg(feature = "ws")]
mod socket;
mod structured;
mod support;
