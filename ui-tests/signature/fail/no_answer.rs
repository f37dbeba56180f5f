use traffik::throttle;

struct Report;

#[throttle("api:burst", rate = "20/min")]
async fn handler() -> Report {
    Report
}

fn main() {}
