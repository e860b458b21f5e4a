//! The pipeline's messages to and from the domain. Decoding checks everything:
//! what another role wrote is input.

mod directory;
mod event;
mod list;
mod policy;
mod record;
pub(crate) mod words;

use domain::{AccountId, EventType, Timestamp, TraceContext};

use crate::pipeline;

pub use list::deliveries_from_list;

/// A message that does not say what it must.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not protobuf at all.
    #[error("not a message of this kind: {0}")]
    Malformed(#[from] prost::DecodeError),
    /// A field is missing or holds what it may not.
    #[error("field {0} is missing or not acceptable")]
    Field(&'static str),
}

fn account(text: &str) -> Result<AccountId, DecodeError> {
    AccountId::parse(text).map_err(|_| DecodeError::Field("account"))
}

fn event_type(text: &str) -> Result<EventType, DecodeError> {
    EventType::parse(text).map_err(|_| DecodeError::Field("event_type"))
}

const fn at(millis: i64) -> Timestamp {
    Timestamp::from_unix_millis(millis)
}

/// Zero stands for none.
fn optional_at(millis: i64) -> Option<Timestamp> {
    (millis != 0).then(|| at(millis))
}

pub(crate) fn optional_millis(at: Option<Timestamp>) -> i64 {
    at.map_or(0, Timestamp::unix_millis)
}

/// Reads an id of 16 bytes, naming the field.
macro_rules! id {
    ($kind:ty, $message:expr, $field:ident) => {
        <$kind>::from_slice(&$message.$field)
            .map_err(|_| crate::DecodeError::Field(stringify!($field)))?
    };
}
use id;

fn trace(context: Option<pipeline::TraceContext>) -> Result<TraceContext, DecodeError> {
    optional_trace(context)?.ok_or(DecodeError::Field("trace"))
}

fn optional_trace(
    context: Option<pipeline::TraceContext>,
) -> Result<Option<TraceContext>, DecodeError> {
    let bad = DecodeError::Field("trace");
    context
        .map(|context| {
            Ok(TraceContext {
                trace_id: context
                    .trace_id
                    .as_ref()
                    .try_into()
                    .map_err(|_| bad.clone())?,
                span_id: context
                    .span_id
                    .as_ref()
                    .try_into()
                    .map_err(|_| bad.clone())?,
                flags: u8::try_from(context.flags).map_err(|_| bad.clone())?,
                state: context.tracestate,
            })
        })
        .transpose()
}

pub(crate) fn bytes(id: &[u8; 16]) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(id)
}
