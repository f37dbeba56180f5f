//! [`Charge`]: what a handler's throttles have charged for its request, which the handler can correct.

#[cfg(feature = "axum")]
mod attach;

use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Weak};

use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};
use http::StatusCode;

#[cfg(feature = "axum")]
pub(crate) use attach::{attach_charge, hold_layer_charges};

use super::layer_context::LayerContext;
use crate::Parts;
use crate::error::Error;
use crate::reserve::{OpenCharge, Reservation, Settled};

/// What the handler's throttles have charged for this request: an extractor for handlers that learn the cost only
/// afterwards.
///
/// The attribute recognizes the parameter by its type, so write the name `Charge`, not an alias of it. Handlers
/// without one pay nothing for the feature.
///
/// [`settle`](Self::settle) settles the attributes' throttles, all to the same number. Where there are several,
/// [`of`](Self::of) selects one of them, or one of a layer outside. A charge that is dropped unsettled follows each
/// throttle's [`OnCancel`](crate::OnCancel), also when the client goes away. A charge can be moved into a streamed
/// body and settled at its end. Where no throttle applies, `Charge` is rejected with `500`, and `Option<Charge>` is
/// `None`.
///
/// ```
/// # use traffik::{Charge, throttle};
/// # async fn llm(prompt: String) -> (String, u64) { (prompt, 42) }
/// #[throttle("docs:charge:requests", rate = "60/min")]
/// #[throttle("docs:charge:tokens", rate = "100000/day", cost = 500)]     // reserves 500
/// async fn complete(charge: Charge, prompt: String) -> String {
///     let (answer, tokens) = llm(prompt).await;
///     charge.of("docs:charge:tokens").settle(tokens).await.ok();
///     answer
/// }
/// ```
///
/// The default holds nothing to settle, for handlers that are called as functions in tests.
#[must_use = "a charge must be settled or cancelled; dropping it applies the throttle's `OnCancel`"]
#[derive(Default)]
pub struct Charge {
    /// The attributes' charges, or the layers' where there are no attributes.
    own: Vec<Arc<OpenCharge>>,
    outer: Vec<Arc<OpenCharge>>,
}

impl Charge {
    /// Returns the charge of one throttle. It is empty, and a line is logged, if no throttle with that uid is used
    /// here or the client is exempt from it.
    pub fn of(&self, uid: &str) -> Reservation {
        let named = |charges: &[Arc<OpenCharge>]| {
            let charges = charges.iter().filter(|charge| charge.receipt.uid() == uid);
            // From now on a layer's charge is the handler's to settle.
            Reservation::new(charges.inspect(|charge| charge.mark_held()).cloned())
        };
        let own = named(&self.own);
        let reservation = if own.is_empty() { named(&self.outer) } else { own };
        if reservation.is_empty() {
            tracing::debug!(target: "traffik", uid, "no charge to settle under this uid");
        }
        reservation
    }

    /// All of it as one reservation.
    fn whole(&self) -> Reservation {
        Reservation::new(self.own.iter().cloned())
    }

    /// Returns the units charged at present, summed over all throttles that [`settle`](Self::settle) covers.
    #[must_use]
    pub fn charged(&self) -> u64 {
        self.whole().charged()
    }

    /// Whether nothing was charged that could be settled.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.own.is_empty()
    }

    /// Settles the charge to what was actually used, in units of cost; see [`Reservation::settle`]. Several throttles
    /// are all settled to this number, in one call per store; those settled before stay as they are.
    ///
    /// # Errors
    /// Same as [`Reservation::settle`].
    pub async fn settle(self, actual: u64) -> Result<Settled, Error> {
        self.whole().settle(actual).await
    }

    /// Refunds the whole charge; see [`Reservation::cancel`].
    ///
    /// # Errors
    /// Same as [`Reservation::settle`].
    pub async fn cancel(self) -> Result<(), Error> {
        self.whole().cancel().await
    }
}

/// Shows uids and units, but no identities.
impl fmt::Debug for Charge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.whole().fmt(f)
    }
}

/// What a gate has charged, on its way to the handler. The gate keeps it until the handler has answered; whoever keeps
/// the request's extensions does not.
#[derive(Debug, Clone)]
struct GateCharges(Vec<Weak<OpenCharge>>);

impl GateCharges {
    fn upgrade(&self) -> Vec<Arc<OpenCharge>> {
        self.0.iter().filter_map(Weak::upgrade).collect()
    }
}

impl<S: Sync> FromRequestParts<S> for Charge {
    type Rejection = ChargeRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ChargeRejection> {
        let own = parts.extensions.get::<GateCharges>().map(GateCharges::upgrade);
        if own.is_none() && LayerContext::records(&parts.extensions).is_none() {
            return Err(ChargeRejection);
        }
        let mut outer: Vec<_> = LayerContext::charges(&parts.extensions).map(|(_, charge)| charge).collect();
        let charge = match own {
            Some(own) => {
                outer.retain(|charge| !own.iter().any(|other| Arc::ptr_eq(charge, other)));
                Self { own, outer }
            }
            None => Self { own: outer, outer: Vec::new() },
        };
        charge.own.iter().for_each(|charge| charge.mark_held());
        Ok(charge)
    }
}

/// `None` where no throttle applies, for code that runs in both places.
impl<S: Sync> OptionalFromRequestParts<S> for Charge {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, Infallible> {
        Ok(<Self as FromRequestParts<S>>::from_request_parts(parts, state).await.ok())
    }
}

/// The rejection of a handler that takes a [`Charge`] where no throttle applies. In axum its response is a `500`; the
/// log says how to fix it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChargeRejection;

impl fmt::Display for ChargeRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a handler takes a Charge, but no throttle provided one: put #[throttle] on it, and write the \
             parameter's type as Charge",
        )
    }
}

impl std::error::Error for ChargeRejection {}

impl IntoResponse for ChargeRejection {
    fn into_response(self) -> Response {
        tracing::error!(target: "traffik", "{self}");
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}
