use axum::{Router, routing::get};
use traffik::{Parts, throttle};

macro_rules! handlers {
    ($($(#[$meta:meta])* $vis:vis $name:ident($uid:literal, $rate:expr, $who:expr, $cost:literal) -> $out:ty $body:block)*) => {
        $(
            $(#[$meta])*
            #[throttle($uid, rate = $rate, identifier = $who, cost = $cost)]
            $vis async fn $name() -> $out $body
        )*
    };
}

handlers! {
    /// One.
    pub one("m:one", "20/min", |req| req.uri.to_string(), 2) -> &'static str { "hello" }
    two("m:two", "5/s", |req: &Parts| req.uri.to_string(), 1) -> Result<String, ()> { Ok("hello".to_owned()) }
}

fn main() {
    let _: Router = Router::new().route("/", get(one)).route("/two", get(|| async { "other" }));
    let _ = two;
}
