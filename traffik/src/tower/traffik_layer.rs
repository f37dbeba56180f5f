//! [`TraffikLayer`]: gives a [`Traffik`] to every request.

use std::task::{Context, Poll};

use http::Request;
use tower_layer::Layer;
use tower_service::Service;

use super::layer_context::LayerContext;
use crate::app::Traffik;

/// Gives a [`Traffik`] to every request that passes. Its settings take precedence over those from layers further out.
/// Made by [`Traffik::layer`].
#[derive(Debug, Clone)]
pub struct TraffikLayer(Traffik);

impl Traffik {
    /// Returns a `tower` layer that applies these defaults to every request that passes through it.
    ///
    /// A mistake that makes [`install`](crate::install) fail is only logged as an error here: with an invalid
    /// proxy network or IPv6 prefix, no proxy is trusted, and invalid headers are left out.
    #[must_use]
    pub fn layer(&self) -> TraffikLayer {
        if let Some(error) = self.error() {
            tracing::error!(target: "traffik", %error, "a Traffik layer is misconfigured");
        }
        TraffikLayer(self.clone())
    }
}

impl<S> Layer<S> for TraffikLayer {
    type Service = TraffikService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        TraffikService { traffik: self.0.clone(), inner }
    }
}

/// The service of [`TraffikLayer`].
#[derive(Debug, Clone)]
pub struct TraffikService<S> {
    traffik: Traffik,
    inner: S,
}

impl<S: Service<Request<B>>, B> Service<Request<B>> for TraffikService<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        LayerContext::update(request.extensions_mut(), |context| {
            context.traffik = Some(self.traffik.inside(context.traffik.as_ref()));
        });
        self.inner.call(request)
    }
}
