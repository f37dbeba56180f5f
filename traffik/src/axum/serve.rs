//! [`serve`]: `axum::serve` with the client's address available.

use std::convert::Infallible;
use std::future::{Future, IntoFuture, Ready, ready};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::extract::ConnectInfo;
use axum::middleware::AddExtension;
use axum::serve::{IncomingStream, Listener};
use axum::{Extension, Router};
use tokio::net::TcpListener;
use tower_layer::Layer;
use tower_service::Service;

/// Serves a router like `axum::serve`, adding `ConnectInfo<SocketAddr>` to every request so that
/// [`client_ip`](crate::client_ip) knows the peer's address.
///
/// Any [`Listener`] will do whose peers have a `SocketAddr`, such as one that terminates TLS.
///
/// # Errors
/// Those of `axum::serve`: none in practice, since accept errors are retried.
///
/// ```no_run
/// use axum::{Router, routing::get};
///
/// # #[tokio::main]
/// # async fn main() -> std::io::Result<()> {
/// let app = Router::new().route("/", get(async || "hello"));
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
/// traffik::axum::serve(listener, app).await
/// # }
/// ```
pub fn serve<L: Listener<Addr = SocketAddr>>(listener: L, router: Router) -> Serve<L> {
    Serve { listener, router }
}

/// The future that [`serve`] returns.
#[derive(Debug)]
#[must_use = "nothing is served until this is awaited"]
pub struct Serve<L = TcpListener> {
    listener: L,
    router: Router,
}

impl<L: Listener<Addr = SocketAddr>> Serve<L> {
    /// Stops accepting connections once `signal` completes, and ends when the open requests have
    /// finished.
    ///
    /// # Errors
    /// Same as [`serve`].
    pub async fn with_graceful_shutdown(
        self,
        signal: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let service = PerConnection::new(self.router);
        axum::serve(self.listener, service).with_graceful_shutdown(signal).await
    }
}

impl<L: Listener<Addr = SocketAddr>> IntoFuture for Serve<L> {
    type Output = io::Result<()>;
    type IntoFuture = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        let service = PerConnection::new(self.router);
        Box::pin(axum::serve(self.listener, service).into_future())
    }
}

/// Gives each connection a router that knows its peer's address.
///
/// `into_make_service_with_connect_info::<SocketAddr>()` does so for TCP alone, and nobody but axum can implement its
/// trait for a `SocketAddr` that comes from another listener.
#[derive(Debug)]
struct PerConnection(Router);

impl PerConnection {
    fn new(router: Router) -> Self {
        // This builds its routes once; otherwise each request would.
        Self(router.with_state(()))
    }
}

impl<L: Listener<Addr = SocketAddr>> Service<IncomingStream<'_, L>> for PerConnection {
    type Response = AddExtension<Router, ConnectInfo<SocketAddr>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, stream: IncomingStream<'_, L>) -> Self::Future {
        let peer = ConnectInfo(*stream.remote_addr());
        ready(Ok(Extension(peer).layer(self.0.clone())))
    }
}
