//! Finds the primary of a store.

use std::collections::HashMap;
use std::time::Duration;

use redis::{AsyncConnectionConfig, RedisConnectionInfo};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::address::{Address, Endpoint, Servers};
use super::nodes::{self, Node};
use super::tls::Tls;
use super::{Keys, Server, StoreError};

/// So long one of several is waited for.
const PATIENCE: Duration = Duration::from_millis(500);

/// Where a store is, and how it is talked to.
#[derive(Clone)]
pub(super) struct Finder {
    servers: Servers,
    login: RedisConnectionInfo,
    sentinel_login: RedisConnectionInfo,
    tls: Option<Tls>,
}

impl Finder {
    pub(super) fn new(address: Address, tls: Option<Tls>) -> Self {
        Finder {
            servers: address.servers,
            login: address.login,
            sentinel_login: address.sentinel_login,
            tls,
        }
    }

    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.servers, Servers::Cluster(_))
    }

    pub(super) fn server(&self, endpoint: Endpoint) -> Server {
        Server::new(endpoint, self.login.clone(), self.tls.clone())
    }

    /// What is said to be the primary now. Whether it is shows a connection.
    pub(super) async fn primary(&self) -> Result<Server, StoreError> {
        let endpoint = match &self.servers {
            Servers::One(endpoint) => endpoint.clone(),
            Servers::Sentinels(sentinels, name) => self.ask(sentinels, name).await?,
            Servers::Cluster(_) => return Err(StoreError::cluster(true)),
        };
        Ok(self.server(endpoint))
    }

    /// Who has which partition of a cluster, by what the nodes say that are known, and those that were named at first.
    pub(super) async fn map(
        &self,
        keys: &Keys,
        known: &[Endpoint],
    ) -> Result<Vec<(Endpoint, Vec<usize>)>, StoreError> {
        let Servers::Cluster(named) = &self.servers else {
            return Err(StoreError::cluster(false));
        };
        let mut asking = JoinSet::new();
        let others = named.iter().filter(|named| !known.contains(named));
        for endpoint in known.iter().chain(others) {
            let (server, endpoint) = (self.server(endpoint.clone()), endpoint.clone());
            asking.spawn(async move {
                let nodes = timeout(PATIENCE, ask_node(&server)).await;
                let late = |_| Err(StoreError::io(std::io::ErrorKind::TimedOut.into()));
                (endpoint, nodes.unwrap_or_else(late))
            });
        }
        let (mut answers, mut why) = (Vec::new(), None);
        while let Some(asked) = asking.join_next().await {
            match asked {
                Ok((endpoint, Ok(nodes))) => answers.push((endpoint, nodes)),
                Ok((_, Err(error))) => why = Some(error),
                Err(_) => {}
            }
        }
        if answers.is_empty() {
            return Err(why.unwrap_or_else(StoreError::no_map));
        }
        let map = nodes::map(keys.partitions(), &answers, self.tls.is_some());
        map.ok_or_else(StoreError::no_map)
    }

    /// Asks all of them, since one that is cut off from the others may not know better; most are right.
    async fn ask(&self, sentinels: &[Endpoint], name: &str) -> Result<Endpoint, StoreError> {
        let mut votes: HashMap<Endpoint, usize> = HashMap::new();
        let mut why = StoreError::unknown_primary(name);
        for sentinel in sentinels {
            match timeout(PATIENCE, self.ask_one(sentinel, name)).await {
                Ok(Ok(Some(primary))) => *votes.entry(primary).or_default() += 1,
                Ok(Ok(None)) => {}
                Ok(Err(error)) => why = error,
                Err(_) => why = StoreError::io(std::io::ErrorKind::TimedOut.into()),
            }
        }
        let most = votes.into_iter().max_by_key(|(_, votes)| *votes);
        most.map(|(primary, _)| primary).ok_or(why)
    }

    async fn ask_one(
        &self,
        sentinel: &Endpoint,
        name: &str,
    ) -> Result<Option<Endpoint>, StoreError> {
        let login = self.sentinel_login.clone();
        let server = Server::new(sentinel.clone(), login, self.tls.clone());
        let opened = server.open(AsyncConnectionConfig::new()).await;
        let mut link = opened.map_err(StoreError::of_sentinel)?;
        let mut cmd = redis::cmd("SENTINEL");
        cmd.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
        let answered = link.send(&cmd).await;
        let address: Option<(String, u16)> = answered.map_err(StoreError::of_sentinel)?;
        Ok(address.map(|(host, port)| Endpoint::Tcp(host, port)))
    }
}

async fn ask_node(server: &Server) -> Result<Vec<Node>, StoreError> {
    let mut link = server.open(AsyncConnectionConfig::new()).await?;
    let text: String = link.send(redis::cmd("CLUSTER").arg("NODES")).await?;
    Ok(nodes::parse(&text))
}
