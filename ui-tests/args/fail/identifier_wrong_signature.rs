use traffik::throttle;

fn client(name: &str) -> String {
    name.to_owned()
}

#[throttle("api:burst", rate = "20/min", identifier = client)]
async fn handler() -> &'static str {
    "hello"
}

fn main() {}
