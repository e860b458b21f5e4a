//! What the tests share: real processes, real brokers and databases, a
//! receiver that behaves as told, and clients of the public API.
//!
//! - [`process`]: a child process and its log
//! - [`nats`], [`cluster`], [`postgres`]: the parts that Postrider stands on
//! - [`network`]: hosts whose cables can be pulled
//! - [`small_disk`]: a disk that can be filled
//! - [`manifest`]: Kubernetes objects, rendered
//! - [`deployment`]: Postrider itself, as one process or as several
//! - [`receiver`]: a customer's endpoint
//! - [`shell`]: client commands
//! - [`hostile`]: endpoints that do what they can to their sender
//! - [`api`]: REST and gRPC clients
//! - [`certificates`]: an authority, and what it signs
//! - [`collector`]: an OTLP receiver
//! - [`load`]: a stream of events under which things are broken
//! - [`secrecy`]: what no log may tell
//! - [`suite`]: running scenarios against a shared deployment
//! - [`wait`]: waiting for something to become true

pub mod api;
pub mod certificates;
pub mod cluster;
pub mod collector;
pub mod deployment;
pub mod hostile;
pub mod load;
pub mod manifest;
pub mod nats;
pub mod network;
pub mod past;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod receiver;
pub mod secrecy;
pub mod shell;
pub mod small_disk;
pub mod suite;
pub mod wait;

use std::path::PathBuf;

use anyhow::{Context, Result};

/// The root of the source tree: of the one that cargo runs for, as it says at run
/// time. What is built may have been built from another clone.
#[must_use]
pub fn repository() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo says where it runs for");
    PathBuf::from(here)
        .parent()
        .expect("the tests live in a folder of the repository")
        .to_owned()
}

/// The fenced block of the README that stands behind `<!-- mark -->`.
///
/// # Errors
///
/// When there is none.
pub fn readme_block(mark: &str) -> Result<String> {
    let readme = std::fs::read_to_string(repository().join("README.md"))?;
    let comment = format!("<!-- {mark} -->");
    let behind = readme.split_once(&comment).map(|(_, behind)| behind);
    let fenced = behind.and_then(|behind| behind.split_once("```"));
    // The rest of the fence's line names the language.
    let code = fenced.and_then(|(_, fenced)| fenced.split_once('\n'));
    let code = code.and_then(|(_, code)| code.split_once("\n```"));
    let (code, _) = code.with_context(|| format!("README.md has no block marked {comment}"))?;
    Ok(code.to_owned())
}
