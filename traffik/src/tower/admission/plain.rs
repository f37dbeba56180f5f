//! The fast paths: throttles that count in memory, used at a place that overrides neither their cost nor what
//! they count by.

use super::{After, Counted, First, Use, decided, headers, single};
use crate::Parts;
use crate::app::Traffik;
use crate::decision::{Decision, Stat};
use crate::headers::Report;
use crate::pipeline::{self, Passed, Ruling, Then, Together};
use crate::tower::around::Around;

/// The app whose settings the throttles fall back to; `None` where a layer has applied throttles.
#[inline]
fn app(parts: &Parts) -> Option<Option<&Traffik>> {
    let around = Around::of(&parts.extensions);
    around.is_none_or(|around| around.marks.is_empty()).then(|| Traffik::by(around))
}

/// Lets a request in under a single throttle, if no layer has applied one to it and it leaves at most headers
/// to do.
#[inline(always)]
pub(super) fn single_in_memory(one: &Use, parts: &mut Parts) -> Option<First> {
    if !one.leaves_nothing_to_do() {
        return None;
    }
    let way_in = Single { one, parts };
    Some(match pipeline::request(&one.throttle, parts, app(parts)?, way_in)? {
        Ok(after) => First::In(after),
        Err(refused) => single(one, *refused, parts),
    })
}

/// How a gate of one throttle continues.
struct Single<'a> {
    one: &'a Use,
    parts: &'a Parts,
}

impl Then for Single<'_> {
    /// The decision, if the request is refused.
    type Output = Result<After, Box<Decision>>;

    #[inline(always)]
    fn passed(self, passed: Passed<'_>) -> Self::Output {
        if passed.is_silent() {
            return Ok(After::default());
        }
        Ok(reporting(self.one, &passed.stat(), self.parts))
    }

    #[inline(always)]
    fn exempt(self) -> Self::Output {
        Ok(After::default())
    }

    fn decided(self, decision: Decision) -> Self::Output {
        match decision {
            Decision::Allowed(stat) => Ok(reporting(self.one, &stat, self.parts)),
            decision => Err(Box::new(decision)),
        }
    }
}

/// Lets in a request that leaves only headers to write.
#[inline(never)]
fn reporting(one: &Use, stat: &Stat, parts: &Parts) -> After {
    let settings = one.throttle.settings();
    let headers = headers(&settings, parts);
    if !headers.wanted_by_admitted(parts, stat) {
        return After::default();
    }
    After::reporting(Report {
        headers: headers.clone(),
        stat: stat.clone(),
        window: settings.window(),
        refused: false,
        charged: 0,
    })
}

/// Lets a request in under a few throttles, if no layer has applied one to it and they can be decided
/// together. Two are the most common case, which reserves no room for more.
#[inline]
pub(super) fn together_in_memory(uses: &[Use], parts: &mut Parts) -> Option<First> {
    match uses {
        [a, b] => two(a, b, parts),
        _ => few(uses, parts),
    }
}

#[inline(never)]
fn two(a: &Use, b: &Use, parts: &mut Parts) -> Option<First> {
    pipeline::pair([&a.throttle, &b.throttle], Stacked { uses: &[a, b], parts })
}

#[inline(never)]
fn few(uses: &[Use], parts: &mut Parts) -> Option<First> {
    let throttle = |at: usize| uses.get(at).map(|one| &one.throttle);
    let uses: Counted<'_> = uses.iter().collect();
    pipeline::stack(throttle, Stacked { uses: &uses, parts })
}

/// How a gate of a few throttles continues.
struct Stacked<'a> {
    uses: &'a [&'a Use],
    parts: &'a mut Parts,
}

impl Together for Stacked<'_> {
    type Output = First;

    #[inline(always)]
    fn parts(&self) -> &Parts {
        self.parts
    }

    #[inline(always)]
    fn app(&self) -> Option<Option<&Traffik>> {
        app(self.parts)
    }

    #[inline(always)]
    fn is_silent(&self, at: usize, by_itself: bool) -> bool {
        let Some(one) = self.uses.get(at) else { return false };
        by_itself && one.leaves_nothing_to_do() || one.stays_silent(self.parts)
    }

    #[inline(always)]
    fn silent(self) -> First {
        First::In(After::default())
    }

    #[inline(never)]
    fn decided(self, ruling: Ruling) -> First {
        decided(self.uses, ruling, self.parts)
    }
}
