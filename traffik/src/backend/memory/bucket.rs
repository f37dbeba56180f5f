//! [`Bucket`]: four keys in two cache lines, under one lock.
//!
//! The first line holds the lock, what tells the keys apart and when they expire; the second their
//! states. A key that finds no room hangs in a node of its own behind, under the same lock.

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
    // Apart from the rest, so that they fill up the lock's word.
    marks: UnsafeCell<[u8; WAYS]>,
    body: UnsafeCell<Body>,
}

// SAFETY: `marks` and `body` are reached only through `Guard`, which holds `lock`; what they own
// (boxed nodes, boxed byte vectors) is `Send`.
unsafe impl Sync for Bucket {}

#[derive(Default)]
#[repr(C)]
struct Body {
    behind: Option<Box<Node>>,
    tags: [u64; WAYS],
    /// Half-seconds on the table's own count; 0 is a free slot.
    expiry: [u32; WAYS],
    states: [[u64; 2]; WAYS],
}

/// One key more.
#[derive(Default)]
pub(super) struct Node {
    behind: Option<Box<Self>>,
    tag: u64,
    state: [u64; 2],
    expiry: u32,
    mark: u8,
}

impl Node {
    fn slot(&mut self) -> Slot<'_> {
        Slot { mark: &mut self.mark, tag: &mut self.tag, expiry: &mut self.expiry, state: &mut self.state }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.slot().take_state());
        // One after the other: a long chain must not use up the stack.
        let mut behind = self.behind.take();
        while let Some(mut node) = behind {
            behind = node.behind.take();
        }
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        let keys = Keys { marks: self.marks.get_mut(), body: self.body.get_mut() };
        keys.each().take(WAYS).for_each(|mut slot| drop(slot.take_state()));
    }
}

/// A bucket's keys: four side by side, and the rest behind.
struct Keys<'a> {
    marks: &'a mut [u8; WAYS],
    body: &'a mut Body,
}

impl<'a> Keys<'a> {
    #[inline(always)]
    fn slot(self, way: usize) -> Slot<'a> {
        Slot {
            mark: &mut self.marks[way],
            tag: &mut self.body.tags[way],
            expiry: &mut self.body.expiry[way],
            state: &mut self.body.states[way],
        }
    }

    #[inline(never)]
    fn find_behind(self, tag: u64) -> Option<Slot<'a>> {
        self.each().skip(WAYS).find(|slot| *slot.tag == tag && *slot.expiry != 0)
    }

    /// Every slot, those behind last.
    fn each(self) -> impl Iterator<Item = Slot<'a>> {
        let Self { marks, body: Body { behind, tags, expiry, states } } = self;
        let here = marks.iter_mut().zip(tags).zip(expiry).zip(states);
        let here = here.map(|(((mark, tag), expiry), state)| Slot { mark, tag, expiry, state });
        let mut link = behind.as_deref_mut();
        here.chain(std::iter::from_fn(move || {
            let Node { behind, tag, state, expiry, mark } = link.take()?;
            link = behind.as_deref_mut();
            Some(Slot { mark, tag, expiry, state })
        }))
    }
}

impl Bucket {
    #[inline]
    pub(super) fn new() -> Self {
        Self { lock: Lock::new(), marks: UnsafeCell::new([0; WAYS]), body: UnsafeCell::new(Body::default()) }
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
        // This guard was made by a successful lock, and is dropped once.
        self.0.lock.unlock();
    }
}

/// One key's place.
pub(super) struct Slot<'a> {
    mark: &'a mut u8,
    tag: &'a mut u64,
    expiry: &'a mut u32,
    state: &'a mut [u64; 2],
}

impl Guard<'_> {
    #[inline]
    fn keys(&mut self) -> Keys<'_> {
        // SAFETY: the lock is held for as long as `self` lives, and `&mut self` makes these the
        // only references made through it.
        unsafe { Keys { marks: &mut *self.0.marks.get(), body: &mut *self.0.body.get() } }
    }

    /// The slot of `tag`.
    #[inline(always)]
    pub(super) fn find(&mut self, tag: u64) -> Option<Slot<'_>> {
        let keys = self.keys();
        // Not `Iterator::find`, which is a call where much else is inlined.
        for way in 0..WAYS {
            if keys.body.tags[way] == tag && keys.body.expiry[way] != 0 {
                return Some(keys.slot(way));
            }
        }
        if keys.body.behind.is_none() { None } else { keys.find_behind(tag) }
    }

    /// A slot that is free or whose key has expired by `now`, and whether it was free.
    pub(super) fn vacant(&mut self, now: u32) -> Option<(Slot<'_>, bool)> {
        let slot = self.keys().each().find(|slot| *slot.expiry < now)?;
        let free = *slot.expiry == 0;
        Some((slot, free))
    }

    /// Shows every key (tag, expiry, pressure) to `keep`, and drops those it does not want. Nodes
    /// left empty go too. Says how many keys went and how many nodes.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(u64, u32, u8) -> bool) -> (usize, usize) {
        let mut gone = 0;
        for mut slot in self.keys().each().filter(|slot| *slot.expiry != 0) {
            if !keep(*slot.tag, *slot.expiry, *slot.mark & PRESSURE) {
                slot.clear();
                gone += 1;
            }
        }
        (gone, self.prune())
    }

    /// Drops empty nodes; says how many.
    fn prune(&mut self) -> usize {
        let (mut gone, mut link) = (0, &mut self.keys().body.behind);
        while let Some(mut node) = link.take() {
            if node.expiry == 0 {
                *link = node.behind.take();
                gone += 1;
            } else {
                link = &mut link.insert(node).behind;
            }
        }
        gone
    }

    /// Takes out every key that `moves` picks, state and all; says how many nodes went.
    pub(super) fn extract(&mut self, moves: impl Fn(u64) -> bool, mut out: impl FnMut(Entry)) -> usize {
        for mut slot in self.keys().each().filter(|slot| *slot.expiry != 0 && moves(*slot.tag)) {
            let (tag, expiry, pressure) = (*slot.tag, *slot.expiry, *slot.mark & PRESSURE);
            let state = slot.take_state();
            slot.clear();
            out(Entry { tag, expiry, pressure, state });
        }
        self.prune()
    }

    /// Puts a key in; says whether a node was added for it.
    pub(super) fn insert(&mut self, entry: Entry) -> bool {
        if let Some((mut slot, _)) = self.vacant(1) {
            slot.put(entry);
            return false;
        }
        let behind = &mut self.keys().body.behind;
        let mut node = Box::new(Node { behind: behind.take(), ..Node::default() });
        node.slot().put(entry);
        *behind = Some(node);
        true
    }
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
        if *self.mark & BOXED == 0 {
            return State::Words(*self.state);
        }
        *self.mark &= PRESSURE;
        let [log, _] = std::mem::take(self.state);
        // SAFETY: `BOXED` is set only by `put_state`, together with a pointer from `Box::into_raw`
        // kept with its provenance exposed; the mark was cleared above, so it is taken once.
        let log = unsafe { Box::from_raw(std::ptr::with_exposed_provenance_mut::<Vec<u8>>(log as usize)) };
        State::Bytes(*log)
    }

    #[inline]
    fn put_state(&mut self, state: State) {
        match state {
            State::Words(words) => *self.state = words,
            State::Empty => *self.state = [0; 2],
            State::Bytes(bytes) => {
                let log = Box::into_raw(Box::new(bytes));
                *self.state = [log.expose_provenance() as u64, 0];
                *self.mark |= BOXED;
            }
        }
    }

    #[inline]
    pub(super) fn put(&mut self, entry: Entry) {
        // An expired key's log must not leak under the newcomer.
        drop(self.take_state());
        *self.tag = entry.tag;
        self.refresh(entry.state, entry.expiry, entry.pressure);
    }

    /// Puts back the state of the key that is here already.
    #[inline]
    pub(super) fn refresh(&mut self, state: State, expiry: u32, pressure: u8) {
        *self.expiry = expiry;
        *self.mark = pressure & PRESSURE;
        self.put_state(state);
    }

    /// The state, where it is two words.
    #[inline]
    pub(super) fn words(&self) -> Option<[u64; 2]> {
        (*self.mark & BOXED == 0).then_some(*self.state)
    }

    /// Puts other words in the place of those that are here.
    #[inline]
    pub(super) fn renew(&mut self, words: [u64; 2], expiry: u32, pressure: u8) {
        *self.state = words;
        *self.expiry = expiry;
        *self.mark = pressure & PRESSURE;
    }

    /// When the key expires.
    #[inline]
    pub(super) fn expiry(&self) -> u32 {
        *self.expiry
    }

    /// Frees the slot.
    pub(super) fn clear(&mut self) {
        drop(self.take_state());
        *self.tag = 0;
        *self.expiry = 0;
        *self.mark = 0;
    }
}
