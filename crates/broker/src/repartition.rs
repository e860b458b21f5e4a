//! Another number of partitions: what stands under a partition's number goes to
//! the one that its endpoint has now, while nobody works on it.
//!
//! Each message is published where it belongs and then removed, and what stands
//! where it belongs stays. So this may end at any point and be done again, to any
//! number.

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::time::{Duration, SystemTime};

use async_nats::HeaderMap;
use async_nats::header::{NATS_MESSAGE_ID, NATS_SCHEDULE, NATS_SCHEDULE_TARGET};
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::Config;
use bytes::Bytes;
use domain::{EndpointId, Partition, Partitions, Timestamp};
use futures::TryStreamExt as _;
use futures::future::try_join_all;
use prost::Message as _;
use proto::{DecodeError, pipeline};
use tokio::time::{Instant, sleep, timeout};
use tracing::info;

use crate::census::SHARED;
use crate::connection::CALL_TIMEOUT;
use crate::consume::decode_records;
use crate::direct::Place;
use crate::directory::Bucket;
use crate::log::REWRITTEN;
use crate::topology::{
    ATTEMPTS, DELIVERIES, LEASES, PARKED, RETRIES, delivery_subject, is_moving, member_subject,
    park_subject, record_subject, retry_due_subject, set_partitions, stored_partitions,
};
use crate::{Broker, Error};

/// For those who work to have gone; the entry of a dispatcher that was killed ends
/// within 20 s.
const PATIENCE: Duration = Duration::from_secs(3);
const ENTRY_PATIENCE: Duration = Duration::from_secs(25);
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Looks in a row at which nobody asked for work: who works pauses for a moment
/// between two requests.
const LOOKS: u32 = 3;
/// What whoever takes a partition over looks back.
const RECENT: Duration = Duration::from_secs(600);
/// Messages that are moved at once, where their order does not count.
const AT_ONCE: usize = 16;

/// A stream and how many of its messages went to another partition.
pub type Moved = (String, u64);

/// Where a part of a message belongs.
#[derive(Debug)]
struct Destination {
    subject: String,
    headers: HeaderMap,
    payload: Bytes,
}

impl Broker {
    /// Moves all that waits to `wanted` partitions. `None`: it is there already.
    /// Roles do not start before it has come to its end.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] if a role that works with partitions runs, or an outage:
    /// then it must be done again.
    pub async fn repartition(&self, wanted: NonZeroU16) -> Result<Option<Vec<Moved>>, Error> {
        let Some(mut config) = self.stream_config(DELIVERIES).await? else {
            return Ok(None);
        };
        if !is_moving(&config) && stored_partitions(&config) == Some(wanted) {
            return Ok(None);
        }
        self.nobody_works().await?;
        set_partitions(&mut config, wanted, true);
        self.update(&config).await?;
        // Who started between look and mark has not seen it.
        self.nobody_works().await?;
        let to = Partitions::new(wanted);
        let recent = self.first_since(ATTEMPTS, RECENT).await?;
        let endpoints = Bucket::Endpoints.stream();
        let moved = vec![
            self.move_all(&endpoints, 1, AT_ONCE, to).await?,
            self.move_all(ATTEMPTS, recent, AT_ONCE, to).await?,
            // An endpoint's are in its own order.
            self.move_all(PARKED, 1, 1, to).await?,
            self.move_all(DELIVERIES, 1, AT_ONCE, to).await?,
            // Until its end: schedules come due meanwhile, behind the others.
            self.move_all(RETRIES, 1, AT_ONCE, to).await?,
        ];
        self.forget_owners().await?;
        set_partitions(&mut config, wanted, false);
        self.update(&config).await?;
        Ok(Some(moved))
    }

    async fn update(&self, config: &Config) -> Result<(), Error> {
        let updated = self.jetstream.update_stream(config).await;
        updated.map(|_| ()).map_err(Error::unavailable)
    }

    async fn nobody_works(&self) -> Result<(), Error> {
        let started = Instant::now();
        let mut quiet = 0;
        while quiet < LOOKS {
            match self.who_works().await? {
                Some((who, patience)) if started.elapsed() > patience => {
                    return Err(Error::Busy(who));
                }
                Some(_) => quiet = 0,
                None => quiet += 1,
            }
            sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    /// And how long it may still be told though it has gone.
    async fn who_works(&self) -> Result<Option<(String, Duration)>, Error> {
        for (stream, durable, _) in SHARED {
            let asked = async {
                let stream = self.jetstream.get_stream_no_info(stream).await;
                let stream = stream.map_err(Error::unavailable)?;
                // Whoever consumes makes it, at its first start.
                Ok::<_, Error>(stream.consumer_info(durable).await.ok())
            };
            let info = timeout(CALL_TIMEOUT, asked)
                .await
                .map_err(|_| Error::unavailable("no answer in time"))??;
            if info.is_some_and(|info| info.num_waiting > 0) {
                return Ok(Some((durable.to_owned(), PATIENCE)));
            }
        }
        let members = self.messages_of(LEASES, &member_subject("*")).await?;
        Ok(members.first().map(|(subject, _)| {
            let id = subject.rsplit('.').next().unwrap_or_default();
            (format!("the dispatcher {id}"), ENTRY_PATIENCE)
        }))
    }

    /// The sequence of the first message that is not older than `age`, or of the
    /// next one.
    async fn first_since(&self, stream: &str, age: Duration) -> Result<u64, Error> {
        let since = Timestamp::from(SystemTime::now()).minus(age);
        let first = self
            .read_surely(stream, ">", Place::Since(since), 1)
            .await?;
        match first.first() {
            Some(first) => Ok(first.sequence),
            None => Ok(self.last_sequence(stream).await? + 1),
        }
    }

    async fn move_all(
        &self,
        stream: &str,
        first: u64,
        at_once: usize,
        to: Partitions,
    ) -> Result<Moved, Error> {
        let (mut next, mut moved) = (first, 0);
        loop {
            let mut some = Vec::new();
            while some.len() < at_once {
                let Some(message) = self.message_from(stream, ">", next).await? else {
                    break;
                };
                next = message.sequence + 1;
                some.push(message);
            }
            if some.is_empty() {
                info!(stream, moved, "moved");
                return Ok((stream.to_owned(), moved));
            }
            let moves = some
                .iter()
                .map(|message| self.move_one(stream, message, to));
            let those = try_join_all(moves).await?;
            moved += those.iter().map(|moved| u64::from(*moved)).sum::<u64>();
        }
    }

    /// Whether it did not stand where it belongs.
    async fn move_one(
        &self,
        stream: &str,
        message: &StreamMessage,
        to: Partitions,
    ) -> Result<bool, Error> {
        let destinations = destinations(message, to);
        if destinations.is_empty() {
            return Ok(false);
        }
        for destination in destinations {
            let Destination {
                subject,
                mut headers,
                payload,
            } = destination;
            let id = format!("moved-{stream}-{}-{subject}", message.sequence);
            headers.insert(NATS_MESSAGE_ID, id);
            self.publish_for_ever(subject, headers, payload).await?;
        }
        if stream == Bucket::Endpoints.stream() {
            // Without a trace: a marker would be read as the endpoint's end.
            let subject = message.subject.to_string();
            self.purge(stream, subject, Some(message.sequence)).await?;
        } else {
            let removed = timeout(CALL_TIMEOUT, self.remove(stream, message.sequence));
            removed
                .await
                .map_err(|_| Error::unavailable("no answer in time"))??;
        }
        Ok(true)
    }

    /// Removes the consumers of partitions' owners: of some, nobody would be the
    /// next owner.
    async fn forget_owners(&self) -> Result<(), Error> {
        for stream in [DELIVERIES, RETRIES] {
            let stream = self.jetstream.get_stream_no_info(stream).await;
            let stream = stream.map_err(Error::unavailable)?;
            let names = stream.consumer_names().try_collect::<Vec<String>>().await;
            for name in names.map_err(Error::unavailable)? {
                let deleted = stream.delete_consumer(&name).await;
                deleted.map_err(Error::unavailable)?;
            }
        }
        Ok(())
    }
}

/// Where the parts of a message belong; none if it stands there.
fn destinations(message: &StreamMessage, to: Partitions) -> Vec<Destination> {
    let subject = message.subject.as_str();
    let tokens: Vec<&str> = subject.split('.').collect();
    let of = |endpoint: &str| endpoint.parse().map(|id: EndpointId| (id, to.of(id)));
    let mut found = match tokens[..] {
        ["deliver", now] => lists(message, now, to, delivery_subject),
        ["retry", "due", now] => lists(message, now, to, retry_due_subject),
        ["attempts", now] => records(message, now, to),
        ["retry", "at", _, endpoint, delivery] => match of(endpoint) {
            Ok((_, partition)) => vec![schedule(message, partition, endpoint, delivery)],
            Err(_) => Vec::new(),
        },
        ["park", _, endpoint] => match of(endpoint) {
            Ok((id, partition)) => vec![as_it_is(message, park_subject(partition, id))],
            Err(_) => Vec::new(),
        },
        // What says that an entry was deleted may stay anywhere.
        ["$KV", bucket, _, account, endpoint] if !is_marker(message) => match of(endpoint) {
            Ok((_, partition)) => {
                let subject = format!("$KV.{bucket}.{partition}.{account}.{endpoint}");
                vec![as_it_is(message, subject)]
            }
            Err(_) => Vec::new(),
        },
        _ => Vec::new(),
    };
    if let [only] = &found[..]
        && only.subject == subject
    {
        found.clear();
    }
    found
}

/// Says that an entry of a bucket has been deleted.
fn is_marker(message: &StreamMessage) -> bool {
    message.headers.get("KV-Operation").is_some()
}

fn as_it_is(message: &StreamMessage, subject: String) -> Destination {
    Destination {
        subject,
        headers: HeaderMap::new(),
        payload: message.payload.clone(),
    }
}

/// A schedule for the same instant.
fn schedule(
    message: &StreamMessage,
    partition: Partition,
    endpoint: &str,
    delivery: &str,
) -> Destination {
    let mut destination = as_it_is(
        message,
        format!("retry.at.{partition}.{endpoint}.{delivery}"),
    );
    let headers = &mut destination.headers;
    if let Some(at) = message.headers.get(NATS_SCHEDULE) {
        headers.insert(NATS_SCHEDULE, at.as_str());
    }
    headers.insert(NATS_SCHEDULE_TARGET, retry_due_subject(partition));
    destination
}

/// A list of deliveries, divided.
fn lists(
    message: &StreamMessage,
    now: &str,
    to: Partitions,
    subject: fn(Partition) -> String,
) -> Vec<Destination> {
    let list = pipeline::DeliveryList::decode(message.payload.clone());
    let deliveries = list
        .map_err(DecodeError::from)
        .and_then(proto::deliveries_from_list);
    let Ok(deliveries) = deliveries else {
        return unreadable(message, now, to, subject);
    };
    let mut divided: BTreeMap<Partition, Vec<_>> = BTreeMap::new();
    for delivery in deliveries {
        let partition = to.of(delivery.endpoint_id);
        divided.entry(partition).or_default().push(delivery);
    }
    let list = |(partition, deliveries): (Partition, Vec<_>)| Destination {
        subject: subject(partition),
        headers: HeaderMap::new(),
        payload: proto::encode_deliveries(&deliveries).into(),
    };
    divided.into_iter().map(list).collect()
}

/// A list of records, divided; tails are told that it is not new.
fn records(message: &StreamMessage, now: &str, to: Partitions) -> Vec<Destination> {
    let Ok(records) = decode_records(message.payload.clone()) else {
        return unreadable(message, now, to, record_subject);
    };
    let mut divided: BTreeMap<Partition, Vec<_>> = BTreeMap::new();
    for record in &records {
        let partition = to.of(record.endpoint_id);
        divided.entry(partition).or_default().push(record);
    }
    let mut headers = HeaderMap::new();
    headers.insert(REWRITTEN, message.sequence.to_string());
    let list = |(partition, records): (Partition, Vec<_>)| Destination {
        subject: record_subject(partition),
        headers: headers.clone(),
        payload: proto::encode_records(records).into(),
    };
    divided.into_iter().map(list).collect()
}

/// To any partition that there is: whoever reads it there says so.
fn unreadable(
    message: &StreamMessage,
    now: &str,
    to: Partitions,
    subject: fn(Partition) -> String,
) -> Vec<Destination> {
    let mut partitions = to.iter();
    let (there, first) = (now.parse().ok(), partitions.next());
    let stays = there.is_some_and(|now: u16| now < to.count().get());
    match first {
        Some(first) if !stays => vec![as_it_is(message, subject(first))],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDPOINT: &str = "ep_018f6f2e-7b1c-7cc0-8a51-3f2d9c0b7e10";

    fn message(subject: &str, payload: &'static [u8]) -> StreamMessage {
        StreamMessage {
            subject: subject.into(),
            sequence: 7,
            headers: HeaderMap::new(),
            payload: Bytes::from_static(payload),
            time: SystemTime::UNIX_EPOCH.into(),
        }
    }

    fn partitions(count: u16) -> Partitions {
        Partitions::new(NonZeroU16::new(count).expect("not 0"))
    }

    fn subjects(subject: &str, payload: &'static [u8], to: Partitions) -> Vec<String> {
        let found = destinations(&message(subject, payload), to);
        found.into_iter().map(|found| found.subject).collect()
    }

    #[test]
    fn what_stands_where_it_belongs_stays() {
        let to = partitions(64);
        let own = to.of(ENDPOINT.parse().expect("an id"));
        for there in [
            format!("park.{own}.{ENDPOINT}"),
            format!("retry.at.{own}.{ENDPOINT}.dlv_1"),
            format!("$KV.endpoints.{own}.acme.{ENDPOINT}"),
        ] {
            assert!(subjects(&there, b"", to).is_empty(), "{there}");
            let elsewhere = there.replace(&format!(".{own}."), ".99.");
            assert_eq!(subjects(&elsewhere, b"", to), [there]);
        }
    }

    #[test]
    fn a_schedule_keeps_its_instant_and_is_due_in_the_new_partition() {
        let to = partitions(2);
        let own = to.of(ENDPOINT.parse().expect("an id"));
        let mut message = message(&format!("retry.at.9.{ENDPOINT}.dlv_1"), b"payload");
        message
            .headers
            .insert(NATS_SCHEDULE, "@at 2026-05-13T12:54:54Z");
        message.headers.insert(NATS_SCHEDULE_TARGET, "retry.due.9");
        let found = destinations(&message, to);
        let [moved] = &found[..] else {
            panic!("{found:?}");
        };
        let header = |name| moved.headers.get(name).map(|value| value.as_str());
        assert_eq!(header(NATS_SCHEDULE), Some("@at 2026-05-13T12:54:54Z"));
        assert_eq!(header(NATS_SCHEDULE_TARGET), Some(&*retry_due_subject(own)));
    }

    #[test]
    fn what_cannot_be_read_goes_where_somebody_says_so() {
        assert_eq!(
            subjects("deliver.9", b"\xff\xff", partitions(4)),
            ["deliver.0"]
        );
        assert!(subjects("attempts.3", b"\xff\xff", partitions(4)).is_empty());
    }

    #[test]
    fn the_mark_of_a_deleted_entry_stays() {
        let mut deleted = message(&format!("$KV.endpoints.9.acme.{ENDPOINT}"), b"");
        deleted.headers.insert("KV-Operation", "DEL");
        assert!(destinations(&deleted, partitions(4)).is_empty());
    }
}
