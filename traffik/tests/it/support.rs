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
    Backend, BackendError, BoxFuture, Hit, MemoryBackend, Op, Registry, Throttle, ThrottleBuilder, Traffik,
    Verdicts,
};

pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A request from a client of this address.
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

/// The statuses of `n` equal requests.
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

/// A router on counters of its own, with a clock moved by hand.
pub(crate) fn isolated(app: Router) -> (Router, ManualClock) {
    let clock = ManualClock::new();
    let memory = MemoryBackend::builder().clock(clock.clone()).build();
    (app.layer(Traffik::builder().backend(memory).build().layer()), clock)
}

/// A throttle in a registry and on a store of its own.
pub(crate) fn alone(uid: &str) -> (ThrottleBuilder, ManualClock) {
    let clock = ManualClock::new();
    let memory = MemoryBackend::builder().clock(clock.clone()).build();
    (Throttle::builder(uid).registry(&Registry::new()).backend(memory), clock)
}

/// What the client of the tests has used.
pub(crate) async fn used(throttle: &Throttle) -> u64 {
    throttle.stat("ann").await.unwrap().unwrap().used
}

/// A store whose answers are on their way for a while, when it has done what it was asked. For tests whose clock is
/// paused: nobody waits.
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

/// A store whose clock stands still, so that no test sees the end of a window by chance.
pub(crate) fn still() -> MemoryBackend {
    MemoryBackend::builder().clock(ManualClock::new()).build()
}
