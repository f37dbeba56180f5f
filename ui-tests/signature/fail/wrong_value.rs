use traffik::throttle;

#[throttle("api:burst", rate = "20/min")]
async fn handler(name: String) -> String {
    if name.is_empty() {
        return 7;
    }
    name.len()
}

fn main() {}
