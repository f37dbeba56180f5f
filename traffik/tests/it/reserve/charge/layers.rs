//! Charges of layers, which a handler inside may settle.

use axum::extract::Request;
use axum::middleware::{Next, from_fn};

use super::*;

#[tokio::test]
async fn what_a_layer_has_charged_can_be_settled_too() -> Result {
    let global = on("charge:layer", "1000/day", &still()).cost(10).build()?;
    let refunding = on("charge:layer:refunding", "1000/day", &still())
        .cost(10)
        .refund_on_status(|status| status.is_server_error())
        .build()?;
    #[throttle("charge:inside", rate = "1000/hour", cost = 100)]
    async fn inside(charge: Charge) -> StatusCode {
        charge.of("charge:layer").settle(4).await.unwrap();
        charge.of("charge:layer:refunding").settle(25).await.unwrap();
        assert_eq!(charge.charged(), 100, "the attribute's own");
        charge.settle(7).await.unwrap();
        StatusCode::INTERNAL_SERVER_ERROR
    }
    async fn bare(charge: Charge) {
        charge.settle(1).await.unwrap();
    }
    let app = Router::new().route("/", get(inside)).route("/bare", get(bare));
    let (app, _) = isolated(app.layer(ThrottleLayer::new([&global, &refunding])));
    let request = || get_from("/", "192.0.2.1", &[]);
    send(&app, request()).await;
    assert_eq!((used(&global, &request()).await, used(&refunding, &request()).await), (4, 0));
    send(&app, get_from("/bare", "192.0.2.1", &[])).await;
    assert_eq!((used(&global, &request()).await, used(&refunding, &request()).await), (5, 1));
    Ok(())
}

/// A handler takes over only the charges it names. The others stay with the layer.
#[tokio::test]
async fn what_a_layer_has_charged_follows_the_rule_once_it_is_named() -> Result {
    let [named, other] = ["charge:layer:named", "charge:layer:other"]
        .map(|uid| on(uid, "1000/day", &still()).cost(10).on_cancel(OnCancel::Refund).build());
    let (named, other) = (named?, other?);
    #[throttle("charge:names", rate = "1000/hour")]
    async fn names(charge: Charge) {
        drop(charge.of("charge:layer:named"));
    }
    let app = Router::new().route("/", get(names));
    let (app, _) = isolated(app.layer(ThrottleLayer::new([&named, &other])));
    let request = || get_from("/", "192.0.2.1", &[]);
    assert_eq!(send(&app, request()).await.status(), 200);
    assert_eq!((used(&named, &request()).await, used(&other, &request()).await), (0, 10));
    Ok(())
}

/// The handler has a scope of its own and thus a different account, so the layer's charge remains the layer's.
#[tokio::test]
async fn what_a_layer_has_charged_beside_a_scope_is_not_the_handlers_own() -> Result {
    static SHARED: LazyLock<Throttle> =
        LazyLock::new(|| on("charge:scoped", "1000/day", &still()).cost(10).build().unwrap());
    #[throttle(SHARED, scope = "part")]
    async fn all(charge: Charge) -> String {
        let charged = charge.charged();
        charge.settle(30).await.unwrap();
        charged.to_string()
    }
    #[throttle(SHARED, scope = "part")]
    async fn named(charge: Charge) -> String {
        let charge = charge.of("charge:scoped");
        let charged = charge.charged();
        charge.settle(30).await.unwrap();
        charged.to_string()
    }
    let app = Router::new().route("/all", get(all)).route("/named", get(named));
    let app = app.layer(ThrottleLayer::new([&*SHARED]));
    let mut sum = 0;
    for path in ["/all", "/named"] {
        let request = || get_from(path, "192.0.2.1", &[]);
        assert_eq!(crate::support::body(send(&app, request()).await).await, "10", "{path}");
        sum += 10;
        assert_eq!(used(&SHARED, &request()).await, sum, "{path}");
    }
    Ok(())
}

/// A layer charges a throttle, and the attribute charges the difference up to its own higher cost. That makes
/// two charges on one account, which are settled to a single number.
#[tokio::test]
async fn what_a_layer_and_an_attribute_have_charged_together_is_settled_to_one_number() -> Result {
    static SHARED: LazyLock<Throttle> = LazyLock::new(|| {
        let builder = on("charge:topped_up", "1000/day", &still());
        builder.backend(traffik_counting()).cost(10).build().unwrap()
    });
    #[throttle(SHARED, cost = 30)]
    async fn dear(axum::extract::Path(actual): axum::extract::Path<u64>, charge: Charge) -> String {
        assert_eq!(charge.charged(), 30);
        format!("{:?}", charge.settle(actual).await.unwrap())
    }
    #[throttle(SHARED, cost = 30)]
    async fn named(axum::extract::Path(actual): axum::extract::Path<u64>, charge: Charge) -> String {
        format!("{:?}", charge.of("charge:topped_up").settle(actual).await.unwrap())
    }
    let app = Router::new().route("/all/{actual}", get(dear)).route("/of/{actual}", get(named));
    let app = app.layer(ThrottleLayer::new([&*SHARED]));
    let mut sum = 0;
    for actual in [0, 5, 10, 18, 30, 31, 100] {
        for path in ["all", "of"] {
            let request = || get_from(&format!("/{path}/{actual}"), "192.0.2.1", &[]);
            assert_eq!(crate::support::body(send(&app, request()).await).await, "InFull");
            sum += actual;
            assert_eq!(used(&SHARED, &request()).await, sum, "{path}, settled to {actual}");
        }
    }
    let request = || get_from("/all/2000", "192.0.2.1", &[]);
    let told = crate::support::body(send(&app, request()).await).await;
    assert_eq!(told, format!("AtLimit {{ missing: {} }}", 2_000 - (1_000 - sum)));
    Ok(())
}

#[tokio::test]
async fn what_a_middlewares_gate_has_charged_is_not_the_handlers() {
    #[throttle("charge:middleware", rate = "100/hour", cost = 5)]
    async fn around(charge: Charge, request: Request, next: Next) -> (StatusCode, String) {
        let inside = next.run(request).await.into_body();
        let inside = axum::body::to_bytes(inside, 100).await.unwrap();
        let settled = charge.settle(7).await.unwrap();
        (StatusCode::OK, format!("{} {settled:?}", String::from_utf8_lossy(&inside)))
    }
    #[throttle("charge:in_middleware", rate = "100/hour", cost = 3, identifier = |_| EXEMPTED)]
    async fn exempt(charge: Charge) -> String {
        format!("{} {:?}", charge.charged(), charge.settle(50).await.unwrap())
    }
    #[throttle("charge:in_middleware_too", rate = "100/hour", cost = 3)]
    async fn counted(charge: Charge) -> String {
        format!("{} {:?}", charge.charged(), charge.settle(1).await.unwrap())
    }
    let app = Router::new().route("/exempt", get(exempt)).route("/counted", get(counted));
    let (app, _) = isolated(app.layer(from_fn(around)));
    for (path, told) in [("/exempt", "0 Nothing InFull"), ("/counted", "3 InFull InFull")] {
        let response = send(&app, get_from(path, "192.0.2.1", &[])).await;
        assert_eq!(axum::body::to_bytes(response.into_body(), 100).await.unwrap(), told, "{path}");
    }
    assert_eq!(remaining(&app, "/exempt").await, 100 - 2 * 7 - 5);
}
