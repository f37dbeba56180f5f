//! [`serve`]: `axum::serve` with the client's address available.

use std::future::{Future, IntoFuture};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;

use axum::Router;
use tokio::net::TcpListener;

/// Serves a router like `axum::serve`, adding `ConnectInfo<SocketAddr>` to every request so that
/// [`client_ip`](crate::client_ip) knows the peer's address.
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
pub fn serve(listener: TcpListener, router: Router) -> Serve {
    Serve { listener, router }
}

/// The future that [`serve`] returns.
#[derive(Debug)]
#[must_use = "nothing is served until this is awaited"]
pub struct Serve {
    listener: TcpListener,
    router: Router,
}

impl Serve {
    /// Stops accepting connections once `signal` completes, and ends when the open requests have
    /// finished.
    ///
    /// # Errors
    /// Same as [`serve`].
    pub async fn with_graceful_shutdown(
        self,
        signal: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let service = self.router.into_make_service_with_connect_info::<SocketAddr>();
        axum::serve(self.listener, service).with_graceful_shutdown(signal).await
    }
}

impl IntoFuture for Serve {
    type Output = io::Result<()>;
    type IntoFuture = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

    // Inlined, so that the server is compiled only in the crate that runs one.
    #[inline]
    fn into_future(self) -> Self::IntoFuture {
        let service = self.router.into_make_service_with_connect_info::<SocketAddr>();
        Box::pin(axum::serve(self.listener, service).into_future())
    }
}
