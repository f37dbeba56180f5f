use traffik::throttle;

#[throttle("api:burst", rate = "20/min")]
async fn handler() -> &'static str {
    let held = std::rc::Rc::new(7);
    std::future::ready(()).await;
    drop(held);
    "hello"
}

fn routes() -> axum::Router {
    axum::Router::new().route("/", axum::routing::get(handler))
}

fn main() {}
