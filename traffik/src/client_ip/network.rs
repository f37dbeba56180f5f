//! [`Network`]: a range of addresses, as in `10.0.0.0/8`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use traffik_grammar::Quoted;

/// A network. IPv4-mapped IPv6 networks are stored as the IPv4 networks that they are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Network {
    /// Its first address.
    pub(super) address: IpAddr,
    prefix: u8,
}

/// The bits of an IPv6 address that a prefix covers.
pub(super) fn mask(prefix: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0)
}

/// The IPv4 address that a protocol translator (NAT64, SIIT) embeds in this one, under the well-known
/// prefix `64:ff9b::/96` (RFC 6052 §2.1).
pub(super) fn translated(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    const WELL_KNOWN: u128 = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0).to_bits();
    (ip.to_bits() & mask(96) == WELL_KNOWN).then(|| Ipv4Addr::from_bits(ip.to_bits() as u32))
}

/// The address as 128 bits, IPv4 in its mapped form, so that the same arithmetic serves both.
fn bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

impl Network {
    /// Parses an address, with or without a prefix length.
    ///
    /// # Errors
    /// Fails with a message that names the mistake and the fix.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| {
            format!(
                "{} is not a network; write an address with a prefix length, such as \"10.0.0.0/8\"",
                Quoted(text)
            )
        })?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => most,
            Some(digits) => digits
                .parse()
                .ok()
                .filter(|prefix| *prefix <= most && digits.bytes().all(|byte| byte.is_ascii_digit()))
                .ok_or_else(|| {
                    format!(
                        "{} has an invalid prefix length {}; use a whole number from 0 to {most}",
                        Quoted(text),
                        Quoted(digits)
                    )
                })?,
        };
        let network = Self { address, prefix };
        let first = network.first();
        if first != address {
            return Err(format!(
                "{text:?} has bits set beyond its prefix; write \"{first}/{prefix}\" for the network, \
                 or \"{address}/{most}\" for the single address"
            ));
        }
        Ok(network.unmapped())
    }

    fn first(&self) -> IpAddr {
        match self.address {
            IpAddr::V4(ip) => IpAddr::V4(Ipv4Addr::from_bits(
                ip.to_bits() & u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0),
            )),
            IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & mask(self.prefix))),
        }
    }

    fn unmapped(self) -> Self {
        match self.address.to_canonical() {
            address @ IpAddr::V4(_) if self.address.is_ipv6() && self.prefix >= 96 => {
                Self { address, prefix: self.prefix - 96 }
            }
            _ => self,
        }
    }

    /// Whether the network contains an address in canonical form. Families never mix: `::/0` contains no
    /// IPv4 address.
    pub(super) fn contains(&self, ip: IpAddr) -> bool {
        let offset = if self.address.is_ipv4() { 96 } else { 0 };
        self.address.is_ipv4() == ip.is_ipv4()
            && (bits(ip) ^ bits(self.address)) & mask(offset + self.prefix) == 0
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}
