//! The client commands: a thin layer over the public REST API.
//!
//! - [`api`]: one HTTP call and its errors
//! - [`instant`]: instants on the command line
//! - [`output`]: tables for people, JSON for programs
//! - [`policy`]: options that `endpoint create` and `update` share
//! - [`endpoint`], [`erase`], [`event`], [`history`], [`key`], [`listen`],
//!   [`replay`]: a command family each

mod api;
pub(crate) mod endpoint;
pub(crate) mod erase;
pub(crate) mod event;
pub(crate) mod history;
mod instant;
pub(crate) mod key;
pub(crate) mod listen;
mod output;
mod policy;
pub(crate) mod replay;

use std::path::PathBuf;

pub(crate) use api::Api;

/// What every client command takes.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Connection {
    /// Postrider's own address, where REST answers (an endpoint's URL is given
    /// without this flag)
    #[arg(long, env = "POSTRIDER_URL", default_value = "http://127.0.0.1:8080")]
    pub(crate) url: String,
    /// The key; better given by the environment, where `ps` does not show it
    #[arg(long, env = "POSTRIDER_KEY", hide_env_values = true)]
    pub(crate) key: Option<String>,
    /// A file with the key
    #[arg(long, env = "POSTRIDER_KEY_FILE", default_value = "./data/admin.key")]
    pub(crate) key_file: PathBuf,
    /// Print the API's JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// The customer whose things are meant.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Account {
    /// The account
    #[arg(long, short, env = "POSTRIDER_ACCOUNT")]
    pub(crate) account: String,
}
