//! Steps on a key's state, taken under the lock of its bucket.

use super::bucket::Slot;
use super::eviction_rank::eviction_rank;
use super::new_state::{NewState, code_until};
use crate::backend::{Hit, Verdict};
use crate::strategy::State;

/// A step from any state to any other.
pub(super) trait Step: FnOnce(&mut State) -> Verdict {}

impl<F: FnOnce(&mut State) -> Verdict> Step for F {}

/// A step from two words to two words.
pub(super) trait InPlaceStep {
    /// The result of the step.
    type Outcome: Copy + Default;

    /// The tag of the key whose words they are.
    fn tag(&self) -> u64;

    /// Returns the outcome, and the new state; `None` if the step is refused and the state stays.
    fn apply(&self, now: u64, words: [u64; 2]) -> (Self::Outcome, Option<NewState>);

    /// The last instant at which the new state matters.
    fn expiry(&self, now: u64, outcome: Self::Outcome, words: [u64; 2]) -> u64;
}

impl InPlaceStep for Hit<'_> {
    type Outcome = Verdict;

    #[inline(always)]
    fn tag(&self) -> u64 {
        self.hash()
    }

    #[inline(always)]
    fn apply(&self, now: u64, words: [u64; 2]) -> (Verdict, Option<NewState>) {
        match Hit::step_words(self, now, words) {
            Some((verdict, words)) if verdict.admitted => {
                let code = code_until(expiry(now, &verdict), words);
                (verdict, Some(NewState { words, code, rank: eviction_rank(&verdict) }))
            }
            other => (other.map_or_else(Verdict::default, |(verdict, _)| verdict), None),
        }
    }

    fn expiry(&self, now: u64, verdict: Verdict, _: [u64; 2]) -> u64 {
        expiry(now, &verdict)
    }
}

/// Stores the state that a step left behind in its key's slot.
#[inline(always)]
pub(super) fn store<S: InPlaceStep>(
    mut slot: Slot<'_>,
    now: u64,
    step: &S,
    outcome: S::Outcome,
    new: &NewState,
) {
    if !slot.try_replace(step.tag(), new) {
        slot.replace_boxed(new.words[0], new.words[1], step.expiry(now, outcome, new.words), new.rank);
    }
}

/// The last instant at which what a step left behind matters.
#[inline(always)]
pub(super) fn expiry(now: u64, verdict: &Verdict) -> u64 {
    now.saturating_add(verdict.keep_for)
}
