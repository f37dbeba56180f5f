//! The items of `traffik/src/backend/memory/load.rs`, for a table that grows once, at its fifth key.

/// The number of buckets of every new table.
pub(super) const SMALLEST: usize = 256;

/// Leaves room for the table to grow by one bucket.
pub(super) fn buckets(_keys: usize) -> usize {
    SMALLEST + 1
}

pub(super) fn is_crowded(keys: usize, buckets: usize) -> bool {
    keys > 4 && buckets == SMALLEST
}

/// How many buckets an eviction searches: the two that a scenario uses, and one more.
pub(super) const SEARCHED_BUCKETS: usize = 3;
