//! A nats-server, connections to it, and things to send.

use std::fmt::Display;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use broker::topology::{Differing, Settings};
use broker::{Broker, ConnectOptions, Consumer, Login, Message};
use bytes::Bytes;
use domain::{
    AccountId, Cause, Content, Delivery, DeliveryEvent, DeliveryId, EndpointId, EventId, EventType,
    Partition, Timestamp, TraceContext,
};
use harness::nats::{Nats, password};
use harness::wait::eventually;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// For what should take milliseconds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) nats: Nats,
    pub(crate) broker: Broker,
    _dir: TempDir,
}

impl World {
    pub(crate) async fn start() -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("postrider-test-")
            .tempdir()?;
        let mut nats = Nats::new(dir.path(), "always")?;
        nats.start().await?;
        let broker = connect(&nats).await?;
        Ok(Self {
            nats,
            broker,
            _dir: dir,
        })
    }

    /// A connection of its own, as another process has.
    pub(crate) async fn connect(&self) -> Result<Broker> {
        connect(&self.nats).await
    }

    pub(crate) async fn kill_and_restart(&mut self) -> Result<()> {
        self.nats.kill()?;
        self.nats.start().await
    }

    pub(crate) fn partition(&self) -> Partition {
        self.broker
            .partitions()
            .iter()
            .next()
            .expect("one is there")
    }

    /// Publishes what `broker` would not: the NATS protocol is text. Returns
    /// when the server has read it.
    pub(crate) async fn publish_raw(&self, subject: &str, payload: &str) -> Result<()> {
        let url = self.nats.url();
        let address = url.strip_prefix("nats://").context("it is such a URL")?;
        let mut connection = BufReader::new(TcpStream::connect(address).await?);
        let length = payload.len();
        let password = password("operator");
        let text = format!(
            "CONNECT {{\"verbose\":false,\"user\":\"operator\",\"pass\":\"{password}\"}}\r\n\
             PUB {subject} {length}\r\n{payload}\r\nPING\r\n"
        );
        connection.write_all(text.as_bytes()).await?;
        let mut line = String::new();
        let answered = async {
            while line != "PONG\r\n" {
                line.clear();
                connection.read_line(&mut line).await?;
            }
            Ok::<(), std::io::Error>(())
        };
        Ok(timeout(PATIENCE, answered).await??)
    }

    /// An endpoint of [`World::partition`].
    pub(crate) fn endpoint(&self) -> EndpointId {
        let mut ids = std::iter::repeat_with(EndpointId::new);
        ids.find(|id| self.broker.partitions().of(*id) == self.partition())
            .expect("ids never end")
    }
}

async fn connect(nats: &Nats) -> Result<Broker> {
    let broker = Broker::connect(ConnectOptions {
        url: nats.url(),
        name: "test".to_owned(),
        login: Login::Password {
            user: "operator".to_owned(),
            password: password("operator"),
        },
        ..ConnectOptions::default()
    })
    .await?;
    let settings = Settings {
        partitions: NonZeroU16::new(16).context("16 is not 0")?,
        duplicate_window: Duration::from_secs(120),
        replicas: 1,
    };
    let ensure = || async {
        Ok(broker
            .ensure_topology(&settings, Differing::Changed)
            .await?)
    };
    eventually("the topology is ensured", PATIENCE, ensure).await?;
    Ok(broker)
}

/// A delivery whose event holds `bytes` of body.
pub(crate) fn delivery(endpoint: EndpointId, bytes: usize) -> Delivery {
    Delivery {
        id: DeliveryId::new(),
        endpoint_id: endpoint,
        event: Arc::new(DeliveryEvent {
            id: EventId::new(),
            account: AccountId::parse("acme").expect("it is one"),
            event_type: EventType::parse("message.report").expect("it is one"),
            accepted_at: now(),
            content: Content::Inline(Bytes::from(vec![b'x'; bytes])),
            trace: TraceContext::root([1; 24]),
        }),
        cause: Cause::Event,
        attempt_number: 1,
        directory_revision: 0,
        endpoint_generation: 0,
        previous_attempt: None,
    }
}

pub(crate) fn now() -> Timestamp {
    SystemTime::now().into()
}

/// Takes `count` messages.
pub(crate) async fn take(consumer: &mut Consumer, count: usize) -> Result<Vec<Message>> {
    let mut taken = Vec::new();
    let take = async {
        while taken.len() < count {
            taken.extend(consumer.next(count - taken.len()).await);
        }
    };
    timeout(PATIENCE, take)
        .await
        .with_context(|| format!("{count} messages have not come"))?;
    Ok(taken)
}

/// The deliveries in messages, sorted.
pub(crate) fn ids(messages: &[Message]) -> Result<Vec<DeliveryId>> {
    let mut ids = Vec::new();
    for message in messages {
        ids.extend(message.deliveries()?.iter().map(|delivery| delivery.id));
    }
    ids.sort();
    Ok(ids)
}

#[expect(
    clippy::print_stdout,
    reason = "this is what the test program measures"
)]
pub(crate) fn figure(what: &str, value: impl Display) {
    println!("    {what}: {value}");
}

pub(crate) fn per_second(count: usize, since: Instant) -> String {
    let count = u32::try_from(count).expect("it is a small count");
    format!("{:.0}/s", f64::from(count) / since.elapsed().as_secs_f64())
}
