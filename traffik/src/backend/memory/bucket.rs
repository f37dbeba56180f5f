//! [`Bucket`]: six keys in two cache lines, under one lock.
//!
//! The first line holds the lock and what distinguishes the keys; the second holds most of their states. A key that
//! finds no room is chained behind the bucket in a node, under the same lock.

#![allow(unsafe_code)]

use super::expiry::{decode, encode};
use super::fingerprint::{Fingerprint, upper_word};
use super::new_state::{NewState, code_until};
use super::nodes::{Node, NodeLink, Nodes};
use super::packed_state::{BoxedState, PackedState};
use super::sync::{Lock, UnsafeCell};
use crate::strategy::State;

/// Keys per bucket.
pub(super) const WAYS: usize = 6;

/// The index of no slot.
const NO_SLOT: u8 = u8::MAX;

#[repr(C, align(128))]
pub(super) struct Bucket {
    lock: Lock,
    /// Where the newest key went: a slot's index, or [`WAYS`] for a node; anything else if it is not here any more.
    newest: UnsafeCell<u8>,
    // Separate from the states, to fill up the lock's word.
    overflow: UnsafeCell<NodeLink>,
    fingerprints: [Fingerprint; WAYS],
    states: UnsafeCell<[PackedState; WAYS]>,
}

// SAFETY: `newest`, `overflow` and `states` are accessed only through a `Guard`, which holds `lock`, and what they own
// (boxed states) is `Send`. The other fields consist of atomics.
unsafe impl Sync for Bucket {}

/// What all buckets of a table share.
pub(super) struct Common {
    /// The instant that others are counted from: microseconds since 1970.
    pub(super) epoch: u64,
    pub(super) nodes: Nodes,
}

impl Common {
    /// Packs a state whose amount fits; returns `None` if its instant does not, or if it has no code.
    #[inline(always)]
    fn pack(&self, new: &NewState) -> Option<PackedState> {
        let NewState { words: [instant, amount], code, rank } = *new;
        // An instant before the epoch wraps to a value that is far too large.
        let since = instant.wrapping_sub(self.epoch);
        (code != 0 && PackedState::fits(since, 0)).then(|| PackedState::new(since, amount, rank))
    }

    /// The same for any state, which matters until `expiry`.
    pub(super) fn entry(&self, tag: u64, state: State, expiry: u64, rank: u8) -> Entry {
        let packed = state.words().and_then(|words| {
            let code = code_until(expiry, words);
            Some((code, self.pack(&NewState { words, code, rank })?))
        });
        let (code, packed) =
            packed.unwrap_or_else(|| (encode(0), PackedState::boxed(BoxedState { state, expiry }, rank)));
        Entry { tag, code, packed, is_newest: true }
    }
}

/// A bucket's keys: six side by side, and the rest in nodes behind. Made by [`Guard::keys`] alone.
struct Keys<'a> {
    fingerprints: &'a [Fingerprint; WAYS],
    states: &'a mut [PackedState; WAYS],
    overflow: &'a mut NodeLink,
    common: &'a Common,
}

impl<'a> Keys<'a> {
    /// Iterates over all slots, those in nodes last.
    fn each(self) -> impl Iterator<Item = Slot<'a>> {
        let Self { fingerprints, states, overflow, common } = self;
        let here = fingerprints.iter().zip(states).map(move |(fingerprint, packed)| Slot {
            fingerprint,
            packed,
            common,
        });
        // SAFETY: `'a` is a mutable borrow of the bucket's guard. So the lock is held for as long, and there is no
        // other reference to any of the nodes.
        let overflow = unsafe { chain(*overflow, &common.nodes) };
        here.chain(overflow.map(|node| Slot {
            fingerprint: &node.fingerprint,
            packed: &mut node.packed,
            common,
        }))
    }
}

/// Finds `tag` in a bucket, or behind it. It takes words and returns two pointers: anything larger would go through
/// memory, even on the inlined path that does not call this.
///
/// # Safety
/// For as long as `'a`, the caller holds the bucket's lock, and no other reference to its `overflow`, its states or its
/// nodes.
#[inline(never)]
#[allow(clippy::mut_from_ref, reason = "the bucket's lock is what states and nodes are borrowed by")]
unsafe fn find<'a>(
    bucket: &'a Bucket,
    nodes: &'a Nodes,
    tag: u64,
) -> Option<(&'a Fingerprint, &'a mut PackedState)> {
    // SAFETY: the caller promises to hold the lock, and no other reference to the states or to `overflow`, which is
    // only copied.
    let (states, overflow) = unsafe { (&mut *bucket.states.get(), *bucket.overflow.get()) };
    let mut here = bucket.fingerprints.iter().zip(states);
    here.find(|(fingerprint, _)| fingerprint.matches(tag)).or_else(|| {
        // SAFETY: the caller promises to hold the lock, and no other reference to any of the nodes.
        let mut overflow = unsafe { chain(overflow, nodes) };
        let Node { fingerprint, packed, .. } = overflow.find(|node| node.fingerprint.matches(tag))?;
        Some((&*fingerprint, packed))
    })
}

/// Iterates over a node and all nodes chained behind it.
///
/// # Safety
/// For as long as the nodes are borrowed, the caller holds their bucket's lock, and no other reference to any of them.
unsafe fn chain(mut link: NodeLink, nodes: &Nodes) -> impl Iterator<Item = &mut Node> {
    std::iter::from_fn(move || {
        // SAFETY: the caller promises to hold the lock, and no other reference to the node. No item returned earlier
        // refers to it either: a chain has no cycles, so each node is visited once.
        let node = unsafe { nodes.get(link) }?;
        link = node.next;
        Some(node)
    })
}

impl Bucket {
    #[inline]
    pub(super) fn new() -> Self {
        Self {
            lock: Lock::new(),
            newest: UnsafeCell::new(NO_SLOT),
            overflow: UnsafeCell::new(0),
            fingerprints: Default::default(),
            states: UnsafeCell::new(Default::default()),
        }
    }

    /// Returns the slot that a tag's key appears to be in, or [`WAYS`] if in none, for a caller that is about to lock
    /// the bucket. It has no branches, because nothing predicts which of the six it is, and a processor that guesses
    /// wrong starts over just when the cache line has finally arrived.
    #[inline(always)]
    pub(super) fn probe(&self, tag: u64) -> usize {
        let (upper, mut hint) = (upper_word(tag), WAYS);
        for (way, fingerprint) in self.fingerprints.iter().enumerate() {
            hint = if fingerprint.may_match(upper) { way } else { hint };
        }
        hint
    }

    /// Asks the processor to fetch both cache lines.
    #[inline]
    pub(super) fn prefetch(&self) {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            let bucket = std::ptr::from_ref(self).cast::<i8>();
            // SAFETY: every processor of this architecture has the instruction, which is only a hint and cannot fault.
            // Both addresses are inside `self`, which has 128 bytes.
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

    /// Locks several buckets, given with their indices, in ascending order. Locks none if two of them are the same.
    ///
    /// They are sorted without branches, and in registers: which comes first cannot be predicted.
    #[inline(always)]
    pub(super) fn lock_each<'a, const N: usize>(
        buckets: [(usize, &'a Self); N],
        common: &'a Common,
    ) -> Option<[Guard<'a>; N]> {
        let mut sorted = buckets;
        for end in (1..N).rev() {
            for at in 0..end {
                let (one, other) = (sorted[at], sorted[at + 1]);
                let swap = one.0 > other.0;
                sorted[at] = if swap { other } else { one };
                sorted[at + 1] = if swap { one } else { other };
            }
        }
        for at in 1..N {
            if sorted[at].0 == sorted[at - 1].0 {
                return None;
            }
        }
        for (_, bucket) in sorted {
            bucket.lock.lock();
        }
        Some(buckets.map(|(_, bucket)| Guard(bucket, common)))
    }

    pub(super) fn try_lock<'a>(&'a self, common: &'a Common) -> Option<Guard<'a>> {
        self.lock.try_lock().then(|| Guard(self, common))
    }
}

/// Exclusive access to one bucket and its nodes, until dropped.
pub(super) struct Guard<'a>(&'a Bucket, &'a Common);

impl Drop for Guard<'_> {
    #[inline]
    fn drop(&mut self) {
        // This guard was created by a successful lock, and is dropped once.
        self.0.lock.unlock();
    }
}

impl Guard<'_> {
    #[inline]
    fn keys(&mut self) -> Keys<'_> {
        let Self(bucket, common) = self;
        // SAFETY: the lock is held for as long as `self` lives. Every reference to what it guards borrows `self`, so
        // that the mutable borrow makes these the only ones.
        let (states, overflow) = unsafe { (&mut *bucket.states.get(), &mut *bucket.overflow.get()) };
        Keys { fingerprints: &bucket.fingerprints, states, overflow, common }
    }

    /// Returns the slot of `tag`, which appeared to be at this place.
    #[inline(always)]
    pub(super) fn find_at(&mut self, hint: usize, tag: u64) -> Option<Slot<'_>> {
        let Self(bucket, common) = *self;
        if !bucket.fingerprints.get(hint).is_some_and(|fingerprint| fingerprint.matches(tag)) {
            return self.find(tag);
        }
        let Keys { fingerprints, states, .. } = self.keys();
        Some(Slot { fingerprint: fingerprints.get(hint)?, packed: states.get_mut(hint)?, common })
    }

    /// Returns the slot of `tag`.
    #[inline(always)]
    pub(super) fn find(&mut self, tag: u64) -> Option<Slot<'_>> {
        let Self(bucket, common) = *self;
        // SAFETY: the lock is held for as long as `self` lives. Every reference to what it guards, nodes included,
        // borrows `self`, so that the mutable borrow makes these the only ones.
        let (fingerprint, packed) = unsafe { find(bucket, &common.nodes, tag) }?;
        Some(Slot { fingerprint, packed, common })
    }

    /// Replaces a key that has expired by `now`; gives the entry back if there is none.
    pub(super) fn replace_expired(&mut self, now: u64, entry: Entry) -> Option<Entry> {
        self.put_where(entry, |slot| !slot.is_free() && slot.expiry() < now)
    }

    /// Puts an entry into the first slot that `fits`; gives it back if there is none.
    fn put_where(&mut self, entry: Entry, fits: impl Fn(&mut Slot<'_>) -> bool) -> Option<Entry> {
        let is_newest = entry.is_newest;
        let mut entry = Some(entry);
        let way = self.keys().each().enumerate().find_map(|(way, mut slot)| {
            if fits(&mut slot) { entry.take().map(|entry| (way, slot.put(entry))) } else { None }
        });
        if let Some((way, ())) = way {
            self.note(way, is_newest);
        }
        entry
    }

    /// Returns where the newest key went.
    fn newest(&self) -> usize {
        // SAFETY: the lock is held for as long as `self` lives, and no reference to the byte outlives a call.
        usize::from(unsafe { *self.0.newest.get() })
    }

    /// Notes that a key was put into this slot or, from [`WAYS`] on, into a node.
    fn note(&mut self, way: usize, is_newest: bool) {
        let way = way.min(WAYS);
        let newest = if is_newest { way as u8 } else { NO_SLOT };
        if is_newest || self.newest() == way {
            // SAFETY: as for `newest`.
            unsafe { *self.0.newest.get() = newest };
        }
    }

    /// Describes each key.
    pub(super) fn summaries(&mut self) -> impl Iterator<Item = KeySummary> {
        let newest = self.newest();
        let keys = self.keys().each().enumerate().filter(|(_, slot)| !slot.is_free());
        keys.map(move |(way, mut slot)| slot.summary(way.min(WAYS) == newest))
    }

    /// Removes the keys for which `drops` returns `true`, and frees nodes that become empty. Returns how many keys
    /// were removed.
    pub(super) fn remove(&mut self, drops: impl Fn(&KeySummary) -> bool) -> usize {
        let mut gone = 0;
        for mut slot in self.keys().each().filter(|slot| !slot.is_free()) {
            if drops(&slot.summary(false)) {
                slot.clear();
                gone += 1;
            }
        }
        self.prune();
        gone
    }

    /// Frees empty nodes.
    fn prune(&mut self) {
        let Keys { overflow: mut link, common: Common { nodes, .. }, .. } = self.keys();
        // SAFETY: the lock is held for as long as `self` lives, and its mutable borrow leaves no other reference to the
        // nodes. Each is visited once, and is not used any more when it has been given back.
        while let Some(node) = unsafe { nodes.get(*link) } {
            if node.fingerprint.is_free() {
                let empty = std::mem::replace(link, node.next);
                nodes.give(empty);
            } else {
                link = &mut node.next;
            }
        }
    }

    /// Removes every key that `moves` selects by the low bits of its tag, together with its state.
    pub(super) fn extract(&mut self, moves: impl Fn(u64) -> bool, mut out: impl FnMut(Entry)) {
        let newest = self.newest();
        for (way, slot) in self.keys().each().enumerate() {
            if slot.is_free() || !moves(slot.tag()) {
                continue;
            }
            out(Entry {
                tag: slot.tag(),
                code: slot.fingerprint.code(),
                packed: std::mem::take(slot.packed),
                is_newest: way.min(WAYS) == newest,
            });
            slot.fingerprint.clear();
        }
        self.prune();
    }

    /// Inserts a key; returns whether there was room.
    pub(super) fn insert(&mut self, entry: Entry) -> bool {
        let Some(entry) = self.put_where(entry, |slot| slot.is_free()) else { return true };
        let Keys { overflow, common: Common { nodes, .. }, .. } = self.keys();
        let link = nodes.take();
        // SAFETY: the node was just taken, and is put into a chain only after the last use of the reference, so nothing
        // else knows it.
        let Some(node) = (unsafe { nodes.get(link) }) else { return false };
        node.fingerprint.set(entry.tag, entry.code);
        (node.packed, node.next) = (entry.packed, *overflow);
        *overflow = link;
        self.note(WAYS, entry.is_newest);
        true
    }
}

/// What an eviction goes by.
pub(super) struct KeySummary {
    /// The low bits of the tag.
    pub(super) tag: u64,
    pub(super) expiry: u64,
    pub(super) rank: u8,
    /// Whether it is the last key that was put into its bucket. Of keys in nodes, all are if one is.
    pub(super) is_newest: bool,
}

/// A key outside any bucket: new, or on its way from one bucket to another.
pub(super) struct Entry {
    tag: u64,
    code: u8,
    packed: PackedState,
    /// Whether it is the newest of the bucket that it goes into; not if it comes from one that had a newer key.
    is_newest: bool,
}

impl Entry {
    /// Whether its state did not fit.
    #[cfg(test)]
    pub(super) fn is_boxed(&self) -> bool {
        self.packed.words().is_none()
    }

    /// The tag, or its low bits.
    pub(super) fn tag(&self) -> u64 {
        self.tag
    }
}

/// The place of one key.
pub(super) struct Slot<'a> {
    fingerprint: &'a Fingerprint,
    packed: &'a mut PackedState,
    common: &'a Common,
}

impl Slot<'_> {
    fn is_free(&self) -> bool {
        self.fingerprint.is_free()
    }

    /// The low bits of its tag.
    fn tag(&self) -> u64 {
        self.fingerprint.tag()
    }

    /// The last instant at which its state matters, or somewhat later.
    fn expiry(&mut self) -> u64 {
        match self.words() {
            Some([instant, _]) => instant.saturating_add(decode(self.fingerprint.code())),
            None => self.packed.boxed_mut().map_or(0, |boxed| boxed.expiry),
        }
    }

    fn summary(&mut self, is_newest: bool) -> KeySummary {
        KeySummary { tag: self.tag(), expiry: self.expiry(), rank: self.packed.rank(), is_newest }
    }

    /// Returns the state, if it is an instant and an amount that fit.
    #[inline(always)]
    pub(super) fn words(&self) -> Option<[u64; 2]> {
        let [instant, amount] = self.packed.words()?;
        Some([instant.wrapping_add(self.common.epoch), amount])
    }

    /// Replaces the slot's words, given the slot's own tag; returns whether the new ones fit. If not, nothing
    /// is changed, and they must be [boxed](Self::replace_boxed).
    #[inline(always)]
    pub(super) fn try_replace(&mut self, tag: u64, new: &NewState) -> bool {
        let Some(packed) = self.common.pack(new) else { return false };
        self.fingerprint.set_code(tag, new.code);
        self.packed.replace(packed);
        true
    }

    /// The same for words that do not fit, which matter until `expiry`. They are passed by value: a pointer would
    /// force them into memory for those that do fit, too.
    #[cold]
    pub(super) fn replace_boxed(mut self, first: u64, second: u64, expiry: u64, rank: u8) {
        self.put(self.common.entry(self.tag(), State::Words([first, second]), expiry, rank));
    }

    /// Sets the eviction rank: how near to refusal the key is.
    #[inline(always)]
    pub(super) fn set_rank(&mut self, rank: u8) {
        self.packed.set_rank(rank);
    }

    /// Takes the state out for a step. Until one is put back, a boxed state is `Empty`, so that a step that panics
    /// leaves nothing dangling.
    pub(super) fn take_state(&mut self) -> State {
        match self.words() {
            Some(words) => State::Words(words),
            None => self.packed.boxed_mut().map_or(State::Empty, |boxed| std::mem::take(&mut boxed.state)),
        }
    }

    /// Puts back a state, which matters until `expiry`; `None` if that has not changed.
    pub(super) fn put_state(&mut self, state: State, expiry: Option<u64>, rank: u8) {
        let boxed = self.packed.boxed_mut();
        match (boxed, expiry) {
            // A box is kept as long as its key.
            (Some(boxed), expiry) => {
                boxed.state = state;
                boxed.expiry = expiry.unwrap_or(boxed.expiry);
                self.set_rank(rank);
            }
            (None, Some(expiry)) => self.put(self.common.entry(self.tag(), state, expiry, rank)),
            (None, None) => self.set_rank(rank),
        }
    }

    #[inline]
    pub(super) fn put(&mut self, entry: Entry) {
        self.fingerprint.set(entry.tag, entry.code);
        // An expired key's box is dropped with its packed state.
        *self.packed = entry.packed;
    }

    /// Frees the slot.
    pub(super) fn clear(&mut self) {
        self.put(Entry { tag: 0, code: 0, packed: PackedState::default(), is_newest: false });
    }
}

#[cfg(test)]
mod tests {
    use super::super::sync::model;
    use super::*;

    /// Whatever `probe` returns for these tags, `find_at` finds each of them from there, and from anywhere else.
    fn are_found(tags: impl Iterator<Item = u64> + Clone + Send + Sync + 'static) {
        model(move || {
            let (bucket, common) = (Bucket::new(), Common { epoch: 0, nodes: Nodes::new() });
            let words = |tag: u64| Some([1, tag]);
            for tag in tags.clone() {
                assert!(bucket.lock(&common).find(tag).is_none());
                let entry = common.entry(tag, State::Words([1, tag]), 2, 0);
                assert!(bucket.lock(&common).insert(entry));
            }
            for tag in tags.clone() {
                for hint in [bucket.probe(tag), 0, WAYS] {
                    let mut guard = bucket.lock(&common);
                    let found = guard.find_at(hint, tag).and_then(|slot| slot.words());
                    assert_eq!(found, words(tag), "{tag} from {hint}");
                }
            }
        });
    }

    /// More keys than there are slots, all with the same upper word.
    #[test]
    fn keys_that_look_alike_are_told_apart() {
        are_found((0..WAYS as u64 + 2).map(|lower| 7 << 32 | lower));
    }

    /// Free slots look like a key whose upper word is 0.
    #[test]
    fn a_key_that_looks_like_a_free_slot_is_found() {
        are_found(0..2);
    }

    /// More keys than there are slots, no two alike: the slot that `probe` returns is the key's own.
    #[test]
    fn a_key_is_seen_where_it_is() {
        model(|| {
            let (bucket, common) = (Bucket::new(), Common { epoch: 0, nodes: Nodes::new() });
            let tags: Vec<u64> = (1..=WAYS as u64 + 1).map(|upper| upper << 40).collect();
            for &tag in &tags {
                assert_eq!(bucket.probe(tag), WAYS);
                assert!(bucket.lock(&common).insert(common.entry(tag, State::Words([1, 1]), 2, 0)));
            }
            let seen: Vec<usize> = tags.iter().map(|tag| bucket.probe(*tag)).collect();
            assert_eq!(seen, (0..=WAYS).collect::<Vec<_>>());
        });
    }
}
