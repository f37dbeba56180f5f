//! [`ClientIp`]: how the address of the client that sent a request is found.
//!
//! The socket's peer is the only address that cannot be made up. [`ClientIp::behind`] names the proxies
//! that are trusted to report their own peers:
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
mod networks;
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
use networks::Networks;

use crate::Parts;
use crate::error::Error;
use crate::identity::KindRef;
#[cfg(all(feature = "memory", feature = "tower"))]
use crate::key;

/// The address of the socket's peer, as a request extension for servers that don't provide a
/// `ConnectInfo<SocketAddr>`.
///
/// Three extensions are looked up, in this order: axum's `ConnectInfo<SocketAddr>`, which
/// [`traffik::axum::serve`] provides; this one; and axum's `MockConnectInfo`, for
/// tests. If there is a `ConnectInfo`, `Peer` is ignored: no layer can override the socket's address. To
/// trust proxies, use [`ClientIp::behind`]; to use any other address, write an
/// [`identifier`](crate::ThrottleBuilder::identifier).
///
#[cfg_attr(feature = "axum", doc = "[`traffik::axum::serve`]: crate::axum::serve")]
#[cfg_attr(
    not(feature = "axum"),
    doc = "[`traffik::axum::serve`]: https://docs.rs/traffik/latest/traffik/axum/fn.serve.html"
)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Peer(pub IpAddr);

/// How a client's address is found. By default, it is the socket's peer, and no header is read.
///
/// With [`behind`](ClientIp::behind) a header is read, but only if the socket's peer is one of the named
/// proxies. The header is read from the right, where the nearest proxy wrote, across all its lines: each
/// address that belongs to a proxy vouches for the one to its left, and the first that does not is the
/// client's. Whatever is further left was written by the client and is ignored. If every address belongs to
/// a proxy, the leftmost is used, since the request began there.
///
/// An entry on the way that is not an address (empty, `unknown`, an obfuscated `_name`, not UTF-8) ends the
/// walk, and the request is charged to the socket's peer. The same happens if the walk does not end within the
/// nearest 32 entries.
///
/// Name proxies by the narrowest networks possible: a client inside a trusted network is taken for a proxy,
/// and can then claim any address.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientIp {
    proxies: Networks,
    header: ForwardedHeader,
    ipv6_prefix: u8,
    /// The first mistake. It revokes the trust in all proxies, not only in the misspelt one.
    mistake: Option<String>,
}

impl ClientIp {
    pub(crate) const DEFAULT: Self = Self {
        proxies: Networks::NONE,
        header: ForwardedHeader::XForwardedFor,
        ipv6_prefix: 64,
        mistake: None,
    };

    /// Trusts these proxies, named by their networks (`"10.0.0.0/8"`, `"fd00::/8"`) or addresses
    /// (`"192.0.2.1"`). They report in `X-Forwarded-For`, unless [`header`](ClientIp::header) names another
    /// header.
    ///
    /// A network that cannot be parsed, or whose address has bits beyond its prefix, makes
    /// [`install`](crate::install) fail. A [`layer`] cannot fail: it logs the mistake as an
    /// error and trusts no proxy.
    ///
    #[cfg_attr(feature = "tower", doc = "[`layer`]: crate::Traffik::layer")]
    #[cfg_attr(
        not(feature = "tower"),
        doc = "[`layer`]: https://docs.rs/traffik/latest/traffik/struct.Traffik.html#method.layer"
    )]
    #[must_use]
    pub fn behind(proxies: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let (mut client_ip, mut networks) = (Self::DEFAULT, Vec::new());
        for proxy in proxies {
            match Network::parse(proxy.as_ref()) {
                Ok(network) => networks.push(network),
                Err(mistake) => client_ip.fail(mistake),
            }
        }
        client_ip.proxies = Networks::new(networks);
        client_ip
    }

    /// Sets the header in which the proxies report.
    #[must_use]
    pub fn header(mut self, header: ForwardedHeader) -> Self {
        self.header = header;
        self
    }

    /// Sets how many leading bits of an IPv6 address identify one client, 1 to 128. The default is 64, the
    /// network that one customer usually holds. Any other value is a mistake, handled as in
    /// [`behind`](ClientIp::behind).
    #[must_use]
    pub fn ipv6_prefix(mut self, bits: u8) -> Self {
        match bits {
            1..=128 => self.ipv6_prefix = bits,
            _ => self.fail(format!(
                "an IPv6 prefix of {bits} bits is out of range; use 1 to 128, such as 56 or 64"
            )),
        }
        self
    }

    fn fail(&mut self, mistake: String) {
        self.mistake.get_or_insert(mistake);
    }

    /// The first mistake in the settings.
    pub(crate) fn error(&self) -> Option<Error> {
        self.mistake.as_ref().map(|mistake| Error::configuration(format!("client_ip: {mistake}")))
    }

    /// The client of a request.
    #[inline(always)]
    pub(crate) fn kind(&self, parts: &Parts) -> KindRef<'static> {
        match self.plain_peer(parts) {
            Some(peer) => KindRef::V4(peer),
            None => self.any_kind(parts),
        }
    }

    /// The hash of the client, as computed by [`key::client`].
    #[inline]
    #[cfg(all(feature = "memory", feature = "tower"))]
    pub(crate) fn hash(&self, parts: &Parts) -> u64 {
        match self.plain_peer(parts) {
            Some(peer) => key::client(KindRef::V4(peer)),
            None => self.any_hash(parts),
        }
    }

    /// The peer in the most common case, which needs neither a proxy's report nor a mask.
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

    /// The client behind a peer, with addresses in canonical form.
    fn client(&self, peer: IpAddr, parts: &Parts) -> IpAddr {
        if self.mistake.is_some() || !self.trusts(peer) {
            return peer;
        }
        self.header.client(&parts.headers, |ip| self.trusts(ip)).unwrap_or(peer)
    }

    fn trusts(&self, ip: IpAddr) -> bool {
        self.proxies.contain(ip)
    }

    /// Masks IPv6 addresses, since one customer usually holds a whole network and could walk through its
    /// addresses. Behind a NAT64 translator, all of IPv4 is one such network, and the last 32 bits tell
    /// clients apart.
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
    // The same fallback as in axum's own extractor, for tests of routers without a server.
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
