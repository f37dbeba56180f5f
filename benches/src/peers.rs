//! The other rate limiters for axum: one route under each, for the same clients, at a rate that lets everything pass.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::routing::get;
use axum_governor::Quota;
use axum_governor::extractor::PeerIp;
use axum_limit::{Key, LimitPerSecond, LimitState, StorageKey};
use tower_governor::GovernorLayer;
use tower_governor::governor::GovernorConfigBuilder;

async fn bare() -> &'static str {
    "ok"
}

pub fn ungoverned() -> Router {
    Router::new().route("/", get(bare))
}

/// `tower_governor`, with or without `X-RateLimit-*` headers.
pub fn tower_governor(headers: bool) -> Router {
    let mut builder = GovernorConfigBuilder::default();
    builder.per_nanosecond(1).burst_size(1000);
    if headers {
        let config = builder.use_headers().finish().expect("a bench set up wrongly should stop");
        ungoverned().layer(GovernorLayer::new(Arc::new(config)))
    } else {
        let config = builder.finish().expect("a bench set up wrongly should stop");
        ungoverned().layer(GovernorLayer::new(Arc::new(config)))
    }
}

/// `axum-governor`, which always writes both families of headers.
pub fn axum_governor() -> Router {
    let config = axum_governor::GovernorConfigBuilder::default()
        .with_extractor(PeerIp::default())
        .expect_connect_info()
        .quota_default(Quota::requests_per_second(NonZeroU32::MAX))
        .gc_disable()
        .finish()
        .expect("a bench set up wrongly should stop");
    ungoverned().layer(axum_governor::GovernorLayer::new(config))
}

/// The client's address as a key for `axum-limit`, which does not provide one.
#[derive(Clone)]
struct Peer(IpAddr);

impl Key for Peer {
    type Extractor = ConnectInfo<SocketAddr>;

    fn from_extractor(ConnectInfo(peer): &Self::Extractor) -> Self {
        Self(peer.ip())
    }
}

impl StorageKey for Peer {
    fn storage_key(&self) -> String {
        self.0.to_string()
    }
}

/// `axum-limit`, an extractor in the handler. It writes headers only on refusals.
pub fn axum_limit() -> Router {
    async fn limited(_: LimitPerSecond<1_000_000_000, Peer>) -> &'static str {
        "ok"
    }
    Router::new().route("/", get(limited)).with_state(LimitState::<Peer>::default())
}
