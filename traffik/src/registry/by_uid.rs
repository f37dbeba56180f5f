//! [`ByUid`]: a small map, ordered by uid.
//!
//! A sorted list: there are a few hundred throttles at most, and each enters once. For each type of value,
//! the standard `BTreeMap` would add a twentieth to the code that this crate has to compile.

pub(super) struct ByUid<V> {
    entries: Vec<(Box<str>, V)>,
    /// How many entries there must be for the next [`prune`](Self::prune).
    prune_at: usize,
}

impl<V> Default for ByUid<V> {
    fn default() -> Self {
        Self { entries: Vec::new(), prune_at: 0 }
    }
}

impl<V> ByUid<V> {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    fn find(&self, uid: &str) -> Result<usize, usize> {
        self.entries.binary_search_by(|(other, _)| (**other).cmp(uid))
    }

    pub(super) fn get(&self, uid: &str) -> Option<&V> {
        self.find(uid).ok().map(|place| &self.entries[place].1)
    }

    /// Returns the value of this uid, inserting one if there is none.
    pub(super) fn get_or_insert(&mut self, uid: &str, make: impl FnOnce() -> V) -> &mut V {
        let place = self.find(uid).unwrap_or_else(|place| {
            self.entries.insert(place, (uid.into(), make()));
            place
        });
        &mut self.entries[place].1
    }

    pub(super) fn insert(&mut self, uid: &str, value: V) {
        match self.find(uid) {
            Ok(place) => self.entries[place].1 = value,
            Err(place) => self.entries.insert(place, (uid.into(), value)),
        }
    }

    pub(super) fn remove(&mut self, uid: &str) -> Option<V> {
        self.find(uid).ok().map(|place| self.entries.remove(place).1)
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&V) -> bool) {
        self.entries.retain(|(_, value)| keep(value));
    }

    /// Does the same once there are twice as many values as there were afterwards the last time: whoever calls this for
    /// each value that is inserted does not look at all others each time.
    pub(super) fn prune(&mut self, keep: impl Fn(&V) -> bool) {
        if self.entries.len() >= self.prune_at {
            self.retain(keep);
            self.prune_at = 2 * self.entries.len();
        }
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.entries.iter().map(|(_, value)| value)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.entries.iter_mut().map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Of ten thousand values, one in ten is kept. None is looked at much more often than once.
    #[test]
    fn pruning_looks_at_few_values_for_each_that_is_inserted() {
        let (mut map, looks) = (ByUid::default(), Cell::new(0));
        for value in 0..10_000_u32 {
            map.insert(&format!("{value}"), value);
            map.prune(|value| {
                looks.set(looks.get() + 1);
                value % 10 == 0
            });
            let kept = value as usize / 10 + 1;
            assert!((kept..=3 * kept).contains(&map.len()), "{} of {kept}", map.len());
        }
        assert!(looks.get() <= 30_000, "{}", looks.get());
        assert!((0..1_000).all(|value| map.get(&format!("{}", 10 * value)) == Some(&(10 * value))));
    }
}
