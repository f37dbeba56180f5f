//! `tower` layers: the pipeline around any service over `http::Request`.
//!
//! | layer | purpose |
//! |---|---|
//! | [`ThrottleLayer`] | applies throttles to every request that passes through it |
//! | [`TraffikLayer`] | gives every request the settings of a [`Traffik`](crate::Traffik): backend, client address, responses |
//! | [`BackendLayer`] | sets where the dynamic throttles inside it count |
//!
//! # Order
//!
//! With axum's `Router::layer`, the layer added last is the outermost, and the first to see a request:
//!
//! ```
//! # use axum::{Router, routing::get};
//! # use traffik::{Throttle, ThrottleLayer, Traffik};
//! # let global = Throttle::builder("docs:order").rate("20/min").build()?;
//! # #[derive(Clone)] struct CorsLayer;
//! # impl<S> tower_layer::Layer<S> for CorsLayer { type Service = S; fn layer(&self, inner: S) -> S { inner } }
//! # let cors = CorsLayer;
//! let app: Router = Router::new()
//!     .route("/", get(async || "hello"))
//!     .layer(ThrottleLayer::new([&global]))
//!     .layer(Traffik::builder().build().layer())   // outside the throttles that it configures
//!     .layer(cors);                                // outside everything that refuses
//! # Ok::<(), traffik::Error>(())
//! ```
//!
//! A CORS layer belongs outside the throttles. It then answers preflights itself, so that they are not
//! counted, and adds its headers to a `429`; without them, the browser would show the script a network
//! error. Name the headers that scripts may read: `expose_headers([RETRY_AFTER, …])`. If that order is
//! impossible, let preflights pass: [`bypass_if().method(Method::OPTIONS)`](crate::bypass_if).

mod admission;
mod backend_layer;
mod body;
mod charge;
mod layer_context;
mod layer_records;
mod outcome;
mod throttle_future;
mod throttle_layer;
mod traffik_layer;

#[cfg(feature = "axum")]
pub(crate) use admission::{
    Admission, Pending, Place, ResponseWork, ThrottleUse, admit, admit_now, turned_away,
};
pub use backend_layer::{BackendFuture, BackendLayer, BackendService};
pub use body::ThrottleBody;
pub use charge::{Charge, ChargeRejection};
#[cfg(feature = "axum")]
pub(crate) use charge::{attach_charge, hold_layer_charges};
pub(crate) use layer_context::LayerContext;
pub use outcome::{Outcome, OutcomeRejection};
pub use throttle_future::ThrottleFuture;
pub use throttle_layer::{AsThrottle, ThrottleLayer, ThrottleService};
pub use traffik_layer::{TraffikLayer, TraffikService};
