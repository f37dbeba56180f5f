//! [`ByUid`]: a small map, ordered by uid.
//!
//! A sorted list: there are a few hundred throttles at most, and each enters once. For each type of value,
//! the standard `BTreeMap` would add a twentieth to the code that this crate has to compile.

pub(super) struct ByUid<V>(Vec<(Box<str>, V)>);

impl<V> Default for ByUid<V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<V> ByUid<V> {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    fn find(&self, uid: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(other, _)| (**other).cmp(uid))
    }

    pub(super) fn get(&self, uid: &str) -> Option<&V> {
        self.find(uid).ok().map(|place| &self.0[place].1)
    }

    /// Returns the value of this uid, inserting one if there is none.
    pub(super) fn get_or_insert(&mut self, uid: &str, make: impl FnOnce() -> V) -> &mut V {
        let place = self.find(uid).unwrap_or_else(|place| {
            self.0.insert(place, (uid.into(), make()));
            place
        });
        &mut self.0[place].1
    }

    pub(super) fn insert(&mut self, uid: &str, value: V) {
        match self.find(uid) {
            Ok(place) => self.0[place].1 = value,
            Err(place) => self.0.insert(place, (uid.into(), value)),
        }
    }

    pub(super) fn remove(&mut self, uid: &str) -> Option<V> {
        self.find(uid).ok().map(|place| self.0.remove(place).1)
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&V) -> bool) {
        self.0.retain(|(_, value)| keep(value));
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.0.iter().map(|(_, value)| value)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.0.iter_mut().map(|(_, value)| value)
    }
}
