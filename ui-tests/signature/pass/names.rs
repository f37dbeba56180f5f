use axum::{Router, routing::get};
use traffik::throttle;

#[throttle("n:raw", rate = "20/min")]
async fn r#fn(r#type: String) -> String {
    r#type
}

#[throttle("n:unicode", rate = "20/min", scope = "größe")]
async fn größe(größe: String) -> String {
    let 日本 = größe;
    日本
}

mod inside {
    use traffik::throttle;

    // The same name as outside.
    #[throttle("n:inside", rate = "20/min")]
    pub(super) async fn r#fn() -> &'static str {
        "hello"
    }

    #[throttle("n:crate", rate = "20/min")]
    pub(crate) async fn of_crate() -> &'static str {
        "hello"
    }

    #[throttle("n:path", rate = "20/min")]
    pub(in crate::inside) async fn of_path() -> &'static str {
        "hello"
    }

    pub fn router() -> axum::Router {
        axum::Router::new().route("/path", axum::routing::get(of_path))
    }
}

fn main() {
    #[throttle("n:local", rate = "20/min")]
    async fn local() -> &'static str {
        "hello"
    }

    let _: Router = Router::new()
        .route("/raw", get(r#fn))
        .route("/unicode", get(größe))
        .route("/inside", get(inside::r#fn))
        .route("/crate", get(inside::of_crate))
        .route("/local", get(local))
        .merge(inside::router());
}
