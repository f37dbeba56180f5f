//! Keys: `namespace|uid|tag|scope|{identity}`, at most 200 bytes, and never the same for two
//! clients.
//!
//! None of the parts can contain `|`, `{` or `}`: uid and namespace because of their grammar, the
//! others because anything long or unusual is hashed. Hashes begin with `#`, which no part in plain
//! text can.
//!
//! The identity is in braces, Redis Cluster's hash tag: all throttles of one client share a slot,
//! and one script decides them.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use sha2::{Digest, Sha256};

use crate::backend::Hit;
use crate::identity::{KindRef, Who, ipv6};

/// The most bytes in a key.
const MAX_LEN: usize = 200;

/// The most bytes in a namespace.
pub(super) const MAX_NAMESPACE: usize = 32;

/// The longest scope that is kept in plain text.
const MAX_PLAIN: usize = 32;

/// The longest identity: `{ip:…}` around an IPv6 address.
const MAX_IDENTITY: usize = 5 + 39;

/// The most bytes before the identity. Fixed, so that a throttle's prefix does not depend on the
/// client.
const MAX_PREFIX: usize = MAX_LEN - MAX_IDENTITY - 1;

/// Returns the key of a hit.
pub(super) fn of(namespace: &str, hit: &Hit<'_>) -> String {
    build(namespace, hit.policy().uid(), hit.policy().tag(), hit.scope(), &hit.who())
}

fn build(namespace: &str, uid: &str, tag: &str, scope: Option<&str>, who: &Who<'_>) -> String {
    let mut key = String::with_capacity(96);
    key.push_str(namespace);
    key.push('|');
    key.push_str(uid);
    key.push('|');
    if tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"~_-".contains(&byte)) {
        key.push_str(tag);
    } else {
        // The tag of a user's own strategy may contain anything.
        push_hash(&mut key, &[tag]);
    }
    key.push('|');
    match scope {
        None => {}
        Some(scope) if is_plain(scope) => key.push_str(scope),
        Some(scope) => push_hash(&mut key, &[scope]),
    }
    if key.len() > MAX_PREFIX {
        key.truncate(namespace.len() + 1);
        let (present, scope) = scope.map_or(("", ""), |scope| ("=", scope));
        push_hash(&mut key, &[uid, tag, present, scope]);
    }
    key.push('|');
    push_identity(&mut key, who);
    key
}

/// Whether a scope appears in the key as it is. An empty one does not, because it differs from an
/// absent one.
fn is_plain(scope: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b":._-/@".contains(&byte);
    !scope.is_empty() && scope.len() <= MAX_PLAIN && scope.bytes().all(allowed)
}

fn push_identity(key: &mut String, who: &Who<'_>) {
    // Writing to a string cannot fail.
    let _ = match who.kind {
        KindRef::V4(bits) => write!(key, "{{ip:{}}}", Ipv4Addr::from_bits(bits)),
        KindRef::V6(upper, lower) => write!(key, "{{ip:{}}}", ipv6(upper, lower)),
        KindRef::Number(number) => write!(key, "{{n:{number}}}"),
        KindRef::Anonymous | KindRef::Exempted => write!(key, "{{anonymous}}"),
        // Never in plain text: it is often a secret, and keys end up in SLOWLOG and MONITOR.
        KindRef::Key(text) => {
            key.push_str("{k:");
            push_digest(key, &[text]);
            key.write_str("}")
        }
    };
}

fn push_hash(key: &mut String, parts: &[&str]) {
    key.push('#');
    push_digest(key, parts);
}

/// Appends 192 bits of SHA-256 as 32 letters of base64url.
fn push_digest(key: &mut String, parts: &[&str]) {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut digest = Sha256::new();
    for part in parts {
        // Each part with its length, so that no two lists of parts give the same bytes.
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part.as_bytes());
    }
    for triple in digest.finalize()[..24].chunks_exact(3) {
        let bits = u32::from_be_bytes([0, triple[0], triple[1], triple[2]]);
        for shift in [18, 12, 6, 0] {
            key.push(char::from(LETTERS[(bits >> shift & 63) as usize]));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;
    use crate::identity::{ANONYMOUS, Identity};

    #[test]
    fn readable_where_it_is_safe() {
        let key = |scope, identity: Identity| {
            build("traffik", "api:burst", "fixed_window~60000000", scope, &identity.as_ref())
        };
        let ip: IpAddr = "10.0.0.1".parse().unwrap();
        assert_eq!(key(None, ip.into()), "traffik|api:burst|fixed_window~60000000||{ip:10.0.0.1}");
        assert_eq!(key(Some("eu"), 42.into()), "traffik|api:burst|fixed_window~60000000|eu|{n:42}");
        assert!(key(None, ANONYMOUS).ends_with("||{anonymous}"));
        let secret = key(Some("a b"), "s3cret".into());
        assert!(!secret.contains("s3cret") && secret.contains("|#") && secret.contains("|{k:"), "{secret}");
    }

    #[test]
    fn the_longest_of_everything_fits() {
        let ip: IpAddr = "2001:db81:1111:2222:3333:4444:5555:6666".parse().unwrap();
        let (namespace, uid, tag) = ("n".repeat(MAX_NAMESPACE), "u".repeat(64), "t".repeat(60));
        for scope in [None, Some(""), Some("s"), Some(&*"s".repeat(32)), Some(&*"s".repeat(33))] {
            let key = build(&namespace, &uid, &tag, scope, &Identity::from(ip).as_ref());
            assert!(key.len() <= MAX_LEN, "{} {key}", key.len());
        }
    }

    /// Parts that would collide if any separator leaked or any prefix were shared.
    fn part() -> impl Strategy<Value = String> {
        prop_oneof![
            "[ab|{}:#=~]{0,6}",
            "[a-z]{28,70}",
            Just(String::new()),
            Just("anonymous".into()),
            Just("ip:10.0.0.1".into()),
            Just("n:42".into()),
            "\\PC{0,12}",
            Just("x".repeat(10_000)),
        ]
    }

    fn identity() -> impl Strategy<Value = Identity> {
        prop_oneof![
            4 => part().prop_map(Identity::key),
            1 => Just(ANONYMOUS),
            1 => (0_u64..100).prop_map(Identity::from),
            1 => (0_u32..4).prop_map(|ip| Identity::from(IpAddr::from(ip.to_be_bytes()))),
            1 => any::<u128>().prop_map(|ip| Identity::from(IpAddr::from(ip.to_be_bytes()))),
        ]
    }

    fn uid() -> impl Strategy<Value = String> {
        prop_oneof!["[ab]([a:._-]{0,3}[ab])?", "[a-z]{60,64}"]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn injective_and_short(
            parts in prop::collection::vec((uid(), uid(), part(), prop::option::of(part()), identity()), 2..40)
        ) {
            let mut seen = HashMap::new();
            for (namespace, uid, tag, scope, identity) in parts {
                let namespace = namespace[..namespace.len().min(MAX_NAMESPACE)].to_owned();
                let key = build(&namespace, &uid, &tag, scope.as_deref(), &identity.as_ref());
                prop_assert!(key.len() <= MAX_LEN, "{} bytes: {}", key.len(), key);
                prop_assert_eq!((key.matches('{').count(), key.matches('}').count()), (1, 1));
                let whole = (namespace, uid, tag, scope, identity);
                if let Some(other) = seen.insert(key, whole.clone()) {
                    prop_assert_eq!(other, whole);
                }
            }
        }
    }
}
