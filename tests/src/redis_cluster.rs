//! [`RedisCluster`]: three masters and three replicas of the test's own.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use redis::FromRedisValue;

use crate::RedisServer;

/// How long nodes may take to find each other.
const FORMING: Duration = Duration::from_secs(30);
const MASTERS: usize = 3;
const SLOTS: usize = 16_384;

/// A Redis Cluster (Redis 7 or newer) on free ports. Killed when dropped.
#[derive(Debug)]
pub struct RedisCluster {
    /// The masters, then a replica of each.
    nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts the nodes and waits until they are a cluster.
    ///
    /// # Panics
    /// When they don't become one.
    #[must_use]
    pub fn start() -> Self {
        let mut nodes = Vec::new();
        let mut buses = Vec::new();
        for _ in 0..2 * MASTERS {
            // The default, the port and 10000, need not be a port at all.
            let bus = TcpListener::bind("127.0.0.1:0")
                .and_then(|bus| bus.local_addr())
                .expect("a free port")
                .port();
            let options = [
                "--cluster-enabled",
                "yes",
                "--cluster-node-timeout",
                "1000",
                "--cluster-require-full-coverage",
                "no",
                "--cluster-replica-validity-factor",
                "0",
                "--cluster-port",
            ];
            nodes.push(RedisServer::start_with(&[&options[..], &[bus.to_string().as_str()]].concat()));
            buses.push(bus);
        }
        let cluster = Self { nodes };
        for (place, node) in cluster.nodes.iter().enumerate() {
            node.command::<()>(&["CLUSTER", "SET-CONFIG-EPOCH", &(place + 1).to_string()]);
            let (port, bus) = (node.port().to_string(), buses[place].to_string());
            cluster.nodes[0].command::<()>(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
        }
        for (place, master) in cluster.nodes[..MASTERS].iter().enumerate() {
            let (first, last) = (SLOTS * place / MASTERS, SLOTS * (place + 1) / MASTERS - 1);
            master.command::<()>(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]);
        }
        cluster.wait_for("cluster_known_nodes:6", |node| node.command(&["CLUSTER", "INFO"]));
        for (place, replica) in cluster.nodes[MASTERS..].iter().enumerate() {
            replica.command::<()>(&["CLUSTER", "REPLICATE", &cluster.id(place)]);
        }
        cluster.wait_for("cluster_state:ok", |node| node.command(&["CLUSTER", "INFO"]));
        // Masters know their replica, and replicas have their master's data.
        cluster.wait_for("linked", |node| {
            let info: String = node.command(&["INFO", "replication"]);
            info.replace("connected_slaves:1", "linked").replace("master_link_status:up", "linked")
        });
        cluster
    }

    fn wait_for(&self, text: &str, ask: impl Fn(&RedisServer) -> String) {
        let began = Instant::now();
        while !self.nodes.iter().all(|node| ask(node).contains(text)) {
            assert!(began.elapsed() < FORMING, "no cluster within {FORMING:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The masters, then a replica of each.
    #[must_use]
    pub fn nodes(&self) -> &[RedisServer] {
        &self.nodes
    }

    /// The URLs of all nodes.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(RedisServer::url).collect()
    }

    /// A node's name in the cluster.
    #[must_use]
    pub fn id(&self, node: usize) -> String {
        self.nodes[node].command(&["CLUSTER", "MYID"])
    }

    /// The slot of a key.
    #[must_use]
    pub fn slot(&self, key: &str) -> u16 {
        self.nodes[0].command(&["CLUSTER", "KEYSLOT", key])
    }

    /// The master that this slot was given to at the start.
    #[must_use]
    pub fn first_home(&self, slot: u16) -> usize {
        (0..MASTERS).rfind(|place| SLOTS * place / MASTERS <= usize::from(slot)).unwrap_or(0)
    }

    /// Moves a slot, key by key; `half_way` is called when it is open and one key has moved.
    ///
    /// # Panics
    /// When a node refuses.
    pub fn reshard(&self, slot: u16, from: usize, to: usize, half_way: impl FnOnce()) {
        let (slot, source, target) = (slot.to_string(), &self.nodes[from], &self.nodes[to]);
        let (from, to) = (self.id(from), self.id(to));
        target.command::<()>(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from]);
        source.command::<()>(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to]);
        let mut half_way = Some(half_way);
        loop {
            let keys: Vec<String> = get(source, &["CLUSTER", "GETKEYSINSLOT", &slot, "1"]);
            let Some(key) = keys.first() else { break };
            let port = target.port().to_string();
            source.command::<()>(&["MIGRATE", "127.0.0.1", &port, key, "0", "1000"]);
            if let Some(half_way) = half_way.take() {
                half_way();
            }
        }
        for node in [target, source] {
            node.command::<()>(&["CLUSTER", "SETSLOT", &slot, "NODE", &to]);
        }
    }

    /// Kills a node.
    pub fn kill(&mut self, node: usize) {
        self.nodes[node].kill();
    }
}

fn get<T: FromRedisValue>(node: &RedisServer, words: &[&str]) -> T {
    node.command(words)
}
