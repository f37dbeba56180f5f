//! [`Sentinel`]: the master that Sentinels watch, whichever server that is.

use std::sync::Arc;

use arc_swap::ArcSwap;
use redis::sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType};
use redis::{Client, Cmd, RedisConnectionInfo, RedisResult, Value};

use super::connection::Link;
use super::renewal::{Renew, Renewal, Waiting};

pub(super) struct Sentinel(Arc<Inner>);

struct Inner {
    watchers: Watchers,
    master: ArcSwap<Master>,
    renewal: Renewal,
}

/// Whom to ask, and for what.
pub(super) struct Watchers {
    pub(super) urls: Vec<String>,
    /// What the Sentinels call the master.
    pub(super) name: String,
    /// How to log in to it.
    pub(super) login: RedisConnectionInfo,
    /// Whether to try RESP3 first.
    pub(super) choose_protocol: bool,
}

struct Master {
    address: String,
    link: Link,
}

impl Watchers {
    fn ask(&self) -> RedisResult<SentinelClient> {
        let login = SentinelNodeConnectionInfo::default().set_redis_connection_info(self.login.clone());
        let urls = self.urls.iter().map(String::as_str).collect();
        SentinelClient::build(urls, self.name.clone(), Some(login), SentinelServerType::Master)
    }

    async fn find(&self) -> RedisResult<(String, Client)> {
        let client = self.ask()?.async_get_client().await?;
        Ok((client.get_connection_info().addr().to_string(), client))
    }
}

impl Sentinel {
    /// Whether the Sentinels' URLs make sense.
    pub(super) fn check(watchers: &Watchers) -> RedisResult<()> {
        watchers.ask().map(drop)
    }

    /// Asks for the master and connects to it. The caller bounds the time.
    pub(super) async fn connect(watchers: Watchers) -> RedisResult<Self> {
        let (address, client) = watchers.find().await?;
        let link = Link::connect(client, watchers.choose_protocol).await?;
        let master = ArcSwap::from_pointee(Master { address, link });
        Ok(Self(Arc::new(Inner { watchers, master, renewal: Renewal::new() })))
    }

    pub(super) async fn send(&self, command: &Cmd) -> RedisResult<Value> {
        let mut waiting = Waiting { of: &self.0, answered: false };
        let master = self.0.master.load_full();
        let result = master.link.send(command).await;
        waiting.answered = match &result {
            // A master no more.
            Ok(Value::ServerError(error)) => !matches!(error.code(), "READONLY" | "MASTERDOWN" | "LOADING"),
            Ok(_) => true,
            Err(_) => false,
        };
        result
    }
}

impl Renew for Inner {
    fn renewal(&self) -> &Renewal {
        &self.renewal
    }

    async fn look(&self) {
        let Ok((address, client)) = self.watchers.find().await else { return };
        // The same server comes back by itself.
        if address == self.master.load().address {
            return;
        }
        if let Ok(link) = Link::connect(client, self.watchers.choose_protocol).await {
            self.master.store(Arc::new(Master { address, link }));
        }
    }
}
