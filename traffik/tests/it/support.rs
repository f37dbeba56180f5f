//! Small helpers.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::Response;
use http::Request;
use tower::ServiceExt;
use traffik::test_kit::ManualClock;
use traffik::{
    Backend, BackendError, BoxFuture, Hit, MemoryBackend, Op, Registry, SharedBackend, Throttle,
    ThrottleBuilder, Traffik, Verdicts,
};

pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Builds a request from a client at this address.
pub(crate) fn get_from(path: &str, ip: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(Body::empty()).unwrap();
    let peer: SocketAddr = format!("{ip}:40000").parse().unwrap();
    request.extensions_mut().insert(ConnectInfo(peer));
    request
}

pub(crate) async fn send(app: &Router, request: Request<Body>) -> Response {
    app.clone().oneshot(request).await.unwrap()
}

/// Sends `n` equal requests and returns their statuses.
pub(crate) async fn statuses(app: &Router, path: &str, ip: &str, n: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..n {
        statuses.push(send(app, get_from(path, ip, &[])).await.status().as_u16());
    }
    statuses
}

pub(crate) async fn body(response: Response) -> String {
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Creates an in-memory store and the manual clock that controls it.
pub(crate) fn memory() -> (MemoryBackend, ManualClock) {
    let clock = ManualClock::new();
    (MemoryBackend::builder().clock(clock.clone()).build(), clock)
}

/// Puts a router on its own in-memory store with a manual clock.
pub(crate) fn isolated(app: Router) -> (Router, ManualClock) {
    let (memory, clock) = memory();
    (app.layer(Traffik::builder().backend(memory).build().layer()), clock)
}

/// Returns a builder for a throttle on this store, in a registry of its own.
pub(crate) fn on(uid: &str, rate: &str, backend: impl Into<SharedBackend>) -> ThrottleBuilder {
    Throttle::builder(uid).rate(rate).backend(backend).registry(&Registry::new())
}

/// Builds a throttle of which nothing else matters.
pub(crate) fn throttle(uid: &str, rate: &str, backend: impl Into<SharedBackend>) -> Throttle {
    on(uid, rate, backend).build().unwrap()
}

/// Returns a builder for a throttle in a registry and on a store of its own, and the clock of that store.
pub(crate) fn alone(uid: &str) -> (ThrottleBuilder, ManualClock) {
    let (memory, clock) = memory();
    (Throttle::builder(uid).registry(&Registry::new()).backend(memory), clock)
}

/// Returns what the client of the tests has used.
pub(crate) async fn used(throttle: &Throttle) -> u64 {
    throttle.stat("ann").await.unwrap().unwrap().used
}

/// A store that acts at once but delivers its answer later. Meant for tests with a paused clock,
/// so that nobody actually waits.
#[derive(Debug)]
pub(crate) struct Far(pub(crate) MemoryBackend);

impl Backend for Far {
    fn name(&self) -> &'static str {
        "far"
    }

    fn decide<'a>(
        &'a self,
        op: Op,
        hits: &'a [Hit<'a>],
    ) -> BoxFuture<'a, std::result::Result<Verdicts, BackendError>> {
        Box::pin(async move {
            let done = self.0.decide(op, hits).await;
            tokio::time::sleep(Duration::from_millis(30)).await;
            done
        })
    }
}

/// Creates a store with a stopped clock, so that no test happens to cross the end of a window.
pub(crate) fn still() -> MemoryBackend {
    MemoryBackend::builder().clock(ManualClock::new()).build()
}
