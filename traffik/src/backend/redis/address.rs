//! How the addresses of servers are written: as in URLs, where an IPv6 address is told from its port.

use std::fmt;

use redis::ConnectionAddr;

/// A host and a port. The `redis` crate would write `::1:6379`, which is an address without a port.
pub(super) struct HostPort<'a>(pub(super) &'a str, pub(super) u16);

impl fmt::Display for HostPort<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(host, port) = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// Returns an address for display.
pub(super) fn shown(address: &ConnectionAddr) -> String {
    match address {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
            HostPort(host, *port).to_string()
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use redis::Client;

    use super::shown;

    #[test]
    fn addresses_are_shown_as_in_urls() {
        for (url, expected) in [
            ("redis://[::1]:6379/0", "[::1]:6379"),
            ("redis://user:s3cret@127.0.0.1:1", "127.0.0.1:1"),
            ("redis://host", "host:6379"),
            ("redis+unix:///run/redis.sock", "/run/redis.sock"),
        ] {
            assert_eq!(shown(Client::open(url).unwrap().get_connection_info().addr()), expected, "{url}");
        }
    }
}
