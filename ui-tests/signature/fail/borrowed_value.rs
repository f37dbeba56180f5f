use traffik::throttle;

#[throttle("api:burst", rate = "20/min")]
pub async fn handler(name: String) {
    needs_static(&name);
}

fn needs_static(_: &'static str) {}

fn main() {}
