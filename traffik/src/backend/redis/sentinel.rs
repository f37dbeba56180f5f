//! [`Sentinel`]: the master that Sentinels watch, whichever server that is.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use redis::sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType};
use redis::{Client, Cmd, ConnectionAddr, ErrorKind, RedisConnectionInfo, RedisResult, TlsMode, Value};
use tokio::task::JoinSet;

use super::address::shown;
use super::command_outcome::CommandOutcome;
use super::first_ok::{first_ok, within};
use super::link::{IfBusy, Link, LinkConfig, demoted, unsent};
use super::refresh::{self, Refresh, RefreshUnlessAnswered, Refresher};

/// How long a Sentinel may take to name the master, and that server to confirm it: seven round trips or more.
const FIND_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) struct Sentinel(Arc<Inner>);

struct Inner {
    config: SentinelConfig,
    /// `None` until a Sentinel has named one.
    master: ArcSwapOption<Master>,
    refresher: Refresher,
}

/// Which Sentinels to ask, and for which master.
#[derive(Clone)]
pub(super) struct SentinelConfig {
    pub(super) urls: Vec<String>,
    /// The Sentinels' name for the master.
    pub(super) name: String,
    /// How to log in to the master.
    pub(super) login: RedisConnectionInfo,
    /// Whether the connection to the master is encrypted.
    pub(super) tls: Option<TlsMode>,
    pub(super) link: LinkConfig,
}

struct Master {
    address: String,
    link: Link,
}

impl SentinelConfig {
    fn client(&self, urls: &[String]) -> RedisResult<SentinelClient> {
        let mut master = SentinelNodeConnectionInfo::default().set_redis_connection_info(self.login.clone());
        if let Some(tls) = self.tls {
            master = master.set_tls_mode(tls);
        }
        let urls = urls.iter().map(String::as_str).collect();
        SentinelClient::build(urls, self.name.clone(), Some(master), SentinelServerType::Master)
    }

    /// Asks all of them at once, so that a silent one is not waited for. The first that names a
    /// server is believed, because the server itself has confirmed that it is a master.
    async fn find_master(&self) -> RedisResult<(String, Client)> {
        let mut asked = JoinSet::new();
        for url in &self.urls {
            let mut client = self.client(std::slice::from_ref(url))?;
            asked.spawn(async move { within(FIND_TIMEOUT, client.async_get_client()).await });
        }
        let nobody = || (ErrorKind::EmptySentinelList, "there are no Sentinels to query").into();
        let client = first_ok(&mut asked, nobody).await?;
        Ok((shown(client.get_connection_info().addr()), client))
    }
}

/// Returns how connections to this address are encrypted. Sentinels name the master by host and port alone, so this
/// has to come from the builder's URL.
pub(super) fn tls_mode(address: &ConnectionAddr) -> Option<TlsMode> {
    match address {
        ConnectionAddr::TcpTls { insecure: false, .. } => Some(TlsMode::Secure),
        ConnectionAddr::TcpTls { insecure: true, .. } => Some(TlsMode::Insecure),
        _ => None,
    }
}

impl Sentinel {
    /// Checks whether the Sentinels' URLs are valid.
    pub(super) fn check(config: &SentinelConfig) -> RedisResult<()> {
        config.client(&config.urls).map(drop)
    }

    /// Creates a handle that asks when the first command arrives.
    pub(super) fn lazy(config: SentinelConfig) -> Self {
        Self(Arc::new(Inner { config, master: ArcSwapOption::empty(), refresher: Refresher::new() }))
    }

    /// Asks for the master and connects to it. The caller bounds the time.
    pub(super) async fn connect(config: SentinelConfig) -> RedisResult<Self> {
        let sentinel = Self::lazy(config);
        sentinel.0.load_master().await?;
        Ok(sentinel)
    }

    pub(super) async fn send(&self, command: &Cmd, if_busy: IfBusy) -> CommandOutcome {
        let mut in_flight = RefreshUnlessAnswered { of: &self.0, answered: false };
        let (master, result) = loop {
            let master = self.0.master.load_full();
            if let Some(master) = master {
                let result = master.link.send(command, if_busy).await;
                if !result.as_ref().is_err_and(unsent) {
                    break (master, result);
                }
            }
            // There was nobody to send it to, so it is sent to the server that the Sentinels name
            // next.
            refresh::wait(&self.0).await;
        };
        in_flight.answered = match &result {
            // No longer a master.
            Ok(reply) if demoted(reply) => false,
            Ok(Value::ServerError(error)) => !matches!(error.code(), "MASTERDOWN" | "LOADING"),
            Ok(_) => true,
            Err(_) => false,
        };
        CommandOutcome::of(result, || Some(master.address.clone()))
    }
}

impl Inner {
    async fn load_master(&self) -> RedisResult<()> {
        let (address, client) = self.config.find_master().await?;
        // A connection to the same server is restored by itself.
        if self.master.load().as_ref().is_some_and(|master| master.address == address) {
            return Ok(());
        }
        let link = Link::connect(client, self.config.link).await?;
        self.master.store(Some(Arc::new(Master { address, link })));
        Ok(())
    }
}

impl Refresh for Inner {
    fn refresher(&self) -> &Refresher {
        &self.refresher
    }

    async fn refresh(&self) {
        // Without an answer, everything stays as it was.
        let _ = self.load_master().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The master's password must not go over the network in plain text.
    #[test]
    fn the_master_is_reached_as_the_url_says() {
        let tls =
            |insecure| ConnectionAddr::TcpTls { host: "any".into(), port: 6379, insecure, tls_params: None };
        for (address, expected) in [
            (tls(false), Some(TlsMode::Secure)),
            (tls(true), Some(TlsMode::Insecure)),
            (ConnectionAddr::Tcp("any".into(), 6379), None),
        ] {
            assert_eq!(tls_mode(&address), expected, "{address}");
        }
    }
}
