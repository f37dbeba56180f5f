//! [`ForwardedHeader`]: what proxies report about their clients, read from the right.

use std::net::IpAddr;
use std::str;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// The most entries of a header that are read, the client's included.
const MOST_ENTRIES: usize = 32;

/// The longest text that can still be an address with a port.
const LONGEST: usize = 64;

/// The header in which proxies report their clients.
///
/// Choose the one that *your* proxies write. A header that they pass on unchanged contains whatever the
/// client wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ForwardedHeader {
    /// `X-Forwarded-For: client, proxy, proxy`. Each proxy appends the address that it was called from.
    XForwardedFor,
    /// `Forwarded: for=client;proto=https, for=proxy` (RFC 7239). Each proxy appends an element.
    Forwarded,
    /// `X-Real-IP: client`. The proxy replaces any value that it receives.
    XRealIp,
    /// `True-Client-IP: client`, used by Akamai and Cloudflare. The proxy replaces any value that it
    /// receives.
    TrueClientIp,
    /// `CF-Connecting-IP: client`, used by Cloudflare. The proxy replaces any value that it receives.
    CfConnectingIp,
}

impl ForwardedHeader {
    /// The client that a trusted peer's header names; `None` if it names none.
    pub(super) fn client(self, headers: &HeaderMap, trusted: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
        match self {
            Self::XForwardedFor => walk(entries(headers, "x-forwarded-for").map(address), trusted),
            Self::Forwarded => {
                walk(elements(headers).map(|element| address(for_parameter(element)?)), trusted)
            }
            Self::XRealIp => only(headers, "x-real-ip"),
            Self::TrueClientIp => only(headers, "true-client-ip"),
            Self::CfConnectingIp => only(headers, "cf-connecting-ip"),
        }
    }
}

/// Follows the addresses, nearest first, to the first that is not a proxy's.
fn walk(
    nearest_first: impl Iterator<Item = Option<IpAddr>>,
    trusted: impl Fn(IpAddr) -> bool,
) -> Option<IpAddr> {
    let mut furthest = None;
    for (place, address) in nearest_first.enumerate() {
        let address = address.filter(|_| place < MOST_ENTRIES)?;
        furthest = Some(address);
        if !trusted(address) {
            break;
        }
    }
    furthest
}

/// The address in a header that holds a single one. A header on two lines names none, since one of them may
/// be the client's.
fn only(headers: &HeaderMap, name: &'static str) -> Option<IpAddr> {
    let mut lines = lines(headers, &HeaderName::from_static(name));
    let line = lines.next()?;
    if lines.next().is_some() { None } else { address(line) }
}

/// The entries of a plain list, from the right. Several lines form one list (RFC 9110 §5.3).
fn entries<'a>(headers: &'a HeaderMap, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
    lines(headers, &HeaderName::from_static(name)).flat_map(|line| line.rsplit(|byte| *byte == b','))
}

/// The elements of `Forwarded`, from the right.
fn elements(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    lines(headers, &header::FORWARDED).flat_map(|line| FromRight(Some(line)))
}

fn lines<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    headers.get_all(name).iter().rev().map(HeaderValue::as_bytes)
}

/// Splits at commas outside quotes, from the right: quotes that the client left open further left cannot
/// swallow what a proxy wrote after them.
struct FromRight<'a>(Option<&'a [u8]>);

impl<'a> Iterator for FromRight<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let line = self.0.take()?;
        match unquoted_from_right(line).find(|(_, byte)| *byte == b',') {
            Some((at, _)) => {
                self.0 = Some(&line[..at]);
                Some(&line[at + 1..])
            }
            None => Some(line),
        }
    }
}

/// The bytes outside quotes, from the right, each with its position.
fn unquoted_from_right(text: &[u8]) -> impl Iterator<Item = (usize, u8)> {
    let mut quoted = false;
    text.iter().copied().enumerate().rev().filter(move |(at, byte)| {
        // A quote after an odd number of backslashes is part of a quoted string.
        let backslashes = || text[..*at].iter().rev().take_while(|byte| **byte == b'\\').count();
        if *byte == b'"' && !(quoted && backslashes() % 2 == 1) {
            quoted = !quoted;
            return false;
        }
        !quoted
    })
}

/// The value of an element's only `for` parameter, unquoted; `None` if there is none, or more than one.
fn for_parameter(element: &[u8]) -> Option<&[u8]> {
    let mut found = None;
    let mut rest = element;
    loop {
        let cut = unquoted_from_right(rest).find(|(_, byte)| *byte == b';').map(|(at, _)| at);
        let pair = cut.map_or(rest, |at| &rest[at + 1..]).trim_ascii();
        if let Some(equals) = pair.iter().position(|byte| *byte == b'=')
            && pair[..equals].eq_ignore_ascii_case(b"for")
            && found.replace(unquote(&pair[equals + 1..])).is_some()
        {
            return None;
        }
        match cut {
            Some(at) => rest = &rest[..at],
            None => return found,
        }
    }
}

/// The content of a quoted string. Escapes are not resolved, since no address contains one.
fn unquote(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inside @ .., b'"'] => inside,
        _ => value,
    }
}

/// Parses an address with or without a port. An IPv6 address may be in brackets, and must be if a port
/// follows.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let entry = entry.trim_ascii();
    if entry.len() > LONGEST {
        return None;
    }
    let text = str::from_utf8(entry).ok()?;
    let bare = match text.strip_prefix('[') {
        Some(inside) => {
            let (inside, port) = inside.split_once(']')?;
            if !inside.contains(':') || !(port.is_empty() || port.strip_prefix(':').is_some_and(is_port)) {
                return None;
            }
            inside
        }
        // A single colon precedes a port; an IPv6 address has more of them.
        None => match text.split_once(':') {
            Some((host, port)) if !port.contains(':') => Some(host).filter(|_| is_port(port))?,
            _ => text,
        },
    };
    bare.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
}

/// Accepts digits, or an obfuscated port (RFC 7239 §6.2): the address is known without it.
fn is_port(port: &str) -> bool {
    let obfuscated = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    let number = || (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit());
    port.strip_prefix('_').map_or_else(number, obfuscated)
}
