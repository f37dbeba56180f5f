//! How full buckets are kept, and how far a search for a key to evict goes.

/// Keys per bucket that the table aims at: of six slots, one is usually free for the next key.
const LOAD: usize = 5;

/// Returns the buckets needed for this many keys.
pub(super) fn buckets(keys: usize) -> usize {
    keys.div_ceil(LOAD)
}

/// Whether these are too many keys for this many buckets.
pub(super) fn is_crowded(keys: usize, buckets: usize) -> bool {
    keys > buckets * LOAD
}

/// Buckets searched for a key to evict: all of the smallest table.
pub(super) const SEARCHED_BUCKETS: usize = 256;
