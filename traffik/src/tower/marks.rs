//! What layers leave on a request for the layers and gates inside: which throttles have been
//! applied, and what that charged.

use std::sync::Arc;

use http::Extensions;
use smallvec::SmallVec;

use super::around::Around;
use crate::decision::Throttled;
use crate::reserve::Tab;
use crate::throttle::Throttle;

/// A throttle that a layer has applied to this request.
#[derive(Debug, Clone)]
pub(super) struct Mark {
    pub(super) throttle: Throttle,
    pub(super) came_to: CameTo,
}

/// What came of a throttle whose layer let the request pass.
#[derive(Debug, Clone)]
pub(super) enum CameTo {
    Paid(Arc<Tab>),
    /// Its cost was 0.
    Free,
    /// It counted nothing: for the exempt, or in an outage.
    Uncounted,
    /// It was refused, and let pass all the same.
    LetPass(Box<LetPass>),
}

/// A refusal that turned nobody away.
#[derive(Debug, Clone)]
pub(super) struct LetPass {
    pub(super) refusal: Throttled,
    /// Whether it was the throttle's mode that let it pass, rather than its answer.
    pub(super) shadow: bool,
}

/// All of them, outermost first.
#[derive(Debug, Clone, Default)]
pub(super) struct Marks(SmallVec<[Mark; 1]>);

impl Marks {
    pub(super) fn of(extensions: &Extensions) -> Option<&Self> {
        Around::of(extensions).map(|around| &around.marks).filter(|marks| !marks.is_empty())
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn find(&self, throttle: &Throttle) -> Option<&Mark> {
        self.0.iter().find(|mark| mark.throttle.same(throttle))
    }

    /// What was paid, outermost first.
    pub(super) fn tabs(&self) -> impl Iterator<Item = (&Throttle, &Arc<Tab>)> {
        self.0.iter().filter_map(|Mark { throttle, came_to }| match came_to {
            CameTo::Paid(tab) => Some((throttle, tab)),
            CameTo::Free | CameTo::Uncounted | CameTo::LetPass(_) => None,
        })
    }

    pub(super) fn leave(extensions: &mut Extensions, marks: impl Iterator<Item = Mark>) {
        Around::leave(extensions, |around| around.marks.0.extend(marks));
    }
}

/// On an answer: the request was turned away, and layers that it still has to pass give back what they have charged.
///
/// They, and not whoever turns it away, since that answer need not be the last word: a layer in between may ask the
/// inner service once more, or another one.
#[derive(Debug, Clone, Copy)]
pub(super) struct TurnedAway;
