use traffik::throttle;

trait Api {
    #[throttle("api:burst", rate = "20/min")]
    async fn handler() -> &'static str;
}

fn main() {}
