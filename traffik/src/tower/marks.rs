//! What layers leave on a request for the layers and gates inside: which throttles have been
//! applied, and what that charged.

use http::Extensions;
use smallvec::SmallVec;

use crate::Parts;
use std::sync::Arc;

use super::around::Around;
use super::paid::{Paid, to_the_end};
use crate::reserve::Tab;
use crate::throttle::Throttle;

/// A throttle that a layer has applied to this request.
#[derive(Debug, Clone)]
pub(super) struct Mark {
    pub(super) throttle: Throttle,
    /// `None`: it passed uncounted, or was refused and let pass.
    pub(super) paid: Option<Paid>,
}

/// All of them, outermost first.
#[derive(Debug, Clone, Default)]
pub(super) struct Marks(SmallVec<[Mark; 1]>);

impl Marks {
    pub(super) fn of(extensions: &Extensions) -> Option<&Self> {
        Around::of(extensions).map(|around| &around.marks).filter(|marks| !marks.is_empty())
    }

    pub(super) fn of_mut(extensions: &mut Extensions) -> Option<&mut Self> {
        Around::of_mut(extensions).map(|around| &mut around.marks).filter(|marks| !marks.is_empty())
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn find(&self, throttle: &Throttle) -> Option<&Mark> {
        self.0.iter().find(|mark| mark.throttle.same(throttle))
    }

    /// What was paid, outermost first, as tabs: the same ones however often they are asked for.
    pub(super) fn tabs(&mut self) -> impl Iterator<Item = (&Throttle, Arc<Tab>)> {
        self.0
            .iter_mut()
            .filter_map(|Mark { throttle, paid }| Some((&*throttle, paid.as_mut()?.share(throttle))))
    }

    pub(super) fn leave(extensions: &mut Extensions, marks: impl Iterator<Item = Mark>) {
        Around::leave(extensions, |around| around.marks.0.extend(marks));
    }
}

/// On an answer: the request was turned away further in, and every layer's charge given back.
#[derive(Debug, Clone, Copy)]
pub(super) struct GivenBack;

/// Gives back what layers have charged for a request that is turned away further in. Says whether
/// there was anything.
pub(crate) async fn undo(parts: &Parts) -> bool {
    let Some(marks) = Marks::of(&parts.extensions) else { return false };
    let charges: Vec<Paid> = marks.0.iter().rev().filter_map(|mark| mark.paid.clone()).collect();
    if !charges.is_empty() {
        to_the_end(async move {
            for paid in charges {
                if let Err(error) = paid.give_back().await {
                    let uid = paid.uid();
                    tracing::warn!(target: "traffik", uid, %error, "a refused request stays charged by an outer layer");
                }
            }
        })
        .await;
    }
    true
}
