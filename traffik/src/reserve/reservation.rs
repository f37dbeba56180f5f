//! [`Reservation`]: the handle on what was charged, to settle, keep or cancel it.

use std::fmt;
use std::sync::Arc;

use super::open_charge::OpenCharge;
use super::settle::{self, Settled};
use crate::error::Error;
use crate::pipeline::Decisions;
use crate::throttle::Throttle;

/// A charge whose actual cost is yet to be settled.
///
/// Created by [`Throttle::reserve`](crate::Throttle::reserve), and in a handler by
/// [`Charge::of`]. If it is dropped unsettled, the throttle's
/// [`OnCancel`](crate::OnCancel) applies: by default, what was reserved stays charged.
///
/// ```
/// # use traffik::{MemoryBackend, Settled, Throttle};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let tokens = Throttle::builder("docs:reservation").rate("100000/day").backend(MemoryBackend::new()).build()?;
/// let reservation = tokens.reserve("user:42").cost(500).await?;
/// // … 317 tokens later:
/// assert_eq!(reservation.settle(317).await?, Settled::InFull);
/// assert_eq!(tokens.stat("user:42").await?.map(|stat| stat.used), Some(317));
/// # Ok(()) }
/// ```
///
#[cfg_attr(feature = "tower", doc = "[`Charge::of`]: crate::Charge::of")]
#[cfg_attr(
    not(feature = "tower"),
    doc = "[`Charge::of`]: https://docs.rs/traffik/latest/traffik/tower/struct.Charge.html#method.of"
)]
#[must_use = "a reservation must be settled or cancelled; dropping it applies the throttle's `OnCancel`"]
#[derive(Default)]
pub struct Reservation(Vec<Arc<OpenCharge>>);

impl Reservation {
    pub(crate) fn new(charges: impl IntoIterator<Item = Arc<OpenCharge>>) -> Self {
        Self(charges.into_iter().collect())
    }

    /// Holds a charge that has just been made under each of these throttles, if any was.
    pub(crate) fn hold<'a>(
        throttles: impl IntoIterator<Item = &'a Throttle>,
        decisions: &mut Decisions,
    ) -> Self {
        let decided = throttles.into_iter().zip(&mut decisions.each);
        Self::new(decided.filter_map(|(throttle, decided)| {
            let charge = OpenCharge::new(decided.charged.take()?, throttle.settings().on_cancel);
            charge.mark_held();
            Some(Arc::new(charge))
        }))
    }

    /// Several as one, to be settled together.
    pub(crate) fn join(reservations: impl IntoIterator<Item = Self>) -> Self {
        Self(reservations.into_iter().flat_map(|one| one.0).collect())
    }

    /// Returns `true` if nothing was charged: the client is exempt, the throttle is off, or a refusal was
    /// let pass. There is nothing to settle then, and settling does no harm.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the units currently charged, summed over all throttles.
    #[must_use]
    pub fn charged(&self) -> u64 {
        self.0.iter().fold(0, |sum, charge| sum.saturating_add(charge.charged()))
    }

    /// Corrects the charge to what was used, in units of cost.
    ///
    /// Units reserved in excess are given back, but only into the window that they were charged in. Units
    /// used in excess are charged now, as far as there is room under the limit that was in force at the
    /// reservation. This is one call to the store. A second settlement changes nothing.
    ///
    /// A future that is dropped before it completes may or may not have settled.
    ///
    /// # Errors
    /// Fails if the backend call fails; it is then unknown whether anything was corrected. Being over the
    /// limit is not an error: see [`Settled`].
    pub async fn settle(self, actual: u64) -> Result<Settled, Error> {
        settle::all(&self.0, actual).await
    }

    /// Keeps the charge as it is, whatever the throttle's [`OnCancel`](crate::OnCancel) says.
    pub fn keep(self) {
        for charge in &self.0 {
            charge.close();
        }
    }

    /// Gives the whole charge back, into the window that it was made in: the work was not done.
    ///
    /// # Errors
    /// Same as [`settle`](Self::settle).
    pub async fn cancel(self) -> Result<(), Error> {
        self.settle(0).await.map(drop)
    }
}

/// Shows uids and units, but no identities.
impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter().map(|charge| (charge.receipt.uid(), charge.charged()))).finish()
    }
}
