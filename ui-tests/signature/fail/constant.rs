use traffik::throttle;

#[throttle("api:burst", rate = "20/min")]
const HANDLER: &str = "hello";

fn main() {}
