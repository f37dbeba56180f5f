//! A chat room that limits each client's connections and messages.
//!
//! Run with `cargo run -p traffik-examples --bin websocket_chat`, then
//!
//! ```sh
//! websocat ws://localhost:3000/chat
//! # a line that you type is sent to everyone, including you; the sixth within ten seconds gets
//! # {"type":"rate_limit","error":"Too many messages","retry_after":8}
//! for i in 1 2 3 4; do curl -s -o /dev/null -w '%{http_code} ' --max-time 1 -N \
//!     -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' \
//!     -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' localhost:3000/chat; done
//! # 101 101 101 429: three connections a minute
//! ```

use std::sync::LazyLock;

use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::{Router, response::Response, routing::any};
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use traffik::{Parts, SocketAction, Throttle, throttle};

static MESSAGES: LazyLock<Throttle> =
    LazyLock::new(|| Throttle::builder("chat:messages").rate("5/10s").build().expect("a valid throttle"));

type Room = broadcast::Sender<String>;

#[throttle("chat:connections", rate = "3/min")]
async fn chat(upgrade: WebSocketUpgrade, State(room): State<Room>, parts: Parts) -> Response {
    upgrade.on_upgrade(|socket| talk(socket, parts, room))
}

async fn talk(socket: WebSocket, parts: Parts, room: Room) {
    let mut heard = room.subscribe();
    // A long message counts as several.
    let mut socket = MESSAGES
        .guard_socket(socket, parts)
        .on_throttled(SocketAction::Notify)
        .cost_with(|message| 1 + message_length(message) / 200);
    loop {
        tokio::select! {
            message = socket.recv() => match message {
                // Sending to an empty room is not an error.
                Some(Ok(Message::Text(text))) => drop(room.send(text.to_string())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            },
            Ok(text) = heard.recv() => {
                if socket.send(Message::Text(text.into())).await.is_err() {
                    return;
                }
            }
        }
    }
}

fn message_length(message: &Message) -> u64 {
    match message {
        Message::Text(text) => text.len() as u64,
        Message::Binary(bytes) => bytes.len() as u64,
        _ => 0,
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    tracing_subscriber::fmt::init();
    let app = Router::new().route("/chat", any(chat)).with_state(Room::new(100));
    let address = std::env::var("ADDR").unwrap_or_else(|_| "127.0.0.1:3000".into());
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    traffik::axum::serve(listener, app).await
}
