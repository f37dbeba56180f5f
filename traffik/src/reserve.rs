//! [`Reservation`]: a charge whose true cost is told afterwards.
//!
//! What is likely is charged up front, and corrected once what was used is known: less gives the
//! difference back, more takes it. One call of the store either way.

mod ask;
mod settle;
mod tab;

use std::fmt;
use std::sync::Arc;

pub use ask::{Reserve, ReserveError};
pub(crate) use tab::Tab;
#[cfg(feature = "tower")]
pub(crate) use tab::give_back;

use crate::error::Error;

/// What becomes of a reservation that is dropped without [`settle`](Reservation::settle) or
/// [`cancel`](Reservation::cancel): the client went away, the handler returned early or panicked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnCancel {
    /// It stays charged. Work that was begun has cost something, and a client that hangs up early must
    /// not work for free.
    #[default]
    Keep,
    /// It is given back, at once in memory, and by a task of the runtime elsewhere. For work that
    /// stops with the client.
    Refund,
}

/// What came of a settlement. Of several throttles the worst is told, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Settled {
    /// There was nothing to settle: the client is exempt, or it has been settled before.
    Nothing,
    /// What was used is charged, no more and no less.
    InFull,
    /// What was used is charged, and the account has used this many units more than the limit that was
    /// reserved under: where the strategy allows debt, or the limit has risen since.
    InDebt {
        /// Units above that limit.
        units: u64,
    },
    /// More was used than was left: the account is at its limit (at the end of its debt, where there
    /// is any), and this many units are charged to nobody.
    AtLimit {
        /// Units that found no room.
        missing: u64,
    },
}

impl Settled {
    /// Units that were used and are charged to nobody.
    #[must_use]
    pub fn missing(self) -> u64 {
        match self {
            Self::AtLimit { missing } => missing,
            Self::Nothing | Self::InFull | Self::InDebt { .. } => 0,
        }
    }
}

/// A charge whose true cost is still to be told.
///
/// From [`Throttle::reserve`](crate::Throttle::reserve), and in a handler from
/// [`Charge::of`](crate::Charge::of). Dropped without a word it follows the throttle's
/// [`OnCancel`]: what was reserved stays charged, unless that says otherwise.
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
#[must_use = "what was reserved is settled or cancelled; a drop goes by the throttle's `OnCancel`"]
#[derive(Default)]
pub struct Reservation(Vec<Arc<Tab>>);

impl Reservation {
    pub(crate) fn new(tabs: impl IntoIterator<Item = Arc<Tab>>) -> Self {
        Self(tabs.into_iter().collect())
    }

    /// Several as one, to be settled together.
    pub(crate) fn join(reservations: impl IntoIterator<Item = Self>) -> Self {
        Self(reservations.into_iter().flat_map(|one| one.0).collect())
    }

    /// Whether nothing was charged: the client is exempt, the throttle off, or a refusal was let
    /// pass. There is nothing to settle then, and settling does no harm.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Units charged at present; the sum of all throttles.
    #[must_use]
    pub fn charged(&self) -> u64 {
        self.0.iter().fold(0, |sum, tab| sum.saturating_add(tab.charged()))
    }

    /// Tells what was used, in units of cost. What was reserved beyond is given back, into the
    /// window it was charged in and no other; what was used beyond is charged now, as far as there
    /// is room under the limit that held at the reservation. One call of the store. A second
    /// settlement changes nothing.
    ///
    /// A future that is dropped before it is done may have settled or not.
    ///
    /// # Errors
    /// When the backend cannot be asked; whether anything was corrected is then unknown. Being over
    /// the limit is no error: see [`Settled`].
    pub async fn settle(self, actual: u64) -> Result<Settled, Error> {
        settle::all(&self.0, actual).await
    }

    /// Lets it stand as it is, whatever the throttle's [`OnCancel`] says.
    pub fn keep(self) {
        for tab in &self.0 {
            tab.close();
        }
    }

    /// Gives all of it back, into the window it was charged in: the work was not done.
    ///
    /// # Errors
    /// As [`settle`](Self::settle).
    pub async fn cancel(self) -> Result<(), Error> {
        self.settle(0).await.map(drop)
    }
}

/// Shows uids and units, and nobody's identity.
impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter().map(|tab| (tab.receipt.uid(), tab.charged()))).finish()
    }
}
