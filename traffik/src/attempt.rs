//! What `hit`, `check` and `stat` return: a question that can still be told its cost, and is asked
//! when awaited.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::backend::{BoxFuture, Op};
use crate::decision::{Decision, Stat};
use crate::error::Error;
use crate::pipeline::{self, Entry, Failure, Ruling};
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
                self.0.poll($op, cx).map(|ruling| Ok(($read)(ruling?)))
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
    Attempt, Op::Hit, None, Decision, AttemptFuture, Ruling::into_decision
}

question! {
    /// A hit that is only asked about. Await it.
    Check, Op::Check, None, Decision, CheckFuture, Ruling::into_decision
}

question! {
    /// A question about an account. Await it.
    StatOf, Op::Check, Some(1), Option<Stat>, StatFuture, |ruling: Ruling| ruling.into_decision().stat().cloned()
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
    Waiting(BoxFuture<'a, Result<Ruling, Failure>>),
    Done,
}

impl<'a> Asking<'a> {
    #[inline]
    fn poll(&mut self, op: Op, cx: &mut Context<'_>) -> Poll<Result<Ruling, Failure>> {
        loop {
            match std::mem::replace(self, Self::Done) {
                Self::New(throttle, subject, units) => {
                    let entries = [Entry::new(throttle)];
                    if pipeline::is_immediate(&entries, &subject) {
                        // The immediate pipeline never waits, so it never needs to be kept: nothing
                        // is boxed.
                        if let Some(ruling) = pipeline::at_once(pipeline::decide(&entries, subject, op, units)) {
                            return Poll::Ready(ruling);
                        }
                        return Poll::Ready(Err(Failure::broken_promise()));
                    }
                    *self = Self::Waiting(Box::pin(async move {
                        pipeline::decide(&[Entry::new(throttle)], subject, op, units).await
                    }));
                }
                Self::Waiting(mut future) => {
                    let poll = future.as_mut().poll(cx);
                    if poll.is_pending() {
                        *self = Self::Waiting(future);
                    }
                    return poll;
                }
                // Polled again after it was ready: never, rather than a panic in a library.
                Self::Done => return Poll::Pending,
            }
        }
    }
}
