//! [`Hits`]: what a request asks of one backend, with each key named once.

use smallvec::SmallVec;

use crate::backend::Hit;
use crate::policy::Policy;

/// The hits of one request on one backend.
pub(super) type Hits<'a> = SmallVec<[Hit<'a>; 2]>;

/// Adds a hit and returns its position. Each key is named only once: hits on the same key are merged, at
/// the sum of their costs and, if a uid has different limits in several registries, at the lowest limit.
pub(super) fn join<'a>(hits: &mut Hits<'a>, hit: Hit<'a>) -> usize {
    if let Some(place) = hits.iter().position(|other| other.hash == hit.hash) {
        let joint = &mut hits[place];
        joint.cost = joint.cost.saturating_add(hit.cost);
        let capacity = |policy: &Policy| policy.strategy().capacity(policy.rate());
        if capacity(hit.policy) < capacity(joint.policy) {
            joint.policy = hit.policy;
        }
        return place;
    }
    hits.push(hit);
    hits.len() - 1
}
