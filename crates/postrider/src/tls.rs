//! This process's certificates. They are read from files at the start, and
//! again when the files change: connections that are made from then on use the
//! new ones, and nothing is restarted.
//!
//! - [`files`]: PEM files to rustls' settings
//! - [`channel`]: calls to other roles

pub(crate) mod channel;
mod files;

use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ServerConfig};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

pub(crate) use files::{Files, Identity, Unusable};

/// The files are looked at that often.
const POLL: Duration = Duration::from_secs(1);

/// Whether callers must show a certificate, where an authority for them is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientAuth {
    /// On gRPC only: people's browsers have none.
    Grpc,
    /// On gRPC and on the HTTP address.
    All,
}

/// What holds now.
#[derive(Debug, Clone)]
pub(crate) struct Current {
    /// Of the HTTP address; `None`: plain text.
    pub(crate) http: Option<Arc<ServerConfig>>,
    /// Of the gRPC address; `None`: plain text.
    pub(crate) grpc: Option<Arc<ServerConfig>>,
    /// Towards other roles.
    pub(crate) client: Arc<ClientConfig>,
}

/// The certificates, and whoever waits for new ones.
#[derive(Debug, Clone)]
pub(crate) struct Certificates {
    files: Arc<Files>,
    current: watch::Sender<Current>,
}

impl Certificates {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// When one cannot be read or used.
    pub(crate) fn read(files: Files) -> Result<Self, Unusable> {
        let current = files.load()?;
        Ok(Self {
            files: Arc::new(files),
            current: watch::Sender::new(current),
        })
    }

    /// What holds from time to time.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Current> {
        self.current.subscribe()
    }

    /// Reads the files again when they change, until `shutdown` is cancelled.
    /// What cannot be used changes nothing.
    pub(crate) async fn follow(self, shutdown: CancellationToken) {
        let mut known = self.files.fingerprint();
        let mut seen = known;
        let mut ticks = interval(POLL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = shutdown.cancelled() => return,
            }
            let found = self.files.fingerprint();
            // Files that are being replaced, one after the other, are not used yet.
            let settled = found == seen;
            seen = found;
            if found == known || !settled {
                continue;
            }
            known = found;
            match self.files.load() {
                Ok(current) => {
                    self.current.send_replace(current);
                    info!("the certificates are read again");
                }
                Err(error) => error!(%error, "new certificates cannot be used: the old ones stay"),
            }
        }
    }
}
