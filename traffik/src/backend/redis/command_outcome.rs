//! [`CommandOutcome`]: what became of a command, and on which server.

use redis::{RedisResult, Value};

/// What became of a command.
pub(super) struct CommandOutcome {
    /// `Ok` is a reply of the server, which may be a [`Value::ServerError`]. `Err` means that there was none, and that
    /// it is unknown whether the command was carried out.
    pub(super) result: RedisResult<Value>,
    /// The server that failed, if there are several that it could be.
    pub(super) failed_node: Option<String>,
}

impl CommandOutcome {
    /// `node` names the server, for those that fail: nobody asks about the others.
    #[cfg(any(feature = "redis-cluster", feature = "redis-sentinel"))]
    pub(super) fn of(result: RedisResult<Value>, node: impl FnOnce() -> Option<String>) -> Self {
        let failed = matches!(result, Err(_) | Ok(Value::ServerError(_)));
        Self { result, failed_node: failed.then(node).flatten() }
    }
}
