//! [`Quota`] and [`QuotaContext`]: hits that are queued, and charged together in the end or not at
//! all.

mod error;
mod paid;
mod queue;

use std::fmt;
use std::future::Future;

pub use error::{BoxError, QuotaError};
pub use paid::PaidErrors;
use queue::Queue;

use crate::decision::Decision;
use crate::error::Error;
use crate::subject::IntoSubject;
use crate::throttle::Throttle;

macro_rules! quota {
    ($name:ident) => {
        impl<'a> $name<'a> {
            /// Would what is queued pass, with what is queued in the contexts outside? Charges nothing.
            /// [`Decision::Exempt`] if nothing is queued.
            ///
            /// # Errors
            /// As [`Throttle::check`].
            pub async fn check(&self) -> Result<Decision, Error> {
                self.0.check().await
            }

            /// Charges what is queued, all of it or nothing, in one call. Queued afterwards is only what
            /// is added afterwards, so that a second call charges nothing. A refusal leaves the queue as it
            /// was; a failure empties it, since it may have been charged. Inside another context it is
            /// added to that one instead, which decides in the end, and `Exempt` is returned.
            ///
            /// # Errors
            /// As [`Throttle::hit`].
            pub async fn apply(&self) -> Result<Decision, Error> {
                self.0.apply().await
            }

            /// Takes what is queued now, and holds it: [`apply`](Self::apply) lets it stand,
            /// [`cancel`](Self::cancel) gives it back. A context that is dropped with it goes by the throttle's
            /// [`OnCancel`](crate::OnCancel): it stays charged, unless that says otherwise. A lock would keep others
            /// waiting instead.
            ///
            /// # Errors
            /// As [`Throttle::hit`].
            pub async fn reserve(&self) -> Result<Decision, Error> {
                self.0.reserve().await
            }

            /// Drops what is queued, and gives back what is held by [`reserve`](Self::reserve). What has
            /// been applied stays.
            ///
            /// # Errors
            /// When the backend of something held cannot be asked; whether it was given back is then
            /// unknown.
            pub async fn cancel(&self) -> Result<(), Error> {
                self.0.cancel().await
            }

            /// A context inside this one. What it applies joins the queue here; what it cancels does not.
            #[must_use]
            pub fn nested(&self) -> Self {
                Self(self.0.nested(), self.1.clone())
            }

            /// Units queued and not yet charged.
            #[must_use]
            pub fn queued_cost(&self) -> u64 {
                self.0.queued_cost()
            }

            /// Units applied: charged, or handed to the outer context. Of a client who passes uncounted nothing is.
            #[must_use]
            pub fn applied_cost(&self) -> u64 {
                self.0.applied_cost()
            }

            /// Whether something is queued or held, and so still to be applied or cancelled.
            #[must_use]
            pub fn active(&self) -> bool {
                self.0.active()
            }

            /// How many contexts this one is inside of.
            #[must_use]
            pub fn depth(&self) -> usize {
                self.0.depth()
            }

            /// Which errors of the work are [applied](Self::apply) for in the end of [`run`](Self::run) all
            /// the same, since the work was done: `true` for all of them, or
            /// `|error: &BoxError| error.is::<Timeout>()`.
            #[must_use]
            pub fn apply_on_error(self, errors: impl PaidErrors + 'static) -> Self {
                self.0.on_error(Box::new(errors));
                self
            }

            /// Runs the work, then [applies](Self::apply) on `Ok` and [cancels](Self::cancel) on `Err`.
            ///
            /// # Errors
            /// The work's own as [`QuotaError::Work`]; [`QuotaError::Refused`] when its quota was refused,
            /// in the end or (as [`Throttled`](crate::Throttled)) within the work;
            /// [`QuotaError::Failed`] when no decision could be made.
            pub async fn run<W, F, T>(self, work: W) -> Result<T, QuotaError>
            where
                W: FnOnce(Self) -> F,
                F: Future<Output = Result<T, BoxError>>,
            {
                let outcome = work(Self(self.0.clone(), self.1.clone())).await;
                self.0.end(outcome).await
            }
        }

        /// Shows uids and units, and nobody's identity.
        impl fmt::Debug for $name<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.0).finish()
            }
        }
    };
}

/// Hits of one throttle, queued; from [`Throttle::quota`].
///
/// ```
/// # use traffik::{MemoryBackend, Throttle};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let rows = Throttle::builder("docs:quota").rate("1000/hour").backend(MemoryBackend::new()).build()?;
/// let written = rows.quota("user:42").run(async |quota| {
///     quota.add(3);
///     quota.add(2);
///     assert_eq!(quota.queued_cost(), 5);
///     Ok("written")                                // charges 5; an error would charge nothing
/// }).await?;
/// assert_eq!(rows.stat("user:42").await?.map(|stat| stat.used), Some(5));
/// # Ok(()) }
/// ```
pub struct Quota<'a>(Queue<'a>, Throttle);

/// Hits of several throttles, queued, and decided as one.
///
/// ```
/// # use traffik::{MemoryBackend, QuotaContext, Throttle};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let memory = MemoryBackend::new();
/// # let rows = Throttle::builder("docs:quotas:rows").rate("1000/hour").backend(memory.clone()).build()?;
/// # let bytes = Throttle::builder("docs:quotas:bytes").rate("1000000/hour").backend(memory).build()?;
/// let quota = QuotaContext::new("user:42");
/// quota.add(&rows, 3);
/// quota.add(&bytes, 4_096);
/// if quota.check().await?.is_allowed() {
///     // … the work …
///     quota.apply().await?.into_result()?;
/// }
/// # Ok(()) }
/// ```
pub struct QuotaContext<'a>(Queue<'a>, ());

quota!(Quota);
quota!(QuotaContext);

impl<'a> Quota<'a> {
    pub(crate) fn new(throttle: &Throttle, subject: impl IntoSubject<'a>) -> Self {
        Self(Queue::new(subject.into_subject()), throttle.clone())
    }

    /// Queues units.
    pub fn add(&self, units: u64) {
        self.0.add(&self.1, units);
    }
}

impl<'a> QuotaContext<'a> {
    /// An empty context about this subject.
    pub fn new(subject: impl IntoSubject<'a>) -> Self {
        Self(Queue::new(subject.into_subject()), ())
    }

    /// Queues units of a throttle. Neighbours of one throttle become one hit.
    pub fn add(&self, throttle: &Throttle, units: u64) {
        self.0.add(throttle, units);
    }
}
