//! The connection to nats-server.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::context::ContextBuilder;
use async_nats::jetstream::{self};
use async_nats::{Client, Event};
use domain::Partitions;
use tokio::sync::watch;
use tracing::{debug, info, warn};

use crate::Error;

/// A dead peer is found after three of them: about when another server leads what
/// it led.
const PING_INTERVAL: Duration = Duration::from_secs(4);
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(5);
/// Bounds every call and every wait for a publish ack.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(5);
const LONGEST_RECONNECT_PAUSE: Duration = Duration::from_secs(1);

/// How to reach nats-server.
#[derive(Clone, Default)]
pub struct ConnectOptions {
    /// `nats://[user:password@]host:port`, several separated by commas.
    pub url: String,
    /// Shown in the server's list of connections.
    pub name: String,
    pub login: Login,
    /// Answers come to subjects under `_INBOX.<this>`, so that permissions can
    /// keep a role from the answers to another; `_INBOX` if it is empty.
    pub inbox: String,
    pub tls: Tls,
}

/// Who we are at nats-server.
#[derive(Clone, Default)]
pub enum Login {
    /// As the URL says, which may name nobody.
    #[default]
    Url,
    Password {
        user: String,
        password: String,
    },
    /// The text of a credentials file: a user's JWT and the seed of its key.
    Credentials(String),
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Url => "Url",
            Self::Password { .. } => "Password",
            Self::Credentials(_) => "Credentials",
        })
    }
}

/// Files that secure the connection, beside the address. They are read for each
/// connection anew.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// Who signs the server's certificate; `None`: the system's authorities.
    pub authority: Option<PathBuf>,
    /// The own certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may hold a password.
        f.debug_struct("ConnectOptions")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// A connection that heals itself. Cheap to clone.
#[derive(Clone)]
pub struct Broker {
    pub(crate) client: Client,
    pub(crate) jetstream: jetstream::Context,
    connections: watch::Receiver<u64>,
    partitions: Arc<OnceLock<Partitions>>,
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker")
            .field("connected", &self.is_connected())
            .finish_non_exhaustive()
    }
}

impl Broker {
    /// Begins to connect and returns at once; the connection is made, and made
    /// again after every loss, in the background.
    ///
    /// # Errors
    ///
    /// [`Error::Configuration`] if the address cannot be used at all.
    pub async fn connect(options: ConnectOptions) -> Result<Self, Error> {
        let (connected, connections) = watch::channel(0_u64);
        let addresses: Vec<async_nats::ServerAddr> = options
            .url
            .split(',')
            .map(|address| address.trim().parse::<async_nats::ServerAddr>())
            .collect::<Result<_, std::io::Error>>()
            .map_err(|error| Error::Configuration(error.to_string()))?;
        let mut settings = login(options.login, &addresses)?;
        if !options.inbox.is_empty() {
            settings = settings.custom_inbox_prefix(format!("_INBOX.{}", options.inbox));
        }
        let client = secured(settings, options.tls)
            .name(options.name)
            .retry_on_initial_connect()
            .max_reconnects(None)
            .reconnect_delay_callback(reconnect_pause)
            .ping_interval(PING_INTERVAL)
            .connection_timeout(CONNECTION_TIMEOUT)
            .request_timeout(Some(CALL_TIMEOUT))
            .event_callback(move |event| {
                heed(&event, &connected);
                async {}
            })
            .connect(addresses)
            .await
            .map_err(|error| Error::Configuration(error.to_string()))?;
        let jetstream = ContextBuilder::new()
            .timeout(CALL_TIMEOUT)
            .ack_timeout(CALL_TIMEOUT)
            .build(client.clone());
        Ok(Self {
            client,
            jetstream,
            connections,
            partitions: Arc::default(),
        })
    }

    /// Whether there is a connection now.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// How often a connection was made.
    #[must_use]
    pub fn connections_made(&self) -> u64 {
        *self.connections.borrow()
    }

    /// Sends out what is buffered, acks among it.
    pub async fn flush(&self) {
        if let Err(error) = self.client.flush().await {
            warn!(%error, "cannot flush the connection to nats-server");
        }
    }

    /// The partitions of this deployment.
    ///
    /// # Panics
    ///
    /// Before [`Broker::ensure_topology`] has succeeded once.
    #[must_use]
    pub fn partitions(&self) -> Partitions {
        *self
            .partitions
            .get()
            .expect("roles run only after the topology is ensured")
    }

    pub(crate) fn set_partitions(&self, partitions: Partitions) {
        // Set before, to the same: the stored count never changes.
        let _ = self.partitions.set(partitions);
    }

    /// Counts the connections made so far; a change tells that what hung on the
    /// last one must be opened anew.
    pub(crate) fn connections(&self) -> watch::Receiver<u64> {
        self.connections.clone()
    }
}

fn login(
    login: Login,
    addresses: &[async_nats::ServerAddr],
) -> Result<async_nats::ConnectOptions, Error> {
    let settings = async_nats::ConnectOptions::new();
    match login {
        Login::Password { user, password } => Ok(settings.user_and_password(user, password)),
        Login::Credentials(text) => settings
            .credentials(&text)
            // The reason is left out: it might quote the seed.
            .map_err(|_| Error::Configuration("the credentials file cannot be read".into())),
        Login::Url => {
            // The library takes no credentials from an address.
            let named = addresses.iter().find(|address| address.has_user_pass());
            let part = |part: Option<&str>| part.unwrap_or_default().to_owned();
            Ok(match named {
                Some(address) => {
                    settings.user_and_password(part(address.username()), part(address.password()))
                }
                None => settings,
            })
        }
    }
}

fn secured(mut settings: async_nats::ConnectOptions, tls: Tls) -> async_nats::ConnectOptions {
    if let Some(authority) = tls.authority {
        // Whoever names an authority does not want to speak in plain text.
        settings = settings.add_root_certificates(authority).require_tls(true);
    }
    match tls.identity {
        Some((certificate, key)) => settings.add_client_certificate(certificate, key),
        None => settings,
    }
}

fn reconnect_pause(attempt: usize) -> Duration {
    let exponent = u32::try_from(attempt.min(16)).unwrap_or(16);
    let pause = Duration::from_millis(5).saturating_mul(1 << exponent.min(12));
    pause
        .min(LONGEST_RECONNECT_PAUSE)
        .mul_f64(rand::random_range(0.5..=1.0))
}

fn heed(event: &Event, connected: &watch::Sender<u64>) {
    match event {
        Event::Connected => {
            connected.send_modify(|count| *count += 1);
            info!("connected to nats-server");
        }
        Event::Disconnected => warn!("the connection to nats-server is lost"),
        Event::SlowConsumer(_) => warn!("the connection to nats-server is read too slowly"),
        Event::ServerError(error) => warn!(%error, "nats-server reports an error"),
        Event::ClientError(error) => debug!(%error, "cannot connect to nats-server"),
        other => debug!(event = %other, "nats-server"),
    }
}
