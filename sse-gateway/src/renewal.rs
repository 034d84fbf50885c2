//! What is read again while the gateway runs: certificates, when their files change, and at SIGHUP.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;

use crate::config::Error;
use crate::listener::tls::Certificates;
use crate::reload::Reload;

/// Files are compared with what is in use as often as this. There is no word of a change that holds everywhere: the links of
/// Kubernetes change above the file.
const CHECK: Duration = Duration::from_secs(10);

/// Listens for SIGHUP, which by default ends the process, and with it all streams.
pub(crate) struct Renewal(Signal);

impl Renewal {
    /// Begins to listen.
    pub(crate) fn listen() -> Result<Self, Error> {
        let hangup = signal(SignalKind::hangup());
        Ok(Renewal(
            hangup.map_err(|error| Error::at("signals", error))?,
        ))
    }

    /// Has these certificates follow their files, as long as the process runs; and settings at SIGHUP.
    pub(crate) async fn run(mut self, certificates: Vec<Arc<Certificates>>, reload: Reload) {
        let mut checks = (!certificates.is_empty()).then(|| Checks::new(certificates));
        loop {
            let is_asked = match &mut checks {
                None => self.0.recv().await.is_some(),
                Some(checks) => tokio::select! {
                    asked = self.0.recv() => asked.is_some(),
                    () = sleep(CHECK) => {
                        checks.check();
                        continue;
                    }
                },
            };
            if !is_asked {
                return;
            }
            if let Some(checks) = &mut checks {
                checks.check_now();
            }
            // What it leads to is told there.
            let _ = reload.reload();
        }
    }
}

struct Checks {
    certificates: Vec<Arc<Certificates>>,
    /// Why the last one failed.
    failed: Option<String>,
    is_told: bool,
}

impl Checks {
    fn new(certificates: Vec<Arc<Certificates>>) -> Self {
        Checks {
            certificates,
            failed: None,
            is_told: false,
        }
    }

    /// What fails once may be half written: two files do not change at the same moment.
    fn check(&mut self) {
        let before = self.failed.take();
        self.failed = self.renew().err();
        if self.failed.is_none() || self.failed != before {
            self.is_told = false;
            return;
        }
        if !std::mem::replace(&mut self.is_told, true) {
            self.tell();
        }
    }

    fn check_now(&mut self) {
        self.failed = self.renew().err();
        self.is_told = self.failed.is_some();
        self.tell();
    }

    fn renew(&self) -> Result<(), String> {
        let mut failed = Ok(());
        let mut has_changed = false;
        // One that stays as it is keeps none of the others.
        for certificates in &self.certificates {
            match certificates.renew() {
                Ok(changed) => has_changed |= changed,
                Err(error) => failed = failed.and(Err(error)),
            }
        }
        if has_changed {
            tracing::info!("certificates have changed; new connections have the new ones");
        }
        failed
    }

    fn tell(&self) {
        if let Some(error) = &self.failed {
            tracing::warn!(%error, "certificates stay as they are");
        }
    }
}
