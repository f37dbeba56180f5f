//! [`Cluster`]: a Redis Cluster. Follows a moved slot, and sends nothing twice that may have been
//! carried out.
//!
//! The `redis` crate knows the slots and keeps the connections. Its retries are off, since they also
//! cover lost connections; redirections are followed here, where a reply proves that nothing was
//! done. `ASKING` and the command go as one packet: the crate sends them apart, and on a shared
//! connection another command may come between.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use redis::aio::ConnectionLike;
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{RoutingInfo, SingleNodeRoutingInfo};
use redis::{Cmd, ErrorKind, RedisError, RedisResult, ServerErrorKind, Value};

use super::renewal::{Renew, Renewal, Waiting};

/// How many redirections are followed. The deadline bounds them too, and alone bounds the waits for a
/// slot on the move.
const HOPS: u32 = 16;

/// The wait before a command is sent again that met a slot on the move.
const ON_THE_MOVE: Duration = Duration::from_millis(5);

pub(super) struct Cluster(Arc<Inner>);

struct Inner {
    client: ClusterClient,
    live: ArcSwap<ClusterConnection>,
    renewal: Renewal,
}

impl Cluster {
    /// How to reach it from these nodes; any one that answers will do.
    pub(super) fn client(nodes: &[String], timeout: Duration) -> RedisResult<ClusterClient> {
        let builder = ClusterClientBuilder::new(nodes.iter().map(String::as_str));
        builder.retries(0).connection_timeout(Duration::from_secs(1)).response_timeout(timeout).build()
    }

    /// Connects. The caller bounds the time.
    pub(super) async fn connect(client: ClusterClient) -> RedisResult<Self> {
        let live = ArcSwap::from_pointee(client.get_async_connection().await?);
        Ok(Self(Arc::new(Inner { client, live, renewal: Renewal::new() })))
    }

    pub(super) async fn send(&self, command: &Cmd) -> RedisResult<Value> {
        let mut waiting = Waiting { of: &self.0, answered: false };
        let connection = ClusterConnection::clone(&self.0.live.load());
        let result = follow(connection, command).await;
        waiting.answered = match &result {
            Ok(_) => true,
            Err(error) => redirection(error).is_some(),
        };
        result
    }
}

impl Renew for Inner {
    fn renewal(&self) -> &Renewal {
        &self.renewal
    }

    async fn look(&self) {
        // Asks the nodes that we were told of, so that one which fell silent is not waited for.
        if let Ok(fresh) = self.client.get_async_connection().await {
            self.live.store(Arc::new(fresh));
        }
    }
}

/// Where a command goes next that was not carried out.
enum Next {
    To(SingleNodeRoutingInfo),
    Asking(SingleNodeRoutingInfo),
    Again,
}

fn redirection(error: &RedisError) -> Option<Next> {
    let node = || {
        let (host, port) = error.redirect_node()?.0.rsplit_once(':')?;
        Some(SingleNodeRoutingInfo::ByAddress { host: host.into(), port: port.parse().ok()? })
    };
    match error.kind() {
        ErrorKind::Server(ServerErrorKind::Moved) => node().map(Next::To),
        ErrorKind::Server(ServerErrorKind::Ask) => node().map(Next::Asking),
        ErrorKind::Server(ServerErrorKind::TryAgain) => Some(Next::Again),
        _ => None,
    }
}

async fn follow(mut connection: ClusterConnection, command: &Cmd) -> RedisResult<Value> {
    let mut result = connection.req_packed_command(command).await;
    let mut hops = 0;
    while hops < HOPS {
        // As a value or as an error: the crate gives both.
        let next = match &result {
            Ok(Value::ServerError(error)) => redirection(&RedisError::from(error.clone())),
            Ok(_) => None,
            Err(error) => redirection(error),
        };
        result = match next {
            None => return result,
            Some(Next::Again) => {
                tokio::time::sleep(ON_THE_MOVE).await;
                connection.req_packed_command(command).await
            }
            Some(Next::To(node)) => {
                hops += 1;
                connection.route_command(command.clone(), RoutingInfo::SingleNode(node)).await
            }
            Some(Next::Asking(node)) => {
                hops += 1;
                let mut both = redis::pipe();
                both.cmd("ASKING").add_command(command.clone());
                let replies = connection.route_pipeline(both, 1, 1, node).await;
                replies.map(|mut replies| replies.pop().unwrap_or(Value::Nil))
            }
        };
    }
    result
}
