//! [`Nodes`]: keys that found no room in their bucket.
//!
//! There is one node per key, identified by a number, in segments that are never moved or freed. A node
//! belongs to the bucket whose chain it is in, and is accessed only under that bucket's lock. Free nodes
//! are in a chain of their own.

#![allow(unsafe_code)]

use super::fingerprint::Fingerprint;
use super::packed_state::PackedState;
use super::sync::{Mutex, OnceLock, UnsafeCell, zeroed_cells};

/// A node's number; 0 stands for none.
pub(super) type NodeLink = u32;

/// Nodes in the first segment. Each later one has as many as all before it, plus this number.
const FIRST: u32 = 64;
/// As many segments as nodes' numbers can reach.
const SEGMENTS: usize = (NodeLink::BITS - FIRST.ilog2()) as usize;

/// A node for one more key. Its default consists of zeroes, from which segments are made.
#[derive(Default)]
pub(super) struct Node {
    pub(super) fingerprint: Fingerprint,
    pub(super) packed: PackedState,
    pub(super) next: NodeLink,
}

/// A run of nodes.
struct Segment(Box<[UnsafeCell<Node>]>);

// SAFETY: a node is accessed only through `Nodes::get`, whose caller promises to have exclusive access to it, and what
// nodes own (boxed states) is `Send`.
unsafe impl Sync for Segment {}
// SAFETY: what nodes own (boxed states) is `Send`, and nodes refer to nothing else.
unsafe impl Send for Segment {}

pub(super) struct Nodes {
    segments: [OnceLock<Segment>; SEGMENTS],
    free: Mutex<Free>,
}

struct Free {
    /// The first of the free nodes that have been used before.
    first: NodeLink,
    /// The lowest number that has never been used.
    fresh: NodeLink,
}

/// Returns the segment of a node, and its index there.
#[inline]
fn place(link: NodeLink) -> (usize, usize) {
    // Numbers begin at 1, which is the first node of the first segment.
    let at = u64::from(link) + u64::from(FIRST) - 1;
    let segment = at.max(1).ilog2() - FIRST.ilog2();
    (segment as usize, (at - (u64::from(FIRST) << segment)) as usize)
}

impl Nodes {
    pub(super) fn new() -> Self {
        Self {
            segments: std::array::from_fn(|_| OnceLock::new()),
            free: Mutex::new(Free { first: 0, fresh: 1 }),
        }
    }

    /// Returns the node of a link, or `None` for 0.
    ///
    /// # Safety
    /// For as long as the reference lives, the caller holds the lock of the bucket in whose chain the node is. If the
    /// node is in no bucket's chain, the caller holds the lock on free nodes instead, or is the only one to know the
    /// node, which it has taken. In any case it holds no other reference to the node.
    #[inline]
    #[allow(clippy::mut_from_ref)]
    pub(super) unsafe fn get(&self, link: NodeLink) -> Option<&mut Node> {
        if link == 0 {
            return None;
        }
        let (segment, at) = place(link);
        let node = self.segments.get(segment)?.get()?.0.get(at)?;
        // SAFETY: the caller promises exclusive access to the node for as long as the reference lives, and that it
        // holds no other. The node itself stays where it is: segments are never moved or freed.
        Some(unsafe { &mut *node.get() })
    }

    /// Takes an unused, empty node; returns 0 if there are no more numbers.
    pub(super) fn take(&self) -> NodeLink {
        let mut free = self.free.lock();
        let link = free.first;
        // SAFETY: a free node is in no bucket's chain, the lock on free nodes is held for longer than the reference
        // lives, and there is no other.
        if let Some(node) = unsafe { self.get(link) } {
            free.first = std::mem::take(&mut node.next);
            return link;
        }
        let link = free.fresh;
        let (segment, _) = place(link);
        let Some(place) = self.segments.get(segment) else { return 0 };
        place.get_or_init(|| {
            // Not written to here, however many they are: this is under locks. If their number exceeds a `usize`, there
            // are none, because as many would exceed the memory.
            let nodes = usize::try_from(u64::from(FIRST) << segment).unwrap_or(usize::MAX);
            // SAFETY: a node's default is zeroes: a fingerprint of 0, a state of two words of 0, and no link.
            Segment(unsafe { zeroed_cells(nodes) })
        });
        // Does not wrap: the last segment ends before the last number.
        free.fresh = link + 1;
        link
    }

    /// Gives back a node that was removed from its chain. The caller must not use a reference to it any more.
    pub(super) fn give(&self, link: NodeLink) {
        let mut free = self.free.lock();
        // SAFETY: the node is in no chain any more, the lock on free nodes is held for longer than the reference lives,
        // and the caller holds no other.
        if let Some(node) = unsafe { self.get(link) } {
            *node = Node { next: free.first, ..Node::default() };
            free.first = link;
        }
    }

    pub(super) fn bytes(&self) -> usize {
        let made = self.segments.iter().filter_map(OnceLock::get);
        made.map(|segment| size_of_val(&*segment.0)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::super::sync::model;
    use super::*;

    #[test]
    fn every_number_has_a_place_of_its_own() {
        assert_eq!([1, 64, 65, 192, 193].map(place), [(0, 0), (0, 63), (1, 0), (1, 127), (2, 0)]);
        assert_eq!(place(NodeLink::MAX - 63), (SEGMENTS - 1, (1 << 31) - 1));
        assert_eq!(place(NodeLink::MAX - 62).0, SEGMENTS);
    }

    #[test]
    fn a_node_of_zeroes_is_the_default() {
        // SAFETY: any bits are valid values of a node's fields, and these own no box.
        let zeroed: Node = unsafe { std::mem::zeroed() };
        assert!(zeroed.fingerprint.is_free() && zeroed.packed.words() == Some([0, 0]) && zeroed.next == 0);
        assert_eq!(size_of::<Node>(), 24, "no padding");
        let bytes = |node: &Node| {
            // SAFETY: the node has no padding, and is not changed meanwhile.
            unsafe { std::slice::from_raw_parts(std::ptr::from_ref(node).cast::<u8>(), size_of::<Node>()) }
                .to_vec()
        };
        assert_eq!(bytes(&Node::default()), [0; 24]);
        assert_eq!(bytes(&zeroed), [0; 24]);
    }

    #[test]
    fn a_node_given_back_is_taken_again_and_empty() {
        model(|| {
            let nodes = Nodes::new();
            let links: Vec<_> = (0..70).map(|_| nodes.take()).collect();
            assert_eq!(links, (1..=70).collect::<Vec<_>>());
            // SAFETY: the node has been taken, is in no chain, and nothing else knows it.
            unsafe { nodes.get(70).unwrap().fingerprint.set(7, 1) };
            nodes.give(70);
            nodes.give(3);
            assert_eq!([nodes.take(), nodes.take(), nodes.take()], [3, 70, 71]);
            // SAFETY: as above.
            let node = unsafe { nodes.get(70).unwrap() };
            assert_eq!((node.fingerprint.is_free(), node.next), (true, 0));
            assert!(nodes.bytes() >= 192 * size_of::<Node>());
        });
    }
}
