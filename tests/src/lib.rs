//! What the tests share: real processes, real brokers and databases, a
//! receiver that behaves as told, and clients of the public API.
//!
//! - [`process`]: a child process and its log
//! - [`nats`], [`postgres`]: the parts that Postrider stands on
//! - [`deployment`]: Postrider itself, as one process or as five
//! - [`receiver`]: a customer's endpoint
//! - [`api`]: REST and gRPC clients
//! - [`suite`]: running scenarios against a shared deployment
//! - [`wait`]: waiting for something to become true

pub mod api;
pub mod deployment;
pub mod nats;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod receiver;
pub mod suite;
pub mod wait;

use std::path::PathBuf;

/// The root of the source tree.
#[must_use]
pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests live in a folder of the repository")
        .to_owned()
}
