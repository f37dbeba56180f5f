//! The four features through the attribute, over a real socket and on a real Redis.

use std::sync::OnceLock;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use traffik::{
    BackendLayer, EXEMPTED, Identity, MemoryBackend, Parts, RedisBackend, SharedBackend, Traffik, throttle,
};
use traffik_tests::{RedisServer, Served};

use crate::support::patient;

fn tiered(req: &Parts) -> Identity {
    match req.headers.get("x-api-key").and_then(|key| key.to_str().ok()) {
        Some("admin") => EXEMPTED,
        Some(key) => Identity::key(key),
        None => traffik::client_ip(req),
    }
}

#[throttle("redis:burst", rate = "3/36500 days", identifier = tiered)]
#[throttle("redis:sustained", rate = "5/36500 days", identifier = tiered, strategy = "token_bucket")]
async fn data() -> &'static str {
    "hello"
}

#[throttle("redis:export", rate = "10/36500 days", cost = 4, identifier = tiered)]
async fn export() {}

#[throttle("redis:computed", rate = "10/36500 days", cost = async |req| req.uri.path().len() as u64)]
async fn computed() {}

#[throttle("redis:free", rate = "1/36500 days", cost = 0)]
async fn free() {}

async fn app(server: &RedisServer) -> Served {
    let routes = Router::new()
        .route("/data", get(data))
        .route("/export", get(export))
        .route("/123", get(computed))
        .route("/free", get(free));
    Served::start(routes.layer(Traffik::builder().backend(patient(server).await).build().layer())).await
}

#[tokio::test]
async fn costs_limits_and_exemptions() {
    let server = RedisServer::start();
    let app = app(&server).await;
    assert_eq!(app.statuses("/data", "ann", 4).await, [200, 200, 200, 429]);
    assert_eq!(app.statuses("/data", "bob", 1).await, [200]);
    let refused = app.get("/data", "ann").await;
    let (head, body) = (refused.head(), refused.body());
    assert!(head.contains("ratelimit: \"redis:burst\";r=0;t="), "{head}");
    assert!(head.contains("\"redis:sustained\";r=2;t="), "the refused hits took nothing: {head}");
    assert!(head.contains("content-type: application/problem+json"), "{head}");
    assert!(body.contains("\"violated-policies\":[\"redis:burst\"]"), "{body}");

    assert_eq!(app.statuses("/export", "ann", 3).await, [200, 200, 429]);
    assert_eq!(app.statuses("/123", "ann", 3).await, [200, 200, 429]);

    let before = server.decisions();
    assert_eq!(app.statuses("/data", "admin", 9).await, [200; 9]);
    assert_eq!(app.statuses("/free", "ann", 9).await, [200; 9]);
    assert_eq!(server.decisions(), before, "neither the exempt nor the free call Redis");
    assert_eq!(app.statuses("/data", "cem", 1).await, [200]);
    assert_eq!(server.decisions(), before + 1, "two throttles, one call");
}

static URL: OnceLock<String> = OnceLock::new();

/// The attribute's expression is evaluated at the first request, where nothing can be awaited.
#[throttle("redis:own", rate = "2/36500 days", backend = {
    RedisBackend::builder(URL.get().unwrap()).timeout(Duration::from_secs(10)).connect_lazy().unwrap()
})]
async fn own() {}

#[tokio::test]
async fn a_backend_of_the_attributes_own_connects_lazily() {
    let server = RedisServer::start();
    URL.set(server.url()).unwrap();
    let app = Served::start(Router::new().route("/own", get(own))).await;
    assert_eq!(app.statuses("/own", "ann", 1).await, [200]);
    let before = server.decisions();
    assert_eq!(app.statuses("/own", "ann", 2).await, [200, 429]);
    assert_eq!(server.decisions(), before + 2, "it is this server that counts");
}

#[throttle("redis:quota", rate = "2/36500 days", dynamic_backend)]
async fn quota() -> &'static str {
    "ok"
}

#[throttle("redis:quota:fn", rate = "2/36500 days", dynamic_backend = |req: &Parts| {
    req.extensions.get::<SharedBackend>().cloned()
})]
async fn quota_fn() {}

async fn of_the_request(req: &Parts) -> Option<SharedBackend> {
    tokio::task::yield_now().await;
    req.extensions.get::<SharedBackend>().cloned()
}

#[throttle("redis:quota:async", rate = "2/36500 days", dynamic_backend = of_the_request)]
async fn quota_async() {}

#[tokio::test]
async fn three_tenants_behind_one_throttle() {
    let server = RedisServer::start();
    let namespaced = async |namespace: &str| -> SharedBackend {
        let builder = RedisBackend::builder(server.url()).namespace(namespace);
        builder.timeout(Duration::from_secs(10)).connect().await.unwrap().into()
    };
    let (enterprise, premium) = (namespaced("enterprise").await, namespaced("premium").await);
    let memory = MemoryBackend::new();
    let free = SharedBackend::from(memory.clone());
    let tenants =
        BackendLayer::resolve(move |req: &Parts| match req.headers.get("x-api-key")?.to_str().ok()? {
            "enterprise" => Some(enterprise.clone()),
            "premium" => Some(premium.clone()),
            "free" => Some(free.clone()),
            _ => None,
        });
    let routes = Router::new()
        .route("/quota", get(quota))
        .route("/fn", get(quota_fn))
        .route("/async", get(quota_async));
    let app = Served::start(routes.layer(tenants)).await;
    for path in ["/quota", "/fn", "/async"] {
        for tenant in ["enterprise", "premium", "free"] {
            assert_eq!(app.statuses(path, tenant, 3).await, [200, 200, 429], "{path} {tenant}");
        }
        assert_eq!(app.statuses(path, "nobody", 1).await, [500], "no context: a configuration error");
    }
    assert_eq!(server.keys().len(), 6);
    assert_eq!(memory.len(), 3);
}

#[tokio::test]
async fn an_outage_is_503_and_never_429() {
    let mut server = RedisServer::start();
    let app = app(&server).await;
    assert_eq!(app.statuses("/data", "ann", 4).await, [200, 200, 200, 429]);
    server.kill();
    assert_eq!(app.statuses("/data", "ann", 3).await, [503, 503, 503]);
    assert_eq!(app.statuses("/data", "admin", 1).await, [200], "the exempt do not notice");
    assert!(app.get("/data", "bob").await.head().contains("retry-after: 1"));
}
