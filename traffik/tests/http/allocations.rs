//! How often a request allocates on its way in.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};

use axum::extract::{FromRequest, FromRequestParts};
use http::{Request, Response};
use traffik::{Gate, Headers, Parts, Peer, Throttle, ThrottleLayer};

use crate::support::throttle;
use counting::count;

#[path = "../common/counting.rs"]
mod counting;

/// Runs a future that is ready immediately. Returns its output and the number of allocations.
fn allocations<T>(future: impl Future<Output = T>) -> (T, usize) {
    let mut future = std::pin::pin!(future);
    let before = count();
    let poll = future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
    let count = count() - before;
    match poll {
        std::task::Poll::Ready(value) => (value, count),
        std::task::Poll::Pending => panic!("not ready at once"),
    }
}

fn parts() -> Parts {
    let mut parts = Request::new(()).into_parts().0;
    parts.extensions.insert(Peer(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    parts
}

macro_rules! gated {
    ($name:ident: $($uid:literal),+; $headers:expr) => {{
        struct $name;
        impl traffik::private::Gated for $name {
            fn stack() -> &'static traffik::private::Stack {
                static STACK: std::sync::LazyLock<traffik::private::Stack> = std::sync::LazyLock::new(|| {
                    traffik::private::Stack::new()
                        $(.declare(Throttle::builder($uid).rate("1000/min").headers($headers)))+
                });
                &STACK
            }
        }
        async fn enter(parts: &mut Parts) -> Response<axum::body::Body> {
            let gate = Gate::<$name>::from_request_parts(parts, &()).await.unwrap();
            traffik::private::respond(gate, async {}).await
        }
        async fn enter_alone(request: axum::extract::Request) -> Response<axum::body::Body> {
            let gate = Gate::<$name, traffik::private::Alone>::from_request(request, &()).await.unwrap();
            traffik::private::respond(gate, async {}).await
        }
        let mut parts = parts();
        let request = || axum::extract::Request::from_parts(self::parts(), axum::body::Body::empty());
        // The first request builds what is kept for later ones.
        allocations(enter(&mut parts));
        let (response, count) = allocations(enter(&mut parts));
        assert_eq!(allocations(enter_alone(request())).1, count);
        let (_, bare) = allocations(async { axum::response::IntoResponse::into_response(()) });
        (response, count - bare)
    }};
}

#[test]
fn an_allowed_request_without_headers_allocates_nothing() {
    assert_eq!(gated!(One: "allocations:one"; Headers::never()).1, 0);
    assert_eq!(gated!(Two: "allocations:two", "allocations:three"; Headers::never()).1, 0);
    let four = gated!(Four: "allocations:4a", "allocations:4b", "allocations:4c", "allocations:4d"; Headers::never());
    assert_eq!(four.1, 0);
    let five = gated!(Five: "allocations:5a", "allocations:5b", "allocations:5c", "allocations:5d", "allocations:5e"; Headers::never());
    assert_eq!(five.1, 0);
    assert_eq!(gated!(Throttled: "allocations:throttled"; Headers::when_throttled()).1, 0);
}

#[test]
fn headers_cost_a_handful() {
    let (response, count) = gated!(Legacy: "allocations:legacy"; Headers::legacy());
    assert_eq!(response.headers().len(), 3);
    // The note that is kept until there is a response, and the header map of the response.
    assert!(count <= 3, "{count}");
    let (response, count) = gated!(Both: "allocations:both"; Headers::always());
    assert_eq!(response.headers().len(), 5);
    assert!(count <= 5, "{count}");
    let (response, count) = gated!(Stacked: "allocations:first", "allocations:second"; Headers::always());
    assert_eq!(response.headers().len(), 5);
    assert!(count <= 5, "{count}");
}

#[test]
fn a_layer_costs_its_note() {
    let one = throttle("layer", "1000/min").headers(Headers::never()).build().unwrap();
    let mut service = tower::Layer::layer(
        &ThrottleLayer::new([&one]),
        tower::service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::new(String::new()))),
    );
    let mut once = || {
        let request = Request::from_parts(parts(), ());
        let future = async {
            // Create the future inside, so that allocations of the call itself are counted, too.
            tower::Service::call(&mut service, request).await
        };
        allocations(future).1
    };
    once();
    // The charge, which is refunded if the request is turned away further in; the note of it among the
    // extensions, for layers and handlers further in; and the work left to do once there is a response.
    assert!(once() <= 3, "{}", once());
}
