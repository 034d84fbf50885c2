//! Finds the primary of a store.

use std::collections::HashMap;
use std::time::Duration;

use redis::{AsyncConnectionConfig, ProtocolVersion, RedisConnectionInfo};
use tokio::time::timeout;

use super::address::{Address, Endpoint, Servers};
use super::tls::Tls;
use super::{Server, StoreError};

/// So long one of several is waited for.
const PATIENCE: Duration = Duration::from_millis(500);

/// Where a store is, and how it is talked to.
#[derive(Clone)]
pub(super) struct Finder {
    servers: Servers,
    login: RedisConnectionInfo,
    tls: Option<Tls>,
}

impl Finder {
    pub(super) fn new(address: Address, tls: Option<Tls>) -> Self {
        Finder {
            servers: address.servers,
            login: address.login,
            tls,
        }
    }

    /// What is said to be the primary now. Whether it is shows a connection.
    pub(super) async fn primary(&self) -> Result<Server, StoreError> {
        let endpoint = match &self.servers {
            Servers::One(endpoint) => endpoint.clone(),
            Servers::Sentinels(sentinels, name) => self.ask(sentinels, name).await?,
        };
        Ok(Server::new(endpoint, self.login.clone(), self.tls.clone()))
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
        let login = RedisConnectionInfo::default()
            .set_protocol(ProtocolVersion::RESP3)
            .set_skip_set_lib_name();
        let server = Server::new(sentinel.clone(), login, self.tls.clone());
        let mut link = server.open(AsyncConnectionConfig::new()).await?;
        let mut cmd = redis::cmd("SENTINEL");
        cmd.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
        let address: Option<(String, u16)> = link.send(&cmd).await?;
        Ok(address.map(|(host, port)| Endpoint::Tcp(host, port)))
    }
}
