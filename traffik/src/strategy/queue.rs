//! [`Queue`]: entries that leave whole, at exact fractions of a microsecond, as bytes.
//!
//! While the queue is never empty, the entries leave one after the other: with `L / P` in lowest terms
//! `l / p`, an entry up to which the costs add up to `s` leaves at `start + s · p / l`. One instant and the
//! running sums are therefore enough. Little-endian 64-bit words: `run` (since when the queue has not been
//! empty), `start`, `last` (the last change), `base` (the sum before the first entry), then one sum per
//! entry.
//!
//! Sums stay below 2^53: `start` can advance by multiples of `p` while all sums decrease by the same
//! multiple of `l`.

use super::exact::{muldiv, muldiv_up};
use super::{EXACT, State, skew};
use crate::rate::Rate;

/// The highest limit: two of them, what is left of a queue and its level, must add up to less than 2^53.
pub(super) const MOST: u64 = EXACT / 2 - 1;

const HEAD: usize = 4;

/// A queue, as stored in a state. Anything that is not a queue reads as an empty one.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Queue<'a> {
    pub(super) run: u64,
    start: u64,
    pub(super) last: u64,
    base: u64,
    sums: &'a [[u8; 8]],
}

impl<'a> Queue<'a> {
    pub(super) fn read(state: &'a State, now: u64, rate: &Rate) -> Self {
        let State::Bytes(bytes) = state else { return Self::default() };
        let queue = Self::of(bytes);
        // At the last change, at most a full queue can have been left.
        let orderly = queue.run <= queue.start
            && queue.start <= queue.last
            && queue.base <= queue.drained(queue.last, rate)
            && queue.total() <= queue.drained(queue.last, rate).saturating_add(rate.limit())
            && skew::believable(queue.last, now, || rate.period_micros());
        if orderly { queue } else { Self::default() }
    }

    pub(super) fn of(bytes: &'a [u8]) -> Self {
        let (words, rest) = bytes.as_chunks::<8>();
        match words.split_first_chunk::<HEAD>() {
            Some((head, sums)) if rest.is_empty() && !sums.is_empty() => {
                let [run, start, last, base] = head.map(u64::from_le_bytes);
                Self { run, start, last, base, sums }
            }
            _ => Self::default(),
        }
    }

    fn sum(self, index: usize) -> u64 {
        u64::from_le_bytes(self.sums[index])
    }

    /// The sum before the entry.
    fn before(self, index: usize) -> u64 {
        if index == 0 { self.base } else { self.sum(index - 1) }
    }

    /// The sum up to the last entry.
    pub(super) fn total(self) -> u64 {
        self.before(self.sums.len())
    }

    /// The sum up to which entries have left at `now`.
    fn drained(self, now: u64, rate: &Rate) -> u64 {
        let (tokens, ticks) = rate.reduced_terms();
        muldiv(now.saturating_sub(self.start), tokens, ticks).0
    }

    /// The entry at the head at `now`, or the number of entries if all have left.
    pub(super) fn first_at(self, now: u64, rate: &Rate) -> usize {
        let drained = self.drained(now, rate);
        if self.total() <= drained {
            return self.sums.len();
        }
        self.sums.partition_point(|sum| u64::from_le_bytes(*sum) <= drained)
    }

    /// The sum of the entries from `first` on.
    pub(super) fn level(self, first: usize) -> u64 {
        self.total().saturating_sub(self.before(first))
    }

    /// When the entry with this sum leaves, rounded up to the microsecond from which it is gone.
    pub(super) fn leaves_at(self, sum: u64, rate: &Rate) -> u64 {
        let (tokens, ticks) = rate.reduced_terms();
        self.start.saturating_add(muldiv_up(sum, ticks, tokens))
    }

    /// The sum of the entry that completes `units`, counted from `first` on.
    pub(super) fn end_of(self, first: usize, units: u64) -> u64 {
        let before = self.before(first);
        let queued = &self.sums[first..];
        let entry =
            first + queued.partition_point(|sum| u64::from_le_bytes(*sum).saturating_sub(before) < units);
        if entry < self.sums.len() { self.sum(entry).min(self.total()) } else { self.total() }
    }

    fn head(self) -> [u64; HEAD] {
        [self.run, self.start, self.last, self.base]
    }
}

fn put_head(bytes: &mut [u8], head: [u64; HEAD]) {
    for (place, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(head) {
        *place = word.to_le_bytes();
    }
}

/// Appends an entry to an orderly queue whose entries before `first` have left.
pub(super) fn join(bytes: &mut Vec<u8>, now: u64, cost: u64, first: usize, rate: &Rate) {
    let queue = Queue::of(bytes);
    let queued = queue.sums.len().saturating_sub(first);
    if queued == 0 {
        bytes.clear();
        bytes.resize(8 * HEAD, 0);
        put_head(bytes, [now, now, now, 0]);
        bytes.extend_from_slice(&cost.to_le_bytes());
        return;
    }
    let [run, start, _, base] = queue.head();
    let mut head = [run, start, now, base];
    let mut sum = queue.total().saturating_add(cost);
    if first >= queued || sum >= EXACT {
        // At least as many entries are dropped as are moved, so every entry pays for one move.
        head[3] = queue.before(first);
        bytes.drain(8 * HEAD..8 * (HEAD + first));
        if bytes.capacity() > 4 * bytes.len().max(64) {
            bytes.shrink_to(2 * bytes.len());
        }
    }
    if sum >= EXACT {
        let (tokens, ticks) = rate.reduced_terms();
        let turns = head[3] / tokens;
        head[1] += turns * ticks;
        head[3] -= turns * tokens;
        sum -= turns * tokens;
        for place in &mut bytes.as_chunks_mut::<8>().0[HEAD..] {
            *place = u64::from_le_bytes(*place).saturating_sub(turns * tokens).to_le_bytes();
        }
    }
    put_head(bytes, head);
    bytes.extend_from_slice(&sum.to_le_bytes());
}

/// Removes `units` from the end of an orderly queue whose entries before `first` have left.
pub(super) fn shorten(bytes: &mut Vec<u8>, now: u64, units: u64, first: usize) {
    let queue = Queue::of(bytes);
    let total = queue.total().saturating_sub(units).max(queue.before(first));
    let whole = queue.sums[first..].partition_point(|sum| u64::from_le_bytes(*sum) < total);
    let last = first + whole;
    let [run, start, _, base] = queue.head();
    put_head(bytes, [run, start, now, base]);
    if let Some(place) = bytes.as_chunks_mut::<8>().0.get_mut(HEAD + last) {
        *place = total.to_le_bytes();
    }
    bytes.truncate(8 * (HEAD + last + 1));
}
