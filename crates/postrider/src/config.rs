//! Configuration: read once at the start, explained by `config show` and
//! `config check`, handed to the roles as plain values.
//!
//! - [`setting`]: the table of all settings
//! - [`source`]: flags, environment and file become texts with an origin
//! - [`value`], [`egress`], [`secure`]: texts become values
//! - [`nats_login`]: who a process is at nats-server
//! - [`branding`]: the values that the dashboard shows
//! - [`check`]: what is allowed but probably not meant

mod branding;
mod check;
mod egress;
mod nats_login;
mod secure;
mod setting;
mod source;
mod value;

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

use control::Branding;
use dispatcher::Way;
use domain::breaker;
use domain::egress::Policy;
use domain::retry::Schedule;
use ipnet::IpNet;
use secrecy::SecretString;
use telemetry::trace::AttemptsInTrace;

pub(crate) use check::{Warning, warnings};
pub(crate) use nats_login::NatsLogin;
pub(crate) use setting::Setting;
pub(crate) use source::{Environment, Origin, Values, environment};
pub(crate) use value::{LogFormat, NatsSync};

use crate::roles::Role;
use crate::tls;

/// How long EVENTS keeps an event; a retry later than this finds no body.
pub(crate) const EVENTS_RETENTION: Duration = domain::event::RETENTION;

/// Why a process cannot run with its configuration. Each is one line that says
/// what to do; the process exits with 64.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot read the configuration file {}: {source}", path.display())]
    FileUnreadable {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{}:{line}: not valid TOML: {message}", path.display())]
    FileMalformed {
        path: PathBuf,
        line: usize,
        message: String,
    },
    #[error("{}: unknown key `{key}`: {hint}", path.display())]
    UnknownKey {
        path: PathBuf,
        key: String,
        hint: String,
    },
    #[error("cannot read {}, which {variable} names: {source}", path.display())]
    SecretUnreadable {
        variable: String,
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{variable} and {variable}_FILE are both set: unset one of them")]
    GivenTwice { variable: String },
    #[error("{setting} (from {origin}) is not valid: {message}")]
    Invalid {
        setting: Setting,
        origin: Origin,
        message: String,
    },
    #[error("{} is not set, and {what} needs it: {}", setting.variable(), setting.about())]
    Missing {
        setting: Setting,
        what: &'static str,
    },
    #[error("the data directory {} is in use by another process", .0.display())]
    DataDirInUse(PathBuf),
    #[error("cannot use the data directory: {0}")]
    DataDir(String),
    #[error("cannot listen on {address} ({setting}): {source}")]
    CannotListen {
        setting: Setting,
        address: SocketAddr,
        source: std::io::Error,
    },
    #[error(transparent)]
    NatsServer(#[from] crate::nats::FindError),
    #[error("{0}")]
    Refused(String),
}

/// The values, parsed.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) http_addr: SocketAddr,
    pub(crate) grpc_addr: SocketAddr,
    pub(crate) admin_addr: SocketAddr,
    pub(crate) tls: tls::Files,
    pub(crate) trusted_proxies: Vec<IpNet>,
    pub(crate) max_connections: usize,
    pub(crate) database_url: Option<SecretString>,
    pub(crate) nats_url: Option<SecretString>,
    pub(crate) nats_login: NatsLogin,
    pub(crate) nats_tls: broker::Tls,
    pub(crate) nats_sync: NatsSync,
    pub(crate) nats_server: Option<PathBuf>,
    pub(crate) nats_replicas: usize,
    pub(crate) ingest_url: Option<String>,
    pub(crate) history_url: Option<String>,
    pub(crate) master_key: Option<SecretString>,
    /// Read again when it changes.
    pub(crate) master_key_file: Option<PathBuf>,
    pub(crate) admin_key: Option<SecretString>,
    pub(crate) public_url: Option<String>,
    pub(crate) branding: Branding,
    pub(crate) retry_schedule: Schedule,
    pub(crate) delivery_timeout: Duration,
    pub(crate) delivery_concurrency: usize,
    pub(crate) breaker: breaker::Settings,
    pub(crate) lease_duration: Duration,
    pub(crate) disable_after: Option<Duration>,
    pub(crate) event_retention: Duration,
    pub(crate) record_retention: Duration,
    pub(crate) sweep_after: Duration,
    pub(crate) duplicate_window: Duration,
    pub(crate) egress: Policy,
    pub(crate) way: Way,
    pub(crate) limits: control::Limits,
    pub(crate) verify_endpoints: bool,
    pub(crate) partitions: NonZeroU16,
    pub(crate) shutdown_grace: Duration,
    pub(crate) data_dir: PathBuf,
    pub(crate) dev: bool,
    pub(crate) trace_attempts: AttemptsInTrace,
    pub(crate) log: String,
    pub(crate) log_format: LogFormat,
}

impl Config {
    /// Parses every value.
    ///
    /// # Errors
    ///
    /// Names the first setting that is not valid, and its origin.
    pub(crate) fn parse(values: &Values) -> Result<Self, Error> {
        let dev = value::boolean(values, Setting::Dev)?;
        let config = Self {
            http_addr: value::address(values, Setting::HttpAddr)?,
            grpc_addr: value::address(values, Setting::GrpcAddr)?,
            admin_addr: value::address(values, Setting::AdminAddr)?,
            tls: secure::tls(values)?,
            trusted_proxies: secure::trusted_proxies(values)?,
            max_connections: usize::from(value::number(
                values,
                Setting::MaxConnections,
                1,
                u16::MAX,
            )?),
            database_url: value::url_with_secret(
                values,
                Setting::DatabaseUrl,
                &["sqlite", "postgres", "postgresql"],
            )?,
            nats_url: value::url_with_secret(values, Setting::NatsUrl, &["nats", "tls"])?,
            nats_login: NatsLogin::parse(values)?,
            nats_tls: secure::nats(values)?,
            nats_sync: value::nats_sync(values)?,
            nats_server: values
                .get(Setting::NatsServer)
                .map(|value| (&value.text).into()),
            nats_replicas: usize::from(value::number(values, Setting::NatsReplicas, 1, 5)?),
            ingest_url: value::http_url(values, Setting::IngestUrl)?,
            history_url: value::http_url(values, Setting::HistoryUrl)?,
            master_key: value::master_key(values)?,
            master_key_file: values.file(Setting::MasterKey).map(Into::into),
            admin_key: value::admin_key(values)?,
            public_url: value::http_url(values, Setting::PublicUrl)?,
            branding: branding::branding(values)?,
            retry_schedule: value::retry_schedule(values)?,
            delivery_timeout: value::duration(
                values,
                Setting::DeliveryTimeout,
                Duration::from_millis(100)..=Duration::from_secs(300),
            )?,
            delivery_concurrency: usize::from(value::number(
                values,
                Setting::DeliveryConcurrency,
                1,
                u16::MAX,
            )?),
            breaker: value::breaker(values)?,
            lease_duration: value::lease_duration(values)?,
            disable_after: value::disable_after(values)?,
            event_retention: value::retention(values, Setting::EventRetention)?,
            record_retention: value::retention(values, Setting::RecordRetention)?,
            sweep_after: value::duration(
                values,
                Setting::SweepAfter,
                Duration::from_secs(1)..=Duration::from_secs(86_400),
            )?,
            duplicate_window: value::duration(
                values,
                Setting::DuplicateWindow,
                Duration::from_secs(1)..=Duration::from_secs(86_400),
            )?,
            egress: egress::policy(values, dev)?,
            way: egress::way(values)?,
            limits: value::limits(values)?,
            verify_endpoints: value::boolean(values, Setting::VerifyEndpoints)?,
            partitions: value::partitions(values)?,
            shutdown_grace: value::duration(
                values,
                Setting::ShutdownGrace,
                Duration::from_secs(1)..=Duration::from_secs(3_600),
            )?,
            data_dir: value::required(values, Setting::DataDir)?.into(),
            dev,
            trace_attempts: value::trace_attempts(values)?,
            log: value::log(values)?,
            log_format: value::log_format(values, dev)?,
        };
        config.consistent(values)?;
        Ok(config)
    }

    /// Refuses values that are each valid and together are not.
    fn consistent(&self, values: &Values) -> Result<(), Error> {
        if self.retry_schedule.total() > EVENTS_RETENTION {
            return Err(value::invalid(
                values,
                Setting::RetrySchedule,
                "all delays together are longer than the 7 days for which events are kept: \
                 shorten it",
            ));
        }
        if self.record_retention < self.event_retention {
            return Err(value::invalid(
                values,
                Setting::RecordRetention,
                "it is shorter than event_retention, and an event is shown with what became of it: \
                 raise it",
            ));
        }
        Ok(())
    }

    /// Refuses to run `roles` without what they need.
    ///
    /// # Errors
    ///
    /// Names the first setting that is missing.
    pub(crate) fn suffices_for(values: &Values, roles: &[Role]) -> Result<(), Error> {
        for role in roles {
            for setting in role.needs() {
                if values.get(*setting).is_none() {
                    return Err(Error::Missing {
                        setting: *setting,
                        what: role.name(),
                    });
                }
            }
        }
        Ok(())
    }
}
