//! [`Link`]: one server, and what happens when it goes away.

mod congestion;
mod health;
mod loss;
mod managed;
mod tcp;

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use redis::{Client, Cmd, ProtocolVersion, RedisError, RedisResult, Value};

use congestion::Congestion;
pub(super) use congestion::IfBusy;
use health::Health;
use managed::{ManagedConnection, Packet};

/// One multiplexed connection to one server, which is restored automatically.
///
/// What the `redis` crate's manager does, and what is added here:
///
/// - It resends nothing: a command whose connection is lost fails, and a new connection is made in the background.
///   Its retries concern *connecting*; they are off, so that commands fail immediately while the server refuses
///   connections.
/// - It keeps a failed attempt's error until the next command, however old it is by then. So a connection known to be
///   lost (RESP3 reports it, and the end of its runtime is seen), and not known to be restored, gets a fresh manager
///   before the next command. And since a refused connection proves that nothing was sent, the command is then tried
///   once on a fresh manager.
/// - Its attempt to connect rests while no command waits for it. Here, a fresh manager connects in the background too.
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
    health: Health,
    congestion: Congestion,
}

/// How a server is called.
#[derive(Clone, Copy)]
pub(super) struct LinkConfig {
    /// Whether RESP3 is tried first.
    pub(super) choose_protocol: bool,
    /// The time that a call has.
    pub(super) deadline: Duration,
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

impl Link {
    /// Connects, or returns why it could not. The caller bounds the time.
    pub(super) async fn connect(client: Client, config: LinkConfig) -> RedisResult<Self> {
        let link = Self::lazy(client, config)?;
        link.decide(link.managed.load_full()).await?;
        Ok(link)
    }

    /// Like [`connect`](Self::connect), but connects when the first command arrives.
    pub(super) fn lazy(client: Client, config: LinkConfig) -> RedisResult<Self> {
        let client = tcp::over_distance(&client)?;
        let resp3_client = over_resp3(&client).filter(|_| config.choose_protocol);
        let managed =
            ManagedConnection::lazy(resp3_client.as_ref().unwrap_or(&client), resp3_client.is_some())?;
        let decided = if resp3_client.is_some() { OnceLock::new() } else { OnceLock::from(false) };
        Ok(Self {
            client,
            resp3_client,
            decided,
            managed: ArcSwap::from_pointee(managed),
            health: Health::new(),
            congestion: Congestion::new(config.deadline),
        })
    }

    /// Connects unless it is connected, without waiting for it.
    #[cfg(feature = "redis-cluster")]
    pub(super) fn connect_in_background(&self) {
        self.managed.load().connect();
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
        // Connecting may take longer than a command's deadline, and is not a silence of the server.
        self.health.answered();
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
        managed.connect();
        self.decide(managed.clone()).await?.send(command).await
    }

    pub(super) async fn send(&self, command: &Cmd, if_busy: IfBusy) -> RedisResult<Value> {
        self.send_as(Packet::Command(command), if_busy).await
    }

    /// Like [`send`](Self::send), to a node of a cluster that is about to serve the command's slot. Both commands are
    /// in one packet, because the connection is shared and `ASKING` applies to whatever command comes next.
    #[cfg(feature = "redis-cluster")]
    pub(super) async fn send_asking(&self, command: &Cmd, if_busy: IfBusy) -> RedisResult<Value> {
        let mut both = redis::pipe();
        both.cmd("ASKING").add_command(command.clone());
        self.send_as(Packet::Asking(both), if_busy).await
    }

    async fn send_as(&self, command: Packet<'_>, if_busy: IfBusy) -> RedisResult<Value> {
        if if_busy == IfBusy::Fail && !self.congestion.has_room(&self.health).await {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "earlier calls are still unanswered, so this one was not sent",
            )
            .into());
        }
        self.health.fail_fast()?;
        let mut managed = self.managed.load_full();
        if managed.is_lost() {
            managed = self.replace(&managed)?;
        }
        let since = self.health.now();
        let ahead = self.congestion.sent(since);
        let mut in_flight = InFlight { link: self, managed: &managed, since, ahead, answered: false };
        let result = match self.send_by(&managed, &command).await {
            Err(error) if unsent(&error) => self.send_again(&managed, &command).await,
            Err(error) if !error.is_io_error() || self.health.lost_again(since) => {
                self.replace(&managed)?;
                self.health.rejected();
                Err(error)
            }
            result => result,
        };
        if result.as_ref().is_ok_and(demoted) && self.health.may_reconnect() {
            // A demoted server keeps its connections. Reconnecting now and then finds out who has its name or address
            // now.
            self.replace(&managed)?;
        }
        in_flight.answered = result.is_ok();
        drop(in_flight);
        result
    }

    /// Sends a command of which nothing was sent. The refusal that says so may be an old one, from an attempt in the
    /// background.
    async fn send_again(&self, old: &Arc<ManagedConnection>, command: &Packet<'_>) -> RedisResult<Value> {
        let result = self.send_by(&self.replace(old)?, command).await;
        if result.as_ref().is_err_and(unsent) {
            self.health.refused();
        }
        result
    }

    /// Replaces `old` with a fresh manager, unless another call was faster; returns the one in place.
    fn replace(&self, old: &Arc<ManagedConnection>) -> RedisResult<Arc<ManagedConnection>> {
        self.put(old, self.is_resp3())
    }

    fn put(&self, old: &Arc<ManagedConnection>, is_resp3: bool) -> RedisResult<Arc<ManagedConnection>> {
        let fresh = Arc::new(ManagedConnection::lazy(self.client(is_resp3), is_resp3)?);
        let found = self.managed.compare_and_swap(old, fresh.clone());
        if !Arc::ptr_eq(&found, old) {
            return Ok(Arc::clone(&found));
        }
        fresh.connect();
        Ok(fresh)
    }

    fn unanswered(&self, managed: &Arc<ManagedConnection>, since: u64) {
        // A manager has to be created within a runtime, but a command can be dropped outside of any.
        if self.health.silent(since) && tokio::runtime::Handle::try_current().is_ok() {
            self.health.reconnected();
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
    /// How many others were in flight when it was sent.
    ahead: u64,
    answered: bool,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        let Link { health, congestion, .. } = self.link;
        if self.answered {
            health.answered();
            congestion.answered(self.since, health.now());
        } else {
            congestion.unanswered(self.since, self.ahead, health.now());
            self.link.unanswered(self.managed, self.since);
        }
    }
}

/// Returns a client for the same server over RESP3.
fn over_resp3(client: &Client) -> Option<Client> {
    let info = client.get_connection_info().clone();
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    Client::open(info.set_redis_settings(settings)).ok()
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures_util::FutureExt;
    use futures_util::future::select;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::Notify;

    use super::*;

    const DEADLINE: Duration = Duration::from_millis(100);

    /// Far longer than anything here takes.
    const PATIENCE: Duration = Duration::from_secs(20);

    /// Says OK to everything.
    struct Server {
        url: String,
        accepted: AtomicU32,
        pinged: Notify,
        hang_up: Notify,
    }

    impl Server {
        async fn start() -> Arc<Self> {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let server = Arc::new(Self {
                url: format!("redis://{}", listener.local_addr().unwrap()),
                accepted: AtomicU32::new(0),
                pinged: Notify::new(),
                hang_up: Notify::new(),
            });
            let serving = server.clone();
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    serving.accepted.fetch_add(1, Ordering::SeqCst);
                    let server = serving.clone();
                    tokio::spawn(async move {
                        select(pin!(server.answer(stream)), pin!(server.hang_up.notified())).await;
                    });
                }
            });
            server
        }

        async fn answer(&self, mut stream: TcpStream) {
            let mut buffer = vec![0; 4096];
            while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                let text = String::from_utf8_lossy(&buffer[..read]).into_owned();
                let commands = text.lines().filter(|line| line.starts_with('*')).count();
                stream.write_all("+OK\r\n".repeat(commands).as_bytes()).await.unwrap();
                if text.contains("PING") {
                    self.pinged.notify_one();
                }
            }
        }

        fn link(&self) -> Link {
            let config = LinkConfig { choose_protocol: true, deadline: DEADLINE };
            Link::lazy(Client::open(self.url.as_str()).unwrap(), config).unwrap()
        }
    }

    async fn send(link: &Link) -> RedisResult<Value> {
        link.send(&redis::cmd("ECHO"), IfBusy::Send).await
    }

    async fn within_patience<T>(what: &str, of: impl Future<Output = T>) -> T {
        tokio::time::timeout(PATIENCE, of).await.unwrap_or_else(|_| panic!("{what}"))
    }

    /// Otherwise, the next command has to wait for three round trips instead of one.
    #[tokio::test]
    async fn a_connection_that_was_closed_while_idle_is_restored_before_the_next_command() {
        let server = Server::start().await;
        let link = server.link();
        send(&link).await.unwrap();
        let managed = link.managed.load_full();
        server.hang_up.notify_waiters();
        let restored = async {
            while server.accepted.load(Ordering::SeqCst) < 2 || managed.is_lost() {
                tokio::task::yield_now().await;
            }
        };
        within_patience("restored", restored).await;
        send(&link).await.unwrap();
        assert!(Arc::ptr_eq(&link.managed.load(), &managed) && server.accepted.load(Ordering::SeqCst) == 2);
    }

    /// A command that is given up while the connection is made would otherwise be the beginning of a silence, for which
    /// the new connection is thrown away.
    #[tokio::test]
    async fn a_connection_that_is_established_ends_a_silence() {
        let link = Server::start().await.link();
        assert!(!link.health.lost_again(link.health.now()));
        link.decide(link.managed.load_full()).await.unwrap();
        assert!(!link.health.lost_again(u64::MAX), "something was answered in between");
    }

    #[tokio::test]
    async fn a_command_that_is_given_up_leaves_a_connection_for_the_next() {
        let server = Server::start().await;
        let link = server.link();
        assert!(send(&link).now_or_never().is_none());
        within_patience("the first connection", server.pinged.notified()).await;
        send(&link).await.unwrap();
        assert_eq!(server.accepted.load(Ordering::SeqCst), 1);
        // As after a silence.
        link.replace(&link.managed.load_full()).unwrap();
        let replaced = async {
            while server.accepted.load(Ordering::SeqCst) < 2 {
                server.pinged.notified().await;
            }
        };
        within_patience("its replacement", replaced).await;
    }

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
