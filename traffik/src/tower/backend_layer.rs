//! [`BackendLayer`]: selects the backend that the throttles inside count on, per request.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Request;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::backend::{SharedBackend, context};
use crate::box_future::BoxFuture;
use crate::request_fn::{IntoRequestFn, RequestFn};

/// Sets the backend of the current context, on which dynamic throttles inside count.
///
/// Layers nest, and the innermost wins; so does [`SharedBackend::scope`] inside a handler.
///
/// ```
/// use std::collections::HashMap;
/// use axum::{Router, routing::get};
/// use traffik::{BackendLayer, MemoryBackend, Parts, SharedBackend, throttle};
///
/// #[throttle("docs:tenant", rate = "20/min", dynamic_backend)]
/// async fn report() -> &'static str { "a tenant's own account" }
///
/// let tenants: HashMap<&str, SharedBackend> =
///     HashMap::from(["acme", "umbrella"].map(|name| (name, MemoryBackend::new().into())));
/// let of_tenant = move |parts: &Parts| {
///     parts.headers.get("x-tenant").and_then(|name| tenants.get(name.to_str().ok()?)).cloned()
/// };
/// let app: Router = Router::new().route("/report", get(report)).layer(BackendLayer::resolve(of_tenant));
/// ```
#[derive(Debug, Clone)]
pub struct BackendLayer(Resolver);

#[derive(Debug, Clone)]
enum Resolver {
    Always(SharedBackend),
    Of(RequestFn<Option<SharedBackend>>),
}

impl BackendLayer {
    /// Creates a layer that sets one backend for every request.
    #[must_use]
    pub fn new(backend: impl Into<SharedBackend>) -> Self {
        Self(Resolver::Always(backend.into()))
    }

    /// Creates a layer that selects a backend for each request, with a sync or async function. `None`
    /// keeps the outer context.
    #[must_use]
    pub fn resolve<K>(resolve: impl IntoRequestFn<Option<SharedBackend>, K>) -> Self {
        Self(Resolver::Of(resolve.into_request_fn()))
    }
}

impl<S> Layer<S> for BackendLayer {
    type Service = BackendService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        BackendService { resolver: self.0.clone(), inner }
    }
}

/// The service of [`BackendLayer`].
#[derive(Debug, Clone)]
pub struct BackendService<S> {
    resolver: Resolver,
    inner: S,
}

impl<S, B> Service<Request<B>> for BackendService<S>
where
    S: Service<Request<B>> + Clone,
    B: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BackendFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // Call the service that was polled ready, and leave the clone in its place.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let state = match &self.resolver {
            Resolver::Always(backend) => {
                let future = context::enter(backend, || inner.call(request));
                State::Running { backend: Some(backend.clone()), future }
            }
            Resolver::Of(resolve) => {
                let resolve = resolve.clone();
                let (parts, body) = request.into_parts();
                State::Resolving {
                    resolving: Box::pin(async move {
                        let backend = resolve.call(&parts).await;
                        (Request::from_parts(parts, body), backend)
                    }),
                    inner,
                }
            }
        };
        BackendFuture { state }
    }
}

type Resolving<B> = BoxFuture<'static, (Request<B>, Option<SharedBackend>)>;

pin_project! {
    /// The future of [`BackendService`].
    pub struct BackendFuture<S: Service<Request<B>>, B> {
        #[pin]
        state: State<S, S::Future, B>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, F, B> {
        Resolving { resolving: Resolving<B>, inner: S },
        Running { backend: Option<SharedBackend>, #[pin] future: F },
    }
}

impl<S: Service<Request<B>>, B> Future for BackendFuture<S, B> {
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let running = match state.as_mut().project() {
                StateProjection::Running { backend: Some(backend), future } => {
                    return context::enter(backend, || future.poll(cx));
                }
                StateProjection::Running { backend: None, future } => return future.poll(cx),
                StateProjection::Resolving { resolving, inner } => {
                    let (request, backend) = ready!(resolving.as_mut().poll(cx));
                    let future = match &backend {
                        Some(backend) => context::enter(backend, || inner.call(request)),
                        None => inner.call(request),
                    };
                    State::Running { backend, future }
                }
            };
            state.set(running);
        }
    }
}

impl<S: Service<Request<B>>, B> fmt::Debug for BackendFuture<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BackendFuture")
    }
}
