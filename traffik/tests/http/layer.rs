//! `ThrottleLayer` around an axum router and a plain hyper service.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use tower::{ServiceBuilder, ServiceExt, service_fn};
use traffik::test_kit::FaultyBackend;
use traffik::tower::ThrottleService;
use traffik::{BackendLayer, Identity, Parts, Peer, SharedBackend, Throttle, ThrottleLayer, Throttled};

use crate::support::{Client, app, memory, throttle};

#[tokio::test]
async fn a_router_is_limited_as_a_whole() {
    let global = throttle("global", "3/min").build().unwrap();
    let app = Router::new()
        .route("/a", get(async || "a"))
        .route("/b", post(async || "b"))
        .layer(ThrottleLayer::new([&global]))
        .layer(app().build().layer());
    let client = Client::of(app).await;
    assert_eq!(client.get("/a").await.status, 200);
    assert_eq!(client.send("POST", "/b", &[]).await.status, 200);
    assert_eq!(client.get("/missing").await.status, 404);
    let refused = client.get("/a").await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.header("retry-after"), Some("60"));
    assert_eq!(refused.json()["violated-policies"], serde_json::json!(["global"]));
}

#[tokio::test]
async fn several_throttles_are_one_decision() {
    let wide = throttle("wide", "10/min").build().unwrap();
    let narrow = throttle("narrow", "2/min").build().unwrap();
    let (memory, clock) = memory();
    let backend = FaultyBackend::new(memory);
    let layer = ThrottleLayer::new([&wide, &narrow, &wide]);
    assert_eq!(format!("{layer:?}"), r#"ThrottleLayer(["wide", "narrow"])"#);
    let app = Router::new()
        .route("/", get(async || ""))
        .layer(layer)
        .layer(traffik::Traffik::builder().backend(backend.clone()).build().layer());
    let client = Client::of(app).await;
    assert_eq!(client.statuses("/").await, [200, 200, 429, 429]);
    // One call per request, and a refusal charges the other throttle nothing.
    assert_eq!(backend.calls(), 4);
    let left = client.get("/").await;
    assert_eq!(left.header("ratelimit"), Some(r#""wide";r=8;t=60, "narrow";r=0;t=60"#));
    clock.advance(Duration::from_secs(60));
    assert_eq!(client.statuses("/").await, [200, 200, 429]);
}

#[tokio::test]
async fn clones_of_the_layer_share_their_counters() {
    let global = throttle("global", "2/min").build().unwrap();
    let layer = ThrottleLayer::new([global]);
    let one = Router::new().route("/one", get(async || "")).layer(layer.clone());
    let two = Router::new().route("/two", get(async || "")).layer(layer);
    let client = Client::of(one.merge(two).layer(app().build().layer())).await;
    assert_eq!(client.get("/one").await.status, 200);
    assert_eq!(client.get("/two").await.status, 200);
    assert_eq!(client.get("/one").await.status, 429);
    assert_eq!(client.get("/two").await.status, 429);
}

/// The types can be named in a struct.
struct Shop {
    _service: ThrottleService<Router>,
    _layer: ThrottleLayer,
}

#[test]
fn the_service_can_be_named() {
    let layer = ThrottleLayer::new([throttle("named", "2/min").build().unwrap()]);
    let service = tower::Layer::layer(&layer, Router::new());
    let _ = Shop { _service: service.clone(), _layer: layer };
}

#[tokio::test]
async fn a_bare_hyper_service_is_limited() {
    let global = throttle("hyper", "2/min").backend(memory().0).build().unwrap();
    let service = service_fn(|_: Request<hyper::body::Incoming>| async {
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"bare"))))
    });
    let service = ServiceBuilder::new()
        .map_request(|mut request: Request<_>| {
            request.extensions_mut().insert(Peer(IpAddr::V4(Ipv4Addr::LOCALHOST)));
            request
        })
        .layer(ThrottleLayer::new([&global]))
        .service(service);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(async move {
                let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                builder.serve_connection(TokioIo::new(stream), service).await.unwrap();
            });
        }
    });
    let client = Client::at(address);
    let reply = client.get("/").await;
    assert_eq!((reply.status, &*reply.body), (200, "bare"));
    assert_eq!(reply.header("content-length"), Some("4"));
    assert_eq!(client.statuses("/").await, [200, 429]);
}

/// Axum takes the body out of answers to `HEAD`, but nothing else does, and an HTTP/2 client resets the stream.
#[tokio::test]
async fn a_refused_head_has_no_body() {
    async fn answer(_: Request<hyper::body::Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        Ok(Response::new(Full::default()))
    }
    let global = throttle("head", "1/min").identifier(|_: &Parts| "all").backend(memory().0).build().unwrap();
    let service = ServiceBuilder::new().layer(ThrottleLayer::new([&global])).service_fn(answer);
    let (client, server) = tokio::io::duplex(1 << 16);
    tokio::spawn(async move {
        let server = TokioIo::new(server);
        let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        builder.serve_connection(server, TowerToHyperService::new(service)).await.unwrap();
    });
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(client)).await.unwrap();
    tokio::spawn(connection);
    let mut send = async |method: &str| {
        let request = Request::builder().method(method).uri("http://localhost/");
        let request = request.body(http_body_util::Empty::<Bytes>::new()).unwrap();
        let (head, body) = client.send_request(request).await.unwrap().into_parts();
        (
            head.status.as_u16(),
            head.headers.get("content-length").cloned(),
            body.collect().await.unwrap().to_bytes(),
        )
    };
    assert_eq!(send("HEAD").await.0, 200);
    let (status, length, body) = send("GET").await;
    assert_eq!((status, length.as_ref()), (429, Some(&body.len().into())));
    assert!(!body.is_empty());
    assert_eq!(send("HEAD").await, (429, length, Bytes::new()));
}

#[tokio::test]
async fn a_refused_head_states_no_length_that_is_unknown() {
    fn streamed(_: &Parts, _: &Throttled) -> Body {
        Body::from_stream(futures_util::stream::iter([Ok::<_, Infallible>("slow down")]))
    }
    let one = throttle("streamed", "1/min").on_throttled(streamed).backend(memory().0).build().unwrap();
    let app = Router::new().route("/", get(async || "hello")).layer(ThrottleLayer::new([&one]));
    let client = Client::of(app).await;
    assert_eq!(client.send("HEAD", "/", &[]).await.header("content-length"), Some("5"));
    assert_eq!(client.get("/").await.body, "slow down");
    assert_eq!(client.send("HEAD", "/", &[]).await.header("content-length"), None);
}

#[tokio::test]
async fn identifiers_rates_and_costs_may_take_their_time() {
    async fn slow(parts: &Parts) -> Identity {
        tokio::task::yield_now().await;
        Identity::from(parts.headers.get("x-key").and_then(|key| key.to_str().ok()))
    }
    let one = throttle("slow", "5/min").identifier(slow).cost_with(async |parts: &Parts| cost(parts)).build();
    fn cost(parts: &Parts) -> u64 {
        if parts.method == http::Method::POST { 3 } else { 1 }
    }
    let app = Router::new()
        .route("/", get(async || "").post(async || ""))
        .layer(ThrottleLayer::new([one.unwrap()]))
        .layer(app().build().layer());
    let client = Client::of(app).await;
    assert_eq!(client.send("POST", "/", &[("x-key", "ann")]).await.status, 200);
    assert_eq!(client.send("POST", "/", &[("x-key", "ann")]).await.status, 429);
    assert_eq!(client.send("GET", "/", &[("x-key", "ann")]).await.status, 200);
    assert_eq!(client.send("POST", "/", &[("x-key", "bob")]).await.status, 200);
}

#[tokio::test]
async fn dynamic_backends_are_found_through_the_layers() {
    let (first, second): (SharedBackend, SharedBackend) = (memory().0.into(), memory().0.into());
    let tenant = throttle("tenant", "1/hour").dynamic_backend().build().unwrap();
    let tenants = BackendLayer::resolve(move |parts: &Parts| match parts.uri.path() {
        "/first" => Some(first.clone()),
        "/second" => Some(second.clone()),
        _ => None,
    });
    let app = Router::new().fallback(async || "").layer(ThrottleLayer::new([tenant])).layer(tenants);
    let client = Client::of(app).await;
    assert_eq!(client.statuses("/first").await, [200, 429]);
    assert_eq!(client.statuses("/second").await, [200, 429]);
    // There is no backend, neither from a layer nor installed. That is a configuration error, so the response
    // must not tell the client to slow down.
    assert_eq!(client.get("/third").await.status, 500);
}

#[tokio::test]
async fn failures_of_the_backend_are_no_refusals() {
    for (on_error, status) in [
        (traffik::OnError::allow(), 200),
        (traffik::OnError::throttle(), 503),
        (traffik::OnError::raise(), 500),
    ] {
        let backend = FaultyBackend::new(memory().0);
        backend.fail();
        let one = throttle("broken", "1/min").backend(backend).on_error(on_error).build().unwrap();
        let app = Router::new().route("/", get(async || "")).layer(ThrottleLayer::new([one]));
        let reply = Client::of(app).await.get("/").await;
        assert_eq!(reply.status, status);
        assert!(!reply.body.contains("failed as told"), "{}", reply.body);
        assert_eq!(reply.header("retry-after"), (status == 503).then_some("1"));
    }
}

#[tokio::test]
async fn refunds_follow_the_response() {
    let reads =
        throttle("refunds", "2/min").refund_on_status(|status| status.is_server_error()).build().unwrap();
    let app = Router::new()
        .route("/good", get(async || ""))
        .route("/bad", get(async || StatusCode::BAD_GATEWAY))
        .layer(ThrottleLayer::new([reads]))
        .layer(app().build().layer());
    let client = Client::of(app).await;
    assert_eq!(client.statuses("/bad").await, [502, 502, 502, 502]);
    assert_eq!(client.statuses("/good").await, [200, 200, 429]);
}

#[tokio::test]
async fn a_throttled_service_keeps_what_its_body_knows() {
    let one: Throttle = throttle("body", "9/min").backend(memory().0).build().unwrap();
    let service =
        ServiceBuilder::new().layer(ThrottleLayer::new([&one])).service(service_fn(async |_: Request<()>| {
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"four"))))
        }));
    let response = service.oneshot(Request::new(())).await.unwrap();
    assert_eq!(http_body::Body::size_hint(response.body()).exact(), Some(4));
}
