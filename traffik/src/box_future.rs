//! [`BoxFuture`]: a future of any type.

use std::pin::Pin;

/// A boxed future, for code that may have to wait.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
