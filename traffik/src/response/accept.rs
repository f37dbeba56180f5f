//! Which format the client prefers.

use http::HeaderMap;
use http::header::ACCEPT;

/// The media ranges that problem+json matches, most specific first. Of several that a client lists, the
/// most specific counts (RFC 9110 §12.5.1).
const JSON: [&str; 4] = ["application/problem+json", "application/json", "application/*", "*/*"];

/// Whether the client prefers not to get JSON: it lists what it accepts, and nothing there matches.
pub(super) fn prefers_text(headers: &HeaderMap) -> bool {
    let lines = || headers.get_all(&ACCEPT).iter();
    let ranges = || lines().filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
    // Whether the range is accepted, if it is listed.
    let said = |json: &str| {
        ranges().find_map(|range| {
            let mut pieces = range.split(';').map(str::trim);
            let media = pieces.next().unwrap_or_default();
            media.eq_ignore_ascii_case(json).then(|| !pieces.any(is_zero_weight))
        })
    };
    lines().next().is_some() && !JSON.iter().find_map(|json| said(json)).unwrap_or(false)
}

/// Whether the parameter rules its range out: `q=0`, `q=0.0` and so on.
fn is_zero_weight(parameter: &str) -> bool {
    let Some((key, weight)) = parameter.split_once('=') else { return false };
    key.trim().eq_ignore_ascii_case("q") && weight.trim().parse() == Ok(0.0)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn text_is_for_those_who_accept_no_json() {
        for (accept, text) in [
            (&[][..], false),
            (&["*/*"], false),
            (&["text/html, application/xhtml+xml, */*;q=0.8"], false),
            (&["application/JSON"], false),
            (&["text/plain", "application/*"], false),
            (&["text/plain"], true),
            (&["text/html,text/*;q=0.5"], true),
            (&["text/plain, application/json;q=0"], true),
            (&["text/plain, application/json; Q=0.000"], true),
            (&["text/plain, application/json;q=0, */*;q=0.1"], true),
            (&["*/*", "application/problem+json;q=0"], true),
            (&["application/*;q=0, application/json"], false),
            (&[""], true),
        ] {
            let mut headers = HeaderMap::new();
            for line in accept {
                headers.append(ACCEPT, HeaderValue::from_static(line));
            }
            assert_eq!(prefers_text(&headers), text, "{accept:?}");
        }
    }
}
