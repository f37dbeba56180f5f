//! A custom backend: a map behind a lock, with expiry.
//!
//! Run with `cargo run -p traffik-examples --bin custom_backend`, then
//!
//! ```sh
//! for i in 1 2 3 4; do curl -s -o /dev/null -w '%{http_code} ' localhost:3000/data; done
//! # 200 200 200 429: three a minute
//! curl -s localhost:3000/kept
//! # 2: one state for each of the two throttles; a minute later 1, an hour later 0
//! ```

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::{Router, extract::State as AppState, routing::get};
use traffik::strategy::State;
use traffik::{Backend, BackendError, BoxFuture, Clock, Hit, Op, SystemClock, Traffik, Verdicts, throttle};

/// States by key, each with the time after which it no longer matters.
#[derive(Debug, Clone, Default)]
struct Notebook(Arc<Mutex<HashMap<u64, (State, u64)>>>);

impl Notebook {
    fn decide_all(&self, op: Op, hits: &[Hit<'_>]) -> Verdicts {
        let now = SystemClock.now();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, (_, until)| *until > now);
        let state = |hit: &Hit<'_>| kept.get(&hit.hash()).map(|(state, _)| state.clone()).unwrap_or_default();

        // Try every step on a copy of the state. If one is refused, none of the copies is kept.
        let mut after: Vec<_> = hits.iter().map(state).collect();
        let step = |(hit, state): (&Hit<'_>, &mut State)| hit.step(op, now, state);
        let mut verdicts = Verdicts::new(now, hits.iter().zip(&mut after).map(step));
        if op == Op::Hit && !verdicts.admitted() {
            for (hit, verdict) in hits.iter().zip(verdicts.each_mut()).filter(|(_, verdict)| verdict.admitted)
            {
                *verdict = hit.step(Op::Check, now, &mut state(hit));
            }
            return verdicts;
        }
        for ((hit, state), verdict) in hits.iter().zip(after).zip(verdicts.each()) {
            kept.insert(hit.hash(), (state, now.saturating_add(verdict.keep_for)));
        }
        verdicts
    }
}

impl Backend for Notebook {
    fn name(&self) -> &'static str {
        "notebook"
    }

    fn decide<'a>(&'a self, op: Op, hits: &'a [Hit<'a>]) -> BoxFuture<'a, Result<Verdicts, BackendError>> {
        Box::pin(std::future::ready(Ok(self.decide_all(op, hits))))
    }
}

#[throttle("notebook:minute", rate = "3/min")]
#[throttle("notebook:hour", rate = "100/hour")]
async fn data() -> &'static str {
    "hello\n"
}

async fn kept(AppState(notebook): AppState<Notebook>) -> String {
    let now = SystemClock.now();
    let states = notebook.0.lock().unwrap_or_else(PoisonError::into_inner);
    format!("{}\n", states.values().filter(|(_, until)| *until > now).count())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt::init();
    let notebook = Notebook::default();
    traffik::install(Traffik::builder().backend(notebook.clone()).build())?;
    let app = Router::new().route("/data", get(data)).route("/kept", get(kept)).with_state(notebook);
    let address = std::env::var("ADDR").unwrap_or_else(|_| "127.0.0.1:3000".into());
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    Ok(traffik::axum::serve(listener, app).await?)
}
