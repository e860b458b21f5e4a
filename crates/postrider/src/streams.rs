//! The connection to nats-server, and the streams there.

use std::num::NonZeroU16;
use std::time::Duration;

use anyhow::Result;
use broker::Broker;
use broker::topology::Differing;
use secrecy::ExposeSecret as _;
use tracing::warn;

use crate::config::{self, Config, Setting};

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// One try.
const TRY_LIMIT: Duration = Duration::from_secs(30);

/// Begins to connect in the name of a role or command; nats-server need not be
/// reachable yet.
///
/// # Errors
///
/// When the address or the credentials cannot be used at all.
pub(crate) async fn connect(config: &Config, name: &str) -> Result<Broker, config::Error> {
    let url = config.nats_url.as_ref().ok_or(config::Error::Missing {
        setting: Setting::NatsUrl,
        what: "this role",
    })?;
    let options = broker::ConnectOptions {
        url: url.expose_secret().to_owned(),
        name: format!("postrider {name}"),
        login: config.nats_login.clone().into(),
        inbox: name.to_owned(),
        tls: config.nats_tls.clone(),
    };
    Broker::connect(options)
        .await
        // Nothing but what cannot be used fails here.
        .map_err(|error| config::Error::Refused(error.to_string()))
}

/// Brings the streams and buckets into being, for as long as it takes; what becomes
/// of those that differ is for the caller to say.
///
/// # Errors
///
/// When they exist with settings that cannot be changed.
pub(crate) async fn ensure(
    broker: &Broker,
    config: &Config,
    differing: Differing,
) -> Result<(), config::Error> {
    let settings = broker::topology::Settings {
        partitions: config.partitions,
        duplicate_window: config.duplicate_window,
        replicas: config.nats_replicas,
    };
    until_done(|| broker.ensure_topology(&settings, differing)).await
}

/// For how many partitions the streams were made, asked for as long as it takes; `None`
/// before the first start.
///
/// # Errors
///
/// When nats-server's address cannot be used at all.
pub(crate) async fn made_for(
    config: &Config,
    name: &str,
) -> Result<Option<NonZeroU16>, config::Error> {
    let broker = connect(config, name).await?;
    until_done(|| broker.made_for(config.partitions)).await
}

/// Tries again, with growing pauses, what fails for no reason that stays.
async fn until_done<T, F>(mut attempt: impl FnMut() -> F) -> Result<T, config::Error>
where
    F: Future<Output = Result<T, broker::Error>>,
{
    let mut pause = FIRST_PAUSE;
    loop {
        match tokio::time::timeout(TRY_LIMIT, attempt()).await {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(error @ broker::Error::PartitionsChanged { .. })) => {
                return Err(config::Error::Refused(error.to_string()));
            }
            Ok(Err(error)) => warn!(%error, "the streams are not there yet: trying again"),
            Err(_) => warn!("nats-server does not answer: trying again"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
