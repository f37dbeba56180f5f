//! The return types of `hit`, `check` and `stat`: operations that can still be given a cost, and run when
//! awaited.

mod now;
#[cfg(feature = "tokio")]
mod wait;

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::backend::Op;
use crate::box_future::BoxFuture;
use crate::cold_option::ColdOption;
use crate::decision::{Decision, Stat};
use crate::error::Error;
use crate::identity::KindRef;
use crate::pipeline::{self, Entry};
use crate::subject::Subject;
use crate::throttle::Throttle;

#[cfg(feature = "memory")]
use now::AsResult;

macro_rules! question {
    ($(#[$doc:meta])* $name:ident, $units:expr, $answer:ty, $future:ident, $poll:ident) => {
        $(#[$doc])*
        #[must_use = "this does nothing unless awaited"]
        pub struct $name<'a> {
            throttle: &'a Throttle,
            subject: Subject<'a>,
            units: Option<u64>,
        }

        impl<'a> $name<'a> {
            pub(crate) fn new(throttle: &'a Throttle, subject: Subject<'a>) -> Self {
                Self { throttle, subject, units: $units }
            }
        }

        impl<'a> IntoFuture for $name<'a> {
            type Output = Result<$answer, Error>;
            type IntoFuture = $future<'a>;

            #[inline]
            fn into_future(self) -> $future<'a> {
                $future(OpState::new(self.throttle, self.subject, self.units))
            }
        }

        impl fmt::Debug for $name<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).field("uid", &self.throttle.uid()).finish_non_exhaustive()
            }
        }

        #[doc = concat!("The future of [`", stringify!($name), "`]. Ready on the first poll if nothing has to wait.")]
        #[must_use = "futures do nothing unless polled"]
        pub struct $future<'a>(OpState<'a>);

        impl Future for $future<'_> {
            type Output = Result<$answer, Error>;

            // Inlined into the caller, which knows what the subject is and that this is the first poll.
            #[inline(always)]
            fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
                self.0.$poll(cx)
            }
        }

        impl fmt::Debug for $future<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($future))
            }
        }
    };
}

question! {
    /// A hit, charged when awaited.
    Attempt, None, Decision, AttemptFuture, hit
}

question! {
    /// A check of a hit, made when awaited. It charges nothing.
    Check, None, Decision, CheckFuture, check
}

question! {
    /// A query for the state of an account, made when awaited.
    StatOf, Some(1), Option<Stat>, StatFuture, stat
}

impl Attempt<'_> {
    /// Sets the cost of this hit, overriding the throttle's.
    pub fn cost(mut self, units: u64) -> Self {
        self.units = Some(units);
        self
    }
}

impl Check<'_> {
    /// Sets the cost to check, overriding the throttle's. A cost of 0 passes uncounted, as it would in a
    /// hit.
    pub fn cost(mut self, units: u64) -> Self {
        self.units = Some(units);
        self
    }
}

/// An operation in progress.
struct OpState<'a> {
    /// The most common kind, kept apart until its first poll.
    plain: Option<PlainOp<'a>>,
    general: ColdOption<GeneralOp<'a>>,
}

/// An operation on a client that is just a string, an address or a number.
#[derive(Clone, Copy)]
struct PlainOp<'a> {
    throttle: &'a Throttle,
    client: KindRef<'a>,
    units: Option<u64>,
}

enum GeneralOp<'a> {
    New(&'a Throttle, Subject<'a>, Option<u64>),
    Waiting(BoxFuture<'a, Result<Decision, Error>>),
}

impl<'a> OpState<'a> {
    #[inline]
    fn new(throttle: &'a Throttle, subject: Subject<'a>, units: Option<u64>) -> Self {
        match subject.into_plain() {
            Ok(client) => {
                Self { plain: Some(PlainOp { throttle, client, units }), general: ColdOption::none() }
            }
            Err(subject) => {
                Self { plain: None, general: ColdOption::some(GeneralOp::New(throttle, subject, units)) }
            }
        }
    }

    #[inline(always)]
    fn hit(&mut self, cx: &mut Context<'_>) -> Poll<Result<Decision, Error>> {
        #[cfg(feature = "memory")]
        if let Some(PlainOp { throttle, client, units }) = self.plain
            && let Some(hit) = pipeline::fast_hit(throttle, client, units)
        {
            self.plain = None;
            return Poll::Ready(hit.charge(AsResult));
        }
        self.ask(Op::Hit, Entry::new, cx)
    }

    fn check(&mut self, cx: &mut Context<'_>) -> Poll<Result<Decision, Error>> {
        self.ask(Op::Check, Entry::new, cx)
    }

    fn stat(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Stat>, Error>> {
        self.ask(Op::Check, Entry::account, cx).map_ok(|decision| decision.stat().cloned())
    }

    // Inlined into its callers, and everything is passed on by value: a future whose address is never taken
    // can live in registers.
    #[inline(always)]
    fn ask(
        &mut self,
        op: Op,
        entry: fn(&'a Throttle) -> Entry<'a>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Decision, Error>> {
        let general = match self.plain.take() {
            Some(PlainOp { throttle, client, units }) => Some(GeneralOp::New(throttle, client.into(), units)),
            None => self.general.take(),
        };
        // Polled again after completion: stay pending, rather than panic in a library.
        let Some(general) = general else { return Poll::Pending };
        match advance(general, op, entry, cx) {
            OpProgress::Decided(decision) => Poll::Ready(decision),
            OpProgress::Waiting(waiting) => {
                self.general = ColdOption::some(GeneralOp::Waiting(waiting));
                Poll::Pending
            }
        }
    }
}

/// The progress of an operation.
enum OpProgress<'a> {
    Decided(Result<Decision, Error>),
    Waiting(BoxFuture<'a, Result<Decision, Error>>),
}

#[inline(never)]
fn advance<'a>(
    general: GeneralOp<'a>,
    op: Op,
    entry: fn(&'a Throttle) -> Entry<'a>,
    cx: &mut Context<'_>,
) -> OpProgress<'a> {
    let mut waiting: BoxFuture<'a, _> = match general {
        GeneralOp::Waiting(waiting) => waiting,
        GeneralOp::New(throttle, subject, units) => {
            if let Some(decision) = pipeline::decide_one_now(throttle, &subject, op, units) {
                return OpProgress::Decided(decision);
            }
            Box::pin(async move {
                Ok(pipeline::decide(&[entry(throttle)], subject, op, units).await?.into_decision())
            })
        }
    };
    match waiting.as_mut().poll(cx) {
        Poll::Ready(decision) => OpProgress::Decided(decision),
        Poll::Pending => OpProgress::Waiting(waiting),
    }
}
