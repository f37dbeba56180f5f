//! What layers leave on a request for the layers and gates inside: which throttles have been applied, and what they
//! charged.

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
    /// It counted nothing: the client is exempt, or there was an outage.
    Uncounted,
    /// It refused the request, but let it pass.
    LetPass(Box<LetPass>),
}

/// A refusal that turned nobody away.
#[derive(Debug, Clone)]
pub(super) struct LetPass {
    pub(super) refusal: Throttled,
    /// Whether the throttle's mode let it pass, rather than its answer.
    pub(super) shadow: bool,
}

/// All marks, outermost first.
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

/// Marks an answer as one that turned the request away: the layers that it still has to pass refund what they have
/// charged.
///
/// The layers do so rather than the place that turns the request away, because its answer need not be final: a layer
/// in between may call the inner service again, or another one.
#[derive(Debug, Clone, Copy)]
pub(super) struct TurnedAway;
