//! What is asked of TCP for a connection to a server that may be far away.

use std::time::Duration;

use redis::io::tcp::socket2::TcpKeepalive;
use redis::{Client, RedisResult};

/// After how long a silent connection is probed, and how long until the next probe. Routers and firewalls forget
/// connections that were idle for some minutes, and then drop what is sent on them without a word. Probes keep them in
/// mind, and find out about a connection that is forgotten, or whose peer is gone, before a command does.
const PROBE_AFTER: Duration = Duration::from_secs(15);
const PROBE_EVERY: Duration = Duration::from_secs(5);

/// For how long what was sent may remain unacknowledged. TCP itself would try again for a quarter of an hour.
#[cfg(any(target_os = "android", target_os = "linux"))]
const GIVE_UP_AFTER: Duration = Duration::from_secs(30);

/// Returns a client for the same server with these settings, and which sends each command at once (`TCP_NODELAY`). By
/// default, TCP holds a small packet back until the server has acknowledged the one before, which takes another round
/// trip.
pub(super) fn over_distance(client: &Client) -> RedisResult<Client> {
    let info = client.get_connection_info().clone();
    let settings = info.tcp_settings().clone().set_nodelay(true).set_keepalive(keepalive());
    #[cfg(any(target_os = "android", target_os = "linux"))]
    let settings = settings.set_user_timeout(GIVE_UP_AFTER);
    Client::open(info.set_tcp_settings(settings))
}

fn keepalive() -> TcpKeepalive {
    let keepalive = TcpKeepalive::new().with_time(PROBE_AFTER);
    // Elsewhere, it is the system's.
    #[cfg(any(target_os = "android", target_os = "linux", target_os = "macos", target_os = "windows"))]
    let keepalive = keepalive.with_interval(PROBE_EVERY);
    keepalive
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::redis::link::{Link, LinkConfig};

    #[tokio::test]
    async fn a_link_has_these_settings_over_either_protocol() {
        let config = LinkConfig { choose_protocol: true, deadline: Duration::from_millis(100) };
        let link = Link::lazy(Client::open("redis://127.0.0.1:1").unwrap(), config).unwrap();
        for is_resp3 in [false, true] {
            let settings = link.client(is_resp3).get_connection_info().tcp_settings();
            // A command that TCP holds back takes twice as long.
            assert!(settings.nodelay(), "{is_resp3}");
            // The time, the interval and the number of probes have no getters.
            let probes = settings.keepalive().map(|keepalive| format!("{keepalive:?}")).unwrap_or_default();
            assert!(probes.contains("15s"), "{is_resp3}: {probes}");
            #[cfg(target_os = "linux")]
            assert_eq!(settings.user_timeout(), Some(GIVE_UP_AFTER), "{is_resp3}");
        }
    }
}
