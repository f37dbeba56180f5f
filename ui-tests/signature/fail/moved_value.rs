use traffik::throttle;

#[throttle("api:burst", rate = "20/min")]
pub async fn handler(name: String) -> String {
    drop(name);
    name
}

fn main() {}
