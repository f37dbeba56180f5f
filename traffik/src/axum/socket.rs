//! [`GuardedSocket`]: a WebSocket whose incoming messages count as hits.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Error as SocketError;
use axum::extract::ws::{CloseFrame, Message, WebSocket};

use crate::Parts;
use crate::backend::Op;
use crate::box_future::BoxFuture;
use crate::decision::{Decision, Throttled};
use crate::outage::Outage;
use crate::pipeline::{self, Decisions, Entry, Failure};
use crate::response::whole_seconds;
use crate::subject::IntoSubject;
use crate::throttle::Throttle;

/// Close codes (RFC 6455 §7.4.1, and the registry that it establishes).
const POLICY_VIOLATION: u16 = 1008;
const INTERNAL_ERROR: u16 = 1011;
const TRY_AGAIN_LATER: u16 = 1013;

/// How long a client gets to read why its connection is being closed.
const FAREWELL: Duration = Duration::from_secs(1);

/// What happens to a message that is over the limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SocketAction {
    /// The message is dropped, and the client receives
    /// `{"type":"rate_limit","error":"Too many messages","retry_after":5}`. The wait is in whole seconds, rounded
    /// up, or `null` where waiting can't help.
    #[default]
    Notify,
    /// The message is dropped, and the connection is closed with code 1008.
    Close,
    /// The message is delivered, and [`GuardedSocket::throttled`] returns the refusal.
    Continue,
}

/// A WebSocket on which each incoming text or binary message counts as a hit. Made by [`Throttle::guard_socket`].
///
/// Pings, pongs and closes pass uncounted. When the backend is down, [`OnError`](crate::OnError) decides what
/// happens to messages: `allow` delivers them, `throttle` closes the connection with 1013, and `raise` with 1011.
///
/// ```
/// use axum::extract::WebSocketUpgrade;
/// use axum::response::Response;
/// use std::sync::LazyLock;
/// use traffik::{Parts, SocketAction, Throttle};
///
/// static MESSAGES: LazyLock<Throttle> =
///     LazyLock::new(|| Throttle::builder("docs:messages").rate("10/sec").build().expect("a valid throttle"));
///
/// async fn chat(parts: Parts, upgrade: WebSocketUpgrade) -> Response {
///     upgrade.on_upgrade(|socket| async move {
///         let mut socket = MESSAGES.guard_socket(socket, parts).on_throttled(SocketAction::Close);
///         while let Some(Ok(message)) = socket.recv().await {
///             drop(message); // within the limit
///         }
///     })
/// }
/// ```
pub struct GuardedSocket {
    socket: WebSocket,
    parts: Arc<Parts>,
    throttle: Throttle,
    action: SocketAction,
    cost: Option<Arc<Cost>>,
    /// A message whose decision is pending. Kept here, so that cancelling a `recv` loses neither.
    waiting: Option<(Message, BoxFuture<'static, Result<Decision, Failure>>)>,
    throttled: Option<Throttled>,
    closed: bool,
}

type Cost = dyn Fn(&Message) -> u64 + Send + Sync;

impl Throttle {
    /// Charges each message that comes in on a WebSocket. `parts` is the head of the request that opened it; its
    /// identifier, cost, rules and scope apply to every message.
    ///
    /// To limit the connection itself, use an attribute on its handler, or a layer. A throttle with a dynamic
    /// backend asks its own function and then the app, because the task that serves a socket runs outside any
    /// [`BackendLayer`](crate::BackendLayer).
    pub fn guard_socket(&self, socket: WebSocket, parts: Parts) -> GuardedSocket {
        GuardedSocket {
            socket,
            parts: Arc::new(parts),
            throttle: self.clone(),
            action: SocketAction::default(),
            cost: None,
            waiting: None,
            throttled: None,
            closed: false,
        }
    }
}

impl GuardedSocket {
    /// Sets what happens to a message that is over the limit. The default is [`SocketAction::Notify`].
    #[must_use]
    pub fn on_throttled(mut self, action: SocketAction) -> Self {
        self.action = action;
        self
    }

    /// Computes the cost of each message, in place of the throttle's own cost. A cost of 0 passes uncounted.
    #[must_use]
    pub fn cost_with(mut self, cost: impl Fn(&Message) -> u64 + Send + Sync + 'static) -> Self {
        self.cost = Some(Arc::new(cost));
        self
    }

    /// Receives the next message that may be handled, or `None` once the connection is closed.
    ///
    /// This method is cancel safe: in a `select!`, no message is lost or charged twice. A notice may be lost.
    pub async fn recv(&mut self) -> Option<Result<Message, SocketError>> {
        while !self.closed {
            let (message, decision) = match self.decided().await? {
                Ok(decided) => decided,
                Err(other) => {
                    self.throttled = None;
                    return Some(other);
                }
            };
            self.throttled = match decision {
                Ok(Decision::Denied(throttled)) => Some(throttled),
                Ok(Decision::Allowed(_) | Decision::Exempt) => None,
                Err(Failure { outage: Outage::Unavailable, .. }) => {
                    self.close(TRY_AGAIN_LATER, "Try again later").await;
                    continue;
                }
                Err(_) => {
                    self.close(INTERNAL_ERROR, "Internal error").await;
                    continue;
                }
            };
            let Some(throttled) = &self.throttled else { return Some(Ok(message)) };
            match self.action {
                SocketAction::Continue => return Some(Ok(message)),
                SocketAction::Close => self.close(POLICY_VIOLATION, "Too many messages").await,
                SocketAction::Notify => {
                    if let Err(error) = self.socket.send(notice(throttled)).await {
                        return Some(Err(error));
                    }
                }
            }
        }
        None
    }

    /// Sends a message. Outgoing messages are not counted.
    ///
    /// # Errors
    /// Fails when the connection is broken or closed.
    pub async fn send(&mut self, message: Message) -> Result<(), SocketError> {
        self.socket.send(message).await
    }

    /// Returns the refusal of the last message received, under [`SocketAction::Continue`].
    #[must_use]
    pub fn throttled(&self) -> Option<&Throttled> {
        self.throttled.as_ref()
    }

    /// Returns the socket, unguarded from now on. A message that a cancelled [`recv`](Self::recv) has taken in, and
    /// that is not decided yet, is dropped.
    #[must_use]
    pub fn into_inner(self) -> WebSocket {
        self.socket
    }

    /// Returns the next message that counts, with its decision. Whatever doesn't count, or has failed, is returned
    /// as the error.
    async fn decided(
        &mut self,
    ) -> Option<Result<(Message, Result<Decision, Failure>), Result<Message, SocketError>>> {
        if self.waiting.is_none() {
            let message = match self.socket.recv().await? {
                Ok(message @ (Message::Text(_) | Message::Binary(_))) => message,
                other => return Some(Err(other)),
            };
            let units = self.cost.as_ref().map(|cost| cost(&message));
            let (throttle, parts) = (&self.throttle, &*self.parts);
            let decided = pipeline::decide_now(
                &[Entry::new(throttle)],
                &parts.into_subject(),
                Op::Hit,
                units,
                |decided| decided.into_decision(),
            );
            if let Some(decision) = decided {
                return Some(Ok((message, decision)));
            }
            let (throttle, parts) = (throttle.clone(), self.parts.clone());
            let deciding = Box::pin(async move {
                let entries = [Entry::new(&throttle)];
                let decisions = pipeline::decide(&entries, (&*parts).into_subject(), Op::Hit, units).await;
                decisions.map(Decisions::into_decision)
            });
            self.waiting = Some((message, deciding));
        }
        let decision = self.waiting.as_mut()?.1.as_mut().await;
        self.waiting.take().map(|(message, _)| Ok((message, decision)))
    }

    /// Sends a close frame, and reads from the client for a moment: a connection that is dropped with messages
    /// unread is reset, and the client may never learn why. A client that reads nothing leaves no room for the frame,
    /// so sending it counts towards that moment.
    async fn close(&mut self, code: u16, reason: &'static str) {
        self.closed = true;
        let frame = CloseFrame { code, reason: reason.into() };
        let farewell = async {
            if self.socket.send(Message::Close(Some(frame))).await.is_ok() {
                while let Some(Ok(_)) = self.socket.recv().await {}
            }
        };
        // Whether the client finished or timed out, the connection is over.
        let _ = tokio::time::timeout(FAREWELL, farewell).await;
    }
}

fn notice(throttled: &Throttled) -> Message {
    let wait = throttled.retry_after().map_or_else(|| "null".into(), |wait| whole_seconds(wait).to_string());
    Message::Text(
        format!(r#"{{"type":"rate_limit","error":"Too many messages","retry_after":{wait}}}"#).into(),
    )
}

impl fmt::Debug for GuardedSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedSocket")
            .field("throttle", &self.throttle.uid())
            .field("action", &self.action)
            .finish_non_exhaustive()
    }
}
