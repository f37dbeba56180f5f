//! [`Gate`]: the extractor that `#[throttle]` puts first, so that a refusal precedes the body.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::time::Duration;

use axum_core::extract::FromRequestParts;
use axum_core::response::{IntoResponse, Response};
use http::StatusCode;
use smallvec::SmallVec;

use super::extract::Outcome;
use crate::Parts;
use crate::app::Traffik;
use crate::backend::Op;
use crate::decision::{Decision, Stat, Throttled};
use crate::error::Error;
use crate::headers::Headers;
use crate::pipeline::{self, Entry, Overrides, Receipt, Ruling};
use crate::request_fn::{IntoRequestFn, Source};
use crate::resilience::Outage;
use crate::response::{self, Answers, IntoAnswer, OnThrottled};
use crate::subject::IntoSubject;
use crate::throttle::{Throttle, ThrottleBuilder};

/// A handler's throttles. `#[throttle]` implements it on a type of its own per handler.
pub trait Gated: 'static {
    /// The throttles, top to bottom.
    fn stack() -> &'static Stack;
}

/// The throttles of one handler, top to bottom.
#[derive(Debug, Default, Clone)]
pub struct Stack {
    applied: Vec<Applied>,
    error: Option<Error>,
}

/// One throttle in a stack, with what the attribute said differently from its declaration.
#[derive(Debug, Clone)]
pub struct Applied {
    throttle: Throttle,
    overrides: Option<Overrides>,
    answers: Answers,
}

impl Stack {
    /// No throttles yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Builds on the stack of another gate of the same handler, whose throttles come first.
    #[must_use]
    pub fn after(earlier: &Self) -> Self {
        earlier.clone()
    }

    /// Adds a throttle that the attribute declares.
    #[must_use]
    pub fn declare(mut self, builder: ThrottleBuilder) -> Self {
        match builder.build() {
            Ok(throttle) => self.applied.push(Applied::new(throttle)),
            Err(error) => self.fail(error),
        }
        self
    }

    /// Adds a throttle that stands elsewhere.
    #[must_use]
    pub fn shared(mut self, throttle: &'static Throttle, adjust: impl FnOnce(Applied) -> Applied) -> Self {
        self.applied.push(adjust(Applied::new(throttle.clone())));
        self
    }

    fn fail(&mut self, error: Error) {
        tracing::error!(target: "traffik", %error, "a handler's throttles cannot be set up: it answers 500");
        self.error.get_or_insert(error);
    }
}

impl Applied {
    fn new(throttle: Throttle) -> Self {
        let answers = throttle.settings().answers.clone();
        let overrides = answers.refund_on.is_some().then(|| Overrides { receipt: true, ..Overrides::default() });
        Self { throttle, overrides, answers }
    }

    fn overrides(&mut self) -> &mut Overrides {
        self.overrides.get_or_insert_default()
    }

    /// The cost here.
    #[must_use]
    pub fn cost(mut self, units: u64) -> Self {
        self.overrides().cost = Some(Source::Fixed(units));
        self
    }

    /// The cost here, computed from the request.
    #[must_use]
    pub fn cost_with<K>(mut self, cost: impl IntoRequestFn<u64, K>) -> Self {
        self.overrides().cost = Some(Source::Of(cost.into_request_fn()));
        self
    }

    /// The scope here.
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.overrides().scope = Some(Source::Fixed(scope.into()));
        self
    }

    /// The scope here, computed from the request.
    #[must_use]
    pub fn scope_with<K>(mut self, scope: impl IntoRequestFn<String, K>) -> Self {
        self.overrides().scope = Some(Source::Of(scope.into_request_fn()));
        self
    }

    /// The answer to refusals here.
    #[must_use]
    pub fn on_throttled<K>(mut self, answer: impl IntoAnswer<K>) -> Self {
        self.answers.on_throttled = Some(OnThrottled::Answer(answer.into_answer()));
        self
    }

    /// Runs the handler even when refused.
    #[must_use]
    pub fn continue_when_throttled(mut self) -> Self {
        self.answers.on_throttled = Some(OnThrottled::Continue);
        self
    }

    /// Counts and reports here, and refuses nobody.
    #[must_use]
    pub fn shadow(mut self) -> Self {
        self.overrides().shadow = true;
        self
    }

    /// Gives the cost back when the response's status matches.
    #[must_use]
    pub fn refund_on_status(mut self, matches: fn(StatusCode) -> bool) -> Self {
        self.overrides().receipt = true;
        self.answers.refund_on = Some(matches);
        self
    }
}

/// The proof that a request may enter, extracted before anything else of it.
pub struct Gate<G> {
    /// What is left to do once there is a response. Boxed, and absent when there is nothing.
    after: Option<Box<After>>,
    of: PhantomData<fn() -> G>,
}

/// What is left to do once there is a response.
#[derive(Default)]
struct After {
    headers: SmallVec<[(Headers, Stat, Duration); 2]>,
    refunds: Vec<(fn(StatusCode) -> bool, Receipt)>,
}

impl<G> Gate<G> {
    /// An open gate: nothing was counted, nothing is left to do.
    pub(crate) const fn open() -> Self {
        Self { after: None, of: PhantomData }
    }
}

impl<G> fmt::Debug for Gate<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gate")
    }
}

impl<G: Gated, S: Send + Sync> FromRequestParts<S> for Gate<G> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        let stack = G::stack();
        if stack.error.is_some() {
            return Err(response::outage(Outage::Raise, &parts.headers));
        }
        let entries: SmallVec<[Entry<'_>; 4]> = stack
            .applied
            .iter()
            .map(|applied| Entry { throttle: &applied.throttle, overrides: applied.overrides.as_ref() })
            .collect();
        match pipeline::decide(&entries, (&*parts).into_subject(), Op::Hit, None).await {
            Ok(ruling) => enter(stack, ruling, parts).await,
            Err(failure) => Err(response::outage(failure.outage, &parts.headers)),
        }
    }
}

/// Lets the request in, or turns it away.
async fn enter<G>(stack: &Stack, ruling: Ruling, parts: &mut Parts) -> Result<Gate<G>, Response> {
    let app = Traffik::of(Some(parts)).map(|traffik| traffik.answers().clone());
    let refused = ruling.refused;
    let (mut after, mut denials) = (After::default(), SmallVec::<[Throttled; 1]>::new());
    let mut goes_on = false;
    for (applied, ruled) in stack.applied.iter().zip(ruling.each) {
        let set = |of: fn(&Answers) -> bool| of(&applied.answers) || app.as_ref().is_some_and(of);
        goes_on |= set(|answers| matches!(answers.on_throttled, Some(OnThrottled::Continue)));
        if let (Some(refund_on), Some(receipt)) = (applied.answers.refund_on, ruled.charged) {
            after.refunds.push((refund_on, receipt));
        }
        let headers = applied.answers.headers.or(app.as_ref().and_then(|app| app.headers)).unwrap_or_default();
        if ruled.shadow {
            continue;
        }
        if headers.wanted(refused.is_some())
            && let Some(stat) = ruled.decision.stat()
        {
            after.headers.push((headers, stat.clone(), Duration::from_micros(ruled.period)));
        }
        if let Decision::Denied(throttled) = ruled.decision {
            denials.push(throttled);
        }
    }
    if goes_on {
        parts.extensions.insert(Outcome(denials.first().cloned()));
    }
    if let (Some(first), Some(place)) = (denials.first(), refused) {
        let answer = stack.applied[place].answers.on_throttled.as_ref().or(app.as_ref().and_then(|app| app.on_throttled.as_ref()));
        let mut response = match answer {
            Some(OnThrottled::Continue) => return Ok(Gate::with(after)),
            Some(OnThrottled::Answer(answer)) => answer(parts, first).await,
            None => response::refusal(Some(&parts.headers), &denials.iter().collect::<Vec<_>>()),
        };
        after.write(&mut response);
        return Err(response);
    }
    Ok(Gate::with(after))
}

impl<G> Gate<G> {
    fn with(after: After) -> Self {
        let idle = after.headers.is_empty() && after.refunds.is_empty();
        Self { after: (!idle).then(|| Box::new(after)), of: PhantomData }
    }
}

impl After {
    fn write(&self, response: &mut Response) {
        for (headers, stat, period) in &self.headers {
            headers.write_one(response.headers_mut(), stat, *period);
        }
    }
}

/// Runs the handler's body behind an open gate and finishes its response.
pub async fn respond<G, F>(gate: Gate<G>, body: F) -> Response
where
    F: Future,
    F::Output: IntoResponse,
{
    let mut response = body.await.into_response();
    if let Some(after) = gate.after {
        after.write(&mut response);
        for (refund_on, receipt) in &after.refunds {
            if refund_on(response.status())
                && let Err(error) = receipt.give_back(receipt.cost).await
            {
                tracing::warn!(target: "traffik", uid = receipt.policy.uid(), %error, "the cost was not given back");
            }
        }
    }
    response
}
