//! Which requests a throttle applies to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::routing::get;
use http::Method;
use traffik::{Parts, Registry, Throttle, ThrottleLayer, bypass_if, throttle, throttle_if};

use crate::support::{Client, app, throttle as build};

/// Returns a client of an app in which every path exists, both nested and not.
async fn client(one: Throttle) -> Client {
    let any = || Router::new().fallback(async || "");
    let app = any().nest("/api", any()).layer(ThrottleLayer::new([one])).layer(app().build().layer());
    Client::of(app).await
}

#[tokio::test]
async fn a_matching_bypass_skips() {
    let one = build("bypass", "1/min")
        .rule(bypass_if().path("/health").method(Method::GET))
        .rule(bypass_if().when(|parts: &Parts| parts.headers.contains_key("x-internal")));
    let client = client(one.build().unwrap()).await;
    assert_eq!(client.statuses("/health").await, [200, 200, 200]);
    assert_eq!(client.statuses("/health/deep").await, [200, 200]);
    assert_eq!(client.statuses("/healthy").await, [200, 429]);
    assert_eq!(client.send("POST", "/health", &[]).await.status, 429);
    assert_eq!(client.send("POST", "/", &[("x-internal", "")]).await.status, 200);
}

/// All conditions of a rule must hold: a second predicate does not replace the first, and an empty list of
/// methods does not stand for all methods.
#[tokio::test]
async fn a_bypass_is_no_wider_than_what_is_said_of_it() {
    let has = |name: &'static str| move |parts: &Parts| parts.headers.contains_key(name);
    let one = build("narrow", "1/min")
        .rule(bypass_if().when(has("x-internal")).when(has("x-signed")))
        .rule(bypass_if().methods([]))
        .rule(bypass_if().path("/health").methods(Vec::new()));
    let client = client(one.build().unwrap()).await;
    assert_eq!(client.send("GET", "/", &[("x-internal", ""), ("x-signed", "")]).await.status, 200);
    assert_eq!(client.get("/health").await.status, 200);
    assert_eq!(client.get("/health").await.status, 429);
    for half in ["x-internal", "x-signed"] {
        assert_eq!(client.send("GET", "/", &[(half, "")]).await.status, 429, "{half}");
    }
}

#[tokio::test]
async fn every_throttle_if_must_match() {
    let one = build("only", "1/min")
        .rule(throttle_if().path("/api/**").methods([Method::GET, Method::POST]))
        .rule(throttle_if().when(|parts: &Parts| {
            let mobile = parts.headers.contains_key("x-mobile");
            async move { mobile }
        }));
    let client = client(one.build().unwrap()).await;
    assert_eq!(client.statuses("/api/users").await, [200, 200]);
    let mobile = async |method, path| client.send(method, path, &[("x-mobile", "")]).await.status;
    assert_eq!(mobile("GET", "/web").await, 200);
    assert_eq!(mobile("DELETE", "/api/users").await, 200);
    assert_eq!(mobile("GET", "/api/users").await, 200);
    assert_eq!(mobile("GET", "/api/users").await, 429);
    // Spelling the path differently does not get around the rule.
    assert_eq!(mobile("GET", "/%61pi//users/").await, 429);
    assert_eq!(mobile("DELETE", "/api/users").await, 200);
}

/// However a path is spelled, if axum routes it to a handler, a rule on that handler counts it, and no bypass
/// for another one lets it pass.
#[tokio::test]
async fn no_spelling_that_axum_takes_gets_around_a_rule() {
    let rules = [
        ("/users/*/posts", "/users/{id}/posts", "/users//posts"),
        ("/users/*/posts", "/users/{id}/posts/", "/users//posts/"),
        ("/files/*/raw/**", "/files/{id}/raw/{*rest}", "/files//raw/a"),
        ("/files/**", "/files/{*rest}", "/files//a"),
        ("/api/**", "/api/{*rest}", "/api//"),
        ("/t/*/admin", "/t/{tenant}/admin", "/t/%2F/admin"),
    ];
    for (pattern, route, path) in rules {
        let one = build("spelled", "1/hour").rule(throttle_if().path(pattern)).build().unwrap();
        let app = Router::new().route(route, get(async || ())).layer(ThrottleLayer::new([one]));
        let client = Client::of(app.layer(app_layer())).await;
        assert_eq!(client.statuses(path).await, [200, 429], "{pattern} on {path}");
    }
    for (pattern, route, path) in [
        ("/health", "/{a}/{b}", "//health"),
        ("/health", "/{page}", "/%68ealth"),
        ("/a/*", "/a/{x}/{y}", "/a//b"),
    ] {
        let one = build("spelled", "1/hour").rule(bypass_if().path(pattern)).build().unwrap();
        let app = Router::new().route(route, get(async || ())).layer(ThrottleLayer::new([one]));
        let client = Client::of(app.layer(app_layer())).await;
        assert_eq!(client.statuses(path).await, [200, 429], "{pattern} on {path}");
    }
}

fn app_layer() -> traffik::tower::TraffikLayer {
    app().build().layer()
}

#[tokio::test]
async fn head_is_counted_where_get_is() {
    let counted = build("head:counted", "1/hour").rule(throttle_if().method(Method::GET)).build().unwrap();
    let passed = build("head:passed", "1/hour").rule(bypass_if().method(Method::GET)).build().unwrap();
    for (one, get, head) in [(counted, [200, 429], [429, 429]), (passed, [200, 200], [200, 429])] {
        let client = client(one).await;
        assert_eq!(client.statuses("/").await, get);
        let again = [client.send("HEAD", "/", &[]).await.status, client.send("HEAD", "/", &[]).await.status];
        assert_eq!(again, head);
    }
}

#[tokio::test]
async fn predicates_run_last() {
    let asked = Arc::new(AtomicU32::new(0));
    let counted = asked.clone();
    let one = build("last", "5/min")
        .rule(throttle_if().when(move |_: &Parts| {
            counted.fetch_add(1, Ordering::SeqCst);
            true
        }))
        .rule(bypass_if().path("/health"))
        .rule(throttle_if().method(Method::GET));
    let client = client(one.build().unwrap()).await;
    client.get("/health").await;
    client.send("POST", "/", &[]).await;
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    client.get("/").await;
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn paths_are_whole_inside_a_nested_router() {
    #[throttle("rules:nested", rate = "1/min")]
    async fn handler() {}
    let nested = Router::new().route("/open", get(handler)).route("/closed", get(handler));
    let client = Client::of(Router::new().nest("/api", nested).layer(app().build().layer())).await;
    client.get("/api/closed").await;
    assert!(Registry::global().add_rule("rules:nested", bypass_if().path("/api/open")).unwrap());
    assert_eq!(client.statuses("/api/open").await, [200, 200]);
    assert_eq!(client.statuses("/api/closed").await, [429]);
}

#[tokio::test]
async fn rules_are_added_by_uid() {
    let registry = Registry::new();
    let one = Throttle::builder("late").rate("1/min").registry(&registry).build().unwrap();
    let client = client(one).await;
    assert_eq!(client.statuses("/a").await, [200, 429]);
    assert!(registry.add_rule("late", bypass_if().path("/a")).unwrap());
    assert_eq!(client.statuses("/a").await, [200, 200]);
    assert_eq!(client.statuses("/b").await, [429]);
    assert!(!registry.add_rule("early", bypass_if().path("/a")).unwrap());
}

/// Both forms of an async predicate, of which one borrows the request while it waits.
#[tokio::test]
async fn a_predicate_may_wait() {
    async fn is_internal(parts: &Parts) -> bool {
        tokio::task::yield_now().await;
        parts.headers.contains_key("x-internal")
    }
    let is_signed = |parts: &Parts| {
        let signed = parts.headers.contains_key("x-signed");
        async move {
            tokio::task::yield_now().await;
            signed
        }
    };
    let one = build("waits", "1/min").rule(bypass_if().when_async(is_internal).when(is_signed));
    let client = client(one.build().unwrap()).await;
    let both = [("x-internal", ""), ("x-signed", "")];
    for (headers, expected) in
        [(&both[..], 200), (&both[..1], 200), (&both[1..], 429), (&both[..], 200), (&[], 429)]
    {
        assert_eq!(client.send("GET", "/", headers).await.status, expected, "{headers:?}");
    }
}

#[tokio::test]
async fn rules_are_replaced_and_taken_away() {
    let open = || bypass_if().path("/a");
    let one = build("replaced", "1/min").rule(open()).build().unwrap();
    let client = client(one.clone()).await;
    assert_eq!(client.statuses("/a").await, [200, 200]);
    let before = one.rules();
    one.set_rules([]).unwrap();
    assert_eq!(client.statuses("/a").await, [200, 429]);
    assert!(one.set_rules([open(), bypass_if().path("a")]).unwrap_err().is_configuration());
    assert!(one.rules().is_empty(), "a refused change changes nothing");
    one.set_rules(before).unwrap();
    assert_eq!(client.statuses("/a").await, [200, 200]);
    assert_eq!(client.statuses("/b").await, [429]);
}

#[test]
fn a_bad_pattern_is_an_error_with_its_place() {
    for (pattern, place) in
        [("health", "byte 0"), ("/a//b", "byte 2"), ("/files/*.json", "byte 7"), ("/a?b", "byte 2")]
    {
        let error = build("bad", "1/min").rule(bypass_if().path(pattern)).build().unwrap_err();
        assert!(error.is_configuration() && error.to_string().contains(place), "{error}");
        let registry = Registry::new();
        let _one = Throttle::builder("bad").rate("1/min").registry(&registry).build().unwrap();
        assert!(registry.add_rule("bad", throttle_if().path(pattern)).is_err());
    }
}
