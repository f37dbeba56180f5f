use traffik::throttle;

struct Api;

impl Api {
    #[throttle("api:burst", rate = "20/min")]
    async fn handler(&self) -> &'static str {
        "hello"
    }
}

fn main() {}
