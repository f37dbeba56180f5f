//! `tower` layers: the pipeline around any service over `http::Request`.
//!
//! | layer | does |
//! |---|---|
//! | [`ThrottleLayer`] | applies throttles to every request that passes |
//! | [`TraffikLayer`] | gives a [`Traffik`](crate::Traffik) to every request: backend, client address, answers |
//! | [`BackendLayer`] | says where the dynamic throttles inside count |
//!
//! # Order
//!
//! With axum's `Router::layer` the layer added last is the outermost, the first to see a request:
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
//!     .layer(Traffik::builder().build().layer())   // outside of what it speaks to
//!     .layer(cors);                                // outside of what refuses
//! # Ok::<(), traffik::Error>(())
//! ```
//!
//! A CORS layer stands outside the throttles. It then answers preflights itself, so that they are
//! not counted, and adds its headers to a `429`, without which the browser would show the script a
//! network error. Name the headers that scripts may read: `expose_headers([RETRY_AFTER, …])`. Where
//! the order can't be had, let preflights pass:
//! [`bypass_if().method(Method::OPTIONS)`](crate::bypass_if).

mod admission;
mod around;
mod backend_layer;
mod body;
mod charge;
mod marks;
mod outcome;
mod throttle_future;
mod throttle_layer;
mod traffik_layer;

#[cfg(feature = "axum")]
pub(crate) use admission::{After, First, Place, Use, admit, admit_now, turned_away};
pub(crate) use around::Around;
pub use backend_layer::{BackendFuture, BackendLayer, BackendService};
pub use body::ThrottleBody;
pub use charge::{Charge, ChargeRejection};
#[cfg(feature = "axum")]
pub(crate) use charge::{promised, ready};
pub use outcome::{Outcome, OutcomeRejection};
pub use throttle_future::ThrottleFuture;
pub use throttle_layer::{ThrottleLayer, ThrottleService};
pub use traffik_layer::{TraffikLayer, TraffikService};
