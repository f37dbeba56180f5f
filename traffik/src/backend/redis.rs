//! [`RedisBackend`]: counters that all processes share.
//!
//! A batch is one script call, whatever the number of its hits. The script is the strategies' Lua
//! twins behind a driver (`lua/main.lua`); a strategy without a twin runs in Rust, by
//! compare-and-swap. The server's clock decides, unless the builder was given another.
//!
//! - `key.rs`: under which key an account stands
//! - `scripts.rs`: which Lua runs a strategy
//! - `decide.rs`: a batch, as a script call
//! - `swap.rs`: a batch, by compare-and-swap; `turns.rs`: whose turn that is, of this process's calls
//! - `reach.rs`: the way to the servers; `connection.rs`: one server, and what happens when it goes
//! - `cluster.rs` (`cluster/slots.rs`), `sentinel.rs`: servers that change places; `renewal.rs`: when to look for them
//! - `groups.rs`: a batch of several slots

mod builder;
#[cfg(feature = "redis-cluster")]
mod cluster;
mod connection;
mod decide;
#[cfg(feature = "redis-cluster")]
mod groups;
mod key;
mod reach;
#[cfg(any(feature = "redis-cluster", feature = "redis-sentinel"))]
mod renewal;
mod scripts;
#[cfg(feature = "redis-sentinel")]
mod sentinel;
mod swap;
mod turns;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::{Cmd, RedisError, Value};
use tokio::time::Instant;

pub use builder::RedisBackendBuilder;

use super::denials::Denials;
use super::{Backend, BackendError, BoxFuture, Hit, Op, Verdicts};
use crate::clock::Clock;
use crate::error::Error;
use connection::Connection;
use turns::Turns;

const NAME: &str = "redis";

/// Counters on a Redis server (5 or newer), shared by all processes that use it.
///
/// A cheap handle: clones share one multiplexed connection. Lost connections come back by
/// themselves; a command that may have been carried out is never sent twice, and fails instead.
///
/// ```no_run
/// # async fn run() -> Result<(), traffik::Error> {
/// use traffik::{RedisBackend, Throttle};
///
/// let redis = RedisBackend::connect("redis://127.0.0.1:6379").await?;
/// let throttle = Throttle::builder("docs:redis").rate("20/min").backend(redis).build()?;
/// assert!(throttle.hit("ann").await?.is_allowed());
/// # Ok(()) }
/// ```
///
/// # Deadline
///
/// No decision takes longer than [`timeout`](RedisBackendBuilder::timeout), 100 ms if not said.
/// While the server refuses connections, decisions fail at once; in a cluster or under Sentinels they
/// wait for its successor, until then.
///
/// # Strategies of your own
///
/// A [`Strategy`](crate::strategy::Strategy) that this crate does not bring runs by
/// compare-and-swap, and so do those of the [narrower problems](crate::strategy): two calls a hit. One process's hits
/// of one client take turns. Where several processes charge one client at the same moment it takes more calls, and
/// may end in an error of its own kind when the deadline is near: [contention](BackendError::contention).
/// When one request stands under such a strategy and under others, all of them are decided that way, together: still
/// all or nothing.
#[derive(Clone)]
pub struct RedisBackend(Arc<Store>);

/// What all clones share.
struct Store {
    connection: Connection,
    /// Where, for people: no credentials.
    address: String,
    namespace: String,
    timeout: Duration,
    /// Argument-time mode: the time goes along with the hits.
    clock: Option<Arc<dyn Clock>>,
    denials: Option<Denials>,
    turns: Turns,
    /// Whether state that could not be read was already reported.
    garbage_seen: AtomicBool,
}

impl RedisBackend {
    /// Connects to the server of a URL such as `redis://user:password@host:6379/0`.
    ///
    /// # Errors
    /// When the URL is malformed (a configuration error), or the server is not there, turns us away
    /// or does not answer within half a second (a backend error).
    pub async fn connect(url: impl Into<String>) -> Result<Self, Error> {
        Self::builder(url).connect().await
    }

    /// Sets namespace, deadline and clock before connecting.
    pub fn builder(url: impl Into<String>) -> RedisBackendBuilder {
        RedisBackendBuilder::new(url.into())
    }

    /// The namespace that begins every key.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.0.namespace
    }

    /// Runs a future with this backend as its context; see
    /// [`SharedBackend::scope`](super::SharedBackend::scope).
    pub fn scope<F: Future>(&self, future: F) -> super::context::Scope<F> {
        super::SharedBackend::from(self.clone()).scope(future)
    }
}

impl RedisBackend {
    async fn ask(&self, op: Op, hits: &[Hit<'_>]) -> Result<Verdicts, BackendError> {
        let until = self.0.until();
        #[cfg(feature = "redis-cluster")]
        if let (true, Some(groups)) = (self.0.connection.has_slots(), groups::split(hits)) {
            return groups::decide(&self.0, until, op, hits, &groups).await;
        }
        decide::decide(&self.0, until, op, hits).await
    }
}

impl fmt::Debug for RedisBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBackend")
            .field("address", &self.0.address)
            .field("namespace", &self.0.namespace)
            .field("timeout", &self.0.timeout)
            .finish_non_exhaustive()
    }
}

impl Backend for RedisBackend {
    fn name(&self) -> &'static str {
        NAME
    }

    fn store(&self) -> Option<usize> {
        Some(Arc::as_ptr(&self.0).addr())
    }

    fn recall(&self, op: Op, hits: &[Hit<'_>]) -> Option<Verdicts> {
        self.0.denials.as_ref()?.recall(op, hits)
    }

    fn decide<'a>(&'a self, op: Op, hits: &'a [Hit<'a>]) -> BoxFuture<'a, Result<Verdicts, BackendError>> {
        let store = &self.0;
        let decide = async move {
            if tokio::runtime::Handle::try_current().is_err() {
                return Err(BackendError::new("the redis backend needs a tokio runtime around the call"));
            }
            tokio::time::timeout(store.timeout, self.ask(op, hits))
                .await
                .unwrap_or_else(|_| Err(BackendError::timeout(NAME, store.timeout)))
        };
        match &store.denials {
            Some(denials) => Box::pin(denials.ask(op, hits, decide)),
            None => Box::pin(decide),
        }
    }

    fn deadline(&self) -> Option<Duration> {
        Some(self.0.timeout)
    }
}

impl Store {
    /// Until when a call that begins now may give way to others. Ahead of its deadline, which would not tell why.
    fn until(&self) -> Option<Instant> {
        Instant::now().checked_add(self.timeout - self.timeout / 8)
    }

    /// Sends a command. A reply that is an error is given as `Ok`, since it was carried out.
    async fn send(&self, command: &Cmd) -> Result<Value, BackendError> {
        self.connection.send(command).await.map_err(|error| self.failure(error))
    }

    /// Runs a script by its SHA1; loads it where the server does not have it.
    async fn run(&self, script: &scripts::Script, command: &Cmd) -> Result<Vec<Value>, BackendError> {
        let mut reply = self.send(command).await?.extract_error();
        if reply.as_ref().is_err_and(is_missing) {
            // Nothing was charged, so this is the one thing that may be sent again.
            reply = if self.connection.has_slots() {
                // The crate would load it on all masters, and fail if any is down.
                self.send(&in_full(script, command)).await?.extract_error()
            } else {
                let load = redis::cmd("SCRIPT").arg("LOAD").arg(&script.source).to_owned();
                self.send(&load).await?.extract_error().map_err(|error| self.failure(error))?;
                self.send(command).await?.extract_error()
            };
        }
        match reply {
            Ok(Value::Array(values)) => Ok(values),
            Ok(_) => Err(self.nonsense()),
            Err(error) => Err(self.failure(error)),
        }
    }

    fn failure(&self, error: RedisError) -> BackendError {
        if error.is_timeout() {
            return BackendError::timeout(NAME, self.timeout).with_source(error);
        }
        BackendError::new(format!("redis at {}", self.address)).with_source(error)
    }

    /// A reply that none of our scripts gives.
    fn nonsense(&self) -> BackendError {
        BackendError::new(format!("redis at {}: a reply of an unexpected shape", self.address))
    }

    /// Reports values under our keys that were no state: loudly once, and without whose they were.
    fn report_garbage(&self, keys: usize) {
        if keys == 0 {
            return;
        }
        if self.garbage_seen.swap(true, Ordering::Relaxed) {
            tracing::debug!(target: "traffik", keys, "unreadable state was replaced");
        } else {
            tracing::warn!(
                target: "traffik",
                keys,
                namespace = self.namespace,
                "Redis held something else under keys of this namespace; it was taken for empty and replaced"
            );
        }
    }
}

/// The same call with the script instead of its SHA1, which also leaves it there.
fn in_full(script: &scripts::Script, command: &Cmd) -> Cmd {
    let mut full = redis::cmd("EVAL");
    full.arg(&script.source);
    for argument in command.args_iter().skip(2) {
        if let redis::Arg::Simple(bytes) = argument {
            full.arg(bytes);
        }
    }
    full
}

fn is_missing(error: &RedisError) -> bool {
    error.kind() == redis::ErrorKind::Server(redis::ServerErrorKind::NoScript)
}
