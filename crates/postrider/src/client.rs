//! The client commands: a thin layer over the public REST API.
//!
//! - [`api`]: one HTTP call and its errors
//! - [`arguments`], [`instant`]: what the command line takes
//! - [`wait`], [`backoff`], [`interrupt`]: commands that go on for a while
//! - [`output`]: tables for people, JSON for programs
//! - [`policy`]: options that `endpoint create` and `update` share
//! - [`endpoint`], [`erase`], [`event`], [`history`], [`key`], [`listen`],
//!   [`replay`]: a command family each

mod api;
mod arguments;
mod backoff;
pub(crate) mod endpoint;
pub(crate) mod erase;
pub(crate) mod event;
pub(crate) mod history;
mod instant;
mod interrupt;
pub(crate) mod key;
pub(crate) mod listen;
mod output;
mod policy;
pub(crate) mod replay;
mod wait;

use std::path::PathBuf;

use reqwest::Url;

pub(crate) use api::{Api, Error as CallError};
pub(crate) use interrupt::Interrupted;

/// What every client command takes.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Connection {
    /// Postrider's own address, where REST answers (an endpoint's URL is given
    /// without this flag)
    #[arg(long, env = "POSTRIDER_URL", default_value = "http://127.0.0.1:8080",
        value_parser = arguments::url)]
    pub(crate) url: Url,
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
    #[arg(long, short, env = "POSTRIDER_ACCOUNT", value_parser = arguments::account)]
    pub(crate) account: String,
}

/// Which page of a list.
#[derive(Debug, clap::Args)]
pub(crate) struct Page {
    /// Items of a page, 1 to 100 [default: 20]
    #[arg(long, value_name = "COUNT", value_parser = arguments::page_size)]
    page_size: Option<u32>,
    /// Another page, as the last one named it; the filters stay the same
    #[arg(long, value_name = "TOKEN")]
    page_token: Option<String>,
}

impl Page {
    fn query(self) -> [(&'static str, Option<String>); 2] {
        [
            ("page_size", self.page_size.map(|size| size.to_string())),
            ("page_token", self.page_token),
        ]
    }
}

/// What was given cannot be meant; nothing was sent. The process exits with 64.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Misuse(String);

impl Misuse {
    /// `words` say what is wrong and what would be right.
    pub(crate) const fn new(words: String) -> Self {
        Self(words)
    }
}
