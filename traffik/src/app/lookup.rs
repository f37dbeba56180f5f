//! The lookup of what applies to a request: the defaults of its router, or else of the process.
//!
//! Everything else about a [`Traffik`] knows nothing of layers; only this file looks at what they leave on requests.

use super::{INSTALLED, Traffik};
use crate::Parts;
use crate::client_ip::ClientIp;
use crate::identity::{Identity, Who};
#[cfg(feature = "tower")]
use crate::tower::LayerContext;

impl Traffik {
    /// The router's defaults, or else the process's.
    pub(crate) fn of(parts: Option<&Parts>) -> Option<&Self> {
        #[cfg(feature = "tower")]
        let by_router = parts.and_then(|parts| LayerContext::of(&parts.extensions)?.traffik.as_ref());
        #[cfg(not(feature = "tower"))]
        let by_router = parts.and(None);
        by_router.or_else(|| INSTALLED.get())
    }

    /// Same as `of`, for a request within these layers.
    #[inline]
    #[cfg(all(feature = "memory", feature = "tower"))]
    pub(crate) fn by(context: Option<&LayerContext>) -> Option<&Self> {
        context.and_then(|context| context.traffik.as_ref()).or_else(|| INSTALLED.get())
    }

    /// How a client's address is found: the setting of the app, or else from the socket alone.
    #[inline(always)]
    pub(crate) fn client_ip_under(app: Option<&Self>) -> &ClientIp {
        static DEFAULT: ClientIp = ClientIp::DEFAULT;
        app.and_then(Self::client_ip).unwrap_or(&DEFAULT)
    }
}

/// Returns the client's address as an identity: the socket's peer, or the address that trusted proxies
/// report.
///
/// IPv4-mapped IPv6 addresses are converted to IPv4, as are those of a NAT64 translator (`64:ff9b::/96`,
/// RFC 6052). Other IPv6 addresses are masked to their prefix, /64 by default. Without a peer, the result
/// is [`ANONYMOUS`](crate::ANONYMOUS), one account for all clients, and a warning that is logged once tells
/// how to fix that.
#[must_use]
pub fn client_ip(parts: &Parts) -> Identity {
    let client_ip = Traffik::client_ip_under(Traffik::of(Some(parts)));
    Who::of(client_ip.kind(parts)).to_identity()
}
