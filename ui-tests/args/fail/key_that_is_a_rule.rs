use traffik::throttle;

#[throttle("api:burst", rate = "20/min", methods = ["POST"])]
async fn methods() -> &'static str {
    "hello"
}

#[throttle("api:sustained", rate = "500/hour", exempt_when = is_internal, per_method = true)]
async fn others() -> &'static str {
    "hello"
}

fn main() {}
