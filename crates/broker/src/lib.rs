//! Everything Postrider says to NATS JetStream: the streams, what is published
//! to them and consumed from them, and the directories (KV buckets) that every
//! role follows. Nobody else knows a subject's or a bucket's name.
//!
//! - [`topology`]: streams, buckets, and the names in them
//! - [`Broker`]: the connection; publishing events, schedules, commands
//! - [`list`]: lists of deliveries, plans and records
//! - [`consume`]: durable consumers that outlive any outage
//! - [`log`]: what stands in a stream, whoever it is for: looked at, rewritten
//! - [`follow`]: reading a stream from some point on, for ever
//! - [`lease`]: which dispatcher owns which partition
//! - [`park`]: what an endpoint cannot take now
//! - [`directory`]: endpoints, keys and event types, as every role sees them

mod census;
mod commands;
mod connection;
pub mod consume;
mod direct;
pub mod directory;
mod error;
mod events;
pub mod follow;
mod lag;
pub mod lease;
pub mod list;
pub mod log;
pub mod park;
mod repartition;
mod schedule;
mod subjects;
pub mod topology;
mod waiting;

pub use census::{Census, ConsumerCensus, StreamCensus};
pub use connection::{Broker, ConnectOptions, Login, Tls};
pub use consume::{Command, Consumer, Input, Message};
pub use direct::Place;
pub use directory::{EndpointDirectory, ErasureDirectory, EventTypeDirectory, KeyDirectory};
pub use error::{Error, Lagging};
pub use events::Publication;
pub use follow::{RecentRecords, RecordFollower};
pub use lease::{Lease, Leases};
pub use list::{DeliveryPublisher, PlanPublisher, RecordPublisher};
pub use log::{Contents, Log, Stored};
pub use park::Parked;
pub use repartition::Moved;
