//! [`Slots`]: which node of a cluster serves which slot.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use redis::{Arg, Cmd, Value};

use super::super::address::HostPort;
use super::super::link::Link;

/// The number of slots in a cluster.
const SLOTS: u16 = 16_384;

/// The address that a node listens on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        HostPort(&self.host, self.port).fmt(f)
    }
}

impl Address {
    /// Reads the `host:port` of a redirection. Without a host, it is another port on the host that
    /// sent it.
    pub(super) fn read(text: &str, reporter: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        Self::new(host, port.parse().ok()?, reporter)
    }

    fn new(host: &str, port: u16, reporter: &str) -> Option<Self> {
        match host {
            // The node has no address to report.
            "?" => None,
            "" => Some(Self { host: reporter.into(), port }),
            host => Some(Self { host: host.into(), port }),
        }
    }
}

/// A node, and the connection to it.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) address: Address,
    pub(super) link: Arc<Link>,
}

/// Slots, and the nodes that serve them, master first.
pub(super) type SlotRange = (RangeInclusive<u16>, Vec<Address>);

/// The known nodes, and which slots they serve.
#[derive(Clone, Default)]
pub(super) struct Slots {
    pub(super) nodes: Vec<Node>,
    /// Slots with the index of their master.
    ranges: Vec<(RangeInclusive<u16>, usize)>,
}

impl Slots {
    /// Creates slots from these nodes, without knowing which slots they serve.
    pub(super) fn of(nodes: Vec<Node>) -> Self {
        Self { nodes, ranges: Vec::new() }
    }

    /// Updates the slots to what was reported; nodes not known yet are created by `make`.
    pub(super) fn updated<E>(
        mut self,
        ranges: Vec<SlotRange>,
        keep: &[Address],
        make: impl Fn(&Address) -> Result<Node, E>,
    ) -> Result<Self, E> {
        let is_reported = |address: &Address| ranges.iter().any(|(_, nodes)| nodes.contains(address));
        self.nodes.retain(|node| keep.contains(&node.address) || is_reported(&node.address));
        self.ranges.clear();
        for (slots, nodes) in ranges {
            for (rank, address) in nodes.iter().enumerate() {
                let index = match self.nodes.iter().position(|node| node.address == *address) {
                    Some(index) => index,
                    None => {
                        self.nodes.push(make(address)?);
                        self.nodes.len() - 1
                    }
                };
                if rank == 0 {
                    self.ranges.push((slots.clone(), index));
                }
            }
        }
        Ok(self)
    }

    pub(super) fn owner(&self, slot: u16) -> Option<&Node> {
        let (_, index) = self.ranges.iter().find(|(slots, _)| slots.contains(&slot))?;
        self.nodes.get(*index)
    }

    /// Returns the master of each range of slots.
    pub(super) fn masters(&self) -> impl Iterator<Item = &Node> {
        self.ranges.iter().filter_map(|(_, index)| self.nodes.get(*index))
    }

    pub(super) fn node(&self, address: &Address) -> Option<&Node> {
        self.nodes.iter().find(|node| node.address == *address)
    }
}

/// Reads the reply to `CLUSTER SLOTS`, if it reports any.
pub(super) fn read(reply: &Value, reporter: &str) -> Option<Vec<SlotRange>> {
    let Value::Array(ranges) = reply else { return None };
    let ranges = ranges.iter().map(|range| {
        let Value::Array(range) = range else { return None };
        let [Value::Int(first), Value::Int(last), nodes @ ..] = &range[..] else { return None };
        let slots = u16::try_from(*first).ok()?..=u16::try_from(*last).ok()?;
        let nodes = nodes.iter().filter_map(|node| {
            let Value::Array(node) = node else { return None };
            let port = match node.get(1)? {
                Value::Int(port) => u16::try_from(*port).ok()?,
                _ => return None,
            };
            match node.first()? {
                Value::BulkString(host) => Address::new(std::str::from_utf8(host).ok()?, port, reporter),
                Value::Nil => Address::new("", port, reporter),
                _ => None,
            }
        });
        Some((slots, nodes.collect()))
    });
    ranges.collect::<Option<Vec<SlotRange>>>().filter(|ranges| !ranges.is_empty())
}

/// Returns the slot of a script's first key, which all its keys share.
pub(super) fn of_script(command: &Cmd) -> Option<u16> {
    match command.args_iter().nth(3)? {
        Arg::Simple(key) => Some(of_key(key)),
        _ => None,
    }
}

/// Returns the slot of a key: that of the text in its first braces, if it is not empty.
fn of_key(key: &[u8]) -> u16 {
    let open = key.iter().position(|byte| *byte == b'{');
    let tag = open.and_then(|open| {
        let rest = &key[open + 1..];
        let close = rest.iter().position(|byte| *byte == b'}')?;
        (close > 0).then(|| &rest[..close])
    });
    crc16(tag.unwrap_or(key)) % SLOTS
}

/// CRC-16/XMODEM, as the cluster specification defines it. It works bit by bit, because keys' tags
/// are short and a round trip follows.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, byte| {
        (0..8).fold(
            crc ^ u16::from(*byte) << 8,
            |crc, _| {
                if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 }
            },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values from the specification, and from `CLUSTER KEYSLOT`.
    #[test]
    fn slots_are_those_of_redis() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        for (key, slot) in [("foo", 12182), ("{foo}bar", 12182), ("a{foo}{bar}", 12182), ("bar", 5061)] {
            assert_eq!(of_key(key.as_bytes()), slot, "{key}");
        }
        for whole in ["{}foo", "{foo", "}foo{"] {
            assert_eq!(of_key(whole.as_bytes()), crc16(whole.as_bytes()) % SLOTS, "{whole}");
        }
        let script = redis::cmd("EVALSHA").arg("sha").arg(2).arg("x{foo}").arg("y{foo}").to_owned();
        assert_eq!(of_script(&script), Some(12182));
        assert_eq!(of_script(&redis::cmd("PING")), None);
    }

    fn node(host: &str, port: i64) -> Value {
        Value::Array(vec![Value::BulkString(host.into()), Value::Int(port), Value::BulkString("id".into())])
    }

    #[test]
    fn nodes_without_a_host_are_where_the_answer_came_from() {
        let range = |first, last, nodes: Vec<Value>| {
            Value::Array([vec![Value::Int(first), Value::Int(last)], nodes].concat())
        };
        let reply = Value::Array(vec![
            range(0, 99, vec![node("a", 1), node("", 2)]),
            range(100, 16_383, vec![Value::Array(vec![Value::Nil, Value::Int(3)]), node("?", 4)]),
        ]);
        let address = |host: &str, port| Address { host: host.into(), port };
        let ranges = read(&reply, "me").unwrap();
        assert_eq!(ranges[0], (0..=99, vec![address("a", 1), address("me", 2)]));
        assert_eq!(ranges[1], (100..=16_383, vec![address("me", 3)]));
        assert_eq!(read(&Value::Array(vec![]), "me"), None, "a node that knows of no cluster");
        for odd in [Value::Nil, Value::Array(vec![Value::Int(1)]), Value::Array(vec![range(-1, 3, vec![])])] {
            assert_eq!(read(&odd, "me"), None, "{odd:?}");
        }
        assert_eq!(Address::read("::1:6379", "me"), Some(address("::1", 6379)));
        assert_eq!(Address::read(":6379", "me"), Some(address("me", 6379)));
        for odd in ["", "host", "host:", "host:70000", "?:1"] {
            assert_eq!(Address::read(odd, "me"), None, "{odd}");
        }
    }
}
