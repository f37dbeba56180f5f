use traffik::throttle;

#[throttle("api:burst", rate = "20/min")]
async fn handler(number: String) -> Result<String, String> {
    let number: u64 = number.parse()?;
    Ok(number.to_string())
}

fn main() {}
