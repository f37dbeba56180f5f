//! A server on a free port, a client, and an app whose clock stands still.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use http::HeaderMap;
use traffik::test_kit::ManualClock;
use traffik::{MemoryBackend, Registry, Throttle, ThrottleBuilder, Traffik, TraffikBuilder};

/// Serves a router for as long as the test's runtime lives.
pub(crate) async fn serve(router: Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(traffik::axum::serve(listener, router).into_future());
    address
}

/// Creates an in-memory store and the manual clock that controls it.
pub(crate) fn memory() -> (MemoryBackend, ManualClock) {
    let clock = ManualClock::new();
    (MemoryBackend::builder().clock(clock.clone()).build(), clock)
}

/// Returns a builder for an app with its own in-memory store and a stopped clock.
pub(crate) fn app() -> TraffikBuilder {
    Traffik::builder().backend(memory().0)
}

/// Returns a builder for a throttle in a registry of its own.
pub(crate) fn throttle(uid: &str, rate: &str) -> ThrottleBuilder {
    Throttle::builder(uid).rate(rate).registry(&Registry::new())
}

/// A response.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Reply {
    /// Returns the value of a header, which must not occur more than once.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let values: Vec<_> = self.headers.get_all(name).iter().collect();
        assert!(values.len() <= 1, "{name} comes {} times", values.len());
        values.first().map(|value| value.to_str().unwrap())
    }

    /// Returns `X-RateLimit-Limit`, `-Remaining` and `-Reset`.
    pub(crate) fn legacy(&self) -> Option<[u64; 3]> {
        let number = |name| self.header(name).map(|value| value.parse().unwrap());
        Some([number("x-ratelimit-limit")?, number("x-ratelimit-remaining")?, number("x-ratelimit-reset")?])
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

#[derive(Clone)]
pub(crate) struct Client {
    client: reqwest::Client,
    server: SocketAddr,
}

impl Client {
    pub(crate) async fn of(router: Router) -> Self {
        Self::at(serve(router).await)
    }

    pub(crate) fn at(server: SocketAddr) -> Self {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().unwrap();
        Self { client, server }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[]).await
    }

    pub(crate) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
        let method = method.parse().unwrap();
        let mut request = self.client.request(method, format!("http://{}{path}", self.server));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Reply { status, headers, body: response.text().await.unwrap() }
    }

    /// Sends `N` requests in a row and returns their statuses.
    pub(crate) async fn statuses<const N: usize>(&self, path: &str) -> [u16; N] {
        let mut statuses = [0; N];
        for status in &mut statuses {
            *status = self.get(path).await.status;
        }
        statuses
    }
}
