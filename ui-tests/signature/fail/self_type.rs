use traffik::throttle;

struct Api;

impl Api {
    #[throttle("api:burst", rate = "20/min")]
    async fn handler() -> Result<Self, String> {
        Ok(Api)
    }
}

fn main() {}
