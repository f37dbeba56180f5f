//! [`Traffik`]: what the throttles of a process or a router have in common.

use std::sync::{Arc, OnceLock};

use crate::Parts;
use crate::backend::SharedBackend;
use crate::client_ip::ClientIp;
use crate::error::Error;
use crate::resilience::OnError;
#[cfg(feature = "tower")]
use crate::{Headers, response::OnThrottled, tower::Around};

/// What throttles fall back to: a backend, how to find the client's address, what to do when the
/// backend fails.
///
/// [`install`] makes one the default of the process; `layer` gives one to a single router. What a router's
/// leaves unsaid, one further out says, and at last the installed one.
///
/// ```
/// use traffik::{ClientIp, Headers, MemoryBackend, OnError, Traffik};
///
/// let traffik = Traffik::builder()
///     .backend(MemoryBackend::new())
///     .client_ip(ClientIp::behind(["10.0.0.0/8"]))
///     .on_error(OnError::allow())
///     .headers(Headers::when_throttled())
///     .build();
/// # async fn handler() {}
/// let router = axum::Router::new().route("/", axum::routing::get(handler)).layer(traffik.layer());
/// # let _: axum::Router = router;
/// ```
#[derive(Debug, Clone)]
pub struct Traffik(Arc<Inner>);

/// What is not said is `None`.
#[derive(Debug, Clone, Default)]
struct Inner {
    backend: Option<SharedBackend>,
    client_ip: Option<ClientIp>,
    on_error: Option<OnError>,
    #[cfg(feature = "tower")]
    headers: Option<Headers>,
    #[cfg(feature = "tower")]
    on_throttled: Option<OnThrottled>,
}

impl Inner {
    /// What this one says, and for the rest what another does.
    #[cfg(feature = "tower")]
    fn over(&self, other: &Self) -> Self {
        fn either<T: Clone>(one: &Option<T>, other: &Option<T>) -> Option<T> {
            one.as_ref().or(other.as_ref()).cloned()
        }
        Self {
            backend: either(&self.backend, &other.backend),
            client_ip: either(&self.client_ip, &other.client_ip),
            on_error: either(&self.on_error, &other.on_error),
            headers: either(&self.headers, &other.headers),
            on_throttled: either(&self.on_throttled, &other.on_throttled),
        }
    }
}

impl Traffik {
    /// Starts with nothing set.
    pub fn builder() -> TraffikBuilder {
        TraffikBuilder(Inner::default())
    }

    /// What this one says, or else the installed one.
    #[inline(always)]
    fn said<T>(&self, what: impl Fn(&Inner) -> Option<&T>) -> Option<&T> {
        what(&self.0).or_else(|| what(&INSTALLED.get()?.0))
    }

    pub(crate) fn backend(&self) -> Option<&SharedBackend> {
        self.said(|inner| inner.backend.as_ref())
    }

    pub(crate) fn client_ip(&self) -> Option<&ClientIp> {
        self.said(|inner| inner.client_ip.as_ref())
    }

    pub(crate) fn on_error(&self) -> Option<&OnError> {
        self.said(|inner| inner.on_error.as_ref())
    }

    #[cfg(feature = "tower")]
    pub(crate) fn headers(&self) -> Option<&Headers> {
        self.said(|inner| inner.headers.as_ref())
    }

    #[cfg(feature = "tower")]
    pub(crate) fn on_throttled(&self) -> Option<&OnThrottled> {
        self.said(|inner| inner.on_throttled.as_ref())
    }

    /// One that says what this one does, and for the rest what one further out does.
    #[cfg(feature = "tower")]
    pub(crate) fn inside(&self, outer: Option<&Self>) -> Self {
        outer.map_or_else(|| self.clone(), |outer| Self(Arc::new(self.0.over(&outer.0))))
    }

    /// A `tower` layer that gives this to every request that passes through it.
    ///
    /// A mistake that [`install`] would refuse is logged as an error here: proxies that can't be
    /// read are not trusted, headers that can't be written are left out.
    #[cfg(feature = "tower")]
    #[must_use]
    pub fn layer(&self) -> crate::tower::TraffikLayer {
        if let Some(error) = self.error() {
            tracing::error!(target: "traffik", %error, "a layer is not set up as it should be");
        }
        crate::tower::TraffikLayer::new(self.clone())
    }

    /// What is wrong with it.
    fn error(&self) -> Option<Error> {
        let error = self.0.client_ip.as_ref().and_then(ClientIp::error);
        #[cfg(feature = "tower")]
        let error = error.or_else(|| self.0.headers.as_ref()?.error());
        error
    }

    /// The router's, or else the process's.
    pub(crate) fn of(parts: Option<&Parts>) -> Option<&Self> {
        #[cfg(feature = "tower")]
        let by_router = parts.and_then(|parts| Around::of(&parts.extensions)?.traffik.as_ref());
        #[cfg(not(feature = "tower"))]
        let by_router = parts.and(None);
        by_router.or_else(|| INSTALLED.get())
    }

    /// The same for a request under such layers.
    #[inline]
    #[cfg(all(feature = "memory", feature = "tower"))]
    pub(crate) fn by(around: Option<&Around>) -> Option<&Self> {
        around.and_then(|around| around.traffik.as_ref()).or_else(|| INSTALLED.get())
    }
}

/// Builds a [`Traffik`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `build`"]
pub struct TraffikBuilder(Inner);

impl TraffikBuilder {
    /// Where throttles without a backend of their own count.
    pub fn backend(mut self, backend: impl Into<SharedBackend>) -> Self {
        self.0.backend = Some(backend.into());
        self
    }

    /// How to find a client's address. The default trusts no header.
    pub fn client_ip(mut self, client_ip: ClientIp) -> Self {
        self.0.client_ip = Some(client_ip);
        self
    }

    /// What throttles without a word of their own do when the backend fails.
    pub fn on_error(mut self, on_error: OnError) -> Self {
        self.0.on_error = Some(on_error);
        self
    }

    /// Which rate-limit headers the answers carry, unless a throttle says otherwise.
    #[cfg(feature = "tower")]
    pub fn headers(mut self, headers: Headers) -> Self {
        self.0.headers = Some(headers);
        self
    }

    /// What refused clients are answered, unless a throttle says otherwise. Headers are added as to
    /// [a throttle's](crate::ThrottleBuilder::on_throttled).
    #[cfg(feature = "tower")]
    pub fn on_throttled<K>(mut self, answer: impl crate::response::IntoAnswer<K>) -> Self {
        self.0.on_throttled = Some(OnThrottled::Answer(answer.into_answer()));
        self
    }

    /// Done.
    #[must_use]
    pub fn build(self) -> Traffik {
        Traffik(Arc::new(self.0))
    }
}

static INSTALLED: OnceLock<Traffik> = OnceLock::new();

/// Makes this the default of the process, once.
///
/// # Errors
/// A configuration error when there is one already: two parts of a program that both believe to
/// own the default should hear of each other. And when a proxy's network or a header's name that it
/// was given can't be read.
///
/// ```
/// # #[cfg(feature = "redis")]
/// async fn start() -> Result<(), Box<dyn std::error::Error>> {
///     let redis = traffik::RedisBackend::connect("redis://127.0.0.1/").await?;
///     traffik::install(traffik::Traffik::builder().backend(redis).build())?;
///     Ok(())
/// }
/// ```
pub fn install(traffik: Traffik) -> Result<(), Error> {
    if let Some(error) = traffik.error() {
        return Err(error);
    }
    INSTALLED.set(traffik).map_err(|_| {
        Error::configuration(
            "a Traffik is installed already; install one per process, and give routers their own with .layer()",
        )
    })
}

/// The backend of last resort for static throttles: this process's memory.
#[cfg(feature = "memory")]
pub(crate) fn process_memory() -> Option<&'static SharedBackend> {
    static MEMORY: OnceLock<SharedBackend> = OnceLock::new();
    Some(MEMORY.get_or_init(|| crate::MemoryBackend::new().into()))
}

#[cfg(not(feature = "memory"))]
pub(crate) fn process_memory() -> Option<&'static SharedBackend> {
    None
}
