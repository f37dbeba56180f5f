//! Measures what a limit adds to a call of an axum handler: the attribute against `tower_governor` and other peers.

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::IntoResponse;
use axum::routing::get;
use http::Request;
use tower::Service;
use traffik::strategy::Gcra;
use traffik::{EXEMPTED, Identity, Parts, throttle};

use crate::measure::{Side, Spread, rounds_of_turns};
use crate::peers;
use crate::report::{Report, Target, digits};

/// Calls of one side before the next side's turn: some 200 µs.
const CALLS: usize = 250;
const TURNS: usize = 40;
/// Rounds of a comparison per pass. All comparisons are repeated in [`PASSES`] passes, so that each row's figures cover
/// the whole minute that the section takes, not a single second that may have been a bad one.
const ROUNDS: usize = 5;
const PASSES: usize = 15;
/// The peer that the targets refer to.
const GOVERNOR: &str = "tower_governor";
/// The number of addresses that the calls come from.
pub const CLIENTS: usize = 1000;

#[throttle("bench:one", rate = "1000000000/s", strategy = Gcra::new().burst(1000), headers = "never")]
async fn silent() -> &'static str {
    "ok"
}

#[throttle("bench:headers", rate = "1000000000/s", strategy = Gcra::new().burst(1000), headers = traffik::Headers::legacy())]
async fn legacy() -> &'static str {
    "ok"
}

#[throttle("bench:all", rate = "1000000000/s", strategy = Gcra::new().burst(1000))]
async fn all_headers() -> &'static str {
    "ok"
}

#[throttle("bench:window", rate = "1000000000/s", headers = "never")]
async fn window() -> &'static str {
    "ok"
}

/// An extractor that does nothing, for comparison with the one that the attribute inserts.
struct Nothing;

impl<S: Sync> axum::extract::FromRequestParts<S> for Nothing {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self)
    }
}

async fn extracting(_: Nothing) -> axum::response::Response {
    "ok".into_response()
}

/// Defines a handler under the given throttles.
macro_rules! stacked {
    ($name:ident: $($uid:literal),*) => {
        $(#[throttle($uid, rate = "1000000000/s", strategy = Gcra::new().burst(1000), headers = "never")])*
        async fn $name() -> &'static str {
            "ok"
        }
    };
}

stacked!(two: "bench:2a", "bench:2b");
stacked!(three: "bench:3a", "bench:3b", "bench:3c");
stacked!(four: "bench:4a", "bench:4b", "bench:4c", "bench:4d");
stacked!(five: "bench:5a", "bench:5b", "bench:5c", "bench:5d", "bench:5e");

fn nobody(_: &Parts) -> Identity {
    EXEMPTED
}

#[throttle("bench:exempt", rate = "20/min", identifier = nobody, headers = "never")]
async fn exempt() -> &'static str {
    "ok"
}

#[throttle("bench:free", rate = "20/min", cost = 0, headers = "never")]
async fn free() -> &'static str {
    "ok"
}

fn request(call: usize) -> Request<Body> {
    let ip = Ipv4Addr::from_bits(0x0a00_0000 + (call * 7919 % CLIENTS) as u32);
    let mut request = Request::new(Body::empty());
    request.extensions_mut().insert(ConnectInfo(SocketAddr::from((ip, 4000))));
    request
}

/// Returns nanoseconds per call, on one thread.
pub fn calls(runtime: &tokio::runtime::Runtime, router: &Router, calls: usize) -> f64 {
    let mut router = router.clone();
    runtime.block_on(async {
        let start = Instant::now();
        for call in 0..calls {
            let response = black_box(router.call(black_box(request(call))).await);
            assert!(
                response.is_ok_and(|response| response.status().is_success()),
                "the bench's limits let all pass"
            );
        }
        start.elapsed().as_nanos() as f64 / calls as f64
    })
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime")
}

/// Returns a service by name, for instruction counts.
pub fn service(name: &str) -> Option<Router> {
    Some(match name {
        "bare" => peers::ungoverned(),
        "nothing" => Router::new().route("/", get(extracting)),
        "exempt" => Router::new().route("/", get(exempt)),
        "free" => Router::new().route("/", get(free)),
        "attribute" => Router::new().route("/", get(silent)),
        "default" => Router::new().route("/", get(window)),
        "two attributes" => Router::new().route("/", get(two)),
        "X-RateLimit" => Router::new().route("/", get(legacy)),
        "both families" => Router::new().route("/", get(all_headers)),
        "tower_governor headers" => peers::tower_governor(true),
        "tower_governor" => peers::tower_governor(false),
        "axum-governor" => peers::axum_governor(),
        "axum-limit" => peers::axum_limit(),
        _ => return None,
    })
}

/// Services that are called in turn, with the time per call of each in each round.
struct Compared<const N: usize> {
    services: [Router; N],
    rounds: Vec<[f64; N]>,
}

impl<const N: usize> Compared<N> {
    fn of(services: [Router; N]) -> Self {
        Self { services, rounds: Vec::new() }
    }

    fn pass(&mut self, runtime: &tokio::runtime::Runtime) {
        let sides = self
            .services
            .each_ref()
            .map(|service| -> Side<'_> { Box::new(move || calls(runtime, service, CALLS)) });
        self.rounds.extend(rounds_of_turns(ROUNDS, TURNS, sides));
    }

    /// Returns how much longer each of the others takes than the first.
    fn added<const M: usize>(&self) -> Vec<[f64; M]> {
        let added = |round: &[f64; N]| std::array::from_fn(|side| round[side + 1] - round[0]);
        self.rounds.iter().map(added).collect()
    }
}

pub fn run(report: &mut Report) {
    let runtime = runtime();
    let on = |handler| Router::new().route("/", handler);
    let (plain, headers) = (|| peers::tower_governor(false), || peers::tower_governor(true));
    let (half, most) = (Target::AtMost(0.5), Target::AtMost(0.6));
    let mut against = [
        ("attribute, headers off: added to a call", get(silent), GOVERNOR, plain(), half),
        ("attribute, `X-RateLimit-*`: added to a call", get(legacy), GOVERNOR, headers(), most),
        ("attribute, both families of headers", get(all_headers), GOVERNOR, headers(), most),
        (
            "two stacked attributes, headers off, to one layer",
            get(two),
            GOVERNOR,
            plain(),
            Target::AtMost(0.8),
        ),
        (
            "attribute, both families of headers",
            get(all_headers),
            "axum-governor",
            peers::axum_governor(),
            Target::None,
        ),
        (
            "attribute, headers off: added to a call",
            get(silent),
            "axum-limit",
            peers::axum_limit(),
            Target::None,
        ),
    ]
    .map(|(work, ours, peer, theirs, target)| {
        (work, peer, Compared::of([peers::ungoverned(), on(ours), theirs]), target)
    });
    let most = Target::AtMost(40.0);
    let mut added = [
        ("an extractor that does nothing, for reference", get(extracting), Target::None),
        ("an exempt client: added to a call", get(exempt), most),
        ("cost 0: added to a call", get(free), most),
        ("default strategy (`FixedWindow`), headers off", get(window), Target::None),
    ]
    .map(|(work, handler, target)| (work, Compared::of([peers::ungoverned(), on(handler)]), target));
    let mut depths = [get(silent), get(two), get(three), get(four), get(five)]
        .map(|handler| Compared::of([peers::ungoverned(), on(handler)]));

    for _ in 0..PASSES {
        against.iter_mut().for_each(|(.., compared, _)| compared.pass(&runtime));
        added.iter_mut().for_each(|(_, compared, _)| compared.pass(&runtime));
        depths.iter_mut().for_each(|compared| compared.pass(&runtime));
    }

    for (work, peer, compared, target) in &against {
        report.ratio(work, peer, &compared.added(), *target);
    }
    let bare = against.iter().flat_map(|(.., compared, _)| &compared.rounds).map(|round| round[0]);
    report.figure("the bare call, for reference", Spread::of(bare).median, " ns", Target::None);
    let spread = |compared: &Compared<2>| Spread::of(compared.added().into_iter().map(|[added]| added));
    for (work, compared, target) in &added {
        report.figures(work, spread(compared), " ns", *target);
    }
    let mut lines = vec![vec!["throttles on one handler".into(), "added to a call".into()]];
    for (depth, compared) in depths.iter().enumerate() {
        lines.push(vec![(depth + 1).to_string(), format!("{} ns", digits(spread(compared).median))]);
    }
    report.table("By depth of the stack, in memory", lines);
}
