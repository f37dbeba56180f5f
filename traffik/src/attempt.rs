//! What `hit`, `check` and `stat` return: a question that can still be told its cost, and is asked
//! when awaited.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::backend::{BoxFuture, Op};
use crate::decision::{Decision, Stat};
use crate::error::Error;
use crate::pipeline::{self, Entry};
use crate::subject::Subject;
use crate::throttle::Throttle;

macro_rules! question {
    ($(#[$doc:meta])* $name:ident, $op:expr, $units:expr, $answer:ty, $future:ident, $read:expr) => {
        $(#[$doc])*
        #[must_use = "nothing is asked until this is awaited"]
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
                $future(Asking::New(self.throttle, self.subject, self.units))
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

            #[inline]
            fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
                self.0.poll($op, cx).map(|decision| decision.map($read))
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
    /// A hit about to be charged. Await it.
    Attempt, Op::Hit, None, Decision, AttemptFuture, std::convert::identity
}

question! {
    /// A hit that is only asked about. Await it.
    Check, Op::Check, None, Decision, CheckFuture, std::convert::identity
}

question! {
    /// A question about an account. Await it.
    StatOf, Op::Check, Some(1), Option<Stat>, StatFuture, |decision: Decision| decision.stat().cloned()
}

impl Attempt<'_> {
    /// What this hit costs, whatever the throttle says.
    pub fn cost(mut self, units: u64) -> Self {
        self.units = Some(units);
        self
    }
}

impl Check<'_> {
    /// The cost to ask about, whatever the throttle says.
    pub fn cost(mut self, units: u64) -> Self {
        self.units = Some(units);
        self
    }
}

enum Asking<'a> {
    New(&'a Throttle, Subject<'a>, Option<u64>),
    Waiting(BoxFuture<'a, Result<Decision, Error>>),
    Done,
}

impl<'a> Asking<'a> {
    #[inline(always)]
    fn poll(&mut self, op: Op, cx: &mut Context<'_>) -> Poll<Result<Decision, Error>> {
        if let Self::New(throttle, subject, units) = self
            && let Some(decision) = pipeline::at_once(throttle, subject, op, *units)
        {
            *self = Self::Done;
            return Poll::Ready(decision);
        }
        self.wait(op, cx)
    }

    #[cold]
    fn wait(&mut self, op: Op, cx: &mut Context<'_>) -> Poll<Result<Decision, Error>> {
        *self = match std::mem::replace(self, Self::Done) {
            Self::New(throttle, subject, units) => Self::Waiting(Box::pin(async move {
                Ok(pipeline::decide(&[Entry::new(throttle)], subject, op, units).await?.into_decision())
            })),
            waiting => waiting,
        };
        match self {
            Self::Waiting(future) => future.as_mut().poll(cx),
            // Polled again after it was ready: never, rather than a panic in a library.
            Self::New(..) | Self::Done => Poll::Pending,
        }
    }
}
