//! [`Connection`]: where commands go. It sends a command once, and returns its [`CommandOutcome`].

use redis::{Cmd, RedisResult, Value};

use super::link::Link;

/// What became of a command. `Ok` is a reply of the server, which may be a [`Value::ServerError`]. `Err` means that
/// there was none, and that it is unknown whether the command was carried out.
pub(super) struct CommandOutcome {
    pub(super) result: RedisResult<Value>,
    /// The server that failed, if there are several that it could be.
    pub(super) failed_node: Option<String>,
}

impl CommandOutcome {
    /// `node` names the server, for those that fail: nobody asks about the others.
    #[cfg(any(feature = "redis-cluster", feature = "redis-sentinel"))]
    pub(super) fn of(result: RedisResult<Value>, node: impl FnOnce() -> Option<String>) -> Self {
        let failed = matches!(result, Err(_) | Ok(Value::ServerError(_)));
        Self { result, failed_node: failed.then(node).flatten() }
    }
}

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
    pub(super) async fn send(&self, command: &Cmd) -> CommandOutcome {
        match self {
            Self::Single(link) => CommandOutcome { result: link.send(command).await, failed_node: None },
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
