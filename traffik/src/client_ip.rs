//! [`client_ip`]: the address of whoever sent a request.
//!
//! The socket's peer is the only address that nobody can make up. [`ClientIp::behind`] names the
//! proxies whose word about theirs is taken:
//!
//! ```
//! use traffik::{ClientIp, ForwardedHeader, Traffik};
//!
//! let traffik = Traffik::builder()
//!     .client_ip(ClientIp::behind(["10.0.0.0/8", "fd00::/8"]).header(ForwardedHeader::XForwardedFor))
//!     .build();
//! # let _ = traffik;
//! ```

mod forwarded;
mod network;
#[cfg(test)]
mod tests;

use std::fmt;
#[cfg(feature = "axum")]
use std::net::SocketAddr;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Once;

#[cfg(feature = "axum")]
use axum::extract::{ConnectInfo, connect_info::MockConnectInfo};

pub use forwarded::ForwardedHeader;
use network::Network;

use crate::Parts;
use crate::app::Traffik;
use crate::error::Error;
use crate::identity::{Identity, KindRef, Who};
#[cfg(all(feature = "memory", feature = "tower"))]
use crate::key;

/// The socket's peer, put among a request's extensions by hand on servers that bring no
/// `ConnectInfo<SocketAddr>`.
///
/// Three are looked for, in this order: axum's `ConnectInfo<SocketAddr>`, which
/// [`traffik::axum::serve`](crate::axum::serve) brings; this; and axum's `MockConnectInfo`, for tests. So
/// where there is a `ConnectInfo` this one is not looked at: no layer replaces the socket's own word. Proxies
/// are named by [`ClientIp::behind`], and any other address is an
/// [`identifier`](crate::ThrottleBuilder::identifier)'s to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

/// The client's address, as an identity: the socket's peer, or what trusted proxies say of it.
///
/// IPv4-mapped IPv6 addresses are unmapped, and so are those of a translator (`64:ff9b::/96`, RFC 6052);
/// other IPv6 ones are masked to their /64. Without a peer it is
/// [`ANONYMOUS`](crate::ANONYMOUS), one bucket for all, and a warning tells once how to mend that.
#[must_use]
pub fn client_ip(parts: &Parts) -> Identity {
    Who::of(kind(parts, Traffik::of(Some(parts)))).to_identity()
}

/// The same, found as `app` says.
#[inline(always)]
pub(crate) fn kind(parts: &Parts, app: Option<&Traffik>) -> KindRef<'static> {
    found_by(app).kind(parts)
}

#[inline(always)]
fn found_by(app: Option<&Traffik>) -> &ClientIp {
    static DEFAULT: ClientIp = ClientIp::DEFAULT;
    app.and_then(Traffik::client_ip).unwrap_or(&DEFAULT)
}

/// The hash of the client, as [`key::client`] makes it.
#[inline]
#[cfg(all(feature = "memory", feature = "tower"))]
pub(crate) fn hash(parts: &Parts, app: Option<&Traffik>) -> u64 {
    let client_ip = found_by(app);
    match client_ip.plain_peer(parts) {
        Some(peer) => key::client(KindRef::V4(peer)),
        None => client_ip.any_hash(parts),
    }
}

/// How a client's address is found. The default is the socket's peer, and no header.
///
/// With [`behind`](ClientIp::behind) a header counts, and only where the socket's peer is one of the
/// named proxies. The header is read from the right, which is where the nearest proxy wrote, over
/// all its lines: each address that is a proxy's vouches for the one to its left, and the first
/// that is not is the client's. What stands further left is the client's own writing and is never
/// looked at. Where every address is a proxy's, the leftmost is taken: the request began there.
///
/// An entry on the way that is no address (empty, `unknown`, an obfuscated `_name`, not UTF-8) ends
/// the walk, and the request goes on the account of the socket's peer. So does a header with more
/// than 32 proxies in a row.
///
/// Name proxies by the narrowest networks that hold: a client inside a trusted network is taken for
/// a proxy, and can then say what it likes.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientIp {
    proxies: Vec<Network>,
    header: ForwardedHeader,
    ipv6_prefix: u8,
    /// The first mistake. It takes the trust in all proxies away, not only in the misspelt one.
    mistake: Option<String>,
}

impl ClientIp {
    const DEFAULT: Self =
        Self { proxies: Vec::new(), header: ForwardedHeader::XForwardedFor, ipv6_prefix: 64, mistake: None };

    /// Takes the word of these proxies, named by their networks (`"10.0.0.0/8"`, `"fd00::/8"`) or
    /// addresses (`"192.0.2.1"`). The header is `X-Forwarded-For` unless
    /// [`header`](ClientIp::header) names another.
    ///
    /// A network that can't be read, or whose address has bits beyond its prefix, makes
    /// [`install`](crate::install) fail. A [`layer`](Traffik::layer) can't fail: it logs the mistake
    /// as an error, and no proxy is trusted.
    #[must_use]
    pub fn behind(proxies: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let mut client_ip = Self::DEFAULT;
        for proxy in proxies {
            match Network::parse(proxy.as_ref()) {
                Ok(network) => client_ip.proxies.push(network),
                Err(mistake) => client_ip.fail(mistake),
            }
        }
        client_ip
    }

    /// The header in which the proxies report.
    #[must_use]
    pub fn header(mut self, header: ForwardedHeader) -> Self {
        self.header = header;
        self
    }

    /// How many leading bits of an IPv6 address make one client, 1 to 128. 64 if not said: what one
    /// customer usually holds, whole. Anything else is a mistake as in [`behind`](ClientIp::behind).
    #[must_use]
    pub fn ipv6_prefix(mut self, bits: u8) -> Self {
        match bits {
            1..=128 => self.ipv6_prefix = bits,
            _ => self.fail(format!("an IPv6 prefix of {bits} bits; write 1 to 128, such as 56 or 64")),
        }
        self
    }

    fn fail(&mut self, mistake: String) {
        self.mistake.get_or_insert(mistake);
    }

    /// What is wrong with it.
    pub(crate) fn error(&self) -> Option<Error> {
        self.mistake.as_ref().map(|mistake| Error::configuration(format!("client_ip: {mistake}")))
    }

    #[inline(always)]
    fn kind(&self, parts: &Parts) -> KindRef<'static> {
        match self.plain_peer(parts) {
            Some(peer) => KindRef::V4(peer),
            None => self.any_kind(parts),
        }
    }

    /// The most frequent client, who needs neither a proxy's word nor a mask.
    #[inline]
    fn plain_peer(&self, parts: &Parts) -> Option<u32> {
        #[cfg(feature = "axum")]
        if let Some(ConnectInfo(SocketAddr::V4(peer))) = parts.extensions.get()
            && self.proxies.is_empty()
        {
            return Some(peer.ip().to_bits());
        }
        #[cfg(not(feature = "axum"))]
        let _ = parts;
        None
    }

    #[inline(never)]
    #[cfg(all(feature = "memory", feature = "tower"))]
    fn any_hash(&self, parts: &Parts) -> u64 {
        key::client(self.any_kind(parts))
    }

    #[inline(never)]
    fn any_kind(&self, parts: &Parts) -> KindRef<'static> {
        match peer(parts) {
            Some(peer) => self.mask(self.client(peer.to_canonical(), parts)).into(),
            None => {
                warn_once();
                KindRef::Anonymous
            }
        }
    }

    /// The client behind a peer, addresses in canonical form.
    fn client(&self, peer: IpAddr, parts: &Parts) -> IpAddr {
        if self.mistake.is_some() || !self.trusts(peer) {
            return peer;
        }
        self.header.client(&parts.headers, |ip| self.trusts(ip)).unwrap_or(peer)
    }

    fn trusts(&self, ip: IpAddr) -> bool {
        self.proxies.iter().any(|network| network.contains(ip))
    }

    /// One customer usually holds a whole IPv6 network, and could walk through its addresses. Behind a translator, all of
    /// IPv4 is one such network, and who is who stands in its last 32 bits.
    fn mask(&self, ip: IpAddr) -> IpAddr {
        match ip {
            IpAddr::V4(_) => ip,
            IpAddr::V6(ip) => match network::translated(ip) {
                Some(ip) => IpAddr::V4(ip),
                None => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & network::mask(self.ipv6_prefix))),
            },
        }
    }
}

impl Default for ClientIp {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl fmt::Debug for ClientIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientIp")
            .field("proxies", &self.proxies)
            .field("header", &self.header)
            .field("ipv6_prefix", &self.ipv6_prefix)
            .finish()
    }
}

fn peer(parts: &Parts) -> Option<IpAddr> {
    #[cfg(feature = "axum")]
    if let Some(ConnectInfo(peer)) = parts.extensions.get::<ConnectInfo<SocketAddr>>() {
        return Some(peer.ip());
    }
    if let Some(Peer(peer)) = parts.extensions.get() {
        return Some(*peer);
    }
    // What axum's own extractor falls back to, for tests of routers without a server.
    #[cfg(feature = "axum")]
    if let Some(MockConnectInfo(peer)) = parts.extensions.get::<MockConnectInfo<SocketAddr>>() {
        return Some(peer.ip());
    }
    None
}

#[cold]
fn warn_once() {
    static WARNED: Once = Once::new();
    WARNED.call_once(|| {
        tracing::warn!(
            target: "traffik",
            "no client address: requests carry no ConnectInfo<SocketAddr>, so all clients share one bucket; \
             serve with traffik::axum::serve(listener, app), or \
             app.into_make_service_with_connect_info::<SocketAddr>(), or give the throttle an identifier"
        );
    });
}
