//! Hashed keys: what the in-memory store knows a client by.
//!
//! 64 bits of SipHash-1-3 under a secret of this process, so that nobody can choose two identities
//! that share a counter, and chance does it to one of a million clients once in 37 million
//! processes. Nothing is formatted and nothing allocated.

mod sip;

use std::hash::{BuildHasher, RandomState};
use std::net::Ipv4Addr;
use std::sync::OnceLock;

use crate::identity::{KindRef, Who, ipv6};
use crate::policy::Policy;
use sip::Key;

/// What a hash is of. Equal bytes in different domains are different keys.
#[derive(Clone, Copy)]
#[repr(u64)]
enum Domain {
    Policy = 1,
    Scope,
    Anonymous,
    Key,
    Ip,
    Number,
}

static SECRET: OnceLock<Key> = OnceLock::new();

#[inline(always)]
fn secret() -> Key {
    SECRET.get().copied().unwrap_or_else(first_secret)
}

#[cold]
fn first_secret() -> Key {
    *SECRET.get_or_init(|| Key(RandomState::new().hash_one(0_u8), RandomState::new().hash_one(1_u8)))
}

#[inline(always)]
fn keyed(domain: Domain, bytes: &[u8]) -> u64 {
    let Key(first, second) = secret();
    // Another key per domain, rather than a prefix: one pass over the bytes as they lie.
    sip::hash(Key(first ^ domain as u64, second), bytes)
}

/// The whole key.
#[inline]
pub(crate) fn of(policy: &Policy, identity: u64, scope: Option<&str>) -> u64 {
    // Sums of independent hashes under a secret key: as hard to steer as each of them.
    policy.seed() ^ identity ^ scope.map_or(0, self::scope)
}

/// The part of a key that the throttle contributes. `parts` are hashed apart from each other.
pub(crate) fn policy(parts: [&str; 2]) -> u64 {
    // Injective: the length of the first part says where the second begins.
    let mut bytes = Vec::with_capacity(8 + parts[0].len() + parts[1].len());
    bytes.extend((parts[0].len() as u64).to_le_bytes());
    bytes.extend(parts[0].as_bytes());
    bytes.extend(parts[1].as_bytes());
    keyed(Domain::Policy, &bytes)
}

/// The part of a key that the scope contributes.
pub(crate) fn scope(scope: &str) -> u64 {
    keyed(Domain::Scope, scope.as_bytes())
}

/// The part of a key that the client contributes.
#[inline]
pub(crate) fn identity(who: &Who<'_>) -> u64 {
    client(who.kind)
}

/// The same, where nothing else is known of the client.
#[inline(always)]
pub(crate) fn client(kind: KindRef<'_>) -> u64 {
    match kind {
        KindRef::Key(key) => keyed(Domain::Key, key.as_bytes()),
        KindRef::V4(bits) => keyed(Domain::Ip, &bits.to_be_bytes()),
        KindRef::V6(upper, lower) => keyed(Domain::Ip, &ipv6(upper, lower).octets()),
        KindRef::Number(number) => keyed(Domain::Number, &number.to_le_bytes()),
        KindRef::Anonymous | KindRef::Exempted => keyed(Domain::Anonymous, &[]),
    }
}

/// A hash that is the same in every process and on every machine, for what all of them must agree
/// on (the phase of a staggered window). Not for keys: anyone can compute it.
pub(crate) fn stable(uid: &str, who: &Who<'_>) -> u64 {
    let (tag, number);
    let bytes: &[u8] = match who.kind {
        KindRef::Key(key) => key.as_bytes(),
        KindRef::Number(value) => {
            number = value.to_le_bytes();
            &number
        }
        KindRef::V4(bits) => {
            tag = Ipv4Addr::from_bits(bits).to_ipv6_mapped().octets();
            &tag
        }
        KindRef::V6(upper, lower) => {
            tag = ipv6(upper, lower).octets();
            &tag
        }
        KindRef::Anonymous | KindRef::Exempted => &[],
    };
    let by_uid = sip::hash(Key(0, 0), uid.as_bytes());
    sip::hash(Key(by_uid, bytes.len() as u64), bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{ANONYMOUS, Identity};
    use std::collections::HashSet;
    use std::net::IpAddr;

    #[test]
    fn look_alikes_are_different_keys() {
        let ip: IpAddr = "10.0.0.1".parse().unwrap();
        let identities = [
            Identity::key("10.0.0.1"),
            Identity::from(ip),
            Identity::from(167_772_161_u64),
            Identity::key(""),
            ANONYMOUS,
            Identity::key("a:b"),
            Identity::key("a\0b"),
            Identity::key("x".repeat(10_000)),
        ];
        let mut seen: HashSet<u64> = identities.iter().map(|i| identity(&i.as_ref())).collect();
        assert_eq!(seen.len(), identities.len());
        for parts in [["a", "b"], ["ab", ""], ["", "ab"]] {
            assert!(seen.insert(policy(parts)));
        }
        assert!(seen.insert(scope("a")));
    }

    #[test]
    fn mapped_addresses_are_their_ipv4() {
        let mapped: IpAddr = "::ffff:10.0.0.1".parse().unwrap();
        let plain: IpAddr = "10.0.0.1".parse().unwrap();
        assert_eq!(Identity::from(mapped), Identity::from(plain));
    }
}
