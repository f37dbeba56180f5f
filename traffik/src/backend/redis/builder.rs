//! [`RedisBackendBuilder`]: what can be set on a Redis backend before it connects.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use redis::Client;

use super::connection::Connection;
use super::connection_plan::{ConnectionPlan, Topology, masked, reason};
use super::key_locks::KeyLocks;
use super::{NAME, RedisBackend, Store, key};
use crate::backend::denials::Denials;
use crate::backend::{BackendError, DEFAULT_DEADLINE};
use crate::clock::Clock;
use crate::error::Error;

/// How long the first connection may always take.
const CONNECT_WITHIN: Duration = Duration::from_millis(500);

/// How many timeouts it may take. A timeout should be two round trips or more, and finding a master and connecting to it
/// takes eleven.
const CONNECT_TIMEOUTS: u32 = 6;

/// Builds a [`RedisBackend`]. Any invalid setting is reported by [`connect`](RedisBackendBuilder::connect).
#[derive(Clone)]
#[must_use = "a builder does nothing until `connect` is called"]
pub struct RedisBackendBuilder {
    url: String,
    namespace: String,
    timeout: Duration,
    clock: Option<Arc<dyn Clock>>,
    remembered: usize,
    topology: Topology,
}

impl RedisBackendBuilder {
    pub(super) fn new(url: String) -> Self {
        Self {
            url,
            namespace: "traffik".into(),
            timeout: DEFAULT_DEADLINE,
            clock: None,
            remembered: 0,
            topology: Topology::One,
        }
    }

    /// Sets the prefix of every key, so that several services can share a server. At most 32 bytes of ASCII letters,
    /// digits and `: . _ - / @`, beginning and ending with a letter or a digit. The default is `traffik`.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// Sets the longest that a decision may take. The default is 100 ms. Make it at least twice what an answer normally
    /// takes: beyond some five sixths, the limit on calls in flight that a stall brings about may stay for seconds.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Switches to argument-time mode, in which this clock decides instead of the server's. It is meant for servers
    /// that refuse `TIME` in scripts, and for tests. All processes on one server should agree on the time.
    ///
    /// Keys still expire by the server's own time. If the clock stands still, as a `ManualClock` does, an account is
    /// forgotten once it would have been full again in real time, and up to a second later.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Remembers up to this many refused clients. Until their `retry_after` is over they are answered in this
    /// process, and Redis hears nothing of them. A client of several stacked throttles counts once for each. The
    /// default is 0, which remembers nobody; the maximum is 2^24. See [`DenialCache`](crate::DenialCache) for what
    /// makes them forgotten.
    pub fn remember_denials(mut self, clients: usize) -> Self {
        self.remembered = clients;
        self
    }

    /// Uses a Redis Cluster, some of whose nodes are named by the builder's URL and these URLs: any one that answers
    /// lists all others. User and password are those of the first URL.
    ///
    /// All accounts of one client are in one slot, so stacked throttles are still a single call. A request
    /// whose throttles apply to several clients takes one call each to ask and one each to charge. It is
    /// still all or nothing, and no more requests are ever admitted than a limit allows.
    ///
    /// A cluster replicates after it has answered, so a master that dies can lose the counts of the last moments.
    #[cfg(feature = "redis-cluster")]
    pub fn cluster<U: Into<String>>(mut self, urls: impl IntoIterator<Item = U>) -> Self {
        self.topology = Topology::Cluster(urls.into_iter().map(Into::into).collect());
        self
    }

    /// Uses the master that these Sentinels know by this name. The builder's URL says how to log in to it (user,
    /// password, database); its host and port are not used. The Sentinels' own credentials are in their URLs.
    ///
    /// Replicas lag behind, so a master that dies can lose the counts of the last moments.
    #[cfg(feature = "redis-sentinel")]
    pub fn sentinel<U: Into<String>>(
        mut self,
        urls: impl IntoIterator<Item = U>,
        master: impl Into<String>,
    ) -> Self {
        self.topology = Topology::Sentinel(urls.into_iter().map(Into::into).collect(), master.into());
        self
    }

    /// Connects, over RESP3 if the server supports it. A connection that was closed while idle is then restored
    /// before the next decision; over RESP2, that decision fails. A URL with `?protocol=resp2` or `?protocol=resp3`
    /// makes the choice itself, which is necessary behind a proxy that hangs up when asked for RESP3.
    ///
    /// # Errors
    /// A configuration error if the URL or the namespace is malformed, if the timeout is zero, or if this is called
    /// outside a tokio runtime. A backend error if the server is not there, rejects the connection, or does not
    /// answer within half a second (or six times the timeout, if that is longer).
    ///
    /// # Panics
    /// In a tokio runtime that was built without I/O or timers; `enable_all` has both.
    pub async fn connect(self) -> Result<RedisBackend, Error> {
        let client = self.checked()?;
        let address = self.topology.address(&client);
        let limit = CONNECT_WITHIN.max(self.timeout.saturating_mul(CONNECT_TIMEOUTS));
        let connection = match tokio::time::timeout(
            limit,
            ConnectionPlan::new(&self.topology, &self.url, client, self.timeout)?.connect(),
        )
        .await
        {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Err(unreachable(&address, error)),
            Err(_) => return Err(Error::backend(BackendError::timeout_at(NAME, Some(&address), limit))),
        };
        Ok(self.finish(connection, address))
    }

    /// Like [`connect`](Self::connect), but without waiting for a connection, so that a service can start while
    /// Redis, its cluster or its Sentinels are down: decisions fail until they are available. A wrong password shows
    /// only at the first decision, which also chooses the protocol as `connect` does.
    ///
    /// Since nothing is awaited, the backend can be a static, which is built on first use:
    ///
    /// ```no_run
    /// use std::sync::LazyLock;
    /// use traffik::{RedisBackend, SharedBackend, throttle};
    ///
    /// static REDIS: LazyLock<SharedBackend> = LazyLock::new(|| {
    ///     let redis = RedisBackend::builder("redis://127.0.0.1:6379").connect_lazy();
    ///     redis.expect("a valid URL").into()
    /// });
    ///
    /// #[throttle("docs:lazy", rate = "20/min", backend = REDIS.clone())]
    /// async fn handler() {}
    /// ```
    ///
    /// # Errors
    /// The configuration errors of `connect`, of which one is a call from outside a tokio runtime.
    pub fn connect_lazy(self) -> Result<RedisBackend, Error> {
        let client = self.checked()?;
        let address = self.topology.address(&client);
        let connection = ConnectionPlan::new(&self.topology, &self.url, client, self.timeout)?
            .lazy()
            .map_err(|error| unreachable(&address, error))?;
        Ok(self.finish(connection, address))
    }

    /// Checks all settings, and returns the client to connect with.
    fn checked(&self) -> Result<Client, Error> {
        let client = Client::open(self.url.as_str()).map_err(|error| {
            Error::configuration(format!(
                "invalid Redis URL {:?} ({}); write it as redis://user:password@host:6379/0",
                masked(&self.url),
                reason(&error),
            ))
        })?;
        traffik_grammar::uid::check(&self.namespace).map_err(|error| {
            Error::configuration(format!("the Redis namespace {:?}: {error}", self.namespace))
        })?;
        if self.namespace.len() > key::MAX_NAMESPACE {
            return Err(Error::configuration(format!(
                "the Redis namespace {:?} is {} bytes long, but at most {} are allowed; shorten it",
                self.namespace,
                self.namespace.len(),
                key::MAX_NAMESPACE,
            )));
        }
        if self.timeout.is_zero() {
            return Err(Error::configuration("the Redis timeout is zero; make it at least 1 ms"));
        }
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(Error::configuration(
                "RedisBackend can only connect within a tokio runtime; call it from async code that tokio runs",
            ));
        }
        Ok(client)
    }

    fn finish(self, connection: Connection, address: String) -> RedisBackend {
        RedisBackend(Arc::new(Store {
            connection,
            address,
            namespace: self.namespace,
            timeout: self.timeout,
            key_locks: KeyLocks::default(),
            denials: Denials::if_enabled(self.remembered, self.clock.clone()),
            clock: self.clock,
            garbage_seen: AtomicBool::new(false),
        }))
    }
}

fn unreachable(address: &str, error: redis::RedisError) -> Error {
    Error::backend(BackendError::new(format!("cannot connect to Redis at {address}")).with_source(error))
}

impl fmt::Debug for RedisBackendBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBackendBuilder")
            .field("url", &masked(&self.url))
            .field("namespace", &self.namespace)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_survives_the_masking() {
        for (url, shown) in [
            ("redis://h:6379/0", "redis://h:6379/0"),
            ("redis://:s3cret@h/0", "redis://***@h/0"),
            ("redis://user:s3cret@h", "redis://***@h"),
            ("redis://user:s3/cr@et@h:1", "redis://***@h:1"),
            ("user:s3cret@h", "***@h"),
            ("redis+unix:///run/r.sock?user=u&pass=s3cret", "redis+unix:///run/r.sock?***"),
            ("", ""),
        ] {
            assert_eq!(masked(url), shown);
            let builder = format!("{:?}", RedisBackendBuilder::new(url.into()));
            assert!(!builder.contains("s3") && !builder.contains("et@"), "{builder}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_distant_server_has_more_time_to_connect() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("redis://{}", silent.local_addr().unwrap());
        for (timeout, expected) in [(10, "within 500ms"), (150, "within 900ms")] {
            let builder = RedisBackendBuilder::new(url.clone()).timeout(Duration::from_millis(timeout));
            let error = builder.connect().await.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_call_from_outside_a_runtime_is_a_mistake() {
        let error = RedisBackendBuilder::new("redis://127.0.0.1:6379".into()).connect_lazy().unwrap_err();
        assert!(error.is_configuration() && error.to_string().contains("within a tokio runtime"), "{error}");
    }
}
