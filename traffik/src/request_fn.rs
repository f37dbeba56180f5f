//! Functions of a request, sync or async, that compute costs, identities, rates and scopes.

use std::any::TypeId;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use crate::Parts;
use crate::backend::SharedBackend;
use crate::box_future::BoxFuture;
use crate::identity::Identity;
use crate::rate::Rate;

/// A function of the request that returns a `T`: `Fn(&Parts) -> T`, or one that returns a future of a `T`.
///
/// Implemented for closures and functions. The compiler infers `Kind`, which tells the two forms apart.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a function of the request that returns `{T}`",
    note = "write `fn(req: &traffik::Parts) -> …`, an `async fn` of the same shape, or a closure `|req: &traffik::Parts| …`",
    note = "an identifier returns an `Identity` or a type that converts into one: `String`, `&str`, `IpAddr`, `u64`, or an `Option` of one of these; a cost returns a `u64`",
    note = "for a constant, write `rate = const PATH` in the attribute, or `.rate(VALUE)` on the builder, and so for a cost or a scope"
)]
pub trait IntoRequestFn<T, Kind>: Send + Sync + 'static {
    /// Converts the function into its stored form.
    fn into_request_fn(self) -> RequestFn<T>;
}

/// A type that a function of the request may return where a `T` is expected.
///
/// Not `Into`: where only one type is possible, a literal is inferred to be of that type (`|_| 1` is a
/// cost).
#[diagnostic::on_unimplemented(message = "a function that should return `{T}` returns `{Self}`")]
pub trait Yields<T> {
    /// Converts the value into a `T`.
    fn yields(self) -> T;
}

impl<I: Into<Identity>> Yields<Identity> for I {
    fn yields(self) -> Identity {
        self.into()
    }
}

impl Yields<Self> for u64 {
    fn yields(self) -> Self {
        self
    }
}

impl Yields<Self> for bool {
    fn yields(self) -> Self {
        self
    }
}

impl Yields<Self> for Rate {
    fn yields(self) -> Self {
        self
    }
}

impl Yields<Self> for String {
    fn yields(self) -> Self {
        self
    }
}

impl Yields<String> for &str {
    fn yields(self) -> String {
        self.into()
    }
}

impl Yields<Self> for Option<SharedBackend> {
    fn yields(self) -> Self {
        self
    }
}

/// Marks functions that return their result.
#[derive(Debug)]
pub enum Sync_ {}
/// Marks functions that return a future of their result.
#[derive(Debug)]
pub enum Async_ {}

/// A sync function of the request, for one lifetime of the request.
///
/// `for<'a> F: SyncRequestFn<'a, T>` lets the result borrow from the request, as a `&str` or a plain
/// `impl Into<Identity>` does.
pub trait SyncRequestFn<'a, T>: Fn(&'a Parts) -> <Self as SyncRequestFn<'a, T>>::Answer {
    /// The function's result.
    type Answer: Yields<T>;
}

impl<'a, T, R, F> SyncRequestFn<'a, T> for F
where
    F: Fn(&'a Parts) -> R,
    R: Yields<T>,
{
    type Answer = R;
}

impl<T, F> IntoRequestFn<T, Sync_> for F
where
    F: for<'a> SyncRequestFn<'a, T> + Send + Sync + 'static,
    T: 'static,
{
    fn into_request_fn(self) -> RequestFn<T> {
        RequestFn::sync(move |parts| self(parts).yields())
    }
}

/// An async function of the request, for one lifetime of the request.
///
/// `for<'a> F: AsyncRequestFn<'a, T>` expresses that an `async fn(&Parts)`, whose future borrows from its
/// argument, has a `Send` future.
pub trait AsyncRequestFn<'a, T>: Fn(&'a Parts) -> <Self as AsyncRequestFn<'a, T>>::Future {
    /// The result of the function's future.
    type Answer: Yields<T>;
    /// The function's future.
    type Future: Future<Output = Self::Answer> + Send + 'a;
}

impl<'a, T, F, Fut> AsyncRequestFn<'a, T> for F
where
    F: Fn(&'a Parts) -> Fut,
    Fut: Future + Send + 'a,
    Fut::Output: Yields<T>,
{
    type Answer = Fut::Output;
    type Future = Fut;
}

impl<T, F> IntoRequestFn<T, Async_> for F
where
    F: for<'a> AsyncRequestFn<'a, T> + Send + Sync + 'static,
    T: 'static,
{
    fn into_request_fn(self) -> RequestFn<T> {
        RequestFn::later(move |parts| {
            let future = self(parts);
            Box::pin(async move { future.await.yields() })
        })
    }
}

/// A stored function of the request.
pub struct RequestFn<T> {
    /// The function's type, if the type alone determines the function.
    type_id: Option<TypeId>,
    call: Call<T>,
}

pub(crate) type SyncFn<T> = dyn Fn(&Parts) -> T + Send + Sync;
type AsyncFn<T> = dyn for<'a> Fn(&'a Parts) -> BoxFuture<'a, T> + Send + Sync;

enum Call<T> {
    Sync(Arc<SyncFn<T>>),
    Async(Arc<AsyncFn<T>>),
}

/// The type of a function without captures, which has only one value. A closure that captures may differ
/// from another one of its type in what it captured.
fn stateless_type_id<F: 'static>() -> Option<TypeId> {
    (size_of::<F>() == 0).then(TypeId::of::<F>)
}

impl<T> RequestFn<T> {
    pub(crate) fn sync<F: Fn(&Parts) -> T + Send + Sync + 'static>(function: F) -> Self {
        Self { type_id: stateless_type_id::<F>(), call: Call::Sync(Arc::new(function)) }
    }

    pub(crate) fn later<F>(function: F) -> Self
    where
        F: for<'a> Fn(&'a Parts) -> BoxFuture<'a, T> + Send + Sync + 'static,
    {
        Self { type_id: stateless_type_id::<F>(), call: Call::Async(Arc::new(function)) }
    }

    pub(crate) async fn call(&self, parts: &Parts) -> T {
        match &self.call {
            Call::Sync(function) => function(parts),
            Call::Async(function) => function(parts).await,
        }
    }

    /// The function, if it is sync: its result then need not be wrapped, which would copy it.
    #[inline]
    pub(crate) fn immediate(&self) -> Option<&SyncFn<T>> {
        match &self.call {
            Call::Sync(function) => Some(&**function),
            Call::Async(_) => None,
        }
    }

    pub(crate) fn is_sync(&self) -> bool {
        matches!(self.call, Call::Sync(_))
    }

    /// Whether both are certain to give the same result for the same request. An absent function stands for
    /// the crate's default.
    #[inline]
    pub(crate) fn agree(one: Option<&Self>, other: Option<&Self>) -> bool {
        match (one, other) {
            (None, None) => true,
            (Some(one), Some(other)) => one.same(other),
            _ => false,
        }
    }

    /// Whether both are certain to give the same result for the same request.
    pub(crate) fn same(&self, other: &Self) -> bool {
        if self.type_id.is_some() && self.type_id == other.type_id {
            return true;
        }
        match (&self.call, &other.call) {
            (Call::Sync(a), Call::Sync(b)) => Arc::ptr_eq(a, b),
            (Call::Async(a), Call::Async(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

impl<T> Clone for RequestFn<T> {
    fn clone(&self) -> Self {
        let call = match &self.call {
            Call::Sync(function) => Call::Sync(function.clone()),
            Call::Async(function) => Call::Async(function.clone()),
        };
        Self { type_id: self.type_id, call }
    }
}

impl<T> fmt::Debug for RequestFn<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_sync() { "fn(&Parts)" } else { "async fn(&Parts)" })
    }
}

/// A fixed value, or one computed from each request.
#[derive(Debug, Clone)]
pub(crate) enum Source<T> {
    Fixed(T),
    Of(RequestFn<T>),
}

impl<T> Source<T> {
    pub(crate) fn is_sync(&self) -> bool {
        match self {
            Self::Fixed(_) => true,
            Self::Of(function) => function.is_sync(),
        }
    }
}
