//! The nats-server that standalone starts and keeps running.
//!
//! - [`find`]: where the program is, and whether it is new enough
//! - [`settings`]: its configuration file
//! - [`child`]: the process between our fork and its exec
//! - [`disk`]: whether it was full
//! - [`supervisor`]: start, restart, stop

pub(crate) mod child;
mod disk;
mod find;
mod settings;
mod supervisor;

pub(crate) use find::{FindError, find};
pub(crate) use supervisor::Supervisor;
