use traffik::throttle;

#[throttle("api:burst", rate = "20/min", identifer = client_key)]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
