//! A process that runs roles: bind, start, wait until ready, drain, stop.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU16;
use std::path::Path;

use anyhow::Result;
use secrecy::ExposeSecret as _;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::commands::Loaded;
use crate::config::{self, Config, Origin, Setting, Values};
use crate::data_dir::{self, DataDir};
use crate::logs::Logs;
use crate::nats::{self, Supervisor};
use crate::roles::Role;
use crate::shutdown::Signals;
use crate::streams;
use crate::wire::doors::Doors;
use crate::wire::{self, Addresses};

/// Standalone's. One process owns them all, so more would only divide what travels in
/// lists, and each has two consumers whose state nats-server writes to disk.
const PARTITIONS: NonZeroU16 = NonZeroU16::new(4).unwrap();

/// Runs one role until a signal asks it to end.
///
/// # Errors
///
/// A [`config::Error`] if it cannot run as configured; any other when a part
/// has failed for good.
pub(crate) async fn role(role: Role, loaded: Loaded) -> Result<()> {
    let logs = Logs::start(&loaded.config);
    let roles = match role {
        Role::Ingest => &[Role::Ingest],
        Role::Fanout => &[Role::Fanout],
        Role::Dispatcher => &[Role::Dispatcher],
        Role::History => &[Role::History],
        Role::Control => &[Role::Control],
    };
    announce(role.name(), &loaded, roles, false);
    until_signalled(async |shutdown| {
        let doors = Doors::bind(roles, &loaded.config).await?;
        let process = wire::Process {
            name: role.name(),
            roles,
            config: &loaded.config,
            is_alone: false,
            logs: &logs,
        };
        wire::run(process, doors, shutdown, None).await
    })
    .await
}

/// Runs every role, and the nats-server they meet in, until a signal asks it
/// to end. `ready` hears of the first time that all are ready.
///
/// # Errors
///
/// As [`role`].
pub(crate) async fn standalone(
    loaded: Loaded,
    ready: Option<oneshot::Sender<Addresses>>,
) -> Result<()> {
    let logs = Logs::start(&loaded.config);
    announce("standalone", &loaded, Role::ALL, true);
    until_signalled(async |shutdown| {
        let Loaded {
            config, mut values, ..
        } = loaded;
        let data_dir = DataDir::open(&config.data_dir)?;
        let doors = Doors::bind(Role::ALL, &config).await?;
        provide(&mut values, &data_dir, &doors)?;
        let program = nats::find(config.nats_server.as_deref())
            .await
            .map_err(config::Error::from)?;
        let server = Supervisor::start(program, &data_dir.join("nats"), config.nats_sync).await?;
        let url = server.url().expose_secret().to_owned();
        values.set(Setting::NatsUrl, url, Origin::Standalone);
        let configured = tokio::select! {
            configured = configured(&values) => configured,
            () = shutdown.cancelled() => {
                server.stop().await;
                return Ok(());
            }
        };
        let ended = match configured {
            Ok(config) => {
                let process = wire::Process {
                    name: "standalone",
                    roles: Role::ALL,
                    config: &config,
                    is_alone: true,
                    logs: &logs,
                };
                wire::run(process, doors, shutdown, ready).await
            }
            Err(error) => Err(error.into()),
        };
        server.stop().await;
        ended
    })
    .await
}

/// Runs `work` and hands it a token that the first signal cancels.
async fn until_signalled(work: impl AsyncFnOnce(CancellationToken) -> Result<()>) -> Result<()> {
    let signals = Signals::install()?;
    let shutdown = CancellationToken::new();
    tokio::select! {
        result = work(shutdown.clone()) => result?,
        never = signals.watch(shutdown.clone()) => match never {},
    }
    info!("stopped");
    Ok(())
}

fn announce(name: &str, loaded: &Loaded, roles: &[Role], standalone: bool) {
    info!(version = env!("CARGO_PKG_VERSION"), "starting {name}");
    for warning in loaded.warnings(roles, standalone) {
        warn!(setting = warning.about, "{}", warning.text);
    }
}

/// Sets what standalone brings along itself.
fn provide(values: &mut Values, data_dir: &DataDir, doors: &Doors) -> Result<(), config::Error> {
    let mut provide = |setting, text| values.set(setting, text, Origin::Standalone);
    let grpc = doors
        .grpc_url()
        .ok_or_else(|| config::Error::Refused("standalone needs a gRPC address".to_owned()))?;
    provide(Setting::IngestUrl, grpc.clone());
    provide(Setting::HistoryUrl, grpc);
    if values.get(Setting::DatabaseUrl).is_none() {
        let url = sqlite_url(&data_dir.join("postrider.db"));
        values.set(Setting::DatabaseUrl, url, Origin::Standalone);
    }
    if values.get(Setting::MasterKey).is_none() {
        let path = data_dir.join(data_dir::MASTER_KEY);
        let text = data_dir.master_key()?;
        values.set_from_file(Setting::MasterKey, text, Origin::Standalone, path);
    }
    if values.get(Setting::AdminKey).is_none() {
        values.set(Setting::AdminKey, data_dir.admin_key()?, Origin::Standalone);
    }
    Ok(())
}

/// The configuration, with the number of partitions that the streams were made for unless
/// one is given, or [`PARTITIONS`] before they are made. Nobody answers at the ports while
/// nats-server, which has just started, does not say which.
async fn configured(values: &Values) -> Result<Config, config::Error> {
    let mut config = Config::parse(values)?;
    if values.get(Setting::Partitions).is_none() {
        let there = streams::made_for(&config, "standalone").await?;
        config.partitions = there.unwrap_or(PARTITIONS);
    }
    Ok(config)
}

fn sqlite_url(path: &Path) -> String {
    // The path of a URL: what would end it or begin an escape is escaped.
    let path = path.display().to_string();
    let path = path
        .replace('%', "%25")
        .replace('?', "%3F")
        .replace('#', "%23");
    format!("sqlite://{path}")
}

/// The address by which this machine reaches a listener on all addresses.
pub(crate) fn loopback_like(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    }
}
