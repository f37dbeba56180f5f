use traffik::throttle;

#[throttle("burst", rate = "20/min")]
#[throttle = "sustained"]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
