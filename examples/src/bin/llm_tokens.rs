//! A token budget: reserves the cost of an answer up front, and settles it to the model's own count.
//!
//! Run with `cargo run -p traffik-examples --bin llm_tokens`, then
//!
//! ```sh
//! curl -N -d 'three short words' localhost:3000/complete    # streamed: reserves 500, costs 3
//! curl localhost:3000/left                                  # 3 of 1000 tokens used
//! curl -N -d 'write 800' localhost:3000/complete            # costs 800, more than was reserved
//! curl -i -d 'once more' localhost:3000/complete            # 429: another 500 don't fit
//! ```

use std::convert::Infallible;
use std::sync::LazyLock;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::{get, post};
use futures_util::stream;
use traffik::{Charge, OnCancel, Parts, Throttle, throttle};

/// A client that is turned away before the model is asked pays nothing.
static TOKENS: LazyLock<Throttle> = LazyLock::new(|| {
    let builder = Throttle::builder("tokens").rate("1000/min").cost(500);
    builder.on_cancel(OnCancel::Refund).build().expect("500 of 1000 a minute can pass")
});

/// How long the model takes per token.
const PACE: Duration = Duration::from_millis(1);

/// A model that repeats the prompt in upper case, or writes as many words as it is asked for.
fn model(prompt: &str) -> Vec<String> {
    match prompt.strip_prefix("write ").and_then(|count| count.parse::<usize>().ok()) {
        Some(count) => vec!["word".to_owned(); count.min(2_000)],
        None => prompt.split_whitespace().map(str::to_uppercase).collect(),
    }
}

/// Counts the tokens sent so far. A client that hangs up pays for those, or it could avoid paying by hanging up before
/// the last word.
struct Sent {
    tokens: u64,
    charge: Option<Charge>,
}

impl Drop for Sent {
    fn drop(&mut self) {
        if let Some(charge) = self.charge.take() {
            tokio::spawn(charge.settle(self.tokens));
        }
    }
}

/// The charge is part of the stream, and is settled when the stream ends, whether the answer is complete or not.
#[throttle(TOKENS)]
async fn complete(charge: Charge, prompt: String) -> Body {
    let (tokens, sent) = (model(&prompt).into_iter(), Sent { tokens: 0, charge: Some(charge) });
    Body::from_stream(stream::unfold((tokens, sent), async |(mut tokens, mut sent)| {
        let Some(token) = tokens.next() else {
            // The answer has been sent, so a failed settlement changes nothing.
            sent.charge.take()?.settle(sent.tokens).await.ok();
            return None;
        };
        tokio::time::sleep(PACE).await;
        sent.tokens += 1;
        Some((Ok::<_, Infallible>(Bytes::from(token + " ")), (tokens, sent)))
    }))
}

async fn left(parts: Parts) -> Result<String, traffik::Error> {
    let stat = TOKENS.stat(&parts).await?;
    Ok(stat.map_or_else(String::new, |stat| format!("{} of {} tokens used\n", stat.used, stat.limit)))
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let app = Router::new().route("/complete", post(complete)).route("/left", get(left));
    let address = std::env::var("ADDR").unwrap_or_else(|_| "127.0.0.1:3000".into());
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    traffik::axum::serve(listener, app).await
}
