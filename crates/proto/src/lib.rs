//! The contracts: generated protobuf types of the public API and of what the
//! roles say to each other, and their conversions to and from the domain.

pub mod metadata;
pub mod status;
pub mod time;

mod convert;
mod encode;

pub use convert::{DecodeError, deliveries_from_list};
pub use encode::{encode_deliveries, encode_event, encode_records, record_bytes};

/// The public API, package `postrider.v1`.
pub mod v1 {
    #![allow(missing_debug_implementations, clippy::all, reason = "generated")]
    tonic::include_proto!("postrider.v1");
}

/// Package `postrider.pipeline.v1`.
pub mod pipeline {
    #![allow(missing_debug_implementations, clippy::all, reason = "generated")]
    tonic::include_proto!("postrider.pipeline.v1");
}

/// The encoded `google.protobuf.FileDescriptorSet` of the public API, for
/// reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/postrider.v1.bin"));
