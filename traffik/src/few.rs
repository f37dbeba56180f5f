//! Sorting short lists: the throttles of a request, or their buckets.

/// A stable insertion sort. The standard sorts are a thousand lines to compile for each type, and are made
/// for longer lists.
#[inline]
pub(crate) fn sort_by_key<T, K: Ord>(few: &mut [T], key: impl Fn(&T) -> K) {
    for end in 1..few.len() {
        let mut place = end;
        while place > 0 && key(&few[place - 1]) > key(&few[place]) {
            few.swap(place - 1, place);
            place -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_sorts_as_the_standard_library_does(
            mut few in proptest::collection::vec((0..5_u8, any::<u8>()), 0..12),
        ) {
            let mut sorted = few.clone();
            sorted.sort_by_key(|(key, _)| *key);
            super::sort_by_key(&mut few, |(key, _)| *key);
            prop_assert_eq!(few, sorted);
        }
    }
}
