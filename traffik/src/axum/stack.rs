//! [`Stack`]: the throttles of one handler, as its attributes declare them.

use http::StatusCode;

use crate::error::Error;
use crate::request_fn::{IntoRequestFn, Source};
use crate::response::{IntoAnswer, OnThrottled};
use crate::throttle::Throttle;
use crate::throttle::builder::ThrottleBuilder;
use crate::tower::ThrottleUse;

/// The throttles of one handler, top to bottom.
#[derive(Debug, Default, Clone)]
pub struct Stack {
    pub(super) uses: Vec<ThrottleUse>,
    pub(super) error: Option<Error>,
    /// Whether the handler takes a [`Charge`](crate::Charge).
    pub(super) handler_settles: bool,
}

/// One throttle in a stack, with what the attribute overrides. Everything else is the throttle's
/// own setting at the time of each request.
#[derive(Debug, Clone)]
pub struct Applied(ThrottleUse);

impl Stack {
    /// Creates an empty stack.
    #[must_use]
    pub const fn new() -> Self {
        Self { uses: Vec::new(), error: None, handler_settles: false }
    }

    /// Creates a stack that extends the one of another gate of the same handler, whose throttles
    /// come first.
    #[must_use]
    pub fn after(earlier: &Self) -> Self {
        earlier.clone()
    }

    /// Adds a throttle that the attribute declares.
    #[must_use]
    pub fn declare(mut self, builder: ThrottleBuilder) -> Self {
        match builder.build() {
            Ok(throttle) => self.uses.push(ThrottleUse::new(throttle)),
            Err(error) => self.fail(error),
        }
        self
    }

    /// Adds a throttle that is declared elsewhere.
    #[must_use]
    pub fn shared(mut self, throttle: &'static Throttle, adjust: impl FnOnce(Applied) -> Applied) -> Self {
        let one = adjust(Applied(ThrottleUse::new(throttle.clone()))).0;
        let cost = one.overrides.as_ref().and_then(|overrides| overrides.cost.as_ref());
        // Not a setup error: the limit may be raised while the program runs.
        if let Some(Err(error)) = cost.map(|cost| throttle.settings().check_cost_of_use(throttle.uid(), cost))
        {
            tracing::error!(target: "traffik", %error, "a handler has a cost that refuses every request");
        }
        self.uses.push(one);
        self
    }

    /// Records what is charged, for the handler's [`Charge`](crate::Charge).
    #[must_use]
    pub fn charges(mut self) -> Self {
        self.handler_settles = true;
        self.uses.iter_mut().for_each(ThrottleUse::keep_charge);
        self
    }

    /// Leaves what was decided, for the handler's [`Outcome`](crate::Outcome).
    #[must_use]
    pub fn outcome(mut self) -> Self {
        self.uses.iter_mut().for_each(ThrottleUse::tell_outcome);
        self
    }

    fn fail(&mut self, error: Error) {
        tracing::error!(target: "traffik", %error, "a handler's throttles cannot be built, so it responds with 500");
        self.error.get_or_insert(error);
    }
}

impl Applied {
    /// Sets the cost here.
    #[must_use]
    pub fn cost(mut self, units: u64) -> Self {
        self.0.overrides().cost = Some(Source::Fixed(units));
        self
    }

    /// Sets the cost here, computed from the request.
    #[must_use]
    pub fn cost_with<K>(mut self, cost: impl IntoRequestFn<u64, K>) -> Self {
        self.0.overrides().cost = Some(Source::Of(cost.into_request_fn()));
        self
    }

    /// Sets the scope here.
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.0.overrides().scope = Some(Source::Fixed(scope.into()));
        self
    }

    /// Sets the scope here, computed from the request.
    #[must_use]
    pub fn scope_with<K>(mut self, scope: impl IntoRequestFn<String, K>) -> Self {
        self.0.overrides().scope = Some(Source::Of(scope.into_request_fn()));
        self
    }

    /// Sets the answer to refusals here.
    #[must_use]
    pub fn on_throttled<K>(mut self, answer: impl IntoAnswer<K>) -> Self {
        self.0.response.on_throttled = Some(OnThrottled::Answer(answer.into_answer()));
        self
    }

    /// Runs the handler even when refused.
    #[must_use]
    pub fn continue_when_throttled(mut self) -> Self {
        self.0.response.on_throttled = Some(OnThrottled::Continue);
        self
    }

    /// Counts and reports here, but refuses nobody.
    #[must_use]
    pub fn shadow(mut self) -> Self {
        self.0.overrides().shadow = Some(true);
        self
    }

    /// Refuses here, even if the throttle is declared to refuse nobody.
    #[must_use]
    pub fn enforce(mut self) -> Self {
        self.0.overrides().shadow = Some(false);
        self
    }

    /// Refunds the cost when the response's status matches.
    #[must_use]
    pub fn refund_on_status(mut self, matches: fn(StatusCode) -> bool) -> Self {
        self.0.overrides().keeps_receipt = true;
        self.0.response.refund_on = Some(matches);
        self
    }
}
