//! [`Log`]: charges in chronological order, with running sums, as bytes.
//!
//! Little-endian 64-bit words: the sum before the first entry, then `(instant, sum)` for each entry. Sums
//! count modulo 2^53, so that they can grow forever and stay exact in Lua; the difference between two
//! entries is at most the limit, which is less than that. Entries that no longer count are kept until they
//! are as many as those that do, and are then dropped together.

use super::{EXACT, State, skew};

/// The modulus of the sums.
pub(super) const SUM_MODULUS: u64 = EXACT;

/// A log, as stored in a state. Anything that is not a log reads as an empty one.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Log<'a> {
    before: u64,
    entries: &'a [[[u8; 8]; 2]],
}

fn word(bytes: [u8; 8]) -> u64 {
    u64::from_le_bytes(bytes)
}

/// The difference between two sums.
fn between(older: u64, newer: u64) -> u64 {
    newer.wrapping_sub(older) % SUM_MODULUS
}

impl<'a> Log<'a> {
    pub(super) fn read(state: &'a State, now: u64, period: u64) -> Self {
        match state {
            State::Bytes(bytes) if bytes.len() % 16 == 8 => {
                let log = Self::of(bytes);
                let genuine = log.newest().is_some_and(|newest| skew::believable(newest, now, || period));
                if genuine { log } else { Self::default() }
            }
            _ => Self::default(),
        }
    }

    pub(super) fn of(bytes: &'a [u8]) -> Self {
        let (words, _) = bytes.as_chunks::<8>();
        match words.split_first() {
            Some((before, words)) => Self { before: word(*before), entries: words.as_chunks::<2>().0 },
            None => Self::default(),
        }
    }

    fn time(self, index: usize) -> u64 {
        word(self.entries[index][0])
    }

    /// The sum of everything before the entry.
    fn sum_before(self, index: usize) -> u64 {
        if index == 0 { self.before } else { word(self.entries[index - 1][1]) }
    }

    /// The instant of the last charge.
    pub(super) fn newest(self) -> Option<u64> {
        self.entries.last().map(|entry| word(entry[0]))
    }

    /// The first entry that still counts at `now`.
    pub(super) fn first_after(self, now: u64, period: u64) -> usize {
        // Once the newest entry has expired, all have. In a garbled log, all entries are then taken to have
        // expired as well.
        match self.newest() {
            Some(newest) if newest.saturating_add(period) > now => {
                self.entries.partition_point(|entry| word(entry[0]).saturating_add(period) <= now)
            }
            _ => self.entries.len(),
        }
    }

    /// The sum of the entries from `first` on.
    pub(super) fn sum_from(self, first: usize) -> u64 {
        self.sum_between(first, self.entries.len())
    }

    /// The instant of the entry that completes `units`, counted from `first` on.
    pub(super) fn when_gone(self, first: usize, units: u64) -> u64 {
        let start = self.sum_before(first);
        let counting = &self.entries[first..];
        let entry = first + counting.partition_point(|entry| between(start, word(entry[1])) < units);
        let newest = self.newest().unwrap_or_default();
        if entry < self.entries.len() { self.time(entry).min(newest) } else { newest }
    }

    /// The first entry later than `at`, among those from `first` on.
    pub(super) fn first_later(self, first: usize, at: u64) -> usize {
        first + self.entries[first..].partition_point(|entry| word(entry[0]) <= at)
    }

    /// The sum of the entries from `first` up to `past`, which is excluded.
    pub(super) fn sum_between(self, first: usize, past: usize) -> u64 {
        between(self.sum_before(first), self.sum_before(past))
    }

    /// Whether there is no entry, or none that could be read.
    pub(super) fn is_empty(self) -> bool {
        self.entries.is_empty()
    }
}

/// Appends a charge to an orderly log (or to an empty one) whose entries before `first` no longer count.
pub(super) fn append(bytes: &mut Vec<u8>, time: u64, cost: u64, first: usize) {
    if bytes.is_empty() {
        bytes.resize(8, 0);
    }
    let log = Log::of(bytes);
    let kept = log.entries.len() - first;
    let sum = (log.sum_before(log.entries.len()) % SUM_MODULUS + cost) % SUM_MODULUS;
    let again = kept > 0 && log.newest() == Some(time);
    if first >= kept {
        // At least as many entries are dropped as are moved, so every entry pays for one move. The last
        // eight bytes of what is dropped stay, as the sum before the rest.
        bytes.drain(..16 * first);
        if bytes.capacity() > 4 * bytes.len().max(64) {
            bytes.shrink_to(2 * bytes.len());
        }
    }
    if again {
        bytes.truncate(bytes.len() - 16);
    }
    bytes.extend_from_slice(&time.to_le_bytes());
    bytes.extend_from_slice(&sum.to_le_bytes());
}

/// Removes `units`, or as many as there are, from the newest entries of `first..past`. Only later charges
/// are moved, to close the gap.
pub(super) fn take_newest(bytes: &mut Vec<u8>, first: usize, past: usize, units: u64) {
    let log = Log::of(bytes);
    let there = log.sum_between(first, past);
    let taken = units.min(there);
    let left = there - taken;
    let start = log.sum_before(first);
    let sums = &log.entries[first..past];
    let from = first + sums.partition_point(|entry| between(start, word(entry[1])) <= left);
    let rest = left.saturating_sub(log.sum_between(first, from));
    let shortened = (rest > 0 && from < past)
        .then(|| (log.time(from), (log.sum_before(from) % SUM_MODULUS + rest) % SUM_MODULUS));
    let last = log.entries.len();

    let (words, _) = bytes.as_chunks_mut::<8>();
    let mut place = 1 + 2 * from;
    if let Some((time, sum)) = shortened {
        (words[place], words[place + 1]) = (time.to_le_bytes(), sum.to_le_bytes());
        place += 2;
    }
    for entry in past..last {
        let [time, sum] = [words[1 + 2 * entry], words[2 + 2 * entry]];
        (words[place], words[place + 1]) = (time, between(taken, word(sum)).to_le_bytes());
        place += 2;
    }
    bytes.truncate(8 * place);
}

/// Drops the last entries that repeat the one before them.
#[cfg(feature = "redis")]
pub(super) fn drop_free(bytes: &mut Vec<u8>) {
    let entries = Log::of(bytes).entries;
    let free = entries.windows(2).rev().take_while(|pair| pair[0] == pair[1]).count();
    bytes.truncate(bytes.len() - 16 * free);
}
