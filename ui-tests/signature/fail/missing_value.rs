use traffik::throttle;

#[throttle("api:burst", rate = "20/min")]
async fn handler() -> String {
    let _name = "hello";
}

fn main() {}
