//! [`RedisCluster`]: a test's own three masters and three replicas.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::RedisServer;
use crate::requests::{FORMING, wait_until};

const MASTERS: usize = 3;
const SLOTS: usize = 16_384;

/// A Redis Cluster (Redis 7 or newer) on free ports. All nodes are killed when dropped.
#[derive(Debug)]
pub struct RedisCluster {
    /// The masters, then one replica for each, then those that have joined.
    nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts the nodes and waits until they form a cluster.
    ///
    /// # Panics
    /// Panics if they don't form one in time.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a cluster like [`start`](Self::start), with additional options for every node.
    ///
    /// # Panics
    /// Panics as [`start`](Self::start) does.
    #[must_use]
    pub fn start_with(further: &[&str]) -> Self {
        let (nodes, buses): (_, Vec<_>) = (0..2 * MASTERS).map(|_| start_node(further)).unzip();
        let cluster = Self { nodes };
        for (place, bus) in buses.into_iter().enumerate() {
            let epoch = (place + 1).to_string();
            cluster.nodes[place].command::<()>(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]);
            cluster.meet(place, bus);
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
        // Every master must know its replica, and every replica must be in sync with its master.
        cluster.wait_for("linked", |node| {
            let info: String = node.command(&["INFO", "replication"]);
            info.replace("connected_slaves:1", "linked").replace("master_link_status:up", "linked")
        });
        cluster
    }

    fn wait_for(&self, text: &str, ask: impl Fn(&RedisServer) -> String) {
        wait_until("no cluster", || self.nodes.iter().all(|node| ask(node).contains(text)));
    }

    /// Starts another master, which serves no slot yet, and returns its index once all nodes know it.
    ///
    /// # Panics
    /// Panics if they don't get to know it in time.
    pub fn join(&mut self) -> usize {
        let (node, bus) = start_node(&[]);
        self.nodes.push(node);
        let place = self.nodes.len() - 1;
        self.meet(place, bus);
        self.wait_for(&self.id(place), |node| node.command(&["CLUSTER", "NODES"]));
        self.wait_until_whole();
        place
    }

    /// Tells the first node of another one.
    fn meet(&self, place: usize, bus: u16) {
        let port = self.nodes[place].port().to_string();
        self.nodes[0].command::<()>(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus.to_string()]);
    }

    /// Returns the masters, then one replica for each, then those that have [joined](Self::join).
    #[must_use]
    pub fn nodes(&self) -> &[RedisServer] {
        &self.nodes
    }

    /// Returns the URLs of all nodes.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(RedisServer::url).collect()
    }

    /// Returns a node's cluster ID.
    #[must_use]
    pub fn id(&self, node: usize) -> String {
        self.nodes[node].command(&["CLUSTER", "MYID"])
    }

    /// Returns the slot of a key.
    ///
    /// # Panics
    /// Panics if no node is running.
    #[must_use]
    pub fn slot(&self, key: &str) -> u16 {
        let node = self.nodes.iter().find(|node| node.is_running()).expect("a node that runs");
        node.command(&["CLUSTER", "KEYSLOT", key])
    }

    /// Returns the index of the master that this slot was assigned to at the start.
    #[must_use]
    pub fn first_home(&self, slot: u16) -> usize {
        (0..MASTERS).rfind(|place| SLOTS * place / MASTERS <= usize::from(slot)).unwrap_or(0)
    }

    /// Moves a slot key by key. Calls `half_way` while the slot is migrating and one key has moved.
    ///
    /// # Panics
    /// Panics if a node refuses.
    pub fn reshard(&self, slot: u16, from: usize, to: usize, half_way: impl FnOnce()) {
        let (slot, source, target) = (slot.to_string(), &self.nodes[from], &self.nodes[to]);
        let (from, to) = (self.id(from), self.id(to));
        target.command::<()>(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from]);
        source.command::<()>(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to]);
        let mut half_way = Some(half_way);
        loop {
            let keys: Vec<String> = source.command(&["CLUSTER", "GETKEYSINSLOT", &slot, "1"]);
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

    /// Waits until all running nodes agree on which master serves which slots, and since which configuration epoch.
    ///
    /// A master that imports a slot gets a new epoch. Voters reject a replica whose epoch for its
    /// master is older than the one they know. If the master died before its replica had learned the
    /// new epoch, it would not be replaced.
    ///
    /// # Panics
    /// Panics if they don't agree in time.
    pub fn settle(&self) {
        let view = |node: &RedisServer| {
            let nodes: String = node.command(&["CLUSTER", "NODES"]);
            let masters = nodes.lines().filter_map(|line| {
                let words: Vec<_> = line.split(' ').collect();
                let [id, _, flags, _, _, _, epoch, _, slots @ ..] = &words[..] else { return None };
                flags.contains("master").then(|| format!("{id} {epoch} {}", slots.join(" ")))
            });
            let mut masters: Vec<_> = masters.collect();
            masters.sort();
            masters
        };
        let began = Instant::now();
        loop {
            let mut views: Vec<_> = self.nodes.iter().filter(|node| node.is_running()).map(view).collect();
            views.dedup();
            if views.len() == 1 {
                return;
            }
            assert!(began.elapsed() < FORMING, "no agreement within {FORMING:?}: {views:#?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Kills a node.
    pub fn kill(&mut self, node: usize) {
        self.nodes[node].kill();
    }

    /// Restarts a killed node. It remembers the cluster but none of its keys.
    pub fn resurrect(&mut self, node: usize) {
        self.nodes[node].resurrect();
    }

    /// Waits until a replica has become a master and considers the cluster healthy.
    ///
    /// # Panics
    /// Panics if that does not happen in time.
    pub fn wait_until_promoted(&self, node: usize) {
        let node = &self.nodes[node];
        wait_until("not promoted", || {
            node.command::<String>(&["INFO", "replication"]).contains("role:master")
                && node.command::<String>(&["CLUSTER", "INFO"]).contains("cluster_state:ok")
        });
    }

    /// Waits until all nodes are running and form a healthy cluster.
    ///
    /// # Panics
    /// Panics if they don't form one in time.
    pub fn wait_until_whole(&self) {
        self.wait_for("cluster_state:ok", |node| node.command(&["CLUSTER", "INFO"]));
    }
}

/// Starts a node that knows no other; returns it with the port of its bus.
fn start_node(further: &[&str]) -> (RedisServer, u16) {
    // The default bus port is the port plus 10000, which may exceed the valid range.
    let bus = TcpListener::bind("127.0.0.1:0").and_then(|bus| bus.local_addr()).expect("a free port").port();
    let options = [
        "--cluster-enabled",
        "yes",
        "--cluster-node-timeout",
        "1000",
        "--cluster-replica-validity-factor",
        "0",
        // A master that gives its last slot away stays one.
        "--cluster-allow-replica-migration",
        "no",
        "--cluster-port",
        &bus.to_string(),
    ];
    (RedisServer::start_with(&[&options[..], further].concat()), bus)
}
