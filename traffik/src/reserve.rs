//! [`Reservation`]: a charge whose actual cost is known only afterwards.
//!
//! The likely cost is charged up front, and corrected once the actual cost is known: a lower one gives the
//! difference back, a higher one takes it. Either way it is one call to the store.

mod ask;
mod open_charge;
mod reservation;
mod settle;

pub use ask::{Reserve, ReserveError};
#[cfg(feature = "tower")]
pub(crate) use open_charge::{OpenCharge, give_back};
pub use reservation::Reservation;
pub use settle::Settled;
