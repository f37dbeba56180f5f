//! Shared tools of the integration tests: their own Redis servers, observing backends, and seeded randomness.

#![forbid(unsafe_code)]

mod backends;
mod exact;
pub mod fuzzed;
pub mod permissions;
mod proxy;
mod random;
mod redis_cluster;
mod redis_sentinels;
mod redis_server;
mod requests;
mod served;
mod strategies;
mod teller;
mod timed;

pub use backends::{Mirror, Noted};
pub use exact::exact;
pub use proxy::Proxy;
pub use random::{Random, long_run, seeds};
pub use redis_cluster::RedisCluster;
pub use redis_sentinels::RedisSentinels;
pub use redis_server::RedisServer;
pub use requests::{eventually, insist, request};
pub use served::{Answer, Served};
pub use strategies::strategies;
pub use teller::Teller;
pub use timed::{GRACE, timed};

/// A period whose end no test reaches: the next calendar window of this length starts in 2069.
pub const FOREVER: &str = "36500 days";

/// The samples in the README.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
