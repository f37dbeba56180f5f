//! [`ConnectionPlan`]: how to reach the servers that a builder was given.

use std::time::Duration;

use redis::{Client, RedisError, RedisResult};

use super::address::shown;
#[cfg(feature = "redis-cluster")]
use super::cluster::{self, Cluster};
use super::connection::Connection;
use super::link::{Link, LinkConfig};
#[cfg(feature = "redis-sentinel")]
use super::sentinel::{self, Sentinel, SentinelConfig};
use crate::error::Error;

/// Where the keys are.
#[derive(Clone)]
pub(super) enum Topology {
    /// On the server of the URL.
    One,
    #[cfg(feature = "redis-cluster")]
    Cluster(Vec<String>),
    #[cfg(feature = "redis-sentinel")]
    Sentinel(Vec<String>, String),
}

impl Topology {
    /// Returns what errors call it, given the client for the builder's URL. Under Sentinels, that URL's host is of no
    /// use, and whoever reads the error would look for a server there.
    pub(super) fn address(&self, client: &Client) -> String {
        match self {
            #[cfg(feature = "redis-sentinel")]
            Self::Sentinel(_, name) => name.clone(),
            #[cfg(feature = "redis-cluster")]
            Self::Cluster(_) => format!("{} (cluster)", shown(client.get_connection_info().addr())),
            Self::One => shown(client.get_connection_info().addr()),
        }
    }
}

/// Everything needed to reach the servers.
pub(super) enum ConnectionPlan {
    One(Client, LinkConfig),
    #[cfg(feature = "redis-cluster")]
    Cluster(Vec<Client>, LinkConfig),
    #[cfg(feature = "redis-sentinel")]
    Sentinel(SentinelConfig),
}

impl ConnectionPlan {
    /// Checks the settings, and returns how to reach the servers.
    pub(super) fn new(
        topology: &Topology,
        url: &str,
        client: Client,
        deadline: Duration,
    ) -> Result<Self, Error> {
        let link = LinkConfig { choose_protocol: !names_protocol(url), deadline };
        Ok(match topology {
            Topology::One => Self::One(client, link),
            #[cfg(feature = "redis-cluster")]
            Topology::Cluster(urls) => {
                let all: Vec<_> = std::iter::once(url).chain(urls.iter().map(String::as_str)).collect();
                let nodes = cluster::nodes(&all).map_err(|error| wrong("cluster", urls, &error))?;
                Self::Cluster(nodes, link)
            }
            #[cfg(feature = "redis-sentinel")]
            Topology::Sentinel(urls, name) => {
                let master = client.get_connection_info();
                let config = SentinelConfig {
                    urls: urls.clone(),
                    name: name.clone(),
                    login: master.redis_settings().clone(),
                    tls: sentinel::tls_mode(master.addr()),
                    link,
                };
                Sentinel::check(&config).map_err(|error| wrong("Sentinel", urls, &error))?;
                Self::Sentinel(config)
            }
        })
    }

    /// Connects. The caller bounds the time.
    pub(super) async fn connect(self) -> RedisResult<Connection> {
        Ok(match self {
            Self::One(client, link) => Connection::Single(Box::new(Link::connect(client, link).await?)),
            #[cfg(feature = "redis-cluster")]
            Self::Cluster(nodes, link) => Connection::Cluster(Cluster::connect(nodes, link).await?),
            #[cfg(feature = "redis-sentinel")]
            Self::Sentinel(config) => Connection::Sentinel(Sentinel::connect(config).await?),
        })
    }

    /// Returns a connection that is made when the first command arrives.
    pub(super) fn lazy(self) -> RedisResult<Connection> {
        Ok(match self {
            Self::One(client, link) => Connection::Single(Box::new(Link::lazy(client, link)?)),
            #[cfg(feature = "redis-cluster")]
            Self::Cluster(nodes, link) => Connection::Cluster(Cluster::lazy(&nodes, link)?),
            #[cfg(feature = "redis-sentinel")]
            Self::Sentinel(config) => Connection::Sentinel(Sentinel::lazy(config)),
        })
    }
}

/// Whether a URL's query says which protocol to use.
fn names_protocol(url: &str) -> bool {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    query.split('&').any(|parameter| parameter.starts_with("protocol="))
}

/// Returns the error for invalid URLs, without anything that may be secret.
#[cfg(any(feature = "redis-cluster", feature = "redis-sentinel"))]
fn wrong(of: &str, urls: &[String], error: &RedisError) -> Error {
    let urls: Vec<_> = urls.iter().map(|url| masked(url)).collect();
    Error::configuration(format!(
        "invalid {of} URLs {urls:?} ({}); write each as redis://user:password@host:6379",
        reason(error),
    ))
}

/// Returns what the `redis` crate says is wrong with a URL, without the detail, which may be a part of it. It writes
/// the reason, the kind and the detail, in this order.
pub(super) fn reason(error: &RedisError) -> String {
    let (said, kind) = (error.to_string(), format!("{:?}", error.kind()));
    said.split_once(&kind)
        .map_or(error.category(), |(reason, _)| reason.trim_end_matches([' ', '-']))
        .to_owned()
}

/// Masks whatever may be secret in a URL: its credentials, and its query, where the URL of a socket
/// has them.
///
/// The URL is cut rather than parsed, because it may be the parsing that failed. Everything before
/// the last `@` is removed, so that an unescaped `/` or `@` in a password reveals nothing.
pub(super) fn masked(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    let (credentials, rest) = rest.rsplit_once('@').map_or(("", rest), |(_, rest)| ("***@", rest));
    let (rest, query) = rest.split_once('?').map_or((rest, ""), |(rest, _)| (rest, "?***"));
    let separator = if scheme.is_empty() { "" } else { "://" };
    format!("{scheme}{separator}{credentials}{rest}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_query_names_a_protocol() {
        for (url, expected) in [
            ("redis://host/0?protocol=resp3", true),
            ("redis://host/0?foo=1&protocol=2", true),
            ("redis://host/0", false),
            ("redis://user:protocol=resp3@host/0", false),
            ("redis://host/0?my_protocol=2", false),
        ] {
            assert_eq!(names_protocol(url), expected, "{url}");
        }
    }

    #[test]
    fn the_reason_holds_no_part_of_the_url() {
        for (url, expected) in [
            ("redis://", "Missing hostname"),
            ("redis://h/zero", "Invalid database number"),
            ("rediss://h", "can't connect with TLS, the feature is not enabled"),
            ("redis://h/0?protocol=s3cret", "Invalid protocol version"),
        ] {
            assert_eq!(reason(&Client::open(url).unwrap_err()), expected, "{url}");
        }
    }
}
