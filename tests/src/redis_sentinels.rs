//! [`RedisSentinels`]: a test's own master, with two replicas and three Sentinels.

use crate::RedisServer;
use crate::requests::wait_until;

/// A master called `mymaster`, its replicas, and the Sentinels that watch it. All are killed when dropped.
#[derive(Debug)]
pub struct RedisSentinels {
    /// The master, then the replicas.
    servers: Vec<RedisServer>,
    sentinels: Vec<RedisServer>,
}

impl RedisSentinels {
    /// Starts all processes and waits until every Sentinel knows all the others.
    ///
    /// # Panics
    /// Panics if they don't find each other in time.
    #[must_use]
    pub fn start() -> Self {
        let master = RedisServer::start();
        let port = master.port().to_string();
        let replica = || {
            RedisServer::start_with(&["--replicaof", "127.0.0.1", &port, "--repl-diskless-sync-delay", "0"])
        };
        let servers = vec![replica(), replica()];
        let lines = format!(
            "sentinel monitor mymaster 127.0.0.1 {port} 2\n\
             sentinel down-after-milliseconds mymaster 500\n\
             sentinel failover-timeout mymaster 3000\n"
        );
        let sentinels = (0..3).map(|_| RedisServer::start_sentinel(&lines)).collect();
        let all = Self { servers: std::iter::once(master).chain(servers).collect(), sentinels };
        all.wait_until_whole();
        all
    }

    /// Waits until every Sentinel knows all processes and the replicas are in sync with their master.
    ///
    /// # Panics
    /// Panics if they don't get there in time.
    pub fn wait_until_whole(&self) {
        let knows = |sentinel: &RedisServer| {
            let info: String = sentinel.command(&["INFO", "sentinel"]);
            info.contains("slaves=2") && info.contains("sentinels=3")
        };
        let linked = |server: &RedisServer| {
            server.command::<String>(&["INFO", "replication"]).contains("master_link_status:up")
        };
        wait_until("no Sentinels", || {
            self.sentinels.iter().all(knows) && self.servers[1..].iter().all(linked)
        });
    }

    /// Waits until a Sentinel names a master other than the first.
    ///
    /// # Panics
    /// Panics if none does in time.
    pub fn wait_until_replaced(&self) {
        let first = self.servers[0].port().to_string();
        let named = |sentinel: &RedisServer| {
            let address: Vec<String> = sentinel.command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster"]);
            address.last().is_some_and(|port| *port != first)
        };
        wait_until("no other master", || self.sentinels.iter().any(named));
    }

    /// Returns the URLs of the Sentinels.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.sentinels.iter().map(RedisServer::url).collect()
    }

    /// Returns the servers. At first, the first one is the master.
    #[must_use]
    pub fn servers(&self) -> &[RedisServer] {
        &self.servers
    }

    /// Kills the first master.
    pub fn kill_master(&mut self) {
        self.servers[0].kill();
    }

    /// Kills all servers and Sentinels.
    pub fn kill_all(&mut self) {
        self.servers.iter_mut().chain(&mut self.sentinels).for_each(RedisServer::kill);
    }

    /// Restarts all processes in their original roles: the first server is the master again.
    ///
    /// # Panics
    /// Panics if one does not start.
    pub fn resurrect_all(&mut self) {
        self.servers.iter_mut().chain(&mut self.sentinels).for_each(RedisServer::resurrect);
    }
}
