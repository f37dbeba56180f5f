use traffik::throttle;

#[throttle("api burst", rate = "20/mins", cost = "ten", mode = "shade", color = 1)]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
