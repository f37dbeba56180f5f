//! WebSockets, with real clients.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::any;
use futures_util::{FutureExt, SinkExt, StreamExt};
use http::StatusCode;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::{self, protocol::frame::coding::CloseCode};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use traffik::test_kit::{FaultyBackend, ManualClock};
use traffik::{GuardedSocket, OnError, Parts, SocketAction, Throttle, throttle};

use crate::support::{app, memory, serve, throttle as build};

type Peer = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Connects to an app that echoes what gets through and marks whether it was over the limit.
async fn echo(one: Throttle, guard: fn(GuardedSocket) -> GuardedSocket) -> Peer {
    let handler = async move |upgrade: WebSocketUpgrade, parts: Parts| -> Response {
        upgrade.on_upgrade(async move |socket| {
            let mut socket = guard(one.guard_socket(socket, parts));
            while let Some(Ok(message)) = socket.recv().await {
                let text = match message {
                    Message::Text(text) => text.to_string(),
                    Message::Binary(bytes) => format!("{} bytes", bytes.len()),
                    _ => continue,
                };
                let mark = if socket.throttled().is_some() { "over" } else { "in" };
                if socket.send(Message::Text(format!("{mark}: {text}").into())).await.is_err() {
                    break;
                }
            }
        })
    };
    connect(Router::new().route("/", any(handler)).layer(app().build().layer())).await
}

async fn connect(router: Router) -> Peer {
    let address = serve(router).await;
    connect_async(format!("ws://{address}/")).await.unwrap().0
}

fn timed(rate: &str) -> (Throttle, ManualClock) {
    let (memory, clock) = memory();
    (build("messages", rate).backend(memory).build().unwrap(), clock)
}

async fn say(peer: &mut Peer, text: &str) -> String {
    peer.send(text.into()).await.unwrap();
    heard(peer).await
}

async fn heard(peer: &mut Peer) -> String {
    peer.next().await.unwrap().unwrap().into_text().unwrap().to_string()
}

#[tokio::test]
async fn a_client_over_the_limit_is_told() {
    let (one, clock) = timed("2/5s");
    let mut peer = echo(one, |socket| socket).await;
    assert_eq!(say(&mut peer, "a").await, "in: a");
    assert_eq!(say(&mut peer, "b").await, "in: b");
    let notice = r#"{"type":"rate_limit","error":"Too many messages","retry_after":5}"#;
    assert_eq!(say(&mut peer, "c").await, notice);
    clock.advance(Duration::from_millis(3001));
    assert_eq!(say(&mut peer, "d").await, notice.replace('5', "2"));
    clock.advance(Duration::from_millis(1999));
    assert_eq!(say(&mut peer, "e").await, "in: e");
}

#[tokio::test]
async fn control_frames_are_not_counted() {
    let (one, _clock) = timed("1/min");
    let mut peer = echo(one, |socket| socket).await;
    for _ in 0..5 {
        peer.send(tungstenite::Message::Ping("x".into())).await.unwrap();
        assert!(peer.next().await.unwrap().unwrap().is_pong());
    }
    assert_eq!(say(&mut peer, "a").await, "in: a");
    assert!(say(&mut peer, "b").await.contains("rate_limit"));
}

#[tokio::test]
async fn a_client_over_the_limit_is_closed_on() {
    let (one, _clock) = timed("1/min");
    let mut peer = echo(one, |socket| socket.on_throttled(SocketAction::Close)).await;
    assert_eq!(say(&mut peer, "a").await, "in: a");
    // A lot of data still in transit must not keep the close reason from the client.
    let long = "b".repeat(64 * 1024);
    for _ in 0..40 {
        peer.send(long.as_str().into()).await.unwrap();
    }
    let frame = closed(&mut peer).await;
    assert_eq!((frame.0, &*frame.1), (CloseCode::Policy, "Too many messages"));
}

async fn closed(peer: &mut Peer) -> (CloseCode, String) {
    match peer.next().await.unwrap().unwrap() {
        tungstenite::Message::Close(Some(frame)) => (frame.code, frame.reason.to_string()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_message_over_the_limit_may_go_on() {
    let (one, clock) = timed("1/min");
    let mut peer = echo(one, |socket| socket.on_throttled(SocketAction::Continue)).await;
    assert_eq!(say(&mut peer, "a").await, "in: a");
    assert_eq!(say(&mut peer, "b").await, "over: b");
    clock.advance(Duration::from_secs(60));
    assert_eq!(say(&mut peer, "c").await, "in: c");
}

/// A client that floods and reads nothing does not keep the handler waiting for room to send the close frame.
#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_is_closed_on_all_the_same() {
    let (one, _clock) = timed("1/min");
    let ended = Arc::new(Notify::new());
    let told = ended.clone();
    let handler = async move |upgrade: WebSocketUpgrade, parts: Parts| -> Response {
        upgrade.on_upgrade(async move |socket| {
            let mut socket = one.guard_socket(socket, parts).on_throttled(SocketAction::Close);
            while let Some(Ok(_)) = socket.recv().await {
                // More than there is room for on the way.
                let long = Message::Binary(vec![0; 64 << 20].into());
                assert!(socket.send(long).now_or_never().is_none());
            }
            told.notify_one();
        })
    };
    let mut peer = connect(Router::new().route("/", any(handler)).layer(app().build().layer())).await;
    for _ in 0..2 {
        peer.send("a".into()).await.unwrap();
    }
    let waited = tokio::time::timeout(Duration::from_secs(60), ended.notified()).await;
    assert!(waited.is_ok(), "the handler still waits for the client to read");
}

/// A refusal concerns a single message and none that follow it.
#[tokio::test]
async fn a_ping_behind_a_message_over_the_limit_is_not_over_it() {
    for action in [SocketAction::Continue, SocketAction::Notify] {
        let (one, _clock) = timed("1/min");
        let handler = async move |upgrade: WebSocketUpgrade, parts: Parts| -> Response {
            upgrade.on_upgrade(async move |socket| {
                let mut socket = one.guard_socket(socket, parts).on_throttled(action);
                while let Some(Ok(message)) = socket.recv().await {
                    if let Message::Ping(_) = message {
                        let over = socket.throttled().is_some().to_string();
                        socket.send(Message::Text(over.into())).await.unwrap();
                    }
                }
            })
        };
        let mut peer = connect(Router::new().route("/", any(handler))).await;
        for _ in 0..2 {
            peer.send("a".into()).await.unwrap();
        }
        peer.send(tungstenite::Message::Ping("x".into())).await.unwrap();
        let over = loop {
            let message = peer.next().await.unwrap().unwrap();
            if message.is_text() && !message.to_text().unwrap().contains("rate_limit") {
                break message;
            }
        };
        assert_eq!(over.to_text().unwrap(), "false", "{action:?}");
    }
}

#[tokio::test]
async fn messages_cost_what_they_weigh() {
    let (one, _clock) = timed("10/min");
    let mut peer =
        echo(one, |socket| socket.cost_with(|message| message.clone().into_data().len() as u64)).await;
    assert_eq!(say(&mut peer, "sixsix").await, "in: sixsix");
    assert!(say(&mut peer, "fives").await.contains(r#""retry_after":60"#));
    assert_eq!(say(&mut peer, "four").await, "in: four");
    assert_eq!(say(&mut peer, "").await, "in: ");
    assert!(say(&mut peer, "x").await.contains("rate_limit"));
    // A message that can never pass is given no time to retry.
    assert!(say(&mut peer, "eleven bytes").await.contains(r#""retry_after":null"#));
}

#[tokio::test]
async fn an_outage_does_what_on_error_says() {
    for (on_error, code) in [(OnError::throttle(), CloseCode::Again), (OnError::raise(), CloseCode::Error)] {
        let backend = FaultyBackend::new(memory().0);
        backend.fail();
        let one = build("down", "1/min").backend(backend).on_error(on_error).build().unwrap();
        let mut peer = echo(one, |socket| socket).await;
        peer.send("a".into()).await.unwrap();
        assert_eq!(closed(&mut peer).await.0, code);
    }
    let backend = FaultyBackend::new(memory().0);
    backend.fail();
    let one = build("down", "1/min").backend(backend).on_error(OnError::allow()).build().unwrap();
    let mut peer = echo(one, |socket| socket).await;
    assert_eq!(say(&mut peer, "a").await, "in: a");
    assert_eq!(say(&mut peer, "b").await, "in: b");
}

#[tokio::test(start_paused = true)]
async fn a_recv_that_is_cancelled_loses_nothing() {
    let backend = FaultyBackend::new(memory().0).delay(Duration::from_millis(50));
    let one = build("cancelled", "2/min").backend(backend.clone()).build().unwrap();
    let handler = async move |upgrade: WebSocketUpgrade, parts: Parts| -> Response {
        upgrade.on_upgrade(async move |socket| {
            let mut socket = one.guard_socket(socket, parts);
            loop {
                // Ticks come more often than decisions, so that `recv` is cancelled again and again.
                tokio::select! {
                    message = socket.recv() => match message {
                        Some(Ok(message)) => socket.send(message).await.unwrap(),
                        _ => break,
                    },
                    () = tokio::time::sleep(Duration::from_millis(20)) => {}
                }
            }
        })
    };
    let mut peer = connect(Router::new().route("/", any(handler)).layer(app().build().layer())).await;
    assert_eq!(say(&mut peer, "a").await, "a");
    assert_eq!(say(&mut peer, "b").await, "b");
    assert!(say(&mut peer, "c").await.contains("rate_limit"));
    assert_eq!(backend.calls(), 3);
}

#[tokio::test]
async fn connections_are_limited_by_the_attribute_and_messages_per_client() {
    static MESSAGES: LazyLock<Throttle> =
        LazyLock::new(|| Throttle::builder("socket:messages").rate("3/min").build().unwrap());
    #[throttle("socket:connections", rate = "2/min")]
    async fn chat(upgrade: WebSocketUpgrade, parts: Parts) -> Response {
        upgrade.on_upgrade(|socket| async move {
            let mut socket = MESSAGES.guard_socket(socket, parts);
            while let Some(Ok(message)) = socket.recv().await {
                if socket.send(message).await.is_err() {
                    break;
                }
            }
        })
    }
    let address = serve(Router::new().route("/", any(chat)).layer(app().build().layer())).await;
    let url = format!("ws://{address}/");
    let mut first = connect_async(&url).await.unwrap().0;
    let mut second = connect_async(&url).await.unwrap().0;
    let tungstenite::Error::Http(refused) = connect_async(&url).await.unwrap_err() else {
        panic!("no answer of HTTP")
    };
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.headers().contains_key("retry-after"));
    // Both connections belong to one client and count on the same account.
    assert_eq!(say(&mut first, "a").await, "a");
    assert_eq!(say(&mut second, "b").await, "b");
    assert_eq!(say(&mut first, "c").await, "c");
    assert!(say(&mut second, "d").await.contains("rate_limit"));
    first.close(None).await.unwrap();
}
