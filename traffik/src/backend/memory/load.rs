//! How full buckets are kept, and how far one is from the next.

/// Keys per bucket that the table aims at: of six places, one is mostly free for whoever comes next.
const LOAD: usize = 5;

/// Buckets for so many keys.
pub(super) fn buckets(keys: usize) -> usize {
    keys.div_ceil(LOAD)
}

/// Whether these are too many keys for so many buckets.
pub(super) fn is_crowded(keys: usize, buckets: usize) -> bool {
    keys > buckets * LOAD
}

/// Buckets among which a key is looked for that can be dropped: all of the smallest table.
pub(super) const REACH: usize = 256;
