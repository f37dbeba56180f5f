//! What layers leave on a request for the layers and gates inside: which throttles have been
//! applied, and what that charged.

use http::Extensions;
use smallvec::SmallVec;

use crate::Parts;
use crate::pipeline::Receipt;
use crate::throttle::Throttle;

/// A throttle that a layer has applied to this request.
#[derive(Debug, Clone)]
pub(super) struct Mark {
    pub(super) throttle: Throttle,
    /// `None`: it passed uncounted, or was refused and let pass.
    pub(super) receipt: Option<Receipt>,
}

/// All of them, outermost first.
#[derive(Debug, Clone, Default)]
pub(super) struct Marks(SmallVec<[Mark; 1]>);

impl Marks {
    pub(super) fn of(extensions: &Extensions) -> Option<&Self> {
        // Most requests outside any layer carry few extensions or none; this is one lookup.
        extensions.get()
    }

    pub(super) fn find(&self, throttle: &Throttle) -> Option<&Mark> {
        self.0.iter().find(|mark| mark.throttle.same(throttle))
    }

    pub(super) fn leave(extensions: &mut Extensions, marks: impl Iterator<Item = Mark>) {
        match extensions.get_mut::<Self>() {
            Some(there) => there.0.extend(marks),
            None => {
                extensions.insert(Self(marks.collect()));
            }
        }
    }
}

/// On an answer: the request was turned away further in, and every layer's charge given back.
#[derive(Debug, Clone, Copy)]
pub(super) struct GivenBack;

/// Gives back what layers have charged for a request that is turned away further in. Says whether
/// there was anything.
pub(crate) async fn undo(parts: &Parts) -> bool {
    let Some(marks) = Marks::of(&parts.extensions) else { return false };
    for receipt in marks.0.iter().rev().filter_map(|mark| mark.receipt.as_ref()) {
        if let Err(error) = receipt.give_back(receipt.cost).await {
            let uid = receipt.policy.uid();
            tracing::warn!(target: "traffik", uid, %error, "a refused request stays charged by an outer layer");
        }
    }
    !marks.0.is_empty()
}
