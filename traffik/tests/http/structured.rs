//! The draft's headers, read back by an independent parser for structured fields.

use axum::Router;
use axum::routing::get;
use proptest::prelude::*;
use sfv::{BareItem, List, ListEntry, Parser};
use traffik::{Headers, Rate, ThrottleLayer};

use crate::support::{Client, Reply, app, memory, throttle};

/// The name and parameters of each member.
type Members = Vec<(String, Vec<(String, i64)>)>;

fn members(reply: &Reply, name: &str) -> Members {
    let text = reply.header(name).unwrap();
    let list: List = Parser::new(text).parse().unwrap_or_else(|error| panic!("{text}: {error}"));
    let member = |entry: &ListEntry| {
        let ListEntry::Item(item) = entry else { panic!("{text}: an inner list") };
        let BareItem::String(name) = &item.bare_item else { panic!("{text}: no string") };
        let parameters = item.params.iter().map(|(key, value)| match value {
            BareItem::Integer(number) => (key.as_str().to_owned(), i64::from(*number)),
            other => panic!("{text}: {other:?}"),
        });
        (name.as_str().to_owned(), parameters.collect())
    };
    list.iter().map(member).collect()
}

fn parameters(pairs: &[(&str, i64)]) -> Vec<(String, i64)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), *value)).collect()
}

#[tokio::test]
async fn lists_have_a_member_for_each_throttle() {
    let burst = throttle("burst", "5/min").build().unwrap();
    // Half a second is not a whole number of seconds, so there is no `w`.
    let tick = throttle("tick", "1000/500ms").cost(3).build().unwrap();
    let huge = throttle("huge", "1000000000/day").build().unwrap();
    let app = Router::new().route("/", get(async || "")).layer(ThrottleLayer::new([&burst, &tick]));
    let app = app.layer(ThrottleLayer::new([&huge])).layer(self::app().build().layer());
    let reply = Client::of(app).await.get("/").await;
    assert_eq!(
        members(&reply, "ratelimit-policy"),
        [
            ("burst".into(), parameters(&[("q", 5), ("w", 60)])),
            ("tick".into(), parameters(&[("q", 1000)])),
            ("huge".into(), parameters(&[("q", 1_000_000_000), ("w", 86_400)])),
        ]
    );
    assert_eq!(
        members(&reply, "ratelimit"),
        [
            ("burst".into(), parameters(&[("r", 4), ("t", 60)])),
            ("tick".into(), parameters(&[("r", 997), ("t", 1)])),
            ("huge".into(), parameters(&[("r", 999_999_999), ("t", 86_400)])),
        ]
    );
}

#[tokio::test]
async fn the_largest_limit_has_an_integer_that_fits() {
    let most = Rate::new(1_000_000_000_000_000, std::time::Duration::from_micros(1));
    let Ok(most) = most else { return };
    let Ok(one) = throttle("most", "1/s").rate(most).build() else { return };
    let app = Router::new()
        .route("/", get(async || ""))
        .layer(ThrottleLayer::new([&one]))
        .layer(app().build().layer());
    let reply = Client::of(app).await.get("/").await;
    assert_eq!(
        members(&reply, "ratelimit-policy"),
        [("most".into(), parameters(&[("q", 999_999_999_999_999)]))]
    );
}

#[tokio::test]
async fn names_with_quotes_and_other_scripts_are_valid() {
    for (name, read) in [
        (r#"say "hi" \ bye"#, r#"say "hi" \ bye"#),
        ("größe", "gr%C3%B6%C3%9Fe"),
        ("a\r\nb", "a%0D%0Ab"),
        ("50%", "50%25"),
        ("", ""),
    ] {
        let one = throttle("named", "1/min").headers(Headers::draft().policy_name(name)).build().unwrap();
        let app = Router::new()
            .route("/", get(async || ""))
            .layer(ThrottleLayer::new([one]))
            .layer(app().build().layer());
        let client = Client::of(app).await;
        let reply = client.get("/").await;
        assert_eq!(members(&reply, "ratelimit-policy")[0].0, read);
        assert_eq!(members(&reply, "ratelimit")[0].0, read);
        assert_eq!(client.get("/").await.json()["violated-policies"], serde_json::json!([read]));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_name_is_valid(first in ".{0,40}", second in "[\"\\\\,; a]{0,12}") {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let named = |uid, name: &str| throttle(uid, "7/min").backend(memory().0).headers(Headers::draft().policy_name(name)).build().unwrap();
            let both = [named("first", &first), named("second", &second)];
            let service = tower::Layer::layer(&ThrottleLayer::new(&both), tower::service_fn(async |_: http::Request<()>| {
                Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
            }));
            let response = tower::ServiceExt::oneshot(service, http::Request::new(())).await.unwrap();
            let reply = Reply { status: 200, headers: response.headers().clone(), body: String::new() };
            let policies = members(&reply, "ratelimit-policy");
            // Two policies of the same name are one policy.
            assert_eq!(policies.len(), if first == second { 1 } else { 2 });
            assert_eq!(members(&reply, "ratelimit").len(), policies.len());
        });
    }
}
