//! The streams and buckets, and the names in them.
//!
//! - [`ensure`]: bringing them into being

mod ensure;

use std::collections::HashMap;
use std::num::NonZeroU16;
use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use domain::{AccountId, DeliveryId, EndpointId, Partition};

pub use ensure::Differing;

pub(crate) const EVENTS: &str = "EVENTS";
pub(crate) const PLANS: &str = "PLANS";
pub(crate) const DELIVERIES: &str = "DELIVERIES";
pub(crate) const RETRIES: &str = "RETRIES";
pub(crate) const ATTEMPTS: &str = "ATTEMPTS";
pub(crate) const COMMANDS: &str = "COMMANDS";
pub(crate) const PARKED: &str = "PARKED";
/// The stream of the bucket `leases`.
pub(crate) const LEASES: &str = "KV_leases";

/// Where DELIVERIES keeps the partition count.
const PARTITIONS_KEY: &str = "postrider-partitions";
/// Is there while what waits is moved to that count.
const MOVING_KEY: &str = "postrider-repartitioning";

const DAY: Duration = Duration::from_secs(86_400);

/// What an operator may set.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Fixed at the first start, until [`crate::Broker::repartition`].
    pub partitions: NonZeroU16,
    /// How long a repeated publish is recognised.
    pub duplicate_window: Duration,
    /// Copies of each stream, 1 without a cluster.
    pub replicas: usize,
}

pub(crate) fn event_subject(account: &AccountId) -> String {
    format!("events.{account}")
}

pub(crate) fn plan_subject(partition: Partition) -> String {
    format!("plans.{partition}")
}

pub(crate) fn delivery_subject(partition: Partition) -> String {
    format!("deliver.{partition}")
}

pub(crate) fn record_subject(partition: Partition) -> String {
    format!("attempts.{partition}")
}

pub(crate) fn retry_due_subject(partition: Partition) -> String {
    format!("retry.due.{partition}")
}

pub(crate) fn retry_at_subject(
    partition: Partition,
    endpoint: EndpointId,
    delivery: DeliveryId,
) -> String {
    format!("retry.at.{partition}.{endpoint}.{delivery}")
}

/// Every schedule of an endpoint.
pub(crate) fn retries_of_endpoint(partition: Partition, endpoint: EndpointId) -> String {
    format!("retry.at.{partition}.{endpoint}.>")
}

pub(crate) fn park_subject(partition: Partition, endpoint: EndpointId) -> String {
    format!("park.{partition}.{endpoint}")
}

/// The endpoints of a partition that have something parked.
pub(crate) fn parked_of_partition(partition: Partition) -> String {
    format!("park.{partition}.*")
}

/// The key `dispatcher.<p>` of the bucket `leases`.
pub(crate) fn lease_subject(partition: Partition) -> String {
    format!("$KV.leases.dispatcher.{partition}")
}

/// The key `member.<id>` of the bucket `leases`; `*` for all of them.
pub(crate) fn member_subject(id: &str) -> String {
    format!("$KV.leases.member.{id}")
}

pub(crate) const DISABLE_ENDPOINT_SUBJECT: &str = "command.disable_endpoint";
pub(crate) const VERIFY_ENDPOINT_SUBJECT: &str = "command.verify_endpoint";
pub(crate) const RAISE_EVENT_SUBJECT: &str = "command.raise_event";
pub(crate) const NOTE_KEY_USES_SUBJECT: &str = "command.note_key_uses";
pub(crate) const NOTE_AUDIT_SUBJECT: &str = "command.note_audit";

/// The partition count that DELIVERIES keeps.
pub(crate) fn stored_partitions(deliveries: &Config) -> Option<NonZeroU16> {
    deliveries.metadata.get(PARTITIONS_KEY)?.parse().ok()
}

/// Whether what waits may still stand under another count's numbers.
pub(crate) fn is_moving(deliveries: &Config) -> bool {
    deliveries.metadata.contains_key(MOVING_KEY)
}

/// Sets both.
pub(crate) fn set_partitions(deliveries: &mut Config, partitions: NonZeroU16, moving: bool) {
    let metadata = &mut deliveries.metadata;
    // The server's own entries are its own to set.
    metadata.retain(|key, _| !key.starts_with("_nats."));
    metadata.insert(PARTITIONS_KEY.to_owned(), partitions.to_string());
    if moving {
        metadata.insert(MOVING_KEY.to_owned(), "true".to_owned());
    } else {
        metadata.remove(MOVING_KEY);
    }
}

/// The streams as they should be.
fn streams(settings: &Settings) -> [Config; 8] {
    let stream = |name: &str, subjects: &[&str]| Config {
        name: name.to_owned(),
        subjects: subjects
            .iter()
            .map(|subject| (*subject).to_owned())
            .collect(),
        storage: StorageType::File,
        discard: DiscardPolicy::New,
        num_replicas: settings.replicas,
        allow_direct: true,
        ..Config::default()
    };
    let work_queue = |config| Config {
        retention: RetentionPolicy::WorkQueue,
        ..config
    };
    let partitions = settings.partitions.to_string();
    [
        Config {
            max_age: 7 * DAY,
            duplicate_window: settings.duplicate_window,
            ..stream(EVENTS, &["events.*"])
        },
        Config {
            max_age: 3 * DAY,
            ..stream(PLANS, &["plans.*"])
        },
        Config {
            metadata: HashMap::from([(PARTITIONS_KEY.to_owned(), partitions)]),
            ..work_queue(stream(DELIVERIES, &["deliver.*"]))
        },
        Config {
            allow_message_schedules: true,
            // Schedules allow nothing else; without limits nothing is discarded.
            discard: DiscardPolicy::Old,
            ..work_queue(stream(RETRIES, &["retry.at.>", "retry.due.*"]))
        },
        Config {
            max_age: 3 * DAY,
            ..stream(ATTEMPTS, &["attempts.*"])
        },
        work_queue(stream(COMMANDS, &["command.*"])),
        stream(PARKED, &["park.*.*"]),
        // A bucket by its names and limits, so that NATS' own tools can read
        // it; made as a stream because its entries end one by one, without the
        // markers that the client library would ask for.
        Config {
            max_messages_per_subject: 1,
            allow_message_ttl: true,
            allow_rollup: true,
            deny_delete: true,
            ..stream(LEASES, &["$KV.leases.>"])
        },
    ]
}
