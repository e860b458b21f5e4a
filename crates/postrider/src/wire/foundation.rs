//! What the roles stand on: broker, directories, database, keys.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use broker::{Broker, EndpointDirectory, ErasureDirectory, EventTypeDirectory, KeyDirectory};
use domain::vault::Vault;
use opentelemetry::KeyValue;
use secrecy::ExposeSecret as _;
use secrecy::SecretString;
use telemetry::metric;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::Process;
use crate::config::{self, Config, Setting};
use crate::database;
use crate::master_key;
use crate::roles::Role;
use crate::streams;
use crate::tls::Certificates;

const FLUSH_LIMIT: Duration = Duration::from_secs(2);

/// The parts that roles share.
#[derive(Debug)]
pub(super) struct Foundation {
    pub(super) broker: Broker,
    pub(super) endpoints: EndpointDirectory,
    pub(super) keys: KeyDirectory,
    pub(super) event_types: EventTypeDirectory,
    pub(super) erasures: ErasureDirectory,
    pub(super) certificates: Certificates,
    /// Of the roles that need a database.
    pool: Option<store::Pool>,
    /// Of the roles that read or write secrets.
    vault: Option<Arc<Vault>>,
    /// Where its keys are read again.
    master_key_file: Option<PathBuf>,
}

impl Foundation {
    /// Opens everything. Neither the broker nor the database needs to be
    /// reachable yet.
    ///
    /// # Errors
    ///
    /// When an address or a key cannot be used.
    pub(super) async fn open(process: &Process<'_>, certificates: Certificates) -> Result<Self> {
        let config = process.config;
        let broker = streams::connect(config, process.name).await?;
        let uses = |setting| {
            process
                .roles
                .iter()
                .any(|role| role.needs().contains(&setting))
        };
        let pool = match uses(Setting::DatabaseUrl) {
            true => {
                let url = needed(&config.database_url, Setting::DatabaseUrl)?;
                let pool = database::open(url).await?;
                if process.is_alone {
                    database::migrate(&pool).await?;
                }
                Some(pool)
            }
            false => None,
        };
        let vault = match uses(Setting::MasterKey) {
            true => Some(vault(config)?),
            false => None,
        };
        observe(&broker, pool.as_ref());
        Ok(Self {
            endpoints: EndpointDirectory::new(),
            keys: KeyDirectory::new(),
            event_types: EventTypeDirectory::new(),
            erasures: ErasureDirectory::new(),
            certificates,
            broker,
            pool,
            vault,
            master_key_file: config.master_key_file.clone(),
        })
    }

    /// The database of a role that needs one.
    ///
    /// # Errors
    ///
    /// When none is configured.
    pub(super) fn pool(&self, role: Role) -> Result<&store::Pool, config::Error> {
        let missing = config::Error::Missing {
            setting: Setting::DatabaseUrl,
            what: role.name(),
        };
        self.pool.as_ref().ok_or(missing)
    }

    /// The keys of a role that seals or opens secrets.
    ///
    /// # Errors
    ///
    /// When none is configured.
    pub(super) fn vault(&self, role: Role) -> Result<Arc<Vault>, config::Error> {
        let missing = config::Error::Missing {
            setting: Setting::MasterKey,
            what: role.name(),
        };
        self.vault.clone().ok_or(missing)
    }

    /// Starts the watches that keep the directories current.
    pub(super) fn watch(&self, tasks: &mut JoinSet<()>, shutdown: &CancellationToken) {
        let (broker, token) = (self.broker.clone(), shutdown.clone());
        let directory = self.endpoints.clone();
        tasks.spawn(async move { directory.run(&broker, token).await });
        let (broker, token) = (self.broker.clone(), shutdown.clone());
        let directory = self.keys.clone();
        tasks.spawn(async move { directory.run(&broker, token).await });
        let (broker, token) = (self.broker.clone(), shutdown.clone());
        let directory = self.keys.clone();
        tasks.spawn(async move { directory.tell_uses(&broker, token).await });
        let (broker, token) = (self.broker.clone(), shutdown.clone());
        if let (Some(vault), Some(path)) = (self.vault.clone(), self.master_key_file.clone()) {
            tasks.spawn(master_key::follow(vault, path, shutdown.clone()));
        }
        tasks.spawn(self.certificates.clone().follow(shutdown.clone()));
        let directory = self.event_types.clone();
        tasks.spawn(async move { directory.run(&broker, token).await });
        let (broker, token) = (self.broker.clone(), shutdown.clone());
        let directory = self.erasures.clone();
        tasks.spawn(async move { directory.run(&broker, token).await });
    }

    /// Sends out what is still buffered, at most for 2 s.
    pub(super) async fn flush(&self) {
        if !self.broker.is_connected() {
            return;
        }
        if tokio::time::timeout(FLUSH_LIMIT, self.broker.flush())
            .await
            .is_err()
        {
            warn!("nats-server does not take what is left to send");
        }
    }
}

/// Lets the metrics look at what is outside.
fn observe(broker: &Broker, pool: Option<&store::Pool>) {
    let look = broker.clone();
    metric::NATS_CONNECTED.observe(move |tell| tell(u64::from(look.is_connected()), &[]));
    let look = broker.clone();
    metric::NATS_CONNECTIONS.observe(move |tell| tell(look.connections_made(), &[]));
    let Some(pool) = pool else { return };
    let look = pool.clone();
    metric::DATABASE_CONNECTIONS.observe(move |tell| {
        for pool in look.connections() {
            let labels = |state| {
                [
                    KeyValue::new("pool", pool.name),
                    KeyValue::new("state", state),
                ]
            };
            tell(pool.idle, &labels("idle"));
            tell(pool.used, &labels("used"));
        }
    });
    let look = pool.clone();
    metric::DATABASE_CONNECTIONS_LIMIT.observe(move |tell| {
        for pool in look.connections() {
            tell(pool.limit, &[KeyValue::new("pool", pool.name)]);
        }
    });
}

fn needed(value: &Option<SecretString>, setting: Setting) -> Result<&SecretString, config::Error> {
    value.as_ref().ok_or(config::Error::Missing {
        setting,
        what: "this role",
    })
}

fn vault(config: &Config) -> Result<Arc<Vault>, config::Error> {
    let text = needed(&config.master_key, Setting::MasterKey)?;
    let vault = Vault::parse(text.expose_secret());
    // Parsed once already, by the configuration.
    vault
        .map(Arc::new)
        .map_err(|_| config::Error::Refused("the master key is not valid".into()))
}
