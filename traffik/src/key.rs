//! Keys: how a store identifies a client.
//!
//! In memory, keys are hashed to 64 bits under a secret of this process. Nobody can choose two identities
//! that share a counter. It can only happen by chance: with a million clients, in one of 37 million
//! processes. Nothing is formatted or allocated.

mod multilinear;

use std::fmt;
use std::sync::OnceLock;

use crate::identity::{KindRef, Who};
use multilinear::Multilinear;

/// What is hashed. Equal values in different domains are different keys.
#[derive(Clone, Copy)]
enum Domain {
    Policy,
    Scope,
    Anonymous,
    Key,
    V4,
    V6,
    Number,
}

// There is a summand for each domain.
const _: () = assert!((Domain::Number as usize) < multilinear::KINDS);

static SECRET: OnceLock<Multilinear> = OnceLock::new();

/// This process's secret, which turns clients into keys.
#[derive(Clone, Copy)]
pub(crate) struct Keys(&'static Multilinear);

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")
    }
}

/// The whole key, given those of the policy and the client.
#[inline]
pub(crate) fn of(policy: u64, identity: u64, scope: Option<&str>) -> u64 {
    // Two clients of one throttle and scope collide as rarely as their hashes do. Across throttles or scopes it may be
    // a few bits more often, since their hashes share the multipliers.
    policy ^ identity ^ scope.map_or(0, self::scope)
}

/// The policy's part of a key.
pub(crate) fn policy(uid: &str, tag: &str) -> u64 {
    // Injective: the length of the first part tells where the second begins.
    let mut bytes = Vec::with_capacity(8 + uid.len() + tag.len());
    bytes.extend((uid.len() as u64).to_le_bytes());
    bytes.extend(uid.as_bytes());
    bytes.extend(tag.as_bytes());
    Keys::get().0.of_bytes(Domain::Policy as usize, &bytes)
}

/// The scope's part of a key.
pub(crate) fn scope(scope: &str) -> u64 {
    Keys::get().0.of_bytes(Domain::Scope as usize, scope.as_bytes())
}

/// The client's part of a key.
#[inline]
pub(crate) fn identity(who: &Who<'_>) -> u64 {
    client(who.kind)
}

/// Same as `identity`, for a client without a tier and a priority, which are not part of the key.
#[inline(always)]
pub(crate) fn client(kind: KindRef<'_>) -> u64 {
    Keys::get().client(kind)
}

impl Keys {
    #[inline(always)]
    pub(crate) fn get() -> Self {
        // Neither `get_or_init` nor a `LazyLock`: both are a call.
        Self(SECRET.get().unwrap_or_else(Self::first))
    }

    #[cold]
    fn first() -> &'static Multilinear {
        SECRET.get_or_init(Multilinear::random)
    }

    /// The client's part of a key.
    #[inline(always)]
    pub(crate) fn client(self, kind: KindRef<'_>) -> u64 {
        let Self(secret) = self;
        match kind {
            KindRef::Key(key) => secret.of_bytes(Domain::Key as usize, key.as_bytes()),
            KindRef::V4(bits) => secret.of_word(Domain::V4 as usize, u64::from(bits)),
            KindRef::V6(upper, lower) => secret.of_pair(Domain::V6 as usize, upper, lower),
            KindRef::Number(number) => secret.of_word(Domain::Number as usize, number),
            KindRef::Anonymous | KindRef::Exempted => secret.of_nothing(Domain::Anonymous as usize),
        }
    }
}

/// The whole key in plain bytes, the same in every process, for stores that processes share.
pub(crate) fn bytes(uid: &str, tag: &str, scope: Option<&str>, who: &Who<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Injective: each part but the last is preceded by its length, or marked as absent.
    for part in [Some(uid), Some(tag), scope] {
        bytes.extend(part.map_or(u64::MAX, |part| part.len() as u64).to_be_bytes());
        bytes.extend(part.unwrap_or_default().as_bytes());
    }
    match who.kind {
        KindRef::Key(key) => bytes.extend([b"k", key.as_bytes()].concat()),
        KindRef::Number(number) => bytes.extend([b"n", &number.to_be_bytes()[..]].concat()),
        KindRef::V4(bits) => bytes.extend([b"4", &bits.to_be_bytes()[..]].concat()),
        KindRef::V6(upper, lower) => {
            bytes.extend([b"6", &upper.to_be_bytes()[..], &lower.to_be_bytes()].concat());
        }
        KindRef::Anonymous | KindRef::Exempted => bytes.push(b'a'),
    }
    bytes
}

/// A hash that is the same in every process and on every machine, for what all of them must agree on (the
/// phase of a staggered window). Not for keys: anyone can compute it.
///
/// 64-bit FNV-1a (Fowler, Noll and Vo; draft-eastlake-fnv), followed by the finalizer of SplitMix64
/// (Steele, Lea and Flood, OOPSLA 2014), which spreads the effect of the last bytes over all bits.
pub(crate) fn stable(uid: &str, who: &Who<'_>) -> u64 {
    let identity = match &who.kind {
        KindRef::Key(key) => fnv(b'k', key.as_bytes()),
        KindRef::Number(number) => fnv(b'n', &number.to_le_bytes()),
        KindRef::V4(bits) => fnv(b'4', &bits.to_le_bytes()),
        KindRef::V6(upper, lower) => fnv(b'6', &[*upper, *lower].map(u64::to_le_bytes).concat()),
        KindRef::Anonymous | KindRef::Exempted => fnv(b'a', &[]),
    };
    let hash = fnv(b'u', uid.as_bytes()).rotate_left(32) ^ identity;
    let hash = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ hash >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ hash >> 31
}

fn fnv(kind: u8, bytes: &[u8]) -> u64 {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(PRIME);
    std::iter::once(&kind).chain(bytes).fold(BASIS, step)
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
        for (uid, tag) in [("a", "b"), ("ab", ""), ("", "ab")] {
            assert!(seen.insert(policy(uid, tag)));
        }
        assert!(seen.insert(scope("a")));
    }

    #[test]
    fn keys_in_plain_are_of_one_account_each_and_stay() {
        use crate::backend::Hit;
        use crate::policy::Policy;
        use crate::rate::Rate;
        use crate::strategy::{FixedWindow, Gcra, Strategy};
        use std::sync::Arc;

        let policy = |uid, period, strategy: Arc<dyn Strategy>| {
            Policy::new(uid, Rate::new(1, std::time::Duration::from_secs(period)).unwrap(), strategy).unwrap()
        };
        let policies = [
            policy("a", 1, Arc::new(FixedWindow::new())),
            policy("a", 2, Arc::new(FixedWindow::new())),
            policy("a", 1, Arc::new(Gcra::new())),
            policy("ab", 1, Arc::new(FixedWindow::new())),
        ];
        let ip = |text: &str| Identity::from(text.parse::<IpAddr>().unwrap());
        let identities = [
            ANONYMOUS,
            Identity::key(""),
            Identity::key("a"),
            Identity::key("k"),
            Identity::key("10.0.0.1"),
            Identity::from(7),
            ip("10.0.0.1"),
            ip("::a00:1"),
        ];
        let scopes = [None, Some(""), Some("k"), Some("kk"), Some("a\0")];
        let mut seen = HashSet::new();
        for policy in &policies {
            for identity in &identities {
                for scope in scopes {
                    assert!(seen.insert(Hit::new(policy, identity.as_ref(), 0, scope, 1).key()));
                    // Tier and cost make no difference to the account.
                    let dear = identity.clone().tier("t");
                    assert!(!seen.insert(Hit::new(policy, dear.as_ref(), 0, scope, 9).key()));
                }
            }
        }
        let key = Hit::new(&policies[0], identities[2].as_ref(), 0, Some("s"), 1).key();
        let tag = "fixed_window~1000000";
        let expected = [b"\0\0\0\0\0\0\0\x01a", &[0, 0, 0, 0, 0, 0, 0, tag.len() as u8][..], tag.as_bytes()];
        assert_eq!(key, [&expected.concat()[..], b"\0\0\0\0\0\0\0\x01s", b"ka"].concat());
    }

    /// The values that the authors list for "a" and for "foobar".
    #[test]
    fn the_stable_hash_is_fnv_and_stays() {
        assert_eq!(fnv(b'a', b""), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv(b'f', b"oobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn mapped_addresses_are_their_ipv4() {
        let mapped: IpAddr = "::ffff:10.0.0.1".parse().unwrap();
        let plain: IpAddr = "10.0.0.1".parse().unwrap();
        assert_eq!(Identity::from(mapped), Identity::from(plain));
    }
}
