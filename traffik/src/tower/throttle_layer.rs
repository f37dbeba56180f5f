//! [`ThrottleLayer`]: throttles around a whole service.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use super::admission::{Admission, Place, ThrottleUse, admit, admit_now};
use super::body::ThrottleBody;
use super::throttle_future::ThrottleFuture;
use crate::response;
use crate::throttle::Throttle;

/// Applies throttles to every request that passes, for example to an axum `Router`, a bare hyper service or a tonic
/// server.
///
/// Several throttles make one all-or-nothing decision, in the given order. Clones share the counters, which belong to
/// the throttles.
///
/// ```
/// use std::sync::LazyLock;
/// use axum::{Router, routing::get};
/// use traffik::{Throttle, ThrottleLayer};
///
/// static GLOBAL: LazyLock<Throttle> =
///     LazyLock::new(|| Throttle::builder("docs:global").rate("1000/min").build().unwrap());
/// static WRITES: LazyLock<Throttle> =
///     LazyLock::new(|| Throttle::builder("docs:writes").rate("60/min").build().unwrap());
///
/// let app: Router = Router::new().route("/", get(async || "hello")).layer(ThrottleLayer::new([&*GLOBAL, &*WRITES]));
/// ```
///
/// # With attributes and layers inside
///
/// - A throttle that a layer has applied is not applied to that request again further in. An attribute that gives it
///   a larger cost charges the difference; one that gives it a scope counts on that scope's own account, in full.
///   Where the layer let a refusal pass, because the throttle is in shadow mode or says `"continue"`, an attribute
///   with `mode = "enforce"` or an answer of its own refuses after all. Direct calls (`throttle.hit(&parts)`) always
///   count.
/// - If a request is turned away further in, by an attribute or another layer, outer layers refund what they charged
///   for it, once, as soon as that answer reaches them. If a layer in between replaces that answer, the charge stays.
///   Until the refund another request may be refused because of the charge, but no more requests are ever admitted
///   than the limit allows.
/// - Headers are merged: see [`Headers`](crate::Headers).
///
/// To do so, the layer keeps what it has charged and leaves a note on each request, which costs three allocations,
/// and one more if the identity is a string.
///
/// # Where the client's address comes from
///
/// From `ConnectInfo<SocketAddr>` or [`Peer`](crate::Peer) among the request's extensions. A server that sets
/// neither, such as tonic, needs a layer outside that sets one of them, or throttles with an identifier. gRPC
/// requests are refused in gRPC's own way: `RESOURCE_EXHAUSTED`, with a `google.rpc.RetryInfo`.
#[derive(Clone)]
pub struct ThrottleLayer(Arc<[ThrottleUse]>);

impl ThrottleLayer {
    /// Creates a layer that applies these throttles. A throttle that is listed twice counts once.
    pub fn new<T: AsThrottle>(throttles: impl IntoIterator<Item = T>) -> Self {
        let mut uses: Vec<ThrottleUse> = Vec::new();
        for throttle in throttles {
            let throttle = throttle.as_throttle();
            if !uses.iter().any(|other| other.throttle.same(throttle)) {
                let mut one = ThrottleUse::new(throttle.clone());
                one.overrides().keeps_receipt = true;
                uses.push(one);
            }
        }
        Self(uses.into())
    }
}

/// A throttle, or a pointer to one, as [`ThrottleLayer::new`] takes it.
///
/// A trait of its own instead of `Borrow<Throttle>`, because the compiler's message then says what to write for a
/// `static`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a throttle",
    note = "for a `static` that is a `LazyLock<Throttle>`, write `&*NAME`"
)]
pub trait AsThrottle {
    /// Returns the throttle.
    fn as_throttle(&self) -> &Throttle;
}

impl AsThrottle for Throttle {
    fn as_throttle(&self) -> &Throttle {
        self
    }
}

impl<T: AsThrottle + ?Sized> AsThrottle for &T {
    fn as_throttle(&self) -> &Throttle {
        (**self).as_throttle()
    }
}

impl<T: AsThrottle + ?Sized> AsThrottle for &mut T {
    fn as_throttle(&self) -> &Throttle {
        (**self).as_throttle()
    }
}

impl<T: AsThrottle + ?Sized> AsThrottle for Arc<T> {
    fn as_throttle(&self) -> &Throttle {
        (**self).as_throttle()
    }
}

impl<S> Layer<S> for ThrottleLayer {
    type Service = ThrottleService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ThrottleService { uses: self.0.clone(), inner }
    }
}

/// Shows the uids.
impl fmt::Debug for ThrottleLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ThrottleLayer").field(&Uids(&self.0)).finish()
    }
}

struct Uids<'a>(&'a [ThrottleUse]);

impl fmt::Debug for Uids<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|one| one.throttle.uid())).finish()
    }
}

/// The service of [`ThrottleLayer`].
#[derive(Clone)]
pub struct ThrottleService<S> {
    uses: Arc<[ThrottleUse]>,
    inner: S,
}

impl<S> fmt::Debug for ThrottleService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThrottleService").field("throttles", &Uids(&self.uses)).finish_non_exhaustive()
    }
}

impl<S, B, R> Service<Request<B>> for ThrottleService<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    B: Send + 'static,
{
    type Response = Response<ThrottleBody<R>>;
    type Error = S::Error;
    type Future = ThrottleFuture<S, B, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        match admit_now(&self.uses, &mut parts, Place::Layer) {
            Admission::Admitted(work) => {
                ThrottleFuture::running(self.inner.call(Request::from_parts(parts, body)), work)
            }
            Admission::Pending(pending) => {
                // Call the service that was polled ready, and leave the clone in its place.
                let clone = self.inner.clone();
                let inner = std::mem::replace(&mut self.inner, clone);
                let uses = self.uses.clone();
                let deciding = Box::pin(async move {
                    match admit(&uses, &mut parts, Place::Layer, pending).await {
                        Ok(work) => Ok((Request::from_parts(parts, body), work)),
                        Err(answer) => Err(response::for_method(answer, &parts.method)),
                    }
                });
                ThrottleFuture::deciding(deciding, inner)
            }
        }
    }
}
