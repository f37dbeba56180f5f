//! The names of `traffik/src/backend/memory/load.rs`: a table that grows at its fifth key, once.

/// The buckets that every table begins with.
pub(super) const SMALLEST: usize = 256;

/// Room to grow.
pub(super) fn buckets(_keys: usize) -> usize {
    SMALLEST + 1
}

pub(super) fn is_crowded(keys: usize, buckets: usize) -> bool {
    keys > 4 && buckets == SMALLEST
}

/// The two that a scene is about, and one more.
pub(super) const REACH: usize = 3;
