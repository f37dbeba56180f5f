//! [`Link`]: one server, and what happens when it goes away.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, Cmd, ErrorKind, ProtocolVersion, PushInfo, PushKind, RedisError, RedisResult, Value};

/// How long an attempt to connect may take, including attempts in the background.
const CONNECTING: Duration = Duration::from_secs(1);

/// How long commands fail immediately instead of trying again, after an attempt was refused or rejected, or the
/// connection was lost again with nothing answered in between.
const COOLDOWN: u64 = 50;

/// How long a connection may stay silent before it is considered dead. A peer that vanished without a word would
/// otherwise be waited for until TCP gives up, a quarter of an hour later.
const SILENT: u64 = 500;

/// One multiplexed connection to one server, which is restored automatically.
///
/// What the `redis` crate's manager does, and what is added here:
///
/// - It resends nothing: a command whose connection is lost fails, and a new connection is made in the background.
///   Its retries concern *connecting*; they are off, so that commands fail immediately while the server refuses
///   connections.
/// - It keeps a failed attempt's error until the next command, however old it is by then. So a connection known to be
///   lost (RESP3 reports it) gets a fresh manager before the next command. And since a refused connection proves that
///   nothing was sent, the command is then tried once on a fresh manager.
/// - It stays with a server that has become a replica. A fresh manager looks its name up again.
/// - After an attempt that failed for any reason but I/O (a wrong password, too many clients) it never tries again,
///   and it never gives up on a silent peer. A fresh manager does.
/// - If connections are accepted and closed at once, as by a proxy with no server behind it, the manager makes one for
///   each command. Here, a command that finds the connection lost again, with nothing answered since the last time,
///   ends such attempts for a moment.
/// - Its own limit on responses (500 ms) is off: the backend's deadline takes its place.
///
/// RESP3 is tried first if the URL has not chosen, because it reports a lost connection before the next command runs
/// into it; older servers and some proxies don't support it. The first connection that is established decides,
/// whenever that is.
pub(super) struct Link {
    /// As the URL specifies.
    client: Client,
    /// The same server over RESP3, if that is tried first.
    resp3_client: Option<Client>,
    /// Whether RESP3 is used, once that is known.
    decided: OnceLock<bool>,
    managed: ArcSwap<ManagedConnection>,
    born: Instant,
    /// In ms since `born`: until when commands fail immediately; 0 if they don't.
    cooldown_until: AtomicU64,
    /// Whether that is because the connection was refused.
    refused: AtomicBool,
    /// In ms since `born`: since when no command has been answered; 0 while they are.
    silent_since: AtomicU64,
    /// In ms since `born`: when a command last found its connection lost; 0 once one is answered.
    lost_at: AtomicU64,
    /// In ms since `born`: from when on a server that says it is a replica is reconnected to.
    reconnect_at: AtomicU64,
}

/// What is sent in one packet.
enum Packet<'a> {
    Command(&'a Cmd),
    #[cfg(feature = "redis-cluster")]
    Asking(redis::Pipeline),
}

/// Whether an error proves that nothing was sent, because nothing listens at that address.
pub(super) fn unsent(error: &RedisError) -> bool {
    error.is_connection_refusal()
}

/// Whether a reply says that the server is no longer a master but a replica: `READONLY`, which before Redis 7 is part
/// of the script error's text.
pub(super) fn demoted(reply: &Value) -> bool {
    let Value::ServerError(error) = reply else { return false };
    error.code() == "READONLY" || error.details().is_some_and(|words| words.contains("-READONLY "))
}

/// A manager, and whether it has lost its connection since it was created.
struct ManagedConnection {
    manager: ConnectionManager,
    /// Whether it was made from the link's `resp3_client`.
    is_resp3: bool,
    lost: Arc<AtomicBool>,
}

impl ManagedConnection {
    /// Creates one that connects when the first command arrives.
    fn lazy(client: &Client, is_resp3: bool) -> RedisResult<Self> {
        let (config, lost) = config(client);
        Ok(Self { manager: ConnectionManager::new_lazy_with_config(client.clone(), config)?, is_resp3, lost })
    }

    /// Connects if necessary, and checks whether we are let in. With any other answer, the connection counts as
    /// established.
    async fn ping(&self) -> RedisResult<()> {
        match self.send(&Packet::Command(&redis::cmd("PING"))).await? {
            Value::ServerError(error) if error.code() == "NOAUTH" => Err(error.into()),
            _ => Ok(()),
        }
    }

    async fn send(&self, packet: &Packet<'_>) -> RedisResult<Value> {
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

impl Link {
    /// Connects, or returns why it could not. The caller bounds the time. `choose_protocol` tries RESP3 first.
    pub(super) async fn connect(client: Client, choose_protocol: bool) -> RedisResult<Self> {
        let link = Self::lazy(client, choose_protocol)?;
        link.decide(link.managed.load_full()).await?;
        Ok(link)
    }

    /// Like [`connect`](Self::connect), but connects when the first command arrives.
    pub(super) fn lazy(client: Client, choose_protocol: bool) -> RedisResult<Self> {
        let resp3_client = over_resp3(&client).filter(|_| choose_protocol);
        let managed =
            ManagedConnection::lazy(resp3_client.as_ref().unwrap_or(&client), resp3_client.is_some())?;
        let decided = if resp3_client.is_some() { OnceLock::new() } else { OnceLock::from(false) };
        Ok(Self {
            client,
            resp3_client,
            decided,
            managed: ArcSwap::from_pointee(managed),
            born: Instant::now(),
            cooldown_until: AtomicU64::new(0),
            refused: AtomicBool::new(false),
            silent_since: AtomicU64::new(0),
            lost_at: AtomicU64::new(0),
            reconnect_at: AtomicU64::new(0),
        })
    }

    /// Returns how this server is reached.
    #[cfg(feature = "redis-cluster")]
    pub(super) fn login(&self) -> &redis::ConnectionInfo {
        self.client(self.is_resp3()).get_connection_info()
    }

    fn client(&self, is_resp3: bool) -> &Client {
        self.resp3_client.as_ref().filter(|_| is_resp3).unwrap_or(&self.client)
    }

    /// Whether the next connection is tried over RESP3.
    fn is_resp3(&self) -> bool {
        self.decided.get().copied().unwrap_or(self.resp3_client.is_some())
    }

    /// Decides the protocol once a connection is established, and returns that connection. Without one, the protocol
    /// stays undecided.
    async fn decide(&self, mut managed: Arc<ManagedConnection>) -> RedisResult<Arc<ManagedConnection>> {
        let mut result = managed.ping().await;
        if managed.is_resp3 && result.as_ref().is_err_and(|error| !error.is_io_error()) {
            managed = self.put(&managed, false)?;
            result = managed.ping().await;
        }
        if let Err(error) = result {
            // A rejected connection says nothing about RESP3.
            if managed.is_resp3 != self.is_resp3() {
                self.replace(&managed)?;
            }
            return Err(error);
        }
        // If another call was faster, its decision stands.
        let _ = self.decided.set(managed.is_resp3);
        Ok(managed)
    }

    /// Sends a command once the protocol is decided. Deciding takes a question of its own ahead of the first command,
    /// which is therefore never sent over both protocols.
    async fn send_by(&self, managed: &Arc<ManagedConnection>, command: &Packet<'_>) -> RedisResult<Value> {
        if self.decided.get().is_some() {
            return managed.send(command).await;
        }
        self.decide(managed.clone()).await?.send(command).await
    }

    pub(super) async fn send(&self, command: &Cmd) -> RedisResult<Value> {
        self.send_as(Packet::Command(command)).await
    }

    /// Like [`send`](Self::send), to a node of a cluster that is about to serve the command's slot. Both commands are
    /// in one packet, because the connection is shared and `ASKING` applies to whatever command comes next.
    #[cfg(feature = "redis-cluster")]
    pub(super) async fn send_asking(&self, command: &Cmd) -> RedisResult<Value> {
        let mut both = redis::pipe();
        both.cmd("ASKING").add_command(command.clone());
        self.send_as(Packet::Asking(both)).await
    }

    async fn send_as(&self, command: Packet<'_>) -> RedisResult<Value> {
        if self.cooldown_until.load(Ordering::Relaxed) > self.elapsed() {
            return Err(if self.refused.load(Ordering::Relaxed) {
                io::Error::new(io::ErrorKind::ConnectionRefused, "the connection was refused a moment ago")
                    .into()
            } else {
                (ErrorKind::Io, "the server rejected the connection a moment ago").into()
            });
        }
        let mut managed = self.managed.load_full();
        if managed.lost.load(Ordering::Relaxed) {
            managed = self.replace(&managed)?;
        }
        let mut in_flight =
            InFlight { link: self, managed: &managed, since: self.elapsed(), answered: false };
        let mut result = self.send_by(&managed, &command).await;
        if let Err(error) = &result {
            if unsent(error) {
                // Nothing was sent. The refusal may be an old one, from an attempt in the background.
                result = self.send_by(&self.replace(&managed)?, &command).await;
                if result.as_ref().is_err_and(unsent) {
                    self.start_cooldown(true);
                }
            } else if !error.is_io_error() || self.is_lost_again(in_flight.since) {
                self.replace(&managed)?;
                self.start_cooldown(false);
            }
        }
        if result.as_ref().is_ok_and(demoted) {
            // A demoted server keeps its connections. Reconnecting now and then finds out who has its name or address
            // now.
            let (now, due) = (self.elapsed(), self.reconnect_at.load(Ordering::Relaxed));
            let next = now.saturating_add(COOLDOWN);
            let due = now >= due
                && self
                    .reconnect_at
                    .compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed)
                    .is_ok();
            if due {
                self.replace(&managed)?;
            }
        }
        in_flight.answered = result.is_ok();
        drop(in_flight);
        result
    }

    /// Milliseconds since the link was created, at least 1.
    fn elapsed(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
    }

    /// Records that a command that began at `since` has found its connection lost. Returns whether another one had
    /// before it began, with none answered in between: commands that are in flight together are lost together, which
    /// says nothing about the next connection.
    fn is_lost_again(&self, since: u64) -> bool {
        let lost_at = self.lost_at.swap(self.elapsed(), Ordering::Relaxed);
        lost_at != 0 && lost_at < since
    }

    fn start_cooldown(&self, refused: bool) {
        self.refused.store(refused, Ordering::Relaxed);
        self.cooldown_until.store(self.elapsed().saturating_add(COOLDOWN), Ordering::Relaxed);
    }

    /// Replaces `old` with a fresh manager, unless another call was faster; returns the one in place.
    fn replace(&self, old: &Arc<ManagedConnection>) -> RedisResult<Arc<ManagedConnection>> {
        self.put(old, self.is_resp3())
    }

    fn put(&self, old: &Arc<ManagedConnection>, is_resp3: bool) -> RedisResult<Arc<ManagedConnection>> {
        let fresh = Arc::new(ManagedConnection::lazy(self.client(is_resp3), is_resp3)?);
        let found = self.managed.compare_and_swap(old, fresh.clone());
        Ok(if Arc::ptr_eq(&found, old) { fresh } else { Arc::clone(&found) })
    }

    fn unanswered(&self, managed: &Arc<ManagedConnection>, since: u64) {
        let first = match self.silent_since.compare_exchange(0, since, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => since,
            Err(first) => first,
        };
        // A manager has to be created within a runtime, but a command can be dropped outside of any.
        let can_replace = tokio::runtime::Handle::try_current().is_ok();
        if self.elapsed().saturating_sub(first) >= SILENT && can_replace {
            self.silent_since.store(0, Ordering::Relaxed);
            // If none can be created, the old one stays.
            let _ = self.replace(managed);
        }
    }
}

/// A command in flight. It is dropped unanswered when the deadline passes or the caller goes away.
struct InFlight<'a> {
    link: &'a Link,
    managed: &'a Arc<ManagedConnection>,
    since: u64,
    answered: bool,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.link.unanswered(self.managed, self.since);
            return;
        }
        // Read before writing: most calls find nothing to change, and then can share the cache line.
        for trouble in [&self.link.silent_since, &self.link.lost_at] {
            if trouble.load(Ordering::Relaxed) != 0 {
                trouble.store(0, Ordering::Relaxed);
            }
        }
    }
}

/// Returns a manager's configuration, and the flag that it sets over RESP3 when its connection is lost.
fn config(client: &Client) -> (ConnectionManagerConfig, Arc<AtomicBool>) {
    let lost = Arc::new(AtomicBool::new(false));
    let config = ConnectionManagerConfig::new()
        .set_number_of_retries(0)
        .set_connection_timeout(Some(CONNECTING))
        .set_response_timeout(None)
        // Commands that wait for room in here are bounded by their deadline.
        .set_pipeline_buffer_size(1024);
    if !client.get_connection_info().redis_settings().protocol().supports_resp3() {
        return (config, lost);
    }
    let flag = lost.clone();
    let config = config.set_push_sender(move |push: PushInfo| {
        if push.kind == PushKind::Disconnection {
            flag.store(true, Ordering::Relaxed);
        }
        Ok::<(), redis::aio::SendError>(())
    });
    (config, lost)
}

/// Returns a client for the same server over RESP3.
fn over_resp3(client: &Client) -> Option<Client> {
    let info = client.get_connection_info().clone();
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    Client::open(info.set_redis_settings(settings)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As servers write it: since Redis 7, before, and text that only looks like it.
    #[test]
    fn a_demoted_server_is_known_by_either_form_of_its_error() {
        for (reply, expected) in [
            (
                "-READONLY You can't write against a read only replica. script: 5a, on @user_script:1.\r\n",
                true,
            ),
            (
                "-ERR Error running script (call to f_5a): @user_script:1: @user_script: 1: \
                 -READONLY You can't write against a read only replica.\r\n",
                true,
            ),
            ("-ERR Error running script (call to f_5a): @user_script:1: no READONLY here\r\n", false),
            ("-NOSCRIPT No matching script.\r\n", false),
            ("+READONLY\r\n", false),
        ] {
            let value = redis::parse_redis_value(reply.as_bytes()).unwrap();
            assert_eq!(demoted(&value), expected, "{reply}");
        }
    }
}
