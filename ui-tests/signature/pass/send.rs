use std::future::Future;
use std::sync::Mutex;

use axum::extract::State;
use traffik::throttle;

static LOCK: Mutex<u64> = Mutex::new(0);

#[throttle("send:one", rate = "20/min")]
async fn one(State(n): State<u64>, body: String) -> Result<String, String> {
    {
        *LOCK.lock().unwrap() += n;
    }
    std::future::ready(()).await;
    let held = std::rc::Rc::new(7);
    drop(held);
    Ok(body)
}

fn assert_send<F, A, B, C, Fut>(_: F)
where
    F: Fn(A, B, C) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output: Send> + Send + 'static,
{
}

fn main() {
    assert_send(one);
}
