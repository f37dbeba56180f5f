//! [`client_ip`]: the address of whoever sent a request.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Once;

use crate::Parts;
use crate::app::Traffik;
use crate::identity::{ANONYMOUS, Identity};

/// Where the socket's peer is found: put there by [`traffik::axum::serve`](crate::axum::serve),
/// axum's `ConnectInfo`, or by hand on other servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

/// The client's address, as an identity: the socket's peer, or what trusted proxies say of it.
///
/// IPv4-mapped IPv6 addresses are unmapped and IPv6 ones masked to their /64. Without a peer it is
/// [`ANONYMOUS`], one bucket for all, and a warning tells once how to mend that.
#[must_use]
pub fn client_ip(parts: &Parts) -> Identity {
    match Traffik::of(Some(parts)) {
        Some(traffik) => traffik.client_ip().identify(parts),
        None => ClientIp::DEFAULT.identify(parts),
    }
}

/// How a client's address is found. The default is the socket's peer, and no header.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientIp {
    ipv6_prefix: u8,
}

impl ClientIp {
    const DEFAULT: Self = Self { ipv6_prefix: 64 };

    fn identify(&self, parts: &Parts) -> Identity {
        match peer(parts) {
            Some(ip) => Identity::from(self.mask(ip.to_canonical())),
            None => {
                warn_once();
                ANONYMOUS
            }
        }
    }

    /// One customer usually holds a whole IPv6 network, and could walk through its addresses.
    fn mask(&self, ip: IpAddr) -> IpAddr {
        match ip {
            IpAddr::V4(_) => ip,
            IpAddr::V6(ip) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.ipv6_prefix)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & mask))
            }
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
        f.debug_struct("ClientIp").field("ipv6_prefix", &self.ipv6_prefix).finish()
    }
}

fn peer(parts: &Parts) -> Option<IpAddr> {
    #[cfg(feature = "axum")]
    if let Some(info) = parts.extensions.get::<axum::extract::ConnectInfo<std::net::SocketAddr>>() {
        return Some(info.0.ip());
    }
    parts.extensions.get::<Peer>().map(|peer| peer.0)
}

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
