//! A client of the chat room.

use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::connect_async;

/// Sends six lines and returns what came back.
pub(crate) fn talk(address: &str) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (mut socket, _) = connect_async(format!("ws://{address}/chat")).await.unwrap();
        let mut heard = Vec::new();
        for nth in 1..=6 {
            socket.send(format!("line {nth}").into()).await.unwrap();
            heard.push(socket.next().await.unwrap().unwrap().into_text().unwrap().to_string());
        }
        heard
    })
}
