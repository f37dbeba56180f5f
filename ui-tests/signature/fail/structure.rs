use traffik::throttle;

#[throttle("api:burst", rate = "20/min")]
struct Handler {
    name: String,
}

fn main() {}
