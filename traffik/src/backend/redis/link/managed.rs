//! [`ManagedConnection`]: a manager, and what becomes of its connection while no command is under way.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, Cmd, PushInfo, PushKind, RedisResult, Value};
use tokio::sync::{Notify, oneshot};

use super::loss::Loss;

/// How long an attempt to connect may take, including attempts in the background.
const CONNECTING: Duration = Duration::from_secs(1);

/// What is sent in one packet.
pub(super) enum Packet<'a> {
    Command(&'a Cmd),
    #[cfg(feature = "redis-cluster")]
    Asking(redis::Pipeline),
}

/// A manager, and whether it has lost its connection.
pub(super) struct ManagedConnection {
    manager: ConnectionManager,
    /// Whether it was made from the link's `resp3_client`.
    pub(super) is_resp3: bool,
    watched: Arc<Watched>,
    /// Ends the watch when dropped.
    _watch: Option<oneshot::Sender<()>>,
}

/// What is watched while no command is under way.
#[derive(Default)]
struct Watched {
    loss: Loss,
    /// Tells the watch to connect, or to find out whether a lost connection is restored.
    connect: Notify,
}

impl ManagedConnection {
    /// Creates one that connects when the first command arrives.
    pub(super) fn lazy(client: &Client, is_resp3: bool) -> RedisResult<Self> {
        let watched = Arc::<Watched>::default();
        let manager = ConnectionManager::new_lazy_with_config(client.clone(), config(client, &watched))?;
        let _watch = watch(&watched, &manager);
        Ok(Self { manager, is_resp3, watched, _watch })
    }

    /// Whether the connection is known to be lost, and not known to be restored.
    pub(super) fn is_lost(&self) -> bool {
        self.watched.loss.is_lost()
    }

    /// Connects in the background. The manager's own attempt goes on only as long as a command waits for it, and a
    /// command's deadline may be shorter than the round trips that connecting takes.
    pub(super) fn connect(&self) {
        self.watched.connect.notify_one();
    }

    /// Connects if necessary, and checks whether we are let in. With any other answer, the connection counts as
    /// established.
    pub(super) async fn ping(&self) -> RedisResult<()> {
        ping(&self.manager).await
    }

    pub(super) async fn send(&self, packet: &Packet<'_>) -> RedisResult<Value> {
        let mut manager = self.manager.clone();
        match packet {
            Packet::Command(command) => manager.send_packed_command(command).await,
            #[cfg(feature = "redis-cluster")]
            Packet::Asking(both) => {
                let replies = manager.send_packed_commands(both, 1, 1).await;
                replies.map(|mut replies| replies.pop().unwrap_or(Value::Nil))
            }
        }
    }
}

async fn ping(manager: &ConnectionManager) -> RedisResult<()> {
    match manager.clone().send_packed_command(&redis::cmd("PING")).await? {
        Value::ServerError(error) if error.code() == "NOAUTH" => Err(error.into()),
        _ => Ok(()),
    }
}

/// Starts what goes on while no command is under way, on the current runtime.
///
/// It counts as a loss when the runtime is shut down: the connection is served by a task, which ends with it. A program
/// may have several runtimes in turn, one for each of its tests for example.
fn watch(watched: &Arc<Watched>, manager: &ConnectionManager) -> Option<oneshot::Sender<()>> {
    struct LostOnDrop(Arc<Watched>);
    impl Drop for LostOnDrop {
        fn drop(&mut self) {
            self.0.loss.lost();
        }
    }
    let runtime = tokio::runtime::Handle::try_current().ok()?;
    let (watch, ended) = oneshot::channel::<()>();
    let (watched, manager) = (LostOnDrop(watched.clone()), manager.clone());
    runtime.spawn(async move {
        // `ended` is an error, since nothing is ever sent.
        let _ = select(pin!(connect(&watched.0, &manager)), ended).await;
    });
    Some(watch)
}

/// Connects whenever asked to. A lost connection is restored by its manager at once, but only an answer shows that it
/// was. If there is none, the next command gets a fresh manager.
async fn connect(watched: &Watched, manager: &ConnectionManager) {
    loop {
        watched.connect.notified().await;
        let losses = watched.loss.count();
        // Of a server that closes connections again and again, nothing more is hoped.
        if losses > 1 {
            continue;
        }
        if let Ok(Ok(())) = tokio::time::timeout(CONNECTING, ping(manager)).await {
            watched.loss.restored(losses);
        }
    }
}

/// Returns a manager's configuration. Over RESP3, a lost connection is reported to the watch.
fn config(client: &Client, watched: &Arc<Watched>) -> ConnectionManagerConfig {
    let config = ConnectionManagerConfig::new()
        .set_number_of_retries(0)
        .set_connection_timeout(Some(CONNECTING))
        .set_response_timeout(None)
        // Commands that wait for room in here are bounded by their deadline.
        .set_pipeline_buffer_size(1024);
    if !client.get_connection_info().redis_settings().protocol().supports_resp3() {
        return config;
    }
    let watched = watched.clone();
    // The manager has begun to connect again when it says this.
    config.set_push_sender(move |push: PushInfo| {
        if push.kind == PushKind::Disconnection {
            watched.loss.lost();
            watched.connect.notify_one();
        }
        Ok::<(), redis::aio::SendError>(())
    })
}
