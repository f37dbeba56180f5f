//! Responses to gRPC requests: trailers-only, with the status in the headers.
//!
//! The time to wait is given in three places: in `google.rpc.RetryInfo` among the details of the status, in
//! `grpc-retry-pushback-ms` (gRFC A6), and in `Retry-After` for proxies.

use std::time::Duration;

use axum_core::body::Body;
use axum_core::response::Response;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Method};

use crate::Parts;

static STATUS: HeaderName = HeaderName::from_static("grpc-status");
static MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
static DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
static PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

/// gRPC status codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    ResourceExhausted = 8,
    Internal = 13,
    Unavailable = 14,
}

/// The content type of a gRPC or gRPC-Web request; `None` for other requests. gRPC requests are all `POST`,
/// which no cache stores. If a `GET` could pass for one, a cache would store its refusal, which is a `200`,
/// as the response to an ordinary request.
pub(super) fn content_type(request: &Parts) -> Option<&HeaderValue> {
    request.headers.get(CONTENT_TYPE).filter(|_| request.method == Method::POST).filter(|value| {
        let rest = value.as_bytes().strip_prefix(b"application/grpc");
        rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';' | b'-')))
    })
}

/// A response with a status, and without any message of the service. `message` is visible ASCII without
/// `%`. A wait of `None` says that retrying is useless.
pub(super) fn status(
    content_type: &HeaderValue,
    code: Code,
    message: &str,
    wait: Option<Duration>,
) -> Response {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(&CONTENT_TYPE, content_type.clone());
    headers.insert(&STATUS, HeaderValue::from(code as u16));
    if let Ok(message) = HeaderValue::from_str(message) {
        headers.insert(&MESSAGE, message);
    }
    match wait {
        Some(wait) => {
            if let Ok(details) = HeaderValue::try_from(base64(&details(code, message, wait))) {
                headers.insert(&DETAILS, details);
            }
            let millis = u64::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(u64::MAX);
            headers.insert(&PUSHBACK, HeaderValue::from(millis));
        }
        None => {
            headers.insert(&PUSHBACK, HeaderValue::from_static("-1"));
        }
    }
    response
}

/// `google.rpc.Status { code = 1, message = 2, details = 3: [Any(RetryInfo)] }`.
fn details(code: Code, message: &str, wait: Duration) -> Vec<u8> {
    let mut delay = Vec::new();
    number(&mut delay, 1, wait.as_secs());
    number(&mut delay, 2, u64::from(wait.subsec_nanos()));
    let mut retry_info = Vec::new();
    bytes(&mut retry_info, 1, &delay);
    let mut any = Vec::new();
    bytes(&mut any, 1, b"type.googleapis.com/google.rpc.RetryInfo");
    bytes(&mut any, 2, &retry_info);
    let mut status = Vec::new();
    number(&mut status, 1, code as u64);
    bytes(&mut status, 2, message.as_bytes());
    bytes(&mut status, 3, &any);
    status
}

/// Writes a field of the wire type VARINT.
fn number(out: &mut Vec<u8>, field: u8, value: u64) {
    if value != 0 {
        out.push(field << 3);
        varint(out, value);
    }
}

/// Writes a field of the wire type LEN.
fn bytes(out: &mut Vec<u8>, field: u8, value: &[u8]) {
    out.push(field << 3 | 2);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        // The low seven bits, with the mark that more follow.
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Base64 without padding, as in binary metadata.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0_usize, |word, byte| word << 8 | usize::from(*byte))
            << (8 * (3 - chunk.len()));
        for digit in 0..=chunk.len() {
            text.push(char::from(DIGITS[word >> (18 - 6 * digit) & 63]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_rfc_4648() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg"),
            ("fo", "Zm8"),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg"),
            ("fooba", "Zm9vYmE"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xff, 0xef, 0xfe]), "/+/+");
    }

    #[test]
    fn content_types_are_told_apart() {
        for (value, grpc) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc-web+proto", true),
            ("application/grpc;x=y", true),
            ("application/grpcx", false),
            ("application/json", false),
        ] {
            for (method, is_its) in [(Method::POST, true), (Method::GET, false), (Method::HEAD, false)] {
                let request = http::Request::builder().method(method.clone()).header(CONTENT_TYPE, value);
                let (parts, ()) = request.body(()).unwrap().into_parts();
                assert_eq!(content_type(&parts).is_some(), grpc && is_its, "{method} {value}");
            }
        }
    }
}
