//! [`Connection`]: where commands go. It sends a command once, and returns its [`CommandOutcome`].

use redis::Cmd;

use super::command_outcome::CommandOutcome;
use super::link::{IfBusy, Link};

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
    pub(super) async fn send(&self, command: &Cmd, if_busy: IfBusy) -> CommandOutcome {
        match self {
            Self::Single(link) => {
                CommandOutcome { result: link.send(command, if_busy).await, failed_node: None }
            }
            #[cfg(feature = "redis-cluster")]
            Self::Cluster(cluster) => cluster.send(command, if_busy).await,
            #[cfg(feature = "redis-sentinel")]
            Self::Sentinel(sentinel) => sentinel.send(command, if_busy).await,
        }
    }

    /// Whether keys of several clients may be on several servers.
    #[cfg(feature = "redis-cluster")]
    pub(super) fn has_slots(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }
}
