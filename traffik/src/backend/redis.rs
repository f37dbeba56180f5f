//! [`RedisBackend`]: counters that all processes share.
//!
//! A batch is one script call, however many hits it has. The script consists of the strategies' Lua twins and a
//! driver (`lua/main.lua`); a strategy without a twin runs in Rust, by compare-and-swap. The server's clock decides,
//! unless the builder was given another.
//!
//! - `key.rs`: the key that an account is stored under
//! - `scripts.rs`: which Lua runs a strategy
//! - `decide.rs`: a batch as a script call
//! - `swap.rs`: a batch by compare-and-swap; `key_locks.rs`: locks on keys within this process
//! - `connection_plan.rs`: how to reach the servers; `connection.rs`: where a command goes; `command_outcome.rs`: what
//!   becomes of it
//! - `link.rs`: one server, and what happens when it goes away; `link/health.rs`: what calls have learned about it;
//!   `link/congestion.rs`: how many of them may be in flight; `link/managed.rs`: its connection, `link/loss.rs`: whether
//!   that was lost, `link/tcp.rs`: what is asked of TCP for it
//! - `cluster.rs` (`cluster/slots.rs`), `sentinel.rs`: servers that change places; `refresh.rs`: when to look for
//!   them; `first_ok.rs`: how to ask all of them at once
//! - `groups.rs`: a batch of several slots

mod address;
mod builder;
#[cfg(feature = "redis-cluster")]
mod cluster;
mod command_outcome;
mod connection;
mod connection_plan;
mod decide;
#[cfg(any(feature = "redis-cluster", feature = "redis-sentinel"))]
mod first_ok;
#[cfg(feature = "redis-cluster")]
mod groups;
mod key;
mod key_locks;
mod link;
#[cfg(any(feature = "redis-cluster", feature = "redis-sentinel"))]
mod refresh;
mod scripts;
#[cfg(feature = "redis-sentinel")]
mod sentinel;
mod swap;

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
use command_outcome::CommandOutcome;
use connection::Connection;
use key_locks::KeyLocks;
use link::IfBusy;

const NAME: &str = "redis";

/// Counters on a Redis server (5 or newer), shared by all processes that use it.
///
/// This is a cheap handle: clones share one multiplexed connection. Lost connections are restored automatically, and
/// idle ones are probed every quarter of a minute, so that no firewall forgets them. A command that may have been carried
/// out is never sent twice; it fails instead.
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
/// No decision takes longer than [`timeout`](RedisBackendBuilder::timeout), which is 100 ms by default. While the
/// server refuses connections, decisions fail immediately; in a cluster or under Sentinels they wait for a successor
/// until the deadline.
///
/// After calls have run into the deadline, no more are sent to that server than it has been answering in time. The
/// others are held back for an eighth of the deadline, and then fail without having been sent; corrections
/// ([refunds](crate::Throttle::refund) and the like) are always sent. So a server with too much to do is busy with calls
/// that somebody waits for, and not with those that were given up.
///
/// # Runtimes
///
/// A connection is served by the tokio runtime on which it was made. Other runtimes can use it as long as that one runs,
/// and make a new connection once it has been shut down. If that runtime is kept but not driven, like a current-thread
/// one between two calls of `block_on`, calls on the others run into the deadline for half a second before they connect
/// anew. Runtimes that are driven in turns therefore need a backend each.
///
/// # Strategies of your own
///
/// A [`Strategy`](crate::strategy::Strategy) that is not part of this crate runs by compare-and-swap, and so do those
/// for the [narrower problems](crate::strategy): each hit takes two calls. Within one process, the hits of one client
/// take turns. Several processes that charge one client at the same moment need more calls, and near the deadline may
/// end in a special kind of error: [contention](BackendError::contention). When a request is under such a strategy as
/// well as others, all of them are decided this way, together: still all or nothing.
#[derive(Clone)]
pub struct RedisBackend(Arc<Store>);

/// What all clones share.
struct Store {
    connection: Connection,
    /// The address, for display: without credentials. Under Sentinels it is their name for the master, whose
    /// address changes; in a cluster it is that of the builder's URL, marked as such.
    address: String,
    namespace: String,
    timeout: Duration,
    /// Argument-time mode: the time is sent along with the hits.
    clock: Option<Arc<dyn Clock>>,
    denials: Option<Denials>,
    key_locks: KeyLocks,
    /// Whether unreadable state has already been reported.
    garbage_seen: AtomicBool,
}

impl RedisBackend {
    /// Connects to the server of a URL such as `redis://user:password@host:6379/0`.
    ///
    /// # Errors
    /// A configuration error if the URL is malformed. A backend error if the server is not there, rejects the
    /// connection, or does not answer within 600 ms.
    ///
    /// # Panics
    /// In a tokio runtime that was built without I/O or timers; `enable_all` has both.
    pub async fn connect(url: impl Into<String>) -> Result<Self, Error> {
        Self::builder(url).connect().await
    }

    /// Returns a builder, which sets namespace, deadline, clock and more before connecting.
    pub fn builder(url: impl Into<String>) -> RedisBackendBuilder {
        RedisBackendBuilder::new(url.into())
    }

    /// Returns the namespace that every key begins with.
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
        if let (true, Some(groups)) = (self.0.connection.has_slots(), groups::by_client(hits)) {
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

    fn address(&self) -> Option<&str> {
        Some(&self.0.address)
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
                return Err(BackendError::new("the redis backend must be called within a tokio runtime"));
            }
            tokio::time::timeout(store.timeout, self.ask(op, hits))
                .await
                .unwrap_or_else(|_| Err(store.timed_out(None)))
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
    /// The time until which a call that begins now may yield to others. It is ahead of the deadline, whose error
    /// would not give the reason.
    fn until(&self) -> Option<Instant> {
        Instant::now().checked_add(self.timeout - self.timeout / 8)
    }

    /// Sends a command. An error reply is an error like any other.
    async fn send(&self, command: &Cmd, if_busy: IfBusy) -> Result<Value, Failure> {
        let CommandOutcome { result, failed_node } = self.connection.send(command, if_busy).await;
        result.and_then(Value::extract_error).map_err(|error| Failure { error, node: failed_node })
    }

    /// Runs a script by its SHA1, and sends it along if the server does not have it.
    async fn run(
        &self,
        script: &scripts::Script,
        command: &Cmd,
        if_busy: IfBusy,
    ) -> Result<Vec<Value>, BackendError> {
        let mut reply = self.send(command, if_busy).await;
        if reply.as_ref().is_err_and(Failure::is_missing_script) {
            // Nothing was charged, so this is the one command that may be sent again. Not `SCRIPT LOAD`: the
            // scripts could be flushed once more before the call that follows it.
            reply = self.send(&as_eval(script, command), IfBusy::Send).await;
        }
        match reply {
            Ok(Value::Array(values)) => Ok(values),
            Ok(_) => Err(self.unexpected_reply()),
            Err(failure) => Err(self.backend_error(failure)),
        }
    }

    fn backend_error(&self, Failure { error, node }: Failure) -> BackendError {
        if error.is_timeout() {
            return self.timed_out(node.as_deref()).with_source(error);
        }
        let address = node.as_deref().unwrap_or(&self.address);
        if let Some(said) = without_our_words(&error.to_string()) {
            // Not as the source either, which whoever logs the error may print.
            return BackendError::new(format!("redis at {address}: {said}"));
        }
        BackendError::new(format!("redis at {address}")).with_source(error)
    }

    /// Creates the error for a call without an answer, of this node if it is known.
    fn timed_out(&self, node: Option<&str>) -> BackendError {
        BackendError::timeout_at(NAME, Some(node.unwrap_or(&self.address)), self.timeout)
    }

    /// Creates the error for a reply that none of our scripts gives.
    fn unexpected_reply(&self) -> BackendError {
        BackendError::new(format!("redis at {}: unexpected reply format", self.address))
    }

    /// Reports values under our keys that were not valid state: loudly once, and without saying whose they were.
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
                "Redis held unrecognized data under keys of this namespace; it was treated as empty and replaced"
            );
        }
    }
}

impl IfBusy {
    /// A correction is of use even if nobody learns that it was made.
    fn of(op: Op) -> Self {
        match op {
            Op::Hit | Op::Check => Self::Fail,
            Op::Refund { .. } | Op::Settle { .. } | Op::Reset => Self::Send,
        }
    }
}

/// The same call with the script itself instead of its SHA1, which also leaves it cached on the server.
fn as_eval(script: &scripts::Script, command: &Cmd) -> Cmd {
    let mut full = redis::cmd("EVAL");
    full.arg(&script.source);
    for argument in command.args_iter().skip(2) {
        if let redis::Arg::Simple(bytes) = argument {
            full.arg(bytes);
        }
    }
    full
}

/// What is left of an error without the words that it repeats of our command, or `None` if it repeats none: our keys
/// name clients. A server that does not know a command repeats its arguments, `unknown command 'EVALSHA', with args
/// beginning with: '…' '…'`; a client's name begins at the key's only brace.
fn without_our_words(error: &str) -> Option<&str> {
    let end = error.find(", with args beginning with").or_else(|| error.find('{'))?;
    error.get(..end)
}

/// Why a command has no result.
struct Failure {
    error: RedisError,
    /// The server that it concerns, if there are several: whoever repairs it has to know which.
    node: Option<String>,
}

impl Failure {
    fn is_missing_script(&self) -> bool {
        self.error.kind() == redis::ErrorKind::Server(redis::ServerErrorKind::NoScript)
    }
}
