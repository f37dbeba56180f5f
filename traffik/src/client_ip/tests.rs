use std::net::IpAddr;

use http::{HeaderName, HeaderValue, Request};
use proptest::prelude::*;

use super::*;
use crate::{ANONYMOUS, Identity, Who};

const TRUSTED: [&str; 3] = ["10.0.0.0/8", "192.0.2.7", "fd00::/8"];

const ALL: [(ForwardedHeader, &str); 5] = [
    (ForwardedHeader::XForwardedFor, "x-forwarded-for"),
    (ForwardedHeader::Forwarded, "forwarded"),
    (ForwardedHeader::XRealIp, "x-real-ip"),
    (ForwardedHeader::TrueClientIp, "true-client-ip"),
    (ForwardedHeader::CfConnectingIp, "cf-connecting-ip"),
];

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn request(peer: &str, headers: &[(&str, &[u8])]) -> Parts {
    let mut parts = Request::new(()).into_parts().0;
    parts.extensions.insert(Peer(ip(peer)));
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        parts.headers.append(name, HeaderValue::from_bytes(value).unwrap());
    }
    parts
}

fn found(header: ForwardedHeader, peer: &str, headers: &[(&str, &[u8])]) -> IpAddr {
    let parts = request(peer, headers);
    ClientIp::behind(TRUSTED).header(header).client(ip(peer).to_canonical(), &parts)
}

fn x_forwarded_for(peer: &str, lines: &[&str]) -> IpAddr {
    let lines: Vec<_> = lines.iter().map(|line| ("x-forwarded-for", line.as_bytes())).collect();
    found(ForwardedHeader::XForwardedFor, peer, &lines)
}

fn forwarded(peer: &str, lines: &[&str]) -> IpAddr {
    let lines: Vec<_> = lines.iter().map(|line| ("forwarded", line.as_bytes())).collect();
    found(ForwardedHeader::Forwarded, peer, &lines)
}

fn identify(client_ip: &ClientIp, parts: &Parts) -> Identity {
    Who::of(client_ip.kind(parts)).to_identity()
}

#[test]
fn the_walk_goes_from_the_right_over_proxies() {
    for (peer, lines, client) in [
        ("10.0.0.1", &["203.0.113.9"][..], "203.0.113.9"),
        ("10.0.0.1", &["1.1.1.1, 203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", &["1.1.1.1, 203.0.113.9, 10.1.2.3"], "203.0.113.9"),
        ("10.0.0.1", &["203.0.113.9 ,192.0.2.7,\t10.1.2.3"], "203.0.113.9"),
        // Several lines form one list.
        ("10.0.0.1", &["1.1.1.1", "203.0.113.9", "10.1.2.3"], "203.0.113.9"),
        ("10.0.0.1", &["1.1.1.1, 203.0.113.9", "10.1.2.3"], "203.0.113.9"),
        // All are proxies, so the request originated at the furthest one.
        ("10.0.0.1", &["10.9.9.9, 10.1.2.3"], "10.9.9.9"),
        ("10.0.0.1", &[], "10.0.0.1"),
        // With ports and brackets.
        ("10.0.0.1", &["203.0.113.9:4711"], "203.0.113.9"),
        ("10.0.0.1", &["203.0.113.9:65535"], "203.0.113.9"),
        ("10.0.0.1", &["2001:db8::9"], "2001:db8::9"),
        ("10.0.0.1", &["[2001:db8::9]"], "2001:db8::9"),
        ("10.0.0.1", &["[2001:db8::9]:4711"], "2001:db8::9"),
        // IPv4-mapped addresses are converted to IPv4 before any comparison.
        ("::ffff:10.0.0.1", &["203.0.113.9, ::ffff:10.1.2.3"], "203.0.113.9"),
        ("10.0.0.1", &["::ffff:203.0.113.9"], "203.0.113.9"),
        ("fd00::1", &["203.0.113.9"], "203.0.113.9"),
    ] {
        assert_eq!(x_forwarded_for(peer, lines), ip(client), "{peer} {lines:?}");
    }
}

#[test]
fn an_entry_that_is_no_address_leaves_the_peer() {
    let huge = "1".repeat(10_000);
    let many = ["10.1.1.1"; 40].join(",");
    for entry in [
        "",
        " ",
        ",",
        "203.0.113.9,",
        "unknown",
        "_hidden",
        "203.0.113",
        "203.0.113.009",
        "203.0.113.9:",
        "203.0.113.9:x",
        "203.0.113.9:+80",
        "203.0.113.9:123456",
        "203.0.113.9:_",
        "203.0.113.9:_a/b",
        "[203.0.113.9]",
        "[2001:db8::9",
        "2001:db8::9]",
        "[2001:db8::9]4711",
        "[2001:db8::9]:",
        "[]",
        "fe80::1%eth0",
        "\"203.0.113.9\"",
        "203.0.113.9 203.0.113.8",
        "for=203.0.113.9",
        &huge,
        &many,
    ] {
        assert_eq!(x_forwarded_for("10.0.0.1", &[entry]), ip("10.0.0.1"), "{entry:?}");
        let behind = format!("203.0.113.9, {entry}, 10.1.2.3");
        assert_eq!(x_forwarded_for("10.0.0.1", &[&behind]), ip("10.0.0.1"), "{behind:?}");
    }
    // The client may be the 32nd.
    for (proxies, client) in [(31, "203.0.113.9"), (32, "10.0.0.1")] {
        let line = format!("203.0.113.9{}", ",10.1.1.1".repeat(proxies));
        assert_eq!(x_forwarded_for("10.0.0.1", &[&line]), ip(client), "{proxies} proxies");
    }
    let bytes = [("x-forwarded-for", &b"203.0.113.9\xff"[..])];
    assert_eq!(found(ForwardedHeader::XForwardedFor, "10.0.0.1", &bytes), ip("10.0.0.1"));
}

#[test]
fn forwarded_is_read_by_its_grammar() {
    for (line, client) in [
        ("for=203.0.113.9", "203.0.113.9"),
        ("For=\"203.0.113.9\"", "203.0.113.9"),
        ("by=10.0.0.1;for=203.0.113.9;proto=https", "203.0.113.9"),
        ("for=\"[2001:db8::9]:4711\"", "2001:db8::9"),
        ("for=\"203.0.113.9:_port.1\"", "203.0.113.9"),
        ("for=1.1.1.1, for=203.0.113.9, for=10.1.2.3", "203.0.113.9"),
        ("for=203.0.113.9;host=\"a, for=1.1.1.1\"", "203.0.113.9"),
        ("for=203.0.113.9;host=\"\\\", for=1.1.1.1; for=2.2.2.2\\\\\"", "203.0.113.9"),
        // A quote left open by the client hides nothing that the proxy wrote.
        ("for=\", for=203.0.113.9", "203.0.113.9"),
        ("for=\"\\, for=\"203.0.113.9\"", "203.0.113.9"),
        // No address, so the peer's address is used.
        ("", "10.0.0.1"),
        ("for=", "10.0.0.1"),
        ("for", "10.0.0.1"),
        ("for=_hidden", "10.0.0.1"),
        ("for=\"_gazonk\", for=10.1.2.3", "10.0.0.1"),
        ("for=unknown", "10.0.0.1"),
        ("proto=https", "10.0.0.1"),
        ("for=203.0.113.9;for=203.0.113.8", "10.0.0.1"),
        ("203.0.113.9", "10.0.0.1"),
        ("for=203.0.113.9,", "10.0.0.1"),
    ] {
        assert_eq!(forwarded("10.0.0.1", &[line]), ip(client), "{line:?}");
    }
    assert_eq!(forwarded("10.0.0.1", &["for=1.1.1.1", "for=203.0.113.9", "for=10.1.2.3"]), ip("203.0.113.9"));
}

#[test]
fn a_header_with_one_address_holds_just_one() {
    for (header, name) in &ALL[2..] {
        let one = |value: &[u8]| found(*header, "10.0.0.1", &[(name, value)]);
        assert_eq!(one(b"203.0.113.9"), ip("203.0.113.9"));
        assert_eq!(one(b"10.7.7.7"), ip("10.7.7.7"));
        assert_eq!(one(b"203.0.113.9, 1.1.1.1"), ip("10.0.0.1"));
        assert_eq!(one(b"unknown"), ip("10.0.0.1"));
        let two = [(*name, &b"1.1.1.1"[..]), (*name, b"203.0.113.9")];
        assert_eq!(found(*header, "10.0.0.1", &two), ip("10.0.0.1"));
    }
}

#[test]
fn a_bad_network_is_an_error_and_trusts_nobody() {
    for (network, needle) in [
        ("", "is not a network"),
        ("10.0.0.0/33", "0 to 32"),
        ("10.0.0.0/", "0 to 32"),
        ("10.0.0.0/+8", "0 to 32"),
        ("10.0.0/8", "is not a network"),
        ("10.0.0.1/8", "\"10.0.0.0/8\""),
        ("10.0.0.0/0", "\"0.0.0.0/0\""),
        ("fd00::1/8", "\"fd00::/8\""),
        ("fd00::/129", "0 to 128"),
        ("localhost", "is not a network"),
    ] {
        let client_ip = ClientIp::behind(["10.0.0.0/8", network, "10.0.0.0/8"]);
        let error = client_ip.error().unwrap();
        assert!(error.is_configuration() && error.to_string().contains(needle), "{network:?}: {error}");
        let parts = request("10.0.0.1", &[("x-forwarded-for", b"203.0.113.9")]);
        assert_eq!(client_ip.client(ip("10.0.0.1"), &parts), ip("10.0.0.1"));
    }
    let first = ClientIp::behind(["10.0.0.0/33", "localhost"]).ipv6_prefix(0).error().unwrap();
    assert!(first.to_string().contains("10.0.0.0/33"), "{first}");
    for bits in [0, 129] {
        assert!(ClientIp::default().ipv6_prefix(bits).error().is_some());
    }
    assert!(ClientIp::behind(TRUSTED).ipv6_prefix(56).error().is_none());
}

#[test]
fn networks_hold_their_addresses_and_no_others() {
    for (network, inside, outside) in [
        ("10.0.0.0/8", "10.255.255.255", "11.0.0.0"),
        ("0.0.0.0/0", "203.0.113.9", "::1"),
        ("::/0", "::1", "203.0.113.9"),
        ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
        ("192.0.2.7/32", "192.0.2.7", "192.0.2.6"),
        ("192.0.2.6/31", "192.0.2.7", "192.0.2.8"),
        ("2001:db8::7/128", "2001:db8::7", "2001:db8::6"),
        ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
        ("::ffff:10.0.0.0/104", "10.1.2.3", "11.0.0.0"),
        ("::ffff:0:0/96", "203.0.113.9", "::1"),
    ] {
        let network = Network::parse(network).unwrap();
        assert!(network.contains(ip(inside)) && !network.contains(ip(outside)), "{network:?}");
    }
}

#[test]
fn ipv6_clients_are_masked_and_ipv4_ones_are_not() {
    let who = |client_ip: &ClientIp, peer: &str| identify(client_ip, &request(peer, &[]));
    let (default, wide) = (ClientIp::default(), ClientIp::default().ipv6_prefix(56));
    assert_eq!(who(&default, "2001:db8::1"), who(&default, "2001:db8::ffff:ffff:ffff:ffff"));
    assert_ne!(who(&default, "2001:db8::1"), who(&default, "2001:db8:0:1::1"));
    assert_eq!(who(&wide, "2001:db8::1"), who(&wide, "2001:db8:0:ff::1"));
    assert_ne!(who(&wide, "2001:db8::1"), who(&wide, "2001:db8:0:100::1"));
    for client_ip in [&default, &wide] {
        assert_ne!(who(client_ip, "::ffff:203.0.113.9"), who(client_ip, "::ffff:203.0.113.8"));
        assert_eq!(who(client_ip, "::ffff:203.0.113.9"), who(client_ip, "203.0.113.9"));
    }
}

#[test]
fn ipv4_clients_behind_a_translator_are_told_apart() {
    let who = |peer: &str| identify(&ClientIp::default(), &request(peer, &[]));
    assert_eq!(who("64:ff9b::203.0.113.9"), who("203.0.113.9"));
    assert_ne!(who("64:ff9b::203.0.113.9"), who("64:ff9b::203.0.113.8"));
    // With one more bit set next to the prefix, the address is masked like any other IPv6 address.
    assert_eq!(who("64:ff9b::1:203.0.113.9"), who("64:ff9b::1:203.0.113.8"));
    // This does not turn anyone into a trusted proxy.
    let claims = request("64:ff9b::10.0.0.1", &[("x-forwarded-for", b"198.51.100.1")]);
    assert_eq!(
        identify(&ClientIp::behind(TRUSTED), &claims),
        identify(&ClientIp::default(), &request("10.0.0.1", &[]))
    );
}

#[test]
#[cfg(feature = "axum")]
fn a_peer_by_hand_or_of_a_test_stands_in_where_there_is_no_other() {
    let mock = MockConnectInfo("203.0.113.9:80".parse::<SocketAddr>().unwrap());
    let mut parts = Request::new(()).into_parts().0;
    parts.extensions.insert(mock);
    assert_eq!(
        identify(&ClientIp::default(), &parts),
        identify(&ClientIp::default(), &request("203.0.113.9", &[]))
    );
    parts.extensions.insert(Peer(ip("203.0.113.8")));
    assert_eq!(
        identify(&ClientIp::default(), &parts),
        identify(&ClientIp::default(), &request("203.0.113.8", &[]))
    );
    // The address from the socket takes precedence over both.
    parts.extensions.insert(ConnectInfo("203.0.113.7:80".parse::<SocketAddr>().unwrap()));
    assert_eq!(
        identify(&ClientIp::default(), &parts),
        identify(&ClientIp::default(), &request("203.0.113.7", &[]))
    );
}

#[test]
fn without_a_peer_everyone_is_anonymous() {
    let mut parts = Request::new(()).into_parts().0;
    parts.headers.insert("x-forwarded-for", HeaderValue::from_static("203.0.113.9"));
    assert_eq!(identify(&ClientIp::behind(["0.0.0.0/0"]), &parts), ANONYMOUS);
}

/// Generates anything that a header can contain, with many characters that have a meaning in it.
fn junk() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: [&[u8]; 15] = [
        b"\"",
        b"\\",
        b",",
        b";",
        b"=",
        b"for=",
        b"For=\"",
        b" ",
        b"1.2.3.4",
        b"10.0.0.9",
        b"[::1]:1",
        b"unknown",
        b"_x",
        b"\xff\xfe",
        b"\t",
    ];
    let piece = prop::sample::select(&PIECES[..]);
    let byte = (0x20_u8..=0xff).prop_filter("no header holds it", |byte| *byte != 0x7f);
    prop_oneof![
        prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat()),
        prop::collection::vec(byte, 0..60),
    ]
}

proptest! {
    #[test]
    fn no_header_moves_a_client_that_is_no_proxy(
        lines in prop::collection::vec((0..ALL.len(), junk()), 0..6),
        trusts in 0..ALL.len(),
    ) {
        let lines: Vec<_> = lines.iter().map(|(header, value)| (ALL[*header].1, &value[..])).collect();
        for peer in ["203.0.113.9", "2001:db8::9", "::ffff:203.0.113.9"] {
            prop_assert_eq!(found(ALL[trusts].0, peer, &lines), ip(peer).to_canonical());
            let plain = identify(&ClientIp::default(), &request(peer, &lines));
            prop_assert_eq!(plain, identify(&ClientIp::default(), &request(peer, &[])));
        }
    }

    #[test]
    fn no_client_of_a_proxy_chooses_its_bucket(
        before in prop::collection::vec(junk(), 0..4),
        own_line in any::<bool>(),
        quoted in any::<bool>(),
    ) {
        // Two proxies in a row, each of which appends either to the existing line or a line of its own.
        for (header, name) in &ALL[..2] {
            let write = |ip: &str| match (header, quoted) {
                (ForwardedHeader::Forwarded, true) => format!("proto=https;for=\"{ip}:80\""),
                (ForwardedHeader::Forwarded, false) => format!("for={ip};by=_p"),
                _ => ip.to_owned(),
            };
            let mut lines = before.clone();
            for entry in [write("203.0.113.9"), write("10.1.2.3")] {
                match lines.last_mut() {
                    Some(last) if !own_line => {
                        last.extend(b", ");
                        last.extend(entry.as_bytes());
                    }
                    _ => lines.push(entry.into_bytes()),
                }
            }
            let lines: Vec<_> = lines.iter().map(|line| (*name, &line[..])).collect();
            prop_assert_eq!(found(*header, "10.0.0.1", &lines), ip("203.0.113.9"));
        }
        // A proxy that replaces the header.
        for (header, name) in &ALL[2..] {
            let mut lines: Vec<_> = before.iter().map(|line| ("x-forwarded-for", &line[..])).collect();
            lines.push((name, b"203.0.113.9"));
            prop_assert_eq!(found(*header, "10.0.0.1", &lines), ip("203.0.113.9"));
        }
    }
}
