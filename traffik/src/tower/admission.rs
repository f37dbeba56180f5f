//! The way in, shared by gates and layers: decide under all throttles of the place, answer
//! refusals, and record what is left to do for requests that are let in.

mod after;
mod inside;
mod place;
#[cfg(feature = "memory")]
mod plain;
mod refuse;

use std::sync::Arc;

use axum_core::response::Response;
use smallvec::SmallVec;

use super::charge::Charge;
use super::marks::{CameTo, LetPass, Mark, Marks};
use super::outcome::Outcome;
use crate::Parts;
use crate::app::Traffik;
use crate::backend::Op;
use crate::decision::{Decision, Throttled};
use crate::headers::{Headers, Report};
use crate::pipeline::{self, Entry, Failure, Overrides, Ruled, Ruling};
use crate::reserve::Tab;
use crate::response;
use crate::settings::Settings;
use crate::subject::IntoSubject;

pub(crate) use after::After;
use after::Work;
use inside::{adjusted, adjusts, find, held, is_new, tell_of_layers};
pub(crate) use place::{Place, Use};
use refuse::refuse;
pub(crate) use refuse::turned_away;

static DEFAULT_HEADERS: Headers = Headers::always();

/// How far a request gets without waiting.
pub(crate) enum First {
    /// All the way.
    In(After),
    /// [`admit`] does the rest, starting from the ruling if there is one.
    Later(Option<Box<Result<Ruling, Failure>>>),
}

/// Lets a request in if that needs no waiting. A layer leaves marks for the places inside it.
///
/// Not inlined, because a program has many handlers.
#[inline(never)]
pub(crate) fn admit_now(uses: &[Use], parts: &mut Parts, place: Place) -> First {
    // A single throttle has a path of its own: a loop and a table of lengths would add a tenth to
    // an exempt request.
    #[cfg(feature = "memory")]
    if let ([one], Place::Gate) = (uses, place)
        && let Some(first) = plain::single_in_memory(one, parts)
    {
        return first;
    }
    if place == Place::Gate && uses.iter().all(|one| one.overrides.is_none()) {
        #[cfg(feature = "memory")]
        if let Some(first) = plain::together_in_memory(uses, parts) {
            return first;
        }
        if let [one] = uses
            && Marks::of(&parts.extensions).is_none()
            && let Some(decision) = pipeline::recall(&one.throttle, &(&*parts).into_subject(), None)
        {
            return single(one, decision, parts);
        }
    }
    in_general(uses, parts, place)
}

/// The general path, which honors overrides and the marks of outer layers.
#[inline(never)]
fn in_general(uses: &[Use], parts: &mut Parts, place: Place) -> First {
    let counted = match Marks::of(&parts.extensions) {
        None => uses.iter().collect::<Counted<'_>>(),
        Some(marks) if uses.iter().any(|one| adjusts(one, marks) || held(one, marks).is_some()) => {
            return First::Later(None);
        }
        Some(marks) => uses.iter().filter(|one| is_new(one, marks)).collect(),
    };
    if counted.len() < uses.len() {
        tell_of_layers(uses, parts);
    }
    if counted.is_empty() {
        return First::In(After::default());
    }
    let silent = place == Place::Gate && counted.iter().all(|one| one.stays_silent(parts));
    let entries = entries(&counted, &[]);
    let ruling = pipeline::decide_now(&entries, &(&*parts).into_subject(), Op::Hit, None, |decided| {
        if silent && decided.admitted() { None } else { Some(decided.into_ruling()) }
    });
    match ruling {
        None => First::Later(None),
        Some(Ok(None)) => First::In(After::default()),
        Some(Ok(Some(ruling))) if ruling.refused.is_none() => {
            First::In(enter(&counted, ruling, None, parts, place))
        }
        Some(ruling) => {
            let ruling = ruling.map(|ruling| ruling.unwrap_or_else(|| Ruling::exempt(counted.len())));
            First::Later(Some(Box::new(ruling)))
        }
    }
}

/// Turns the decision of a gate's only throttle into its result.
#[inline(never)]
fn single(one: &Use, decision: Decision, parts: &mut Parts) -> First {
    let window = one.throttle.settings().window();
    decided(&[one], Ruling::of([(decision, window)]), parts)
}

fn decided(uses: &[&Use], ruling: Ruling, parts: &mut Parts) -> First {
    match ruling.refused {
        None => First::In(enter(uses, ruling, None, parts, Place::Gate)),
        Some(_) => First::Later(Some(Box::new(Ok(ruling)))),
    }
}

/// Lets a request in, or returns the answer that turns it away.
///
/// # Errors
/// The answer that turns the request away.
pub(crate) async fn admit(
    uses: &[Use],
    parts: &mut Parts,
    place: Place,
    mut ruling: Option<Box<Result<Ruling, Failure>>>,
) -> Result<After, Response> {
    let refused = Marks::of(&parts.extensions)
        .and_then(|marks| uses.iter().find_map(|one| Some((one, held(one, marks)?.clone()))));
    if let Some((one, refusal)) = refused {
        let window = refusal.window();
        let ruling = Ruling::of([(Decision::Denied(refusal), window)]);
        return Err(refuse(&[one], &ruling, 0, parts).await);
    }
    let adjusted = adjusted(uses, parts).await;
    let mut counted: Counted<'_> = match Marks::of(&parts.extensions) {
        None => uses.iter().collect(),
        Some(marks) => {
            uses.iter().filter(|one| is_new(one, marks) || find(&adjusted, one).is_some()).collect()
        }
    };
    if counted.len() < uses.len() {
        tell_of_layers(uses, parts);
    }
    let mut waved: Option<Waved> = None;
    loop {
        let made = match ruling.take() {
            Some(made) => *made,
            None => {
                let entries = entries(&counted, &adjusted);
                pipeline::decide(&entries, (&*parts).into_subject(), Op::Hit, None).await
            }
        };
        let ruling = match made {
            Ok(ruling) => ruling,
            Err(failure) => {
                return Err(turned_away(response::outage(failure.outage, Some(parts)), parts));
            }
        };
        let refuses = |ruled: &Ruled| !ruled.shadow && !ruled.decision.is_allowed();
        let each = || counted.iter().copied().zip(&ruling.each);
        if !each().any(|(_, ruled)| refuses(ruled)) {
            return Ok(enter(&counted, ruling, waved, parts, place));
        }
        if let Some(at) = each().position(|(one, ruled)| refuses(ruled) && !one.continues()) {
            return Err(refuse(&counted, &ruling, at, parts).await);
        }
        // These throttles refuse but let the request pass, so the others must charge for it: decide
        // once more without them.
        let waved = waved.get_or_insert_default();
        for (one, ruled) in each().filter(|(_, ruled)| refuses(ruled)) {
            waved.add(one, ruled, parts);
        }
        let mut left = ruling.each.iter().map(|ruled| !refuses(ruled));
        counted.retain(|_| left.next().unwrap_or(false));
    }
}

/// The throttles of a place that count for this request.
type Counted<'a> = SmallVec<[&'a Use; 4]>;

/// Throttles that refused the request but let it pass.
#[derive(Default)]
struct Waved {
    first: Option<Throttled>,
    reports: Vec<Report>,
    marks: Vec<Mark>,
}

impl Waved {
    fn add(&mut self, one: &Use, ruled: &Ruled, parts: &Parts) {
        self.reports.extend(report(one, ruled, parts, true));
        let Some(refusal) = ruled.decision.throttled() else { return };
        let let_pass = LetPass { refusal: refusal.clone(), shadow: false };
        let came_to = CameTo::LetPass(Box::new(let_pass));
        self.marks.push(Mark { throttle: one.throttle.clone(), came_to });
        self.first.get_or_insert_with(|| refusal.clone());
    }
}

fn app(parts: &Parts) -> Option<&Traffik> {
    Traffik::of(Some(parts))
}

fn entries<'a>(counted: &[&'a Use], adjusted: &'a [(&Use, Overrides)]) -> SmallVec<[Entry<'a>; 4]> {
    let entry = |one: &&'a Use| Entry {
        throttle: &one.throttle,
        overrides: find(adjusted, one).or(one.overrides.as_ref()),
    };
    counted.iter().map(entry).collect()
}

/// The headers that a throttle puts on its answers.
#[inline]
fn headers<'a>(settings: &'a Settings, parts: &'a Parts) -> &'a Headers {
    match &settings.answers.headers {
        Some(headers) => headers,
        None => app(parts).and_then(Traffik::headers).unwrap_or(&DEFAULT_HEADERS),
    }
}

/// What a throttle reports on the answer, if anything.
fn report(one: &Use, ruled: &Ruled, parts: &Parts, refused: bool) -> Option<Report> {
    let stat = ruled.decision.stat().filter(|_| !ruled.shadow)?;
    let settings = one.throttle.settings();
    let headers = headers(&settings, parts);
    headers.wanted(parts, &ruled.decision, refused).then(|| Report {
        headers: headers.clone(),
        stat: stat.clone(),
        window: ruled.window,
        refused: !ruled.decision.is_allowed(),
        charged: 0,
    })
}

/// Records what is left to do for a request that is let in.
fn enter(counted: &[&Use], ruling: Ruling, waved: Option<Waved>, parts: &mut Parts, place: Place) -> After {
    let mut after = Work::of(place);
    let mut marks: SmallVec<[Mark; 2]> = SmallVec::new();
    let mut tabs: SmallVec<[Arc<Tab>; 2]> = SmallVec::new();
    let continues = waved.is_some() || counted.iter().any(|one| one.continues());
    let waved = waved.unwrap_or_default();
    waved.reports.into_iter().for_each(|report| after.report(report));
    for (one, ruled) in counted.iter().zip(ruling.each) {
        if let Some(report) = report(one, &ruled, parts, waved.first.is_some()) {
            after.report(Report {
                charged: ruled.charged.as_ref().map_or(0, |receipt| receipt.charge.cost),
                ..report
            });
        }
        let settings = one.throttle.settings();
        let tab = ruled.charged.map(|receipt| Arc::new(Tab::new(receipt, settings.on_cancel)));
        if let Some(tab) = &tab {
            after.charge(one.refund_on(&settings), tab.clone());
            if one.charges {
                after.promise(tab.clone());
                tabs.push(tab.clone());
            }
        }
        if place == Place::Layer {
            let came_to = match (tab, ruled.decision) {
                (Some(tab), _) => CameTo::Paid(tab),
                (None, Decision::Denied(refusal)) => {
                    CameTo::LetPass(Box::new(LetPass { refusal, shadow: true }))
                }
                (None, _) if ruled.free => CameTo::Free,
                (None, _) => CameTo::Uncounted,
            };
            marks.push(Mark { throttle: one.throttle.clone(), came_to });
        }
    }
    Charge::leave(parts, tabs);
    if continues {
        Outcome::leave(parts, waved.first);
    }
    if place == Place::Layer {
        Marks::leave(&mut parts.extensions, waved.marks.into_iter().chain(marks));
    }
    after.into()
}
