//! No TLS to a store: it was built without the feature.

use tokio::net::TcpStream;

use super::StoreError;

/// There are none.
#[derive(Clone, Debug, Default)]
pub(super) struct Certificates {}

impl Certificates {
    pub(super) fn tls(&self) -> Result<Tls, StoreError> {
        Err(StoreError::certificates(
            "the feature `redis-tls` is needed",
        ))
    }
}

#[derive(Clone, Debug)]
pub(super) enum Tls {}

impl Tls {
    pub(super) async fn connect(
        &self,
        _host: &str,
        _stream: TcpStream,
    ) -> Result<TcpStream, StoreError> {
        match *self {}
    }
}
