//! The way in, the same for gates and layers: decide under all throttles of the place, answer what
//! is refused, and remember what is left to do for the rest.

mod after;
#[cfg(feature = "memory")]
mod plain;

use std::sync::Arc;

use http::StatusCode;
use smallvec::SmallVec;

use super::charge::Charge;
use super::marks::{CameTo, LetPass, Mark, Marks, TurnedAway};
use super::outcome::Outcome;
use crate::Parts;
use crate::app::Traffik;
use crate::backend::Op;
use crate::decision::{Decision, Throttled};
use crate::headers::{self, Headers, Report};
use crate::pipeline::{self, Entry, Failure, Overrides, Ruled, Ruling};
use crate::request_fn::Source;
use crate::reserve::Tab;
use crate::response::{self, Answers, OnThrottled};
use crate::settings::Settings;
use crate::subject::IntoSubject;
use crate::throttle::Throttle;

pub(crate) use after::After;
use after::Work;
use axum_core::response::Response;

static DEFAULT_HEADERS: Headers = Headers::always();

/// A throttle at a place of use, with what is said there on top of its settings.
#[derive(Debug, Clone)]
pub(crate) struct Use {
    pub(crate) throttle: Throttle,
    pub(crate) overrides: Option<Overrides>,
    pub(crate) answers: Answers,
    /// Whether the handler wants to settle what is charged.
    pub(crate) charges: bool,
}

impl Use {
    pub(crate) fn new(throttle: Throttle) -> Self {
        let refunds = throttle.settings().answers.refund_on.is_some();
        let overrides = refunds.then(|| Overrides { receipt: true, ..Overrides::default() });
        Self { throttle, overrides, answers: Answers::default(), charges: false }
    }

    pub(crate) fn overrides(&mut self) -> &mut Overrides {
        self.overrides.get_or_insert_default()
    }

    /// This place's word, or else the throttle's.
    fn on_throttled<'a>(&'a self, settings: &'a Settings) -> Option<&'a OnThrottled> {
        self.answers.on_throttled.as_ref().or(settings.answers.on_throttled.as_ref())
    }

    fn refund_on(&self, settings: &Settings) -> Option<fn(StatusCode) -> bool> {
        self.answers.refund_on.or(settings.answers.refund_on)
    }

    fn continues(&self) -> bool {
        matches!(self.on_throttled(&self.throttle.settings()), Some(OnThrottled::Continue))
    }

    /// Whether nothing is said here by which more than headers may be left to do for a request that passes.
    #[cfg(feature = "memory")]
    #[inline(always)]
    fn leaves_nothing_to_do(&self) -> bool {
        self.overrides.is_none() && !self.charges && self.answers.leave_nothing_to_do()
    }

    /// Whether a request that passes leaves nothing to do or to tell.
    fn stays_silent(&self, parts: &Parts) -> bool {
        let settings = self.throttle.settings();
        let app = || app(parts).and_then(Traffik::headers);
        !self.charges
            && settings.answers.headers.as_ref().or_else(app).is_some_and(Headers::is_never)
            && self.refund_on(&settings).is_none()
            && !matches!(self.on_throttled(&settings), Some(OnThrottled::Continue))
    }
}

/// How far a request gets without waiting.
pub(crate) enum First {
    /// All the way.
    In(After),
    /// [`admit`] does the rest, with the ruling if there is one.
    Later(Option<Box<Result<Ruling, Failure>>>),
}

/// Lets a request in if that takes no waiting. A layer leaves marks for the places inside.
///
/// Not inlined: handlers are many.
#[inline(never)]
pub(crate) fn at_once(uses: &[Use], parts: &mut Parts, layer: bool) -> First {
    // Most of all by itself: a loop and a table of lengths are a tenth of what an exemption takes.
    #[cfg(feature = "memory")]
    if let ([one], false) = (uses, layer)
        && let Some(first) = plain::single_in_memory(one, parts)
    {
        return first;
    }
    if !layer && uses.iter().all(|one| one.overrides.is_none()) {
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
    in_general(uses, parts, layer)
}

/// The same, whatever is said of them where they are used.
#[inline(never)]
fn in_general(uses: &[Use], parts: &mut Parts, layer: bool) -> First {
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
    let silent = !layer && counted.iter().all(|one| one.stays_silent(parts));
    let entries = entries(&counted, &[]);
    let ruling = pipeline::quick(&entries, &(&*parts).into_subject(), Op::Hit, None, |quick| {
        if silent && quick.admitted() { None } else { Some(quick.into_ruling()) }
    });
    match ruling {
        None => First::Later(None),
        Some(Ok(None)) => First::In(After::default()),
        Some(Ok(Some(ruling))) if ruling.refused.is_none() => {
            First::In(enter(&counted, ruling, None, parts, layer))
        }
        Some(ruling) => {
            let ruling = ruling.map(|ruling| ruling.unwrap_or_else(|| Ruling::exempt(counted.len())));
            First::Later(Some(Box::new(ruling)))
        }
    }
}

/// What a gate of one throttle does with its decision.
#[inline(never)]
fn single(one: &Use, decision: Decision, parts: &mut Parts) -> First {
    let window = one.throttle.settings().window();
    decided(&[one], Ruling::of([(decision, window)]), parts)
}

fn decided(uses: &[&Use], ruling: Ruling, parts: &mut Parts) -> First {
    match ruling.refused {
        None => First::In(enter(uses, ruling, None, parts, false)),
        Some(_) => First::Later(Some(Box::new(Ok(ruling)))),
    }
}

/// Lets a request in, or gives the answer that turns it away.
///
/// # Errors
/// That answer.
pub(crate) async fn admit(
    uses: &[Use],
    parts: &mut Parts,
    layer: bool,
    mut ruling: Option<Box<Result<Ruling, Failure>>>,
) -> Result<After, Response> {
    let refused = Marks::of(&parts.extensions)
        .and_then(|marks| uses.iter().find_map(|one| Some((one, held(one, marks)?.clone()))));
    if let Some((one, refusal)) = refused {
        let window = one.throttle.settings().window();
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
            return Ok(enter(&counted, ruling, waved, parts, layer));
        }
        if let Some(place) = each().position(|(one, ruled)| refuses(ruled) && !one.continues()) {
            return Err(refuse(&counted, &ruling, place, parts).await);
        }
        // Those that refuse let the request pass all the same, so that the others are to be charged
        // for it: they decide once more, without them.
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

/// Those of them that have something left to charge, with how much.
type Adjusted<'a> = Vec<(&'a Use, Overrides)>;

/// Those that refused and let pass.
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

/// Tells a handler that runs either way that it was let in, where layers have decided on some of its throttles: nobody
/// is asked about those again.
fn tell_of_layers(uses: &[Use], parts: &mut Parts) {
    if uses.iter().any(Use::continues) {
        Outcome::leave(parts, None);
    }
}

/// Whether no layer has applied it to this request; another scope is another account.
fn is_new(one: &Use, marks: &Marks) -> bool {
    one.overrides.as_ref().is_some_and(|overrides| overrides.scope.is_some())
        || marks.find(&one.throttle).is_none()
}

/// The refusal that a layer let pass, and that holds here: this place turns away what the throttle in shadow mode does
/// not, or answers what the throttle lets a handler answer.
fn held<'a>(one: &Use, marks: &'a Marks) -> Option<&'a Throttled> {
    if is_new(one, marks) {
        return None;
    }
    let CameTo::LetPass(let_pass) = &marks.find(&one.throttle)?.came_to else { return None };
    let holds = if let_pass.shadow {
        one.overrides.as_ref().is_some_and(|overrides| overrides.shadow == Some(false))
    } else {
        matches!(one.answers.on_throttled, Some(OnThrottled::Answer(_)))
    };
    holds.then_some(&let_pass.refusal)
}

/// Whether it may cost more here than a layer has charged.
fn adjusts(one: &Use, marks: &Marks) -> bool {
    !is_new(one, marks) && one.overrides.as_ref().is_some_and(|overrides| overrides.cost.is_some())
}

/// Throttles that layers have applied, with what is left to charge here.
async fn adjusted<'a>(uses: &'a [Use], parts: &Parts) -> Adjusted<'a> {
    let mut adjusted = Vec::new();
    let Some(marks) = Marks::of(&parts.extensions) else { return adjusted };
    for one in uses.iter().filter(|one| adjusts(one, marks)) {
        let (Some(overrides), Some(mark)) = (&one.overrides, marks.find(&one.throttle)) else { continue };
        let cost = match &overrides.cost {
            Some(Source::Fixed(cost)) => *cost,
            Some(Source::Of(function)) => function.call(parts).await,
            None => 0,
        };
        let charged = match &mark.came_to {
            CameTo::Paid(tab) => tab.receipt.cost,
            CameTo::Free => 0,
            // What a layer let pass uncounted passes here.
            CameTo::Uncounted | CameTo::LetPass(_) => cost,
        };
        if cost > charged {
            adjusted
                .push((one, Overrides { cost: Some(Source::Fixed(cost - charged)), ..overrides.clone() }));
        }
    }
    adjusted
}

fn find<'a>(adjusted: &'a [(&Use, Overrides)], one: &Use) -> Option<&'a Overrides> {
    adjusted.iter().find(|(other, _)| std::ptr::eq(*other, one)).map(|(_, overrides)| overrides)
}

fn entries<'a>(counted: &[&'a Use], adjusted: &'a [(&Use, Overrides)]) -> SmallVec<[Entry<'a>; 4]> {
    let entry = |one: &&'a Use| Entry {
        throttle: &one.throttle,
        overrides: find(adjusted, one).or(one.overrides.as_ref()),
    };
    counted.iter().map(entry).collect()
}

/// The headers that a throttle's answers carry.
#[inline]
fn headers<'a>(settings: &'a Settings, parts: &'a Parts) -> &'a Headers {
    match &settings.answers.headers {
        Some(headers) => headers,
        None => app(parts).and_then(Traffik::headers).unwrap_or(&DEFAULT_HEADERS),
    }
}

/// What a throttle has to say on the answer, if it is to say anything.
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

/// The request goes in.
fn enter(counted: &[&Use], ruling: Ruling, waved: Option<Waved>, parts: &mut Parts, layer: bool) -> After {
    let mut after = Work::of(layer);
    let mut marks: SmallVec<[Mark; 2]> = SmallVec::new();
    let mut tabs: SmallVec<[Arc<Tab>; 2]> = SmallVec::new();
    let continues = waved.is_some() || counted.iter().any(|one| one.continues());
    let waved = waved.unwrap_or_default();
    waved.reports.into_iter().for_each(|report| after.report(report));
    for (one, ruled) in counted.iter().zip(ruling.each) {
        if let Some(report) = report(one, &ruled, parts, waved.first.is_some()) {
            after.report(Report {
                charged: ruled.charged.as_ref().map_or(0, |receipt| receipt.cost),
                ..report
            });
        }
        let settings = one.throttle.settings();
        let tab = ruled.charged.map(|receipt| Arc::new(Tab::new(receipt, settings.on_cancel)));
        if let Some(tab) = &tab {
            after.charge(one.refund_on(&settings), tab.clone());
            if one.charges {
                tabs.push(tab.clone());
            }
        }
        if layer {
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
    if layer {
        Marks::leave(&mut parts.extensions, waved.marks.into_iter().chain(marks));
    }
    after.into()
}

/// The request is turned away by the throttle at `place`.
async fn refuse(counted: &[&Use], ruling: &Ruling, place: usize, parts: &Parts) -> Response {
    let reports: Vec<Report> =
        counted.iter().zip(&ruling.each).filter_map(|(one, ruled)| report(one, ruled, parts, true)).collect();
    let first = ruling.each.get(place).and_then(|ruled| ruled.decision.throttled());
    let last = first.map(|first| response::last(first, turning_away(counted, ruling)));
    let mut response = match (first, last) {
        (Some(first), Some(last)) => answer(counted, ruling, place, [first, last], parts).await,
        _ => response::outage(crate::resilience::Outage::Raise, Some(parts)),
    };
    headers::write(&reports, response.headers_mut(), false);
    if let Some(last) = last {
        response::complete(&mut response, last);
    }
    turned_away(response, parts)
}

/// All refusals for which the request does not go in.
fn turning_away<'a>(counted: &[&Use], ruling: &'a Ruling) -> impl Iterator<Item = &'a Throttled> {
    let each = counted.iter().zip(&ruling.each).filter(|(one, ruled)| !ruled.shadow && !one.continues());
    each.filter_map(|(_, ruled)| ruled.decision.throttled())
}

async fn answer(
    counted: &[&Use],
    ruling: &Ruling,
    place: usize,
    [first, last]: [&Throttled; 2],
    parts: &Parts,
) -> Response {
    let own = counted.get(place).and_then(|one| one.on_throttled(&one.throttle.settings()).cloned());
    let answer = own.or_else(|| app(parts)?.on_throttled().cloned());
    if let Some(OnThrottled::Answer(answer)) = answer {
        return answer(parts, first).await;
    }
    let refused =
        counted.iter().zip(&ruling.each).filter(|(_, ruled)| !ruled.shadow && !ruled.decision.is_allowed());
    let settings: Vec<_> = refused.map(|(one, _)| (one.throttle.uid(), one.throttle.settings())).collect();
    let app = app(parts).and_then(Traffik::headers);
    let policies: Vec<&str> = settings
        .iter()
        .map(|(uid, settings)| {
            settings.answers.headers.as_ref().or(app).map_or(*uid, |headers| headers.policy(uid))
        })
        .collect();
    response::refusal(Some(parts), last, &policies)
}

/// The answer to a request that is turned away, marked for the layers around.
pub(crate) fn turned_away(mut response: Response, parts: &Parts) -> Response {
    if Marks::of(&parts.extensions).is_some() {
        response.extensions_mut().insert(TurnedAway);
    }
    response
}
