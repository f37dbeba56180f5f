//! Properties that must hold for any bytes: the bodies of the fuzz targets in `fuzz/`. The ordinary
//! tests run them over the corpus.

use std::net::{IpAddr, Ipv4Addr};

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::{HeaderValue, Request};
use tower::ServiceExt;
use traffik::strategy::State;
use traffik::{ClientIp, ForwardedHeader, Identity, Parts, Peer, Rate, Traffik, bypass_if, client_ip};

/// Checks that a rate is either rejected with a message or survives a round trip through its display form.
///
/// # Panics
/// Panics if that does not hold.
pub fn rate(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Rate::parse(text) {
        Ok(rate) => assert_eq!(Rate::parse(&rate.to_string()).expect("what is shown can be read"), rate),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Checks a pattern and a path, separated by a newline: the pattern is either rejected with a message or can
/// be matched against the path.
///
/// # Panics
/// Panics if that does not hold.
pub fn path(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (pattern, path) = text.split_once('\n').unwrap_or((text, "/"));
    match traffik_grammar::PathPattern::parse(pattern) {
        Ok(parsed) => {
            let again =
                traffik_grammar::PathPattern::parse(parsed.as_str()).expect("what is shown can be read");
            let (may, must) = (parsed.may_match(path), parsed.must_match(path));
            assert_eq!((again.may_match(path), again.must_match(path)), (may, must), "{pattern:?} {path:?}");
            assert!(may || !must, "{pattern:?} surely matches {path:?}, and may not");
            if !pattern.contains('*') {
                assert!(parsed.must_match(pattern), "{pattern:?} is below itself");
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    // A rule must cope with the same pattern.
    let _ = bypass_if().path(pattern);
}

/// Takes the header from the first byte and its value from the rest. A peer that is not a trusted proxy must
/// not be able to choose its own identity.
///
/// # Panics
/// Panics if that does not hold.
pub fn forwarded(data: &[u8]) {
    const HEADERS: [(&str, ForwardedHeader); 5] = [
        ("x-forwarded-for", ForwardedHeader::XForwardedFor),
        ("forwarded", ForwardedHeader::Forwarded),
        ("x-real-ip", ForwardedHeader::XRealIp),
        ("true-client-ip", ForwardedHeader::TrueClientIp),
        ("cf-connecting-ip", ForwardedHeader::CfConnectingIp),
    ];
    let Some((pick, value)) = data.split_first() else { return };
    let (name, header) = HEADERS[usize::from(*pick) % HEADERS.len()];
    let Ok(value) = HeaderValue::from_bytes(value) else { return };
    let stranger = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    let proxy = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    let app = Traffik::builder().client_ip(ClientIp::behind(["10.0.0.0/8"]).header(header)).build();
    let whose = move |parts: Parts| async move {
        let peer = parts.extensions.get::<Peer>().map(|peer| peer.0);
        assert!(peer != Some(stranger) || client_ip(&parts) == Identity::from(stranger), "{parts:?}");
    };
    let app = Router::new().route("/", get(whose)).layer(app.layer());
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    for peer in [stranger, proxy] {
        let mut request =
            Request::get("/").header(name, value.clone()).body(Body::empty()).expect("a request");
        request.extensions_mut().insert(Peer(peer));
        let answer = runtime.block_on(app.clone().oneshot(request)).expect("routers don't fail");
        assert_eq!(answer.status(), 200);
    }
}

/// Checks that stored bytes are either rejected or decode to a state that survives a round trip.
///
/// # Panics
/// Panics if that does not hold.
pub fn state(data: &[u8]) {
    if let Some(state) = State::decode(data) {
        assert_eq!(State::decode(&state.encode()), Some(state));
    }
}
