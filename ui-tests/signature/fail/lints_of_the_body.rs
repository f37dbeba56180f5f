#![deny(unused)]

use traffik::throttle;

#[throttle("api:burst", rate = "20/min")]
pub async fn handler(name: String, mut count: u64) -> String {
    let mut total = 1;
    let sum = ((total + count));
    total.to_string()
}

fn main() {}
