//! The return types of `hit`, `check` and `stat`: operations that can still be given a cost, and run when
//! awaited.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::backend::{BoxFuture, Op};
use crate::decision::{Decision, Stat};
use crate::error::Error;
use crate::identity::KindRef;
use crate::pipeline::{self, Entry};
#[cfg(feature = "memory")]
use crate::pipeline::{Passed, Then};
use crate::seldom::Seldom;
use crate::subject::Subject;
use crate::throttle::Throttle;

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
                $future(Asking::new(self.throttle, self.subject, self.units))
            }
        }

        impl fmt::Debug for $name<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).field("uid", &self.throttle.uid()).finish_non_exhaustive()
            }
        }

        #[doc = concat!("The future of [`", stringify!($name), "`]. Ready on first poll where nothing has to wait.")]
        #[must_use = "futures do nothing unless polled"]
        pub struct $future<'a>(Asking<'a>);

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

/// Turns an outcome into a ready result.
#[cfg(feature = "memory")]
struct Answer;

#[cfg(feature = "memory")]
impl Then for Answer {
    type Output = Poll<Result<Decision, Error>>;

    #[inline(always)]
    fn passed(self, passed: Passed<'_>) -> Self::Output {
        Poll::Ready(Ok(Decision::Allowed(passed.stat())))
    }

    #[inline(always)]
    fn decided(self, decision: Decision) -> Self::Output {
        Poll::Ready(Ok(decision))
    }
}

/// An operation in progress.
struct Asking<'a> {
    /// The most common kind, kept apart until its first poll.
    plain: Option<Plain<'a>>,
    other: Seldom<Other<'a>>,
}

/// An operation on a client that is just a string, an address or a number.
#[derive(Clone, Copy)]
struct Plain<'a> {
    throttle: &'a Throttle,
    client: KindRef<'a>,
    units: Option<u64>,
}

enum Other<'a> {
    New(&'a Throttle, Subject<'a>, Option<u64>),
    Waiting(BoxFuture<'a, Result<Decision, Error>>),
}

impl<'a> Asking<'a> {
    #[inline]
    fn new(throttle: &'a Throttle, subject: Subject<'a>, units: Option<u64>) -> Self {
        match subject.into_plain() {
            Ok(client) => Self { plain: Some(Plain { throttle, client, units }), other: Seldom::none() },
            Err(subject) => Self { plain: None, other: Seldom::some(Other::New(throttle, subject, units)) },
        }
    }

    #[inline(always)]
    fn hit(&mut self, cx: &mut Context<'_>) -> Poll<Result<Decision, Error>> {
        #[cfg(feature = "memory")]
        if let Some(Plain { throttle, client, units }) = self.plain
            && let Some(hit) = pipeline::direct(throttle, client, units)
        {
            self.plain = None;
            return hit.take(Answer);
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
        let other = match self.plain.take() {
            Some(Plain { throttle, client, units }) => Some(Other::New(throttle, client.into(), units)),
            None => self.other.take(),
        };
        // Polled again after completion: stay pending, rather than panic in a library.
        let Some(other) = other else { return Poll::Pending };
        match go_on(other, op, entry, cx) {
            Asked::Decided(decision) => Poll::Ready(decision),
            Asked::Waiting(waiting) => {
                self.other = Seldom::some(Other::Waiting(waiting));
                Poll::Pending
            }
        }
    }
}

/// The progress of an operation.
enum Asked<'a> {
    Decided(Result<Decision, Error>),
    Waiting(BoxFuture<'a, Result<Decision, Error>>),
}

#[inline(never)]
fn go_on<'a>(
    other: Other<'a>,
    op: Op,
    entry: fn(&'a Throttle) -> Entry<'a>,
    cx: &mut Context<'_>,
) -> Asked<'a> {
    let mut waiting: BoxFuture<'a, _> = match other {
        Other::Waiting(waiting) => waiting,
        Other::New(throttle, subject, units) => {
            if let Some(decision) = pipeline::decide_one_now(throttle, &subject, op, units) {
                return Asked::Decided(decision);
            }
            Box::pin(async move {
                Ok(pipeline::decide(&[entry(throttle)], subject, op, units).await?.into_decision())
            })
        }
    };
    match waiting.as_mut().poll(cx) {
        Poll::Ready(decision) => Asked::Decided(decision),
        Poll::Pending => Asked::Waiting(waiting),
    }
}
