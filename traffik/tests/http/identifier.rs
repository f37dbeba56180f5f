//! An identifier for all throttles of an app, on each of the paths that a request may take.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::connect_info::MockConnectInfo;
use axum::routing::get;
use http::Request;
use tower::ServiceExt;
use traffik::rules::bypass_if;
use traffik::test_kit::FaultyBackend;
use traffik::{
    DenialCache, EXEMPTED, Identity, Parts, Throttle, ThrottleLayer, Traffik, TraffikBuilder, throttle,
};

use crate::support::{memory, throttle};

fn user(req: &Parts) -> Identity {
    match req.headers.get("x-user").and_then(|name| name.to_str().ok()) {
        Some("admin") => EXEMPTED,
        Some(name) => Identity::key(name),
        None => traffik::client_ip(req),
    }
}

async fn later(req: &Parts) -> Identity {
    tokio::task::yield_now().await;
    user(req)
}

fn by_address(req: &Parts) -> Identity {
    traffik::client_ip(req)
}

static RULED: LazyLock<Throttle> =
    LazyLock::new(|| throttle("app-id:ruled", "1/hour").rule(bypass_if().path("/never")).build().unwrap());
static REMEMBERS: LazyLock<Throttle> = LazyLock::new(|| {
    throttle("app-id:remembers", "1/hour")
        .backend(DenialCache::new(FaultyBackend::new(memory().0), 100))
        .build()
        .unwrap()
});
static LAYER: LazyLock<Throttle> = LazyLock::new(|| throttle("app-id:layer", "1/hour").build().unwrap());

#[throttle("app-id:one", rate = "1/hour")]
async fn one() {}

#[throttle("app-id:two:a", rate = "1/hour")]
#[throttle("app-id:two:b", rate = "1/hour")]
async fn two() {}

#[throttle("app-id:three:a", rate = "1/hour")]
#[throttle("app-id:three:b", rate = "1/hour")]
#[throttle("app-id:three:c", rate = "1/hour")]
async fn three() {}

#[throttle(RULED)]
async fn ruled() {}

#[throttle(REMEMBERS)]
async fn remembers() {}

#[throttle("app-id:own", rate = "1/hour", identifier = by_address)]
async fn own() {}

fn app(traffik: TraffikBuilder) -> Router {
    let layered = Router::new().route("/layer", get(async || {})).layer(ThrottleLayer::new([&*LAYER]));
    Router::new()
        .route("/one", get(one))
        .route("/two", get(two))
        .route("/three", get(three))
        .route("/ruled", get(ruled))
        .route("/remembers", get(remembers))
        .route("/own", get(own))
        .merge(layered)
        .layer(traffik.backend(memory().0).build().layer())
        .layer(MockConnectInfo(std::net::SocketAddr::from(([192, 0, 2, 1], 80))))
}

async fn status(app: &Router, path: &str, user: Option<&str>) -> u16 {
    let mut request = Request::get(path);
    if let Some(user) = user {
        request = request.header("x-user", user);
    }
    app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap().status().as_u16()
}

const PATHS: [&str; 6] = ["/one", "/two", "/three", "/ruled", "/remembers", "/layer"];

#[tokio::test]
async fn it_holds_for_throttles_without_one_of_their_own() {
    for traffik in [Traffik::builder().identifier(user), Traffik::builder().identifier(later)] {
        let app = app(traffik);
        for throttle in [&*RULED, &*REMEMBERS, &*LAYER] {
            throttle.reset("ann").await.unwrap();
            throttle.reset("bob").await.unwrap();
        }
        for path in PATHS {
            let mut seen = Vec::new();
            for user in ["ann", "ann", "ann", "bob", "bob", "admin", "admin"] {
                seen.push(status(&app, path, Some(user)).await);
            }
            assert_eq!(seen, [200, 429, 429, 200, 429, 200, 200], "{path}");
        }
        assert_eq!(status(&app, "/own", Some("ann")).await, 200);
        assert_eq!(status(&app, "/own", Some("bob")).await, 429, "its own identifier takes the address");
    }
}

#[tokio::test]
async fn the_innermost_app_s_wins_and_each_runs_once() {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    fn counted(_: &Parts) -> &'static str {
        CALLS.fetch_add(1, Ordering::Relaxed);
        "everyone"
    }
    let inside = app(Traffik::builder().identifier(counted));
    let outside = Traffik::builder().identifier(|_: &Parts| -> Identity { unreachable!("an outer app's") });
    let app = inside.layer(outside.build().layer());
    for (path, user, expected) in [("/three", "ann", 200), ("/three", "bob", 429)] {
        CALLS.store(0, Ordering::Relaxed);
        assert_eq!((status(&app, path, Some(user)).await, CALLS.load(Ordering::Relaxed)), (expected, 1));
    }
}

/// Outside HTTP, whoever calls names the client.
#[tokio::test]
async fn a_direct_call_asks_it_about_requests_alone() {
    let throttle = throttle("app-id:direct", "1/hour").build().unwrap();
    let mut parts = Request::new(()).into_parts().0;
    parts.headers.insert("x-user", "ann".parse().unwrap());
    // No app is known to these parts, so that this client is the anonymous one.
    assert!(throttle.hit(&parts).await.unwrap().is_allowed());
    assert!(throttle.hit("ann").await.unwrap().is_allowed());
    assert!(!throttle.hit(&parts).await.unwrap().is_allowed());
}
