//! [`Bucket`]: four keys in two cache lines, under one lock.
//!
//! The first line holds the lock, what tells the keys apart and when they expire; the second their
//! states. Keys that find no room hang in boxed nodes behind, under the same lock.

#![allow(unsafe_code)]

use super::sync::{Lock, UnsafeCell};
use crate::strategy::State;

/// Keys per bucket.
pub(super) const WAYS: usize = 4;

/// The part of a mark that says how near to refusal its key is, from 0 (full account).
const PRESSURE: u8 = 0x7f;
/// The part of a mark that says that the state's first word is a boxed log.
const BOXED: u8 = 0x80;

/// The mark of a key that is being refused: the last to be dropped.
pub(super) const REFUSED: u8 = PRESSURE;

#[repr(C, align(128))]
pub(super) struct Bucket {
    lock: Lock,
    marks: UnsafeCell<[u8; WAYS]>,
    body: UnsafeCell<Body>,
}

// SAFETY: `marks` and `body` are reached only through `Guard`, which holds `lock`; what they own
// (boxed nodes, boxed byte vectors) is `Send`.
unsafe impl Sync for Bucket {}

#[derive(Default)]
#[repr(C)]
pub(super) struct Body {
    next: Option<Box<Node>>,
    tags: [u64; WAYS],
    /// Seconds on the table's own count; 0 is a free slot.
    expiry: [u32; WAYS],
    states: [[u64; 2]; WAYS],
}

#[derive(Default)]
struct Node {
    marks: [u8; WAYS],
    body: Body,
}

impl Node {
    fn parts(&mut self) -> (&mut [u8; WAYS], &mut Body) {
        (&mut self.marks, &mut self.body)
    }
}

/// A node's boxed logs are freed with it.
impl Drop for Node {
    fn drop(&mut self) {
        free_logs(&mut self.marks, &mut self.body);
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        free_logs(self.marks.get_mut(), self.body.get_mut());
    }
}

fn free_logs(marks: &mut [u8; WAYS], body: &mut Body) {
    for way in 0..WAYS {
        drop(Slot { marks, body, way }.take_state());
    }
}

impl Bucket {
    #[inline]
    pub(super) fn new() -> Self {
        const FREE: Body = Body { next: None, tags: [0; WAYS], expiry: [0; WAYS], states: [[0; 2]; WAYS] };
        Self { lock: Lock::new(), marks: UnsafeCell::new([0; WAYS]), body: UnsafeCell::new(FREE) }
    }

    /// Asks the processor for both cache lines.
    #[inline]
    pub(super) fn prefetch(&self) {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            let bucket = std::ptr::from_ref(self).cast::<i8>();
            // SAFETY: a prefetch reads nothing and cannot fault; both addresses are inside `self`.
            unsafe {
                _mm_prefetch::<_MM_HINT_T0>(bucket);
                _mm_prefetch::<_MM_HINT_T0>(bucket.add(64));
            }
        }
    }

    #[inline]
    pub(super) fn lock(&self) -> Guard<'_> {
        self.lock.lock();
        Guard(self)
    }

    pub(super) fn try_lock(&self) -> Option<Guard<'_>> {
        self.lock.try_lock().then(|| Guard(self))
    }
}

/// Exclusive use of one bucket and its nodes, until dropped.
pub(super) struct Guard<'a>(&'a Bucket);

impl Drop for Guard<'_> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: this guard was made by a successful lock, and is dropped once.
        unsafe { self.0.lock.unlock() }
    }
}

/// One key's place.
pub(super) struct Slot<'a> {
    marks: &'a mut [u8; WAYS],
    body: &'a mut Body,
    way: usize,
}

impl Guard<'_> {
    #[inline]
    fn parts(&mut self) -> (&mut [u8; WAYS], &mut Body) {
        // SAFETY: the lock is held for as long as `self` lives, and `&mut self` makes these the
        // only references made through it.
        unsafe { (&mut *self.0.marks.get(), &mut *self.0.body.get()) }
    }

    /// The slot of `tag`.
    #[inline]
    pub(super) fn find(&mut self, tag: u64) -> Option<Slot<'_>> {
        let (mut marks, mut body) = self.parts();
        loop {
            for way in 0..WAYS {
                if body.tags[way] == tag && body.expiry[way] != 0 {
                    return Some(Slot { marks, body, way });
                }
            }
            let Body { next: Some(node), .. } = body else { return None };
            (marks, body) = node.parts();
        }
    }

    /// A slot that is free or whose key has expired by `now`, and whether it was free.
    pub(super) fn vacant(&mut self, now: u32) -> Option<(Slot<'_>, bool)> {
        let (mut marks, mut body) = self.parts();
        loop {
            for way in 0..WAYS {
                if body.expiry[way] < now {
                    let free = body.expiry[way] == 0;
                    return Some((Slot { marks, body, way }, free));
                }
            }
            let Body { next: Some(node), .. } = body else { return None };
            (marks, body) = node.parts();
        }
    }

    /// A fresh slot in a new node, put first behind the bucket.
    pub(super) fn append(&mut self) -> Slot<'_> {
        let (_, body) = self.parts();
        let next = body.next.take();
        let node =
            body.next.insert(Box::new(Node { marks: [0; WAYS], body: Body { next, ..Body::default() } }));
        Slot { marks: &mut node.marks, body: &mut node.body, way: 0 }
    }

    /// Shows every key (tag, expiry, pressure) to `keep`, and drops those it does not want. Nodes
    /// left empty go too. Says how many keys went and how many nodes.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(u64, u32, u8) -> bool) -> (usize, usize) {
        let (mut keys, mut nodes) = (0, 0);
        let (marks, body) = self.parts();
        keys += retain_ways(marks, body, &mut keep);
        let mut link = &mut body.next;
        while let Some(mut node) = link.take() {
            keys += retain_ways(&mut node.marks, &mut node.body, &mut keep);
            if node.body.expiry == [0; WAYS] {
                *link = node.body.next.take();
                nodes += 1;
            } else {
                link = &mut link.insert(node).body.next;
            }
        }
        (keys, nodes)
    }

    /// Takes out every key that `moves` picks, state and all.
    pub(super) fn extract(&mut self, moves: impl Fn(u64) -> bool, mut out: impl FnMut(Entry)) -> usize {
        let (mut marks, mut body) = self.parts();
        loop {
            for way in 0..WAYS {
                if body.expiry[way] != 0 && moves(body.tags[way]) {
                    let (tag, expiry, pressure) = (body.tags[way], body.expiry[way], marks[way] & PRESSURE);
                    let mut slot = Slot { marks: &mut *marks, body: &mut *body, way };
                    let state = slot.take_state();
                    slot.clear();
                    out(Entry { tag, expiry, pressure, state });
                }
            }
            let Body { next: Some(node), .. } = body else { break };
            (marks, body) = node.parts();
        }
        // Only empty nodes go here: every key left is kept.
        self.retain(|_, _, _| true).1
    }

    /// Puts a key in; says whether a node was added for it.
    pub(super) fn insert(&mut self, entry: Entry) -> bool {
        let added = self.vacant(1).is_none();
        let slot = if added { Some(self.append()) } else { self.vacant(1).map(|(slot, _)| slot) };
        if let Some(mut slot) = slot {
            slot.put(entry);
        }
        added
    }
}

fn retain_ways(
    marks: &mut [u8; WAYS],
    body: &mut Body,
    keep: &mut impl FnMut(u64, u32, u8) -> bool,
) -> usize {
    let mut gone = 0;
    for way in 0..WAYS {
        if body.expiry[way] != 0 && !keep(body.tags[way], body.expiry[way], marks[way] & PRESSURE) {
            Slot { marks: &mut *marks, body: &mut *body, way }.clear();
            gone += 1;
        }
    }
    gone
}

/// A key on the move from one bucket to another.
pub(super) struct Entry {
    pub(super) tag: u64,
    pub(super) expiry: u32,
    pub(super) pressure: u8,
    pub(super) state: State,
}

impl Slot<'_> {
    /// Takes the state out; the slot's is `Empty` until one is put back, so that a step that
    /// panics leaves nothing dangling.
    #[inline]
    pub(super) fn take_state(&mut self) -> State {
        let words = self.body.states[self.way];
        if self.marks[self.way] & BOXED == 0 {
            return State::Words(words);
        }
        self.marks[self.way] &= PRESSURE;
        self.body.states[self.way] = [0; 2];
        // SAFETY: `BOXED` is set only by `put_state`, together with a pointer from `Box::into_raw`
        // kept with its provenance exposed; the mark was cleared above, so it is taken once.
        let log =
            unsafe { Box::from_raw(std::ptr::with_exposed_provenance_mut::<Vec<u8>>(words[0] as usize)) };
        State::Bytes(*log)
    }

    #[inline]
    fn put_state(&mut self, state: State) {
        match state {
            State::Words(words) => self.body.states[self.way] = words,
            State::Empty => self.body.states[self.way] = [0; 2],
            State::Bytes(bytes) => {
                let log = Box::into_raw(Box::new(bytes));
                self.body.states[self.way] = [log.expose_provenance() as u64, 0];
                self.marks[self.way] |= BOXED;
            }
        }
    }

    #[inline]
    pub(super) fn put(&mut self, entry: Entry) {
        // An expired key's log must not leak under the newcomer.
        drop(self.take_state());
        self.body.tags[self.way] = entry.tag;
        self.body.expiry[self.way] = entry.expiry;
        self.marks[self.way] = entry.pressure & PRESSURE;
        self.put_state(entry.state);
    }

    /// Puts back the state of the key that is here already.
    #[inline]
    pub(super) fn refresh(&mut self, state: State, expiry: u32, pressure: u8) {
        self.body.expiry[self.way] = expiry;
        self.marks[self.way] = pressure & PRESSURE;
        self.put_state(state);
    }

    /// When the key expires.
    #[inline]
    pub(super) fn expiry(&self) -> u32 {
        self.body.expiry[self.way]
    }

    /// Frees the slot.
    pub(super) fn clear(&mut self) {
        drop(self.take_state());
        self.body.tags[self.way] = 0;
        self.body.expiry[self.way] = 0;
        self.marks[self.way] = 0;
    }
}
