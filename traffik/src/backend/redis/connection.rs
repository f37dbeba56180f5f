//! [`Connection`]: where commands go. It sends a command once, and returns the reply.

use redis::{Cmd, RedisResult, Value};

use super::link::Link;

/// The ways to reach Redis. None of them ever sends a command again that may have been received.
pub(super) enum Connection {
    /// One server.
    Single(Box<Link>),
    #[cfg(feature = "redis-cluster")]
    Cluster(super::cluster::Cluster),
    #[cfg(feature = "redis-sentinel")]
    Sentinel(super::sentinel::Sentinel),
}

impl Connection {
    /// Sends a command. `Ok` is a reply of the server, which may be a [`Value::ServerError`]. `Err` means that there
    /// was none, and that it is unknown whether the command was carried out.
    pub(super) async fn send(&self, command: &Cmd) -> RedisResult<Value> {
        match self {
            Self::Single(link) => link.send(command).await,
            #[cfg(feature = "redis-cluster")]
            Self::Cluster(cluster) => cluster.send(command).await,
            #[cfg(feature = "redis-sentinel")]
            Self::Sentinel(sentinel) => sentinel.send(command).await,
        }
    }

    /// Whether keys of several clients may be on several servers.
    pub(super) fn has_slots(&self) -> bool {
        match self {
            #[cfg(feature = "redis-cluster")]
            Self::Cluster(_) => true,
            _ => false,
        }
    }
}
