//! [`Traffik`]: the settings that the throttles of a process or a router share.

mod lookup;

use std::sync::{Arc, OnceLock};

pub use lookup::client_ip;

use crate::backend::SharedBackend;
use crate::client_ip::ClientIp;
use crate::error::Error;
use crate::identity::Identity;
use crate::request_fn::{IntoRequestFn, RequestFn};
use crate::resilience::OnError;
#[cfg(feature = "tower")]
use crate::{Headers, response::OnThrottled};

/// Defaults for throttles: a backend, who the client is, what to do when the backend fails.
///
/// [`install`] sets the defaults of the process; `layer` those of a single router. What a router's defaults
/// leave unset is taken from a router further out, and finally from the installed ones.
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

/// Unset fields are `None`.
#[derive(Debug, Clone, Default)]
struct Inner {
    backend: Option<SharedBackend>,
    client_ip: Option<ClientIp>,
    identifier: Option<RequestFn<Identity>>,
    on_error: Option<OnError>,
    #[cfg(feature = "tower")]
    headers: Option<Headers>,
    #[cfg(feature = "tower")]
    on_throttled: Option<OnThrottled>,
}

impl Inner {
    /// Merges two sets of defaults; where both set a field, `self` wins.
    #[cfg(feature = "tower")]
    fn over(&self, other: &Self) -> Self {
        fn either<T: Clone>(one: &Option<T>, other: &Option<T>) -> Option<T> {
            one.as_ref().or(other.as_ref()).cloned()
        }
        Self {
            backend: either(&self.backend, &other.backend),
            client_ip: either(&self.client_ip, &other.client_ip),
            identifier: either(&self.identifier, &other.identifier),
            on_error: either(&self.on_error, &other.on_error),
            headers: either(&self.headers, &other.headers),
            on_throttled: either(&self.on_throttled, &other.on_throttled),
        }
    }
}

impl Traffik {
    /// Creates a builder with nothing set.
    pub fn builder() -> TraffikBuilder {
        TraffikBuilder(Inner::default())
    }

    /// A setting of this instance, or else of the installed one.
    #[inline(always)]
    fn setting<T>(&self, what: impl Fn(&Inner) -> Option<&T>) -> Option<&T> {
        what(&self.0).or_else(|| what(&INSTALLED.get()?.0))
    }

    pub(crate) fn backend(&self) -> Option<&SharedBackend> {
        self.setting(|inner| inner.backend.as_ref())
    }

    fn client_ip(&self) -> Option<&ClientIp> {
        self.setting(|inner| inner.client_ip.as_ref())
    }

    #[inline(always)]
    pub(crate) fn identifier(&self) -> Option<&RequestFn<Identity>> {
        self.setting(|inner| inner.identifier.as_ref())
    }

    pub(crate) fn on_error(&self) -> Option<&OnError> {
        self.setting(|inner| inner.on_error.as_ref())
    }

    /// The first mistake in the settings.
    pub(crate) fn error(&self) -> Option<Error> {
        let error = self.0.client_ip.as_ref().and_then(ClientIp::error);
        #[cfg(feature = "tower")]
        let error = error.or_else(|| self.0.headers.as_ref()?.error());
        error
    }
}

#[cfg(feature = "tower")]
impl Traffik {
    pub(crate) fn headers(&self) -> Option<&Headers> {
        self.setting(|inner| inner.headers.as_ref())
    }

    pub(crate) fn on_throttled(&self) -> Option<&OnThrottled> {
        self.setting(|inner| inner.on_throttled.as_ref())
    }

    /// Merges this instance with one further out; where both set a field, this one wins.
    pub(crate) fn inside(&self, outer: Option<&Self>) -> Self {
        outer.map_or_else(|| self.clone(), |outer| Self(Arc::new(self.0.over(&outer.0))))
    }
}

/// Builds a [`Traffik`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct TraffikBuilder(Inner);

impl TraffikBuilder {
    /// Sets the backend of throttles that have none of their own.
    pub fn backend(mut self, backend: impl Into<SharedBackend>) -> Self {
        self.0.backend = Some(backend.into());
        self
    }

    /// Sets how to find a client's address. The default trusts no header.
    pub fn client_ip(mut self, client_ip: ClientIp) -> Self {
        self.0.client_ip = Some(client_ip);
        self
    }

    /// Sets who the client of a request is, for throttles that have no identifier of their own: a function of the
    /// request, sync or async, as for a [single throttle](crate::ThrottleBuilder::identifier). The default is the
    /// client's address.
    ///
    /// ```
    /// # use axum::{Router, routing::get};
    /// # #[derive(Clone)] struct User { name: String }
    /// use traffik::{Identity, Parts, Traffik, client_ip};
    ///
    /// /// Users by name, and everyone else by address.
    /// fn user(req: &Parts) -> Identity {
    ///     match req.extensions.get::<User>() {
    ///         Some(user) => Identity::key(format!("user:{}", user.name)),
    ///         None => client_ip(req),
    ///     }
    /// }
    ///
    /// let traffik = Traffik::builder().identifier(user).build();
    /// # async fn handler() {}
    /// let app = Router::new().route("/", get(handler)).layer(traffik.layer());
    /// # let _: Router = app;
    /// ```
    pub fn identifier<Kind>(mut self, identifier: impl IntoRequestFn<Identity, Kind>) -> Self {
        self.0.identifier = Some(identifier.into_request_fn());
        self
    }

    /// Sets what throttles without an `on_error` of their own do when the backend fails.
    pub fn on_error(mut self, on_error: OnError) -> Self {
        self.0.on_error = Some(on_error);
        self
    }

    /// Sets which rate-limit headers responses carry, unless a throttle overrides it.
    #[cfg(feature = "tower")]
    pub fn headers(mut self, headers: Headers) -> Self {
        self.0.headers = Some(headers);
        self
    }

    /// Sets the response to refused requests, unless a throttle overrides it. Headers are added as for the
    /// response of a [single throttle](crate::ThrottleBuilder::on_throttled).
    #[cfg(feature = "tower")]
    pub fn on_throttled<K>(mut self, answer: impl crate::response::IntoAnswer<K>) -> Self {
        self.0.on_throttled = Some(OnThrottled::Answer(answer.into_answer()));
        self
    }

    /// Creates the [`Traffik`].
    #[must_use]
    pub fn build(self) -> Traffik {
        Traffik(Arc::new(self.0))
    }
}

static INSTALLED: OnceLock<Traffik> = OnceLock::new();

/// Installs the process-wide defaults. This can be done once.
///
/// # Errors
/// Fails with a configuration error if defaults are already installed: two parts of a program that both
/// believe they own them should find out about each other. Also fails if a proxy's network, an IPv6 prefix,
/// or a header's name or value is invalid.
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
            "a Traffik is already installed; install only one per process, and give routers their own with .layer()",
        )
    })
}

/// The last-resort backend for static throttles: this process's memory.
#[cfg(feature = "memory")]
pub(crate) fn process_memory() -> Option<&'static SharedBackend> {
    static MEMORY: OnceLock<SharedBackend> = OnceLock::new();
    Some(MEMORY.get_or_init(|| crate::MemoryBackend::new().into()))
}

#[cfg(not(feature = "memory"))]
pub(crate) fn process_memory() -> Option<&'static SharedBackend> {
    None
}
