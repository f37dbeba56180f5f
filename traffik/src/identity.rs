//! [`Identity`]: the client that a hit is charged to.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The client that a hit is charged to.
///
/// Identities of different kinds never collide: the address `10.0.0.1`, the string `"10.0.0.1"` and the
/// number `10` are three different clients.
///
/// ```
/// use traffik::{ANONYMOUS, EXEMPTED, Identity, Parts};
///
/// fn client(parts: &Parts) -> Identity {
///     match parts.headers.get("x-api-key").and_then(|key| key.to_str().ok()) {
///         Some("the operator's") => EXEMPTED,
///         Some(key) => Identity::key(key).tier("paying"),
///         None => ANONYMOUS,
///     }
/// }
/// # let _ = traffik::Throttle::builder("docs:identity").rate("1/min").identifier(client);
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    pub(crate) kind: Kind,
    pub(crate) tier: Option<Box<str>>,
    pub(crate) priority: Priority,
}

#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Exempted,
    Anonymous,
    Key(Box<str>),
    Ip(IpAddr),
    Number(u64),
}

/// An exempt client: it is not throttled, no key is built, and no backend is called.
pub const EXEMPTED: Identity = Identity::of(Kind::Exempted);

/// An unidentified client. All clients that cannot be told apart share this one account.
pub const ANONYMOUS: Identity = Identity::of(Kind::Anonymous);

/// The priority of a hit, for [`PriorityReserve`](crate::strategy::PriorityReserve).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Priority {
    /// Refused first.
    Low,
    /// The default.
    #[default]
    Normal,
    /// Ahead of `Low` and `Normal`.
    High,
    /// Refused last.
    Critical,
}

impl Identity {
    const fn of(kind: Kind) -> Self {
        Self { kind, tier: None, priority: Priority::Normal }
    }

    /// Creates the identity of a client known by a string: a user, an API key, a tenant.
    pub fn key(key: impl Into<String>) -> Self {
        Self::of(Kind::Key(key.into().into_boxed_str()))
    }

    /// Assigns the client to a tier, for [`Tiered`](crate::strategy::Tiered).
    #[must_use]
    pub fn tier(mut self, tier: impl Into<String>) -> Self {
        self.tier = Some(tier.into().into_boxed_str());
        self
    }

    /// Sets the priority of the client's hits, for [`PriorityReserve`](crate::strategy::PriorityReserve).
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// Returns `true` if this is [`EXEMPTED`].
    #[must_use]
    pub fn is_exempted(&self) -> bool {
        matches!(self.kind, Kind::Exempted)
    }

    #[inline]
    pub(crate) fn as_ref(&self) -> Who<'_> {
        let kind = match &self.kind {
            Kind::Exempted => KindRef::Exempted,
            Kind::Anonymous => KindRef::Anonymous,
            Kind::Key(key) => KindRef::Key(key),
            Kind::Ip(ip) => KindRef::from(*ip),
            Kind::Number(number) => KindRef::Number(*number),
        };
        Who { kind, tier: self.tier.as_deref(), priority: self.priority }
    }
}

/// A borrowed [`Identity`], as strategies and backends see it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Who<'a> {
    pub(crate) kind: KindRef<'a>,
    pub(crate) tier: Option<&'a str>,
    pub(crate) priority: Priority,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum KindRef<'a> {
    Exempted,
    Anonymous,
    Key(&'a str),
    // Integers stay in registers; the 16 bytes of an address would not.
    V4(u32),
    /// The upper and lower halves.
    V6(u64, u64),
    Number(u64),
}

impl From<IpAddr> for KindRef<'_> {
    #[inline]
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => Self::V4(ip.to_bits()),
            IpAddr::V6(ip) => Self::V6((ip.to_bits() >> 64) as u64, ip.to_bits() as u64),
        }
    }
}

/// Rebuilds an IPv6 address from its two halves.
#[inline]
pub(crate) fn ipv6(upper: u64, lower: u64) -> Ipv6Addr {
    Ipv6Addr::from_bits(u128::from(upper) << 64 | u128::from(lower))
}

impl<'a> Who<'a> {
    pub(crate) const fn of(kind: KindRef<'a>) -> Self {
        Self { kind, tier: None, priority: Priority::Normal }
    }

    #[inline]
    pub(crate) fn is_exempted(&self) -> bool {
        matches!(self.kind, KindRef::Exempted)
    }

    /// Returns the client's tier, if its identity names one.
    #[must_use]
    pub fn tier(&self) -> Option<&'a str> {
        self.tier
    }

    /// Returns the hit's priority.
    #[must_use]
    pub fn priority(&self) -> Priority {
        self.priority
    }

    pub(crate) fn to_identity(self) -> Identity {
        let kind = match self.kind {
            KindRef::Exempted => Kind::Exempted,
            KindRef::Anonymous => Kind::Anonymous,
            KindRef::Key(key) => Kind::Key(key.into()),
            KindRef::V4(bits) => Kind::Ip(Ipv4Addr::from_bits(bits).into()),
            KindRef::V6(upper, lower) => Kind::Ip(ipv6(upper, lower).into()),
            KindRef::Number(number) => Kind::Number(number),
        };
        Identity { kind, tier: self.tier.map(Into::into), priority: self.priority }
    }
}

impl fmt::Debug for KindRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Who::of(*self).fmt(f)
    }
}

impl fmt::Debug for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_identity().fmt(f)
    }
}

/// Shows only the kind: identities are often secrets, and `Debug` output ends up in logs.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::Exempted => "EXEMPTED",
            Kind::Anonymous => "ANONYMOUS",
            Kind::Key(_) => "Identity::key(..)",
            Kind::Ip(_) => "Identity::ip(..)",
            Kind::Number(_) => "Identity::number(..)",
        })
    }
}

impl From<String> for Identity {
    fn from(key: String) -> Self {
        Self::key(key)
    }
}

impl From<&str> for Identity {
    fn from(key: &str) -> Self {
        Self::key(key)
    }
}

impl From<&String> for Identity {
    fn from(key: &String) -> Self {
        Self::key(key.as_str())
    }
}

impl From<IpAddr> for Identity {
    /// Uses the whole address, with an IPv4-mapped IPv6 address converted to IPv4. Masking is up to
    /// [`client_ip`](crate::client_ip).
    fn from(ip: IpAddr) -> Self {
        Self::of(Kind::Ip(ip.to_canonical()))
    }
}

impl From<u64> for Identity {
    fn from(number: u64) -> Self {
        Self::of(Kind::Number(number))
    }
}

impl<T: Into<Self>> From<Option<T>> for Identity {
    /// Converts `None` into [`ANONYMOUS`].
    fn from(identity: Option<T>) -> Self {
        identity.map_or(ANONYMOUS, Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_never_shows_who() {
        for identity in [Identity::key("s3cret"), Identity::from(7), Identity::from("s3cret")] {
            let shown = format!("{identity:?} {:?}", identity.as_ref());
            assert!(!shown.contains("s3cret") && !shown.contains('7'), "{shown}");
        }
    }

    #[test]
    fn none_is_anonymous() {
        assert_eq!(Identity::from(None::<String>), ANONYMOUS);
        assert_eq!(Identity::from(Some("a")), Identity::key("a"));
    }
}
