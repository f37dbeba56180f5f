use traffik::throttle;

struct Api;

impl Api {
    #[throttle("api:burst", rate = "20/mins")]
    const fn handler(&self) -> &'static str {
        "hello"
    }
}

fn main() {}
