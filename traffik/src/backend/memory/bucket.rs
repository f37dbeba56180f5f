//! [`Bucket`]: six keys in two cache lines, under one lock.
//!
//! The first line holds the lock and what tells the keys apart; the second, mostly, their states. A key
//! that finds no room hangs in a node behind, under the same lock.

#![allow(unsafe_code)]

use super::cell::{Cell, Wide};
use super::expiry::{LONGEST, code, longest};
use super::nodes::{Link, Node, Nodes};
use super::sync::{Lock, UnsafeCell};
use crate::strategy::State;

/// Keys per bucket.
pub(super) const WAYS: usize = 6;

/// Bits of a tag that are kept. Those above follow from the bucket's place: see `Growth::whole`.
pub(super) const TAG: u32 = 56;

#[repr(C, align(128))]
pub(super) struct Bucket {
    lock: Lock,
    // Apart from the rest, so that it fills up the lock's word.
    behind: UnsafeCell<Link>,
    body: UnsafeCell<Body>,
}

// SAFETY: `behind` and `body` are reached only through `Guard`, which holds `lock`; what they own (boxed
// states) is `Send`.
unsafe impl Sync for Bucket {}

#[derive(Default)]
#[repr(C)]
struct Body {
    /// A tag and, in the low byte, how long its key is kept; 0 is a free slot.
    names: [u64; WAYS],
    cells: [Cell; WAYS],
}

/// What all buckets of a table have in common.
pub(super) struct Common {
    /// Where instants are counted from: microseconds since 1970.
    pub(super) epoch: u64,
    pub(super) nodes: Nodes,
}

impl Common {
    /// A name and a cell for a state that matters for so long from its own instant on.
    #[inline(always)]
    fn pack(&self, tag: u64, state: [u64; 2], kept: u64, pressure: u8) -> Option<Entry> {
        let [instant, amount] = state;
        // Wraps to something far too large where it is below 0.
        let since = instant.wrapping_sub(self.epoch);
        if !Cell::fits(since, amount) || kept >= LONGEST {
            return None;
        }
        Some(Entry { name: name(tag, code(kept)), cell: Cell::of(since, amount, pressure) })
    }

    /// The same for any state, which matters until `expiry`.
    pub(super) fn entry(&self, tag: u64, state: State, expiry: u64, pressure: u8) -> Entry {
        let packed = state.words().and_then(|words| {
            let kept = expiry.wrapping_sub(words[0]);
            self.pack(tag, words, kept, pressure)
        });
        packed.unwrap_or_else(|| {
            let cell = Cell::wide(Wide { state, expiry }, pressure);
            Entry { name: name(tag, code(0)), cell }
        })
    }
}

/// The tag's low bits above the byte that says how long it is kept.
#[inline(always)]
fn name(tag: u64, code: u8) -> u64 {
    tag << (u64::BITS - TAG) | u64::from(code)
}

/// Whether this is the name of a key, and of that tag.
#[inline(always)]
fn is_named(tag: u64, key: u64) -> bool {
    // A key's code is not 0. One comparison: 0 becomes the largest of all.
    (key ^ name(tag, 0)).wrapping_sub(1) < 255
}

/// A bucket's keys: six side by side, and the rest behind.
struct Keys<'a> {
    body: &'a mut Body,
    behind: &'a mut Link,
    common: &'a Common,
}

impl<'a> Keys<'a> {
    /// Every slot, those behind last.
    fn each(self) -> impl Iterator<Item = Slot<'a>> {
        let Self { body: Body { names, cells }, behind, common } = self;
        let here = names.iter_mut().zip(cells).map(move |(name, cell)| Slot { name, cell, common });
        // SAFETY: the bucket's lock is held for as long as `'a`, and nothing else looks at its nodes.
        let behind = unsafe { chain(*behind, &common.nodes) };
        here.chain(behind.map(|node| Slot { name: &mut node.name, cell: &mut node.cell, common }))
    }
}

/// The node of `tag` in a chain. Words in and a pointer out: more would travel by way of memory, and be put there
/// where nothing is behind, too.
///
/// # Safety
/// That of [`chain`].
#[inline(never)]
#[allow(clippy::mut_from_ref, reason = "the bucket's lock is what nodes are borrowed by")]
unsafe fn find_behind(link: Link, nodes: &Nodes, tag: u64) -> Option<&mut Node> {
    // SAFETY: as the caller promises.
    unsafe { chain(link, nodes) }.find(|node| is_named(tag, node.name))
}

/// A node and all that hang behind it.
///
/// # Safety
/// The caller holds their bucket's lock for as long as `'a`, and no reference to any of them.
unsafe fn chain(mut link: Link, nodes: &Nodes) -> impl Iterator<Item = &mut Node> {
    std::iter::from_fn(move || {
        // SAFETY: as the caller promises, and each is looked at once.
        let node = unsafe { nodes.get(link) }?;
        link = node.behind;
        Some(node)
    })
}

impl Bucket {
    #[inline]
    pub(super) fn new() -> Self {
        Self { lock: Lock::new(), behind: UnsafeCell::new(0), body: UnsafeCell::new(Body::default()) }
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
    pub(super) fn lock<'a>(&'a self, common: &'a Common) -> Guard<'a> {
        self.lock.lock();
        Guard(self, common)
    }

    pub(super) fn try_lock<'a>(&'a self, common: &'a Common) -> Option<Guard<'a>> {
        self.lock.try_lock().then(|| Guard(self, common))
    }
}

/// Exclusive use of one bucket and its nodes, until dropped.
pub(super) struct Guard<'a>(&'a Bucket, &'a Common);

impl Drop for Guard<'_> {
    #[inline]
    fn drop(&mut self) {
        // This guard was made by a successful lock, and is dropped once.
        self.0.lock.unlock();
    }
}

impl Guard<'_> {
    #[inline]
    fn keys(&mut self) -> Keys<'_> {
        let Self(bucket, common) = self;
        // SAFETY: the lock is held for as long as `self` lives, and `&mut self` makes these the
        // only references made through it.
        unsafe { Keys { body: &mut *bucket.body.get(), behind: &mut *bucket.behind.get(), common } }
    }

    /// The slot of `tag`.
    #[inline(always)]
    pub(super) fn find(&mut self, tag: u64) -> Option<Slot<'_>> {
        let Keys { body, behind, common } = self.keys();
        // Not `Iterator::find`, which is a call where much else is inlined.
        for way in 0..WAYS {
            if is_named(tag, body.names[way]) {
                return Some(Slot { name: &mut body.names[way], cell: &mut body.cells[way], common });
            }
        }
        if *behind == 0 {
            return None;
        }
        // SAFETY: the lock is held for as long as `self` lives, and nothing else looks at the nodes meanwhile.
        let Node { name, cell, .. } = unsafe { find_behind(*behind, &common.nodes, tag) }?;
        Some(Slot { name, cell, common })
    }

    /// A slot whose key has expired by `now`.
    pub(super) fn expired(&mut self, now: u64) -> Option<Slot<'_>> {
        self.keys().each().find_map(|mut slot| (!slot.is_free() && slot.expiry() < now).then_some(slot))
    }

    /// Shows every key (the low bits of its tag, expiry, pressure) to `keep`, and drops those it does not
    /// want. Nodes left empty go too. Says how many keys went.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(u64, u64, u8) -> bool) -> usize {
        let mut gone = 0;
        for mut slot in self.keys().each().filter(|slot| !slot.is_free()) {
            if !keep(slot.tag(), slot.expiry(), slot.cell.pressure()) {
                slot.clear();
                gone += 1;
            }
        }
        self.prune();
        gone
    }

    /// Gives up empty nodes.
    fn prune(&mut self) {
        let Keys { behind: mut link, common: Common { nodes, .. }, .. } = self.keys();
        // SAFETY: the bucket's lock is held, and each node of its chain is looked at once.
        while let Some(node) = unsafe { nodes.get(*link) } {
            if node.name == 0 {
                let empty = std::mem::replace(link, node.behind);
                nodes.give(empty);
            } else {
                link = &mut node.behind;
            }
        }
    }

    /// Takes out every key that `moves` picks by the low bits of its tag, state and all.
    pub(super) fn extract(&mut self, moves: impl Fn(u64) -> bool, mut out: impl FnMut(Entry)) {
        for slot in self.keys().each().filter(|slot| !slot.is_free() && moves(slot.tag())) {
            out(Entry { name: std::mem::take(slot.name), cell: std::mem::take(slot.cell) });
        }
        self.prune();
    }

    /// Puts a key in; says whether there was room.
    pub(super) fn insert(&mut self, entry: Entry) -> bool {
        if let Some(mut slot) = self.keys().each().find(|slot| slot.is_free()) {
            slot.put(entry);
            return true;
        }
        let Keys { behind, common: Common { nodes, .. }, .. } = self.keys();
        let link = nodes.take();
        // SAFETY: the node was just taken, and hangs nowhere yet.
        let Some(node) = (unsafe { nodes.get(link) }) else { return false };
        (node.name, node.cell, node.behind) = (entry.name, entry.cell, *behind);
        *behind = link;
        true
    }
}

/// A key outside of a bucket: on its way from one to another, or new.
pub(super) struct Entry {
    name: u64,
    cell: Cell,
}

impl Entry {
    /// Whether its state did not fit.
    #[cfg(test)]
    pub(super) fn is_boxed(&self) -> bool {
        self.cell.words().is_none()
    }

    /// The low bits of its tag.
    pub(super) fn tag(&self) -> u64 {
        self.name >> (u64::BITS - TAG)
    }
}

/// One key's place.
pub(super) struct Slot<'a> {
    name: &'a mut u64,
    cell: &'a mut Cell,
    common: &'a Common,
}

impl Slot<'_> {
    fn is_free(&self) -> bool {
        *self.name == 0
    }

    /// The low bits of its tag.
    fn tag(&self) -> u64 {
        *self.name >> (u64::BITS - TAG)
    }

    /// The last instant at which its state matters, or somewhat later.
    fn expiry(&mut self) -> u64 {
        match self.words() {
            Some([instant, _]) => instant.saturating_add(longest(*self.name as u8)),
            None => self.cell.wide_mut().map_or(0, |wide| wide.expiry),
        }
    }

    /// The state, where it is an instant and an amount that fit.
    #[inline(always)]
    pub(super) fn words(&self) -> Option<[u64; 2]> {
        let [instant, amount] = self.cell.words()?;
        Some([instant.wrapping_add(self.common.epoch), amount])
    }

    /// Puts other words in the place of those that are here, which matter for so long from their instant on. `tag`
    /// is the slot's own: where it is known, all of the name is written, and the next to read it need not wait
    /// until a byte of it has reached the cache.
    #[inline(always)]
    pub(super) fn renew(&mut self, tag: u64, words: [u64; 2], kept: u64, pressure: u8) {
        match self.common.pack(tag, words, kept, pressure) {
            Some(Entry { name, cell }) => {
                *self.name = name;
                self.cell.replace(cell);
            }
            // Not as `self`, which would have to be in memory for it.
            None => Slot { name: self.name, cell: self.cell, common: self.common }
                .widen(words[0], words[1], kept, pressure),
        }
    }

    #[cold]
    fn widen(mut self, first: u64, second: u64, kept: u64, pressure: u8) {
        let expiry = first.wrapping_add(kept);
        self.put(self.common.entry(self.tag(), State::Words([first, second]), expiry, pressure));
    }

    /// Says how near to refusal the key is.
    #[inline(always)]
    pub(super) fn press(&mut self, pressure: u8) {
        self.cell.press(pressure);
    }

    /// Takes the state out for a step. Until one is put back, what is boxed is `Empty`: a step that panics
    /// leaves nothing dangling.
    pub(super) fn take_state(&mut self) -> State {
        match self.words() {
            Some(words) => State::Words(words),
            None => self.cell.wide_mut().map_or(State::Empty, |wide| std::mem::take(&mut wide.state)),
        }
    }

    /// Puts a state back, which matters until `expiry`; `None` where that has not changed.
    pub(super) fn put_state(&mut self, state: State, expiry: Option<u64>, pressure: u8) {
        let boxed = self.cell.wide_mut();
        match (boxed, expiry) {
            // A box is kept for as long as its key.
            (Some(wide), expiry) => {
                wide.state = state;
                wide.expiry = expiry.unwrap_or(wide.expiry);
                self.press(pressure);
            }
            (None, Some(expiry)) => self.put(self.common.entry(self.tag(), state, expiry, pressure)),
            (None, None) => self.press(pressure),
        }
    }

    #[inline]
    pub(super) fn put(&mut self, entry: Entry) {
        *self.name = entry.name;
        // An expired key's box goes with its cell.
        *self.cell = entry.cell;
    }

    /// Frees the slot.
    pub(super) fn clear(&mut self) {
        self.put(Entry { name: 0, cell: Cell::default() });
    }
}
