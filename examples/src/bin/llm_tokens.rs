//! A budget of tokens: an answer's cost is reserved up front, and settled to the model's own count.
//!
//! Run with `cargo run -p traffik-examples --bin llm_tokens`, then
//!
//! ```sh
//! curl -N -d 'three short words' localhost:3000/complete    # streamed; reserves 500, and costs 3
//! curl localhost:3000/left                                  # 3 of 1000 tokens used
//! curl -N -d 'write 800' localhost:3000/complete            # more than was reserved: costs 800
//! curl -i -d 'once more' localhost:3000/complete            # 429: 500 don't fit any more
//! ```

use std::convert::Infallible;
use std::sync::LazyLock;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::{get, post};
use futures_util::stream;
use traffik::{Charge, OnCancel, Parts, Throttle, throttle};

/// What a client that hangs up has not been sent costs nothing: the model stops, too.
static TOKENS: LazyLock<Throttle> = LazyLock::new(|| {
    let builder = Throttle::builder("tokens").rate("1000/min").cost(500);
    builder.on_cancel(OnCancel::Refund).build().expect("500 of 1000 a minute can pass")
});

/// A model that repeats what it is told, or writes as much as it is told.
fn model(prompt: &str) -> Vec<String> {
    match prompt.strip_prefix("write ").and_then(|count| count.parse::<usize>().ok()) {
        Some(count) => vec!["word".to_owned(); count.min(2_000)],
        None => prompt.split_whitespace().map(str::to_uppercase).collect(),
    }
}

/// The charge travels in the stream, and is settled at its end.
#[throttle(TOKENS)]
async fn complete(charge: Charge, prompt: String) -> Body {
    let tokens = model(&prompt).into_iter();
    Body::from_stream(stream::unfold((charge, tokens, 0), async |(charge, mut tokens, sent)| {
        match tokens.next() {
            Some(token) => Some((Ok::<_, Infallible>(Bytes::from(token + " ")), (charge, tokens, sent + 1))),
            None => {
                // The answer stands whatever comes of it.
                charge.settle(sent).await.ok();
                None
            }
        }
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
