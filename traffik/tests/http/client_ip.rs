//! Clients behind proxies, over real connections.

use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use axum::routing::get;
use axum::serve::{Listener, ListenerExt};
use tokio::io::DuplexStream;
use tokio::net::TcpListener;
use traffik::{ClientIp, ForwardedHeader, Traffik, throttle};

use crate::support::{Client, app};

fn router(client_ip: ClientIp) -> Router {
    #[throttle("client_ip:one", rate = "1/hour")]
    async fn handler() {}
    Router::new().route("/", get(handler)).layer(app().client_ip(client_ip).build().layer())
}

async fn status(client: &Client, name: &str, value: &str) -> u16 {
    client.send("GET", "/", &[(name, value)]).await.status
}

#[tokio::test]
async fn no_header_is_believed_by_default() {
    let client = Client::of(router(ClientIp::default())).await;
    assert_eq!(client.get("/").await.status, 200);
    for name in ["x-forwarded-for", "forwarded", "x-real-ip", "true-client-ip", "cf-connecting-ip"] {
        assert_eq!(status(&client, name, "203.0.113.9").await, 429);
    }
}

#[tokio::test]
async fn a_peer_that_is_no_proxy_is_not_believed() {
    let client = Client::of(router(ClientIp::behind(["10.0.0.0/8"]))).await;
    assert_eq!(status(&client, "x-forwarded-for", "203.0.113.9").await, 200);
    assert_eq!(status(&client, "x-forwarded-for", "203.0.113.8").await, 429);
}

#[tokio::test]
async fn each_header_is_read_where_it_is_the_one() {
    for (header, name, first, second) in [
        (ForwardedHeader::XForwardedFor, "X-Forwarded-For", "9.9.9.9, 203.0.113.9", "203.0.113.8"),
        (ForwardedHeader::Forwarded, "Forwarded", "for=9.9.9.9, for=\"203.0.113.9:80\"", "for=203.0.113.8"),
        (ForwardedHeader::XRealIp, "X-Real-IP", "203.0.113.9", "203.0.113.8"),
        (ForwardedHeader::TrueClientIp, "True-Client-IP", "203.0.113.9", "203.0.113.8"),
        (ForwardedHeader::CfConnectingIp, "CF-Connecting-IP", "203.0.113.9", "203.0.113.8"),
    ] {
        let client = Client::of(router(ClientIp::behind(["127.0.0.0/8"]).header(header))).await;
        assert_eq!(status(&client, name, first).await, 200, "{name}");
        assert_eq!(status(&client, name, first).await, 429, "{name}");
        assert_eq!(status(&client, name, second).await, 200, "{name}");
        // Any other header is ignored, so the proxy itself is the client.
        assert_eq!(status(&client, "x-other", second).await, 200, "{name}");
        // A request whose header cannot be read is attributed to the proxy, too.
        assert_eq!(status(&client, name, "unknown").await, 429, "{name}");
    }
}

/// What a listener is like that terminates TLS: its streams are not those of TCP, but it knows their peers. Here every
/// other connection comes from another one.
struct Terminator {
    inner: TcpListener,
    accepted: u8,
}

impl Listener for Terminator {
    type Io = DuplexStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (DuplexStream, SocketAddr) {
        let (mut stream, peer) = Listener::accept(&mut self.inner).await;
        let (mut outside, inside) = tokio::io::duplex(1024);
        tokio::spawn(async move { tokio::io::copy_bidirectional(&mut stream, &mut outside).await });
        self.accepted += 1;
        (inside, SocketAddr::from((Ipv4Addr::new(192, 0, 2, self.accepted % 2), peer.port())))
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

#[tokio::test]
async fn the_peers_of_any_listener_are_told_apart() {
    let bind = async || TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (inner, tapped) = (bind().await, bind().await);
    let addresses = [inner.local_addr().unwrap(), tapped.local_addr().unwrap()];
    let server = traffik::axum::serve(Terminator { inner, accepted: 0 }, router(ClientIp::default()));
    tokio::spawn(server.with_graceful_shutdown(std::future::pending()));
    let tapped = tapped.tap_io(|stream| stream.set_nodelay(true).unwrap());
    tokio::spawn(traffik::axum::serve(tapped, router(ClientIp::default())).into_future());
    for (address, expected) in addresses.into_iter().zip([[200, 200, 429, 429], [200, 429, 429, 429]]) {
        let mut statuses = Vec::new();
        for _ in expected {
            // A connection of its own.
            statuses.push(Client::at(address).get("/").await.status);
        }
        assert_eq!(statuses, expected, "{address}");
    }
}

#[tokio::test]
async fn ipv6_clients_have_a_network_each() {
    let client = Client::of(router(ClientIp::behind(["127.0.0.1"]).ipv6_prefix(56))).await;
    assert_eq!(status(&client, "x-forwarded-for", "2001:db8::1").await, 200);
    assert_eq!(status(&client, "x-forwarded-for", "2001:db8:0:ff:1::1").await, 429);
    assert_eq!(status(&client, "x-forwarded-for", "2001:db8:0:100::1").await, 200);
}

#[tokio::test]
async fn a_bad_network_fails_the_installation_and_trusts_nobody() {
    let client_ip = ClientIp::behind(["127.0.0.1", "10.0.0.0/99"]);
    let error = traffik::install(Traffik::builder().client_ip(client_ip.clone()).build()).unwrap_err();
    assert!(error.is_configuration() && error.to_string().contains("10.0.0.0/99"), "{error}");
    let client = Client::of(router(client_ip)).await;
    assert_eq!(status(&client, "x-forwarded-for", "203.0.113.9").await, 200);
    assert_eq!(status(&client, "x-forwarded-for", "203.0.113.8").await, 429);
}

#[tokio::test]
async fn a_direct_call_by_address_goes_by_the_network() {
    let one =
        crate::support::throttle("direct", "1/hour").backend(crate::support::memory().0).build().unwrap();
    let mut parts = http::Request::new(()).into_parts().0;
    let client: std::net::IpAddr = "2001:db8::7".parse().unwrap();
    parts.extensions.insert(traffik::Peer(client));
    assert!(one.hit(&parts).await.unwrap().is_allowed());
    let used = async |address: &str| {
        one.stat(address.parse::<std::net::IpAddr>().unwrap()).await.unwrap().map(|stat| stat.used)
    };
    assert_eq!(used("2001:db8::7").await, Some(0));
    assert_eq!(used("2001:db8::").await, Some(1));
}
