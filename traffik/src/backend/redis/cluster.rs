//! [`Cluster`]: a Redis Cluster. It follows slots that move, and sends nothing twice that may have
//! been carried out.
//!
//! Every node has its own [`Link`], so that one that is down or silent does not hold up the clients
//! of the others. (The `redis` crate's cluster client serves all nodes from one task, which stalls
//! while it looks for lost ones.) Redirections are followed, because they prove that nothing was
//! done. If there was no node to send a command to, the command waits for the next refresh of the slots
//! and is sent then.

mod slots;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use redis::{
    Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, RedisError, RedisResult, ServerErrorKind, Value,
};
use tokio::task::JoinSet;

use super::command_outcome::CommandOutcome;
use super::first_ok::{first_ok, within};
use super::link::{IfBusy, Link, LinkConfig, unsent};
use super::refresh::{self, Refresh, RefreshUnlessAnswered, Refresher};
use slots::{Address, Node, SlotRange, Slots};

/// How many redirections are followed. The deadline bounds them too, and is the only bound on waits
/// for a slot that is moving.
const MAX_REDIRECTIONS: u32 = 16;

/// The wait before a command that met a moving slot is sent again.
const MOVING_DELAY: Duration = Duration::from_millis(5);

/// How long a node may take to report who serves which slot.
const SLOTS_TIMEOUT: Duration = Duration::from_secs(1);

pub(super) struct Cluster(Arc<Inner>);

struct Inner {
    /// How to reach and log in to any node, except for its address.
    template: ConnectionInfo,
    /// If RESP3 is not tried first, the template chooses the protocol.
    link: LinkConfig,
    /// The nodes that we were given. They are asked again even if the cluster forgets them.
    seeds: Vec<Address>,
    slots: ArcSwap<Slots>,
    refresher: Refresher,
}

/// Creates a client for each of these URLs' nodes. The first URL says how to log in to all of them.
pub(super) fn nodes(urls: &[&str]) -> RedisResult<Vec<Client>> {
    let clients = urls.iter().map(|url| {
        let client = Client::open(*url)?;
        address(client.get_connection_info())?;
        Ok(client)
    });
    clients.collect()
}

fn address(info: &ConnectionInfo) -> RedisResult<Address> {
    match info.addr() {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
            Ok(Address { host: host.clone(), port: *port })
        }
        _ => Err((ErrorKind::InvalidClientConfig, "a node of a cluster must have a host and a port").into()),
    }
}

impl Cluster {
    /// Creates a cluster that asks these nodes for the slots when the first command arrives.
    pub(super) fn lazy(nodes: &[Client], link: LinkConfig) -> RedisResult<Self> {
        let Some(first) = nodes.first() else { return Err(no_node()) };
        Self::of(nodes, first.get_connection_info().clone(), link)
    }

    /// Asks for the slots. The caller bounds the time.
    pub(super) async fn connect(nodes: Vec<Client>, link: LinkConfig) -> RedisResult<Self> {
        let mut reached = JoinSet::new();
        for node in nodes.clone() {
            // The first URL says how to log in, so each node is reached that way.
            let info = connection_info(nodes[0].get_connection_info(), &address(node.get_connection_info())?);
            let client = Client::open(info)?;
            reached.spawn(async move { Link::connect(client, link).await });
        }
        // The protocol of the first node that answers is used for all.
        let login = first_node(reached).await?.login().clone();
        let cluster = Self::of(&nodes, login, LinkConfig { choose_protocol: false, ..link })?;
        cluster.0.load_slots().await?;
        Ok(cluster)
    }

    fn of(nodes: &[Client], template: ConnectionInfo, link: LinkConfig) -> RedisResult<Self> {
        let seeds = nodes.iter().map(|node| address(node.get_connection_info()));
        let seeds = seeds.collect::<RedisResult<Vec<_>>>()?;
        let known = seeds.iter().map(|address| node(&template, address, link));
        let known = known.collect::<RedisResult<Vec<_>>>()?;
        let slots = ArcSwap::from_pointee(Slots::of(known));
        Ok(Self(Arc::new(Inner { template, link, seeds, slots, refresher: Refresher::new() })))
    }

    pub(super) async fn send(&self, command: &Cmd, if_busy: IfBusy) -> CommandOutcome {
        let mut in_flight = RefreshUnlessAnswered { of: &self.0, answered: false };
        let mut last = None;
        let result = follow(&self.0, command, if_busy, &mut last).await;
        in_flight.answered = match &result {
            // Part of the cluster is missing.
            Ok(Value::ServerError(error)) => error.code() != "CLUSTERDOWN",
            Ok(_) => true,
            Err(_) => false,
        };
        CommandOutcome::of(result, || last.map(|node| node.address.to_string()))
    }
}

/// Returns how to reach another node of the same cluster.
fn connection_info(template: &ConnectionInfo, Address { host, port }: &Address) -> ConnectionInfo {
    let addr = match template.addr() {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => ConnectionAddr::TcpTls {
            host: host.clone(),
            port: *port,
            insecure: *insecure,
            tls_params: tls_params.clone(),
        },
        _ => ConnectionAddr::Tcp(host.clone(), *port),
    };
    template.clone().set_addr(addr)
}

fn node(template: &ConnectionInfo, address: &Address, link: LinkConfig) -> RedisResult<Node> {
    let link = Link::lazy(Client::open(connection_info(template, address))?, link)?;
    Ok(Node { address: address.clone(), link: Arc::new(link) })
}

fn no_node() -> RedisError {
    (ErrorKind::ClusterConnectionNotFound, "no node of the cluster could tell which node serves this slot")
        .into()
}

/// Returns the first node's answer. The other tasks continue on their own: a command that is aborted counts against its
/// connection.
async fn first_node<T: 'static>(mut answers: JoinSet<RedisResult<T>>) -> RedisResult<T> {
    let first = first_ok(&mut answers, no_node).await;
    answers.detach_all();
    first
}

impl Inner {
    /// Asks all known nodes at once, and believes whichever answers first. What that node does not
    /// know yet is found by redirections, and by the next refresh.
    async fn load_slots(&self) -> RedisResult<()> {
        let known = self.slots.load_full();
        let mut asked = JoinSet::new();
        for node in &known.nodes {
            asked.spawn(ask(node.clone()));
        }
        let ranges = first_node(asked).await?;
        let slots = Slots::clone(&known).updated(ranges, &self.seeds, |address| self.new_node(address))?;
        // Otherwise, the first command of each would wait for its connection, which takes several round trips.
        slots.masters().for_each(|node| node.link.connect_in_background());
        self.slots.store(Arc::new(slots));
        Ok(())
    }

    fn new_node(&self, address: &Address) -> RedisResult<Node> {
        node(&self.template, address, self.link)
    }

    /// Returns the node of a redirection, which may be new to us.
    fn node(&self, address: &Address) -> RedisResult<Node> {
        if let Some(node) = self.slots.load().node(address) {
            return Ok(node.clone());
        }
        let new = self.new_node(address)?;
        self.slots.rcu(|slots| {
            let mut slots = Slots::clone(slots);
            if slots.node(address).is_none() {
                slots.nodes.push(new.clone());
            }
            slots
        });
        Ok(new)
    }
}

async fn ask(node: Node) -> RedisResult<Vec<SlotRange>> {
    let command = redis::cmd("CLUSTER").arg("SLOTS").to_owned();
    let reply = within(SLOTS_TIMEOUT, node.link.send(&command, IfBusy::Send)).await?;
    slots::read(&reply.extract_error()?, &node.address.host).ok_or_else(no_node)
}

impl Refresh for Inner {
    fn refresher(&self) -> &Refresher {
        &self.refresher
    }

    async fn refresh(&self) {
        // Without an answer, everything stays as it was.
        let _ = self.load_slots().await;
    }
}

/// Where a command that was not carried out goes next.
enum Target {
    /// To the node that serves the slot.
    Owner,
    Moved(Address),
    Asking(Address),
}

fn redirection(error: &RedisError, reporter: &str) -> Option<Target> {
    let node = || Address::read(error.redirect_node()?.0, reporter);
    match error.kind() {
        ErrorKind::Server(ServerErrorKind::Moved) => node().map(Target::Moved),
        ErrorKind::Server(ServerErrorKind::Ask) => node().map(Target::Asking),
        ErrorKind::Server(ServerErrorKind::TryAgain) => Some(Target::Owner),
        _ => None,
    }
}

/// Sends a command to whichever node serves its slot; `last` is the one that it was last sent to.
async fn follow(
    cluster: &Arc<Inner>,
    command: &Cmd,
    if_busy: IfBusy,
    last: &mut Option<Node>,
) -> RedisResult<Value> {
    let Some(slot) = slots::of_script(command) else {
        return Err((ErrorKind::Client, "only scripts with keys can be sent to a cluster").into());
    };
    let mut target = Target::Owner;
    let mut hops = 0;
    loop {
        let node = match &target {
            Target::Owner => cluster.slots.load().owner(slot).cloned(),
            Target::Moved(address) | Target::Asking(address) => Some(cluster.node(address)?),
        };
        let Some(node) = node else {
            refresh::wait(cluster).await;
            continue;
        };
        let node = last.insert(node);
        let result = match target {
            Target::Asking(_) => node.link.send_asking(command, if_busy).await,
            Target::Owner | Target::Moved(_) => node.link.send(command, if_busy).await,
        };
        target = match &result {
            Ok(Value::ServerError(error)) if hops < MAX_REDIRECTIONS => {
                match redirection(&RedisError::from(error.clone()), &node.address.host) {
                    None => return result,
                    Some(next) => next,
                }
            }
            Err(error) if unsent(error) => {
                refresh::wait(cluster).await;
                target = Target::Owner;
                continue;
            }
            _ => return result,
        };
        match target {
            // Bounded by the deadline alone.
            Target::Owner => tokio::time::sleep(MOVING_DELAY).await,
            Target::Asking(_) => hops += 1,
            Target::Moved(_) => {
                hops += 1;
                refresh::begin(cluster);
            }
        }
    }
}
