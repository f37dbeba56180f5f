//! Rate limiting for axum in one line.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod app;
mod attempt;
mod backend;
mod client_ip;
mod clock;
mod decision;
mod error;
mod identity;
mod key;
mod pipeline;
mod policy;
mod rate;
mod registry;
mod request_fn;
mod resilience;
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

pub use app::{Traffik, TraffikBuilder, install};
pub use attempt::{Attempt, AttemptFuture, Check, CheckFuture, StatFuture, StatOf};
pub use backend::context::Scope;
#[cfg(feature = "memory")]
pub use backend::memory::{DEFAULT_CAPACITY, MemoryBackend, MemoryBackendBuilder};
#[cfg(feature = "redis")]
pub use backend::redis::{RedisBackend, RedisBackendBuilder};
pub use backend::{
    Backend, BackendError, BoxFuture, DEFAULT_DEADLINE, Hit, Op, SharedBackend, Verdict, Verdicts,
};
pub use client_ip::{ClientIp, ForwardedHeader, Peer, client_ip};
pub use clock::{Clock, SystemClock};
pub use decision::{Decision, Stat, Throttled};
pub use error::Error;
#[cfg(feature = "tower")]
pub use headers::Headers;
pub use identity::{ANONYMOUS, EXEMPTED, Identity, Priority, Who};
pub use pipeline::hit_all;
pub use policy::Policy;
pub use rate::{IntoRate, Rate};
pub use registry::Registry;
pub use request_fn::{AsyncRequestFn, IntoRequestFn, RequestFn, Yields};
pub use resilience::OnError;
pub use rules::{Rule, bypass_if, throttle_if};
pub use subject::{IntoSubject, Subject};
pub use throttle::{Throttle, ThrottleBuilder};
#[cfg(feature = "axum")]
pub use axum::Gate;
#[cfg(feature = "ws")]
pub use axum::{GuardedSocket, SocketAction};
#[cfg(feature = "tower")]
pub use tower::{BackendLayer, Outcome, ThrottleLayer};
#[cfg(feature = "macros")]
pub use traffik_macros::throttle;

/// The head of an HTTP request: method, uri, headers, extensions. What identifiers, costs and rules
/// are functions of.
pub use http::request::Parts;
