//! Batched direct gets (ADR-31): the client library asks for one message at a
//! time only. They need no consumer, so they serve work queues too.

use std::time::SystemTime;

use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{DirectGetErrorKind, RawMessageError, RawMessageErrorKind};
use async_nats::{HeaderMap, StatusCode};
use bytes::Bytes;
use domain::Timestamp;
use futures::StreamExt as _;
use tokio::time::timeout;

use crate::connection::CALL_TIMEOUT;
use crate::{Broker, Error};

/// A read ends with the message that takes it past this.
const READ_BYTES: usize = 1_024 * 1_024;
/// The place of a message in the stream.
const SEQUENCE: &str = "Nats-Sequence";
/// The place of the one before it in the same answer, 0 before the first.
const LAST_SEQUENCE: &str = "Nats-Last-Sequence";
const SUBJECT: &str = "Nats-Subject";
const TIME: &str = "Nats-Time-Stamp";

/// A message as it stands in a stream.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) sequence: u64,
    pub(crate) subject: String,
    pub(crate) stored_at: Timestamp,
    pub(crate) payload: Bytes,
}

/// Where a read begins.
#[derive(Debug, Clone, Copy)]
pub enum Place {
    /// Right behind this sequence.
    After(u64),
    /// With what was stored at or after the instant.
    Since(Timestamp),
}

impl Broker {
    /// What stands under a subject (wildcards allowed): at most `max` messages
    /// and about 1 MiB, but at least one if there is any. Empty: there is nothing
    /// more. In a cluster a replica that lags may answer, with what has been
    /// removed shortly before or without what has been stored just now.
    pub(crate) async fn read_direct(
        &self,
        stream: &str,
        subject: &str,
        from: Place,
        max: usize,
    ) -> Result<Vec<Raw>, Error> {
        if max == 0 {
            return Ok(Vec::new());
        }
        let from = match from {
            Place::After(after) => format!(r#""seq":{}"#, after + 1),
            Place::Since(at) => format!(r#""start_time":"{}""#, at.rfc3339()),
        };
        let request = format!(
            r#"{{{from},"next_by_subj":"{subject}","batch":{max},"max_bytes":{READ_BYTES}}}"#
        );
        timeout(CALL_TIMEOUT, self.ask_direct(stream, request))
            .await
            .map_err(|_| Error::unavailable("no answer in time"))?
    }

    /// The same, but empty only if the stream's leader has nothing either.
    ///
    /// # Errors
    ///
    /// An outage, or a replica that lags has nothing since an instant.
    pub(crate) async fn read_surely(
        &self,
        stream: &str,
        subject: &str,
        from: Place,
        max: usize,
    ) -> Result<Vec<Raw>, Error> {
        let found = self.read_direct(stream, subject, from, max).await?;
        if max == 0 || !found.is_empty() {
            return Ok(found);
        }
        match from {
            Place::After(after) => {
                let next = self.message_from(stream, subject, after + 1).await?;
                Ok(next.map(Raw::from).into_iter().collect())
            }
            Place::Since(at) => match self.last_message(stream, subject).await?.map(Raw::from) {
                Some(last) if last.stored_at >= at => {
                    Err(Error::unavailable("a replica lags behind"))
                }
                _ => Ok(Vec::new()),
            },
        }
    }

    /// The first message under a subject at or behind a sequence, as the stream's leader
    /// has it, which looks there and nowhere else.
    pub(crate) async fn message_from(
        &self,
        stream: &str,
        subject: &str,
        sequence: u64,
    ) -> Result<Option<StreamMessage>, Error> {
        let asked = async {
            let stream = self.jetstream.get_stream_no_info(stream).await;
            let stream = stream.map_err(Error::unavailable)?;
            let first = stream.get_first_raw_message_by_subject(subject, sequence);
            if_any(first.await)
        };
        timeout(CALL_TIMEOUT, asked)
            .await
            .map_err(|_| Error::unavailable("no answer in time"))?
    }

    /// The last message under a subject, as the stream's leader has it.
    pub(crate) async fn last_message(
        &self,
        stream: &str,
        subject: &str,
    ) -> Result<Option<StreamMessage>, Error> {
        let asked = async {
            let stream = self.jetstream.get_stream_no_info(stream).await;
            let stream = stream.map_err(Error::unavailable)?;
            if_any(stream.get_last_raw_message_by_subject(subject).await)
        };
        timeout(CALL_TIMEOUT, asked)
            .await
            .map_err(|_| Error::unavailable("no answer in time"))?
    }

    /// The message at a place of a stream, if it is still there. Any replica may
    /// answer, and one that lags lacks what it has not got yet: only the stream's leader
    /// can say that there is nothing.
    pub(crate) async fn message_at(
        &self,
        stream: &str,
        sequence: u64,
    ) -> Result<Option<StreamMessage>, Error> {
        let stream = self.jetstream.get_stream_no_info(stream).await;
        let stream = stream.map_err(Error::unavailable)?;
        match stream.direct_get(sequence).await {
            Ok(message) => return Ok(Some(message)),
            Err(error) if error.kind() == DirectGetErrorKind::NotFound => {}
            Err(error) => return Err(Error::unavailable(error)),
        }
        if_any(stream.get_raw_message(sequence).await)
    }

    async fn ask_direct(&self, stream: &str, request: String) -> Result<Vec<Raw>, Error> {
        let inbox = self.client.new_inbox();
        let mut replies = self
            .client
            .subscribe(inbox.clone())
            .await
            .map_err(Error::unavailable)?;
        self.client
            .publish_with_reply(
                format!("$JS.API.DIRECT.GET.{stream}"),
                inbox,
                request.into(),
            )
            .await
            .map_err(Error::unavailable)?;
        let mut found: Vec<Raw> = Vec::new();
        while let Some(reply) = replies.next().await {
            let headers = reply.headers.as_ref();
            let last = found.last().map_or(0, |raw| raw.sequence);
            match reply.status {
                None | Some(StatusCode::OK) => {
                    check_order(headers, last)?;
                    found.push(raw(headers, reply.payload)?);
                }
                // The end of the answer.
                Some(status) if status.as_u16() == 204 => {
                    check_order(headers, last)?;
                    return Ok(found);
                }
                Some(StatusCode::NOT_FOUND) => return Ok(found),
                Some(status) => {
                    let description = reply.description.unwrap_or_default();
                    return Err(Error::Unavailable(format!("{status} {description}")));
                }
            }
        }
        Err(Error::unavailable("the answer was cut off"))
    }
}

/// What a leader says.
fn if_any(asked: Result<StreamMessage, RawMessageError>) -> Result<Option<StreamMessage>, Error> {
    match asked {
        Ok(message) => Ok(Some(message)),
        Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(Error::unavailable(error)),
    }
}

impl From<StreamMessage> for Raw {
    fn from(message: StreamMessage) -> Self {
        Self {
            sequence: message.sequence,
            subject: message.subject.to_string(),
            stored_at: SystemTime::from(message.time).into(),
            payload: message.payload,
        }
    }
}

fn raw(headers: Option<&HeaderMap>, payload: Bytes) -> Result<Raw, Error> {
    let text = |name: &str| Some(headers?.get(name)?.as_str());
    let read = || {
        Some(Raw {
            sequence: text(SEQUENCE)?.parse().ok()?,
            subject: text(SUBJECT)?.to_owned(),
            stored_at: Timestamp::parse_rfc3339(text(TIME)?)?,
            payload,
        })
    };
    read().ok_or_else(|| Error::unavailable("a message has no place"))
}

/// A reply that was lost on the way must not be skipped.
fn check_order(headers: Option<&HeaderMap>, last: u64) -> Result<(), Error> {
    let named = headers.and_then(|headers| headers.get(LAST_SEQUENCE));
    match named.and_then(|text| text.as_str().parse::<u64>().ok()) {
        Some(named) if last == named => Ok(()),
        _ => Err(Error::unavailable("a part of the answer was lost")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_in_an_answer_is_noticed() {
        let mut headers = HeaderMap::new();
        headers.insert(LAST_SEQUENCE, "7");
        assert!(check_order(Some(&headers), 7).is_ok());
        assert!(check_order(Some(&headers), 5).is_err());
        assert!(check_order(None, 0).is_err());
    }

    #[test]
    fn a_message_tells_where_and_since_when_it_stands() {
        let mut headers = HeaderMap::new();
        headers.insert(SEQUENCE, "7");
        headers.insert(SUBJECT, "plans.1");
        assert!(raw(Some(&headers), Bytes::new()).is_err());
        headers.insert(TIME, "2026-05-13T12:54:54.719123456Z");
        let found = raw(Some(&headers), Bytes::new());
        let found = found.map(|raw| (raw.sequence, raw.stored_at.rfc3339()));
        assert!(found.is_ok_and(|found| found == (7, "2026-05-13T12:54:54.719Z".to_owned())));
    }
}
