#![deny(dead_code)]

use traffik::throttle;

#[throttle("api:burst", rate = "20/min")]
async fn handler(name: String) -> String {
    name
}

fn main() {}
