//! [`Networks`]: a set of addresses, by the networks that they are in.

use std::fmt;
use std::net::IpAddr;

use super::network::Network;

/// Networks in ascending order, none of which is within another: of two that share an address, one is within the other,
/// and only the wider one is kept. An address can then be in one of them at most, which is found in `O(log n)`: cloud
/// providers publish thousands of networks, and a request may name 32 addresses.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Networks(Vec<Network>);

impl Networks {
    pub(super) const NONE: Self = Self(Vec::new());

    pub(super) fn new(mut networks: Vec<Network>) -> Self {
        // By first address. If they share that, the wider one comes first.
        networks.sort_unstable();
        networks.dedup_by(|network, before| before.contains(network.address));
        Self(networks)
    }

    #[inline]
    #[cfg(feature = "axum")]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether any of them contains an address in canonical form.
    pub(super) fn contain(&self, ip: IpAddr) -> bool {
        let later = self.0.partition_point(|network| network.address <= ip);
        self.0[..later].last().is_some_and(|network| network.contains(ip))
    }
}

impl fmt::Debug for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(network: &str) -> Network {
        Network::parse(network).unwrap()
    }

    #[test]
    fn of_networks_within_others_the_widest_are_kept_in_order() {
        let named = [
            "fd00::/8",
            "10.1.2.3",
            "10.1.0.0/16",
            "10.0.0.0/8",
            "::/0",
            "11.0.0.0/9",
            "10.0.0.0/24",
            "::/0",
        ];
        let networks = Networks::new(named.map(parse).into());
        assert_eq!(format!("{networks:?}"), "[10.0.0.0/8, 11.0.0.0/9, ::/0]");
    }

    proptest! {
        /// From few addresses, so that networks lie within others and next to them.
        #[test]
        fn they_contain_what_any_of_them_does(
            named in proptest::collection::vec((any::<bool>(), 0..8_u8, 0..=6_u8), 0..12),
            asked in proptest::collection::vec((any::<bool>(), any::<u8>()), 40),
        ) {
            let network = |(is_v6, place, short): (bool, u8, u8)| {
                let first = (u32::from(place) << 5) >> short << short;
                if is_v6 {
                    parse(&format!("fd00::{first:x}/{}", 128 - short))
                } else {
                    parse(&format!("10.0.0.{first}/{}", 32 - short))
                }
            };
            let all: Vec<Network> = named.into_iter().map(network).collect();
            let networks = Networks::new(all.clone());
            for (is_v6, place) in asked {
                let ip: IpAddr =
                    if is_v6 { format!("fd00::{place:x}") } else { format!("10.0.0.{place}") }.parse().unwrap();
                prop_assert_eq!(networks.contain(ip), all.iter().any(|network| network.contains(ip)), "{}", ip);
            }
        }
    }
}
