use traffik::throttle;

#[throttle("api:burst", rate = "20/min", backend = traffik::MemoryBackend::new(), dynamic_backend)]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
