//! Rate limiting for axum in one line: request costs, several limits decided all-or-nothing, free
//! exemptions, counters in memory or in Redis, and a backend chosen per request.
//!
//! ```no_run
//! use axum::{Router, routing::get};
//! use traffik::throttle;
//!
//! #[throttle("api:burst", rate = "20/min")]
//! #[throttle("api:sustained", rate = "500/hour")]
//! async fn data() -> &'static str { "hello" }
//!
//! #[tokio::main]
//! async fn main() -> std::io::Result<()> {
//!     let app = Router::new().route("/api/data", get(data));
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
//!     traffik::axum::serve(listener, app).await
//! }
//! ```
//!
//! Both limits must pass. A client that exceeds either of them gets `429` with `Retry-After` and is charged
//! under neither.
//!
//! # Throttles as values
//!
//! The [attribute][throttle] expands to the [builder](Throttle::builder): both offer the same options.
//!
//! ```
//! use std::sync::LazyLock;
//! use traffik::{EXEMPTED, Identity, Parts, Throttle};
//!
//! fn tiered(req: &Parts) -> Identity {
//!     if req.headers.get("x-admin-token").is_some_and(|t| t == "s3cret") { return EXEMPTED }
//!     match req.headers.get("x-api-key").and_then(|k| k.to_str().ok()) {
//!         Some(key) => Identity::key(format!("key:{key}")),
//!         None => traffik::client_ip(req),
//!     }
//! }
//!
//! static EXPORT: LazyLock<Throttle> = LazyLock::new(|| {
//!     Throttle::builder("export").rate("100/min").cost(10).identifier(tiered).build().unwrap()
//! });
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let decision = EXPORT.hit("user:42").cost(3).await?;
//! if let Some(refused) = decision.throttled() {
//!     println!("retry after {:?}", refused.retry_after());
//! }
//! decision.into_result()?;
//! # Ok(()) }
//! ```
//!
//! # Backends
//!
//! Hits are counted in this process's memory unless another backend is configured. [`install`] sets the
//! default for the process, [`Traffik::layer`] for a router, and [`ThrottleBuilder::backend`] for a single
//! throttle. A throttle with a [`dynamic_backend`](ThrottleBuilder::dynamic_backend) looks up its backend
//! on every request, in the context set by a [`BackendLayer`] or by [`SharedBackend::scope`].
//!
//! # Strategies
//!
//! The [`strategy`] determines how hits are counted. All arithmetic uses integers, and every backend makes
//! the same decision to the microsecond.
//!
#![cfg_attr(
    all(
        doc,
        feature = "macros",
        feature = "redis",
        feature = "ws",
        feature = "metrics",
        feature = "test-kit"
    ),
    doc = "# Guide\n\nOne chapter per topic, with pictures, a production checklist and every error: [the guide](docs).\n"
)]
//! # Features
//!
//! | feature | enables | default |
//! |---|---|---|
//! | `macros` | [`#[throttle]`][throttle] | yes |
//! | `axum` | the gate, extractors, [`axum::serve`] | yes |
//! | `memory` | [`MemoryBackend`] | yes |
//! | `tower` | layers over any `http::Request` service | with `axum` |
//! | `ws` | throttled messages on axum's WebSockets | no |
//! | `aide` | throttled handlers in `aide`'s schemas; the gate itself does not appear in them | no |
//! | `redis` | `RedisBackend` | no |
//! | `redis-cluster` | `RedisBackendBuilder::cluster` | no |
//! | `redis-sentinel` | `RedisBackendBuilder::sentinel` | no |
//! | `metrics` | counters, gauges and histograms through the `metrics` facade, listed in `traffik::metrics` | no |
//! | `test-kit` | a manually advanced clock, a backend that fails on demand, a conformance suite for backends | no |
//! | `tokio` | deadlines for calls to your own [`Backend`], if no other feature brings in a runtime | with `axum`, `tower` and `redis` |
//!
// Where an item is left out, links to it lead to its published documentation.
#![cfg_attr(
    not(feature = "macros"),
    doc = "[throttle]: https://docs.rs/traffik/latest/traffik/attr.throttle.html"
)]
#![cfg_attr(
    not(feature = "tower"),
    doc = "[`Traffik::layer`]: https://docs.rs/traffik/latest/traffik/struct.Traffik.html#method.layer"
)]
#![cfg_attr(
    not(feature = "tower"),
    doc = "[`BackendLayer`]: https://docs.rs/traffik/latest/traffik/tower/struct.BackendLayer.html"
)]
#![cfg_attr(
    not(feature = "axum"),
    doc = "[`axum::serve`]: https://docs.rs/traffik/latest/traffik/axum/fn.serve.html"
)]
#![cfg_attr(
    not(feature = "memory"),
    doc = "[`MemoryBackend`]: https://docs.rs/traffik/latest/traffik/struct.MemoryBackend.html"
)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod app;
mod attempt;
mod backend;
mod box_future;
mod client_ip;
mod clock;
mod cold_option;
mod decision;
// The guide's examples use all of these features.
#[cfg(all(
    doc,
    feature = "macros",
    feature = "redis",
    feature = "ws",
    feature = "metrics",
    feature = "test-kit"
))]
pub mod docs;
mod error;
mod few;
mod hit_outcome;
mod identity;
mod key;
mod log_limit;
#[cfg(feature = "metrics")]
pub mod metrics;
mod observe;
mod on_cancel;
mod operations;
mod outage;
// Only HTTP needs receipts and per-throttle decisions; the bare engine does not.
#[cfg_attr(not(feature = "tower"), allow(dead_code))]
mod pipeline;
mod policy;
mod quota;
mod rate;
mod registry;
mod request_fn;
mod reserve;
mod resilience;
mod retry;
mod run_to_completion;
mod settings;
mod subject;
mod throttle;
mod uid;

#[cfg(feature = "axum")]
pub mod axum;
#[cfg(feature = "tower")]
mod headers;
#[cfg(feature = "axum")]
#[doc(hidden)]
pub mod private;
#[cfg(feature = "tower")]
pub mod response;
pub mod rules;
pub mod strategy;
#[cfg(feature = "test-kit")]
pub mod test_kit;
#[cfg(feature = "tower")]
pub mod tower;

pub use app::{Traffik, TraffikBuilder, client_ip, install};
pub use attempt::{Attempt, AttemptFuture, Check, CheckFuture, StatFuture, StatOf};
#[cfg(feature = "axum")]
pub use axum::Gate;
#[cfg(feature = "ws")]
pub use axum::{GuardedSocket, SocketAction};
pub use backend::context::Scope;
pub use backend::denials::DenialCache;
#[cfg(feature = "memory")]
pub use backend::memory::{DEFAULT_CAPACITY, MemoryBackend, MemoryBackendBuilder};
#[cfg(feature = "redis")]
pub use backend::redis::{RedisBackend, RedisBackendBuilder};
pub use backend::{
    Backend, BackendError, BoxFuture, DEFAULT_DEADLINE, Hit, Op, SharedBackend, Verdict, Verdicts,
};
pub use client_ip::{ClientIp, ForwardedHeader, Peer};
pub use clock::{Clock, SystemClock};
pub use decision::{Decision, Stat, Throttled};
pub use error::Error;
#[cfg(feature = "tower")]
pub use headers::Headers;
pub use identity::{ANONYMOUS, EXEMPTED, Identity, Priority, Who};
pub use on_cancel::OnCancel;
pub use pipeline::hit_all;
pub use policy::Policy;
pub use quota::{BoxError, PaidErrors, Quota, QuotaContext, QuotaError};
pub use rate::{IntoRate, Rate};
pub use registry::Registry;
pub use request_fn::{AsyncRequestFn, IntoRequestFn, RequestFn, SyncRequestFn, Yields};
pub use reserve::{Reservation, Reserve, ReserveError, Settled};
pub use resilience::{BreakerState, CircuitBreaker, CircuitBreakerBuilder, OnError};
pub use rules::{Rule, bypass_if, throttle_if};
pub use subject::{IntoSubject, Subject};
pub use throttle::Throttle;
pub use throttle::builder::ThrottleBuilder;
#[cfg(feature = "tower")]
pub use tower::{BackendLayer, Charge, Outcome, ThrottleLayer};
#[cfg(feature = "macros")]
pub use traffik_macros::throttle;

/// The head of an HTTP request: method, URI, headers and extensions. Identifiers, costs and rules are
/// functions of it.
pub use http::request::Parts;
