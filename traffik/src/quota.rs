//! [`Quota`] and [`QuotaContext`]: hits that are queued, and charged together at the end or not at all.

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

/// Queued hits of one throttle, from [`Throttle::quota`].
///
/// Those of several throttles are a [`QuotaContext`], whose `Target` is `()`.
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
#[must_use = "what a quota has queued is charged only when it is applied"]
pub struct Quota<'a, Target = Throttle> {
    queue: Queue<'a>,
    /// The throttle whose units are queued, or `()` where each call of `add` names one.
    target: Target,
}

/// Queued hits of several throttles, decided as one.
///
/// It has the methods of a [`Quota`], except that each `add` names a throttle.
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
pub type QuotaContext<'a> = Quota<'a, ()>;

impl<'a> Quota<'a> {
    pub(crate) fn of(throttle: &Throttle, subject: impl IntoSubject<'a>) -> Self {
        Self { queue: Queue::new(subject.into_subject()), target: throttle.clone() }
    }

    /// Queues units.
    pub fn add(&self, units: u64) {
        self.queue.add(&self.target, units);
    }
}

impl<Target: Clone> Quota<'_, Target> {
    /// Checks whether what is queued would pass, together with what is queued in the outer
    /// contexts. Charges nothing. Returns [`Decision::Exempt`] if nothing is queued.
    ///
    /// # Errors
    /// Same as [`Throttle::check`].
    pub async fn check(&self) -> Result<Decision, Error> {
        self.queue.check().await
    }

    /// Charges what is queued in one call, all or nothing.
    ///
    /// If it succeeds, only what is added afterwards is queued, so a second call charges nothing. A
    /// refusal leaves the queue unchanged; a failure empties it, since its hits may have been
    /// charged, and so does dropping the returned future. In a nested context, the queue is added to
    /// that of the outer context instead, which decides in the end, and [`Decision::Exempt`] is
    /// returned.
    ///
    /// # Errors
    /// Same as [`Throttle::hit`].
    pub async fn apply(&self) -> Result<Decision, Error> {
        self.queue.apply().await
    }

    /// Charges what is queued now, and holds it: [`apply`](Self::apply) makes the charge final,
    /// [`cancel`](Self::cancel) gives it back. If the context is dropped while it holds a charge,
    /// the throttle's [`OnCancel`](crate::OnCancel) applies; by default the charge stays. Unlike a
    /// lock, this keeps nobody waiting.
    ///
    /// # Errors
    /// Same as [`Throttle::hit`].
    pub async fn reserve(&self) -> Result<Decision, Error> {
        self.queue.reserve().await
    }

    /// Drops what is queued, and gives back what [`reserve`](Self::reserve) holds. What has been
    /// applied stays charged.
    ///
    /// # Errors
    /// Fails if the backend call for a held charge fails; it is then unknown whether the charge was
    /// given back.
    pub async fn cancel(&self) -> Result<(), Error> {
        self.queue.cancel().await
    }

    /// Creates a context inside this one. What it applies joins this queue; what it cancels does
    /// not.
    pub fn nested(&self) -> Self {
        Self { queue: self.queue.nested(), target: self.target.clone() }
    }

    /// Returns the units that are queued and not yet charged.
    #[must_use]
    pub fn queued_cost(&self) -> u64 {
        self.queue.queued_cost()
    }

    /// Returns the units applied: charged, or handed to the outer context. Hits that pass uncounted
    /// are not included.
    #[must_use]
    pub fn applied_cost(&self) -> u64 {
        self.queue.applied_cost()
    }

    /// Returns whether anything is queued or held, and so still to be applied or cancelled.
    #[must_use]
    pub fn active(&self) -> bool {
        self.queue.active()
    }

    /// Returns how many contexts this one is nested in.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.queue.depth()
    }

    /// Sets the errors of the work after which [`run`](Self::run) still [applies](Self::apply) the
    /// queue, since the work was done: `true` for all of them, or
    /// `|error: &BoxError| error.is::<Timeout>()`.
    pub fn apply_on_error(self, errors: impl PaidErrors + 'static) -> Self {
        self.queue.on_error(Box::new(errors));
        self
    }

    /// Runs the work, then [applies](Self::apply) on `Ok` and [cancels](Self::cancel) on `Err`.
    ///
    /// # Errors
    /// Returns [`QuotaError::Work`] for the work's own error, [`QuotaError::Refused`] if its quota
    /// was refused, at the end or (as [`Throttled`](crate::Throttled)) within the work, and
    /// [`QuotaError::Failed`] if no decision could be made.
    pub async fn run<W, F, T>(self, work: W) -> Result<T, QuotaError>
    where
        W: FnOnce(Self) -> F,
        F: Future<Output = Result<T, BoxError>>,
    {
        let outcome = work(Self { queue: self.queue.clone(), target: self.target.clone() }).await;
        self.queue.end(outcome).await
    }
}

impl<'a> QuotaContext<'a> {
    /// Creates an empty context for this subject.
    pub fn new(subject: impl IntoSubject<'a>) -> Self {
        Self { queue: Queue::new(subject.into_subject()), target: () }
    }

    /// Queues units of a throttle. Consecutive units of the same throttle become one hit.
    pub fn add(&self, throttle: &Throttle, units: u64) {
        self.queue.add(throttle, units);
    }
}

/// Shows uids and units, but no identities.
impl<Target> fmt::Debug for Quota<'_, Target> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Quota").field(&self.queue).finish()
    }
}
