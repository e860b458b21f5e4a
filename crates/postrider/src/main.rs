//! One binary: a role is a subcommand, standalone is all of them.
//!
//! - [`cli`], [`roles`], [`config`]: what is to run, and how
//! - [`serve`]: a process that runs roles, from its start to its end
//! - [`wire`]: the roles' parts put together
//! - [`database`], [`streams`]: opened and brought up to date
//! - [`nats`], [`data_dir`]: what standalone brings along
//! - [`admin`], [`logs`], [`metrics`], [`traces`], [`otlp`], [`shutdown`]: for
//!   operators
//! - [`client`], [`commands`], [`demo`], [`plan`]: the other subcommands

mod admin;
mod cli;
mod client;
mod commands;
mod config;
mod data_dir;
mod database;
mod demo;
mod logs;
mod master_key;
mod metrics;
mod nats;
mod otlp;
mod plan;
mod roles;
mod serve;
mod shutdown;
mod streams;
mod tls;
mod traces;
mod wire;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser as _;
use cli::{Cli, Command};

/// A third of the time of a busy process went into the C library's allocator:
/// what one thread makes, another drops.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// EX_USAGE of sysexits.h: the command line or the configuration is wrong.
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(usage) => {
            // Nothing else can be done if the terminal is gone.
            let _ = usage.print();
            return if usage.use_stderr() {
                ExitCode::from(USAGE)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    match run(cli) {
        Ok(code) => code,
        Err(error) => fail(&error),
    }
}

fn run(cli: Cli) -> Result<ExitCode> {
    if let Command::NatsChild(arguments) = &cli.command {
        let never = nats::child::become_server(arguments).context("cannot become nats-server")?;
        match never {}
    }
    // Fails only if a provider is installed already, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let result = runtime.block_on(commands::run(cli));
    // What is still blocked then (a name lookup) must not hold up the exit.
    runtime.shutdown_timeout(Duration::from_millis(500));
    result
}

#[expect(
    clippy::print_stderr,
    reason = "the last word of a process is for its terminal"
)]
fn fail(error: &anyhow::Error) -> ExitCode {
    if let Some(refusal) = error.downcast_ref::<config::Error>() {
        // One line that holds its cause already.
        eprintln!("postrider: {refusal}");
        return ExitCode::from(USAGE);
    }
    if is_closed_pipe(error) {
        return ExitCode::SUCCESS;
    }
    eprintln!("postrider: {error:#}");
    if error.is::<client::Misuse>() {
        return ExitCode::from(USAGE);
    }
    if let Some(interrupted) = error.downcast_ref::<client::Interrupted>() {
        return ExitCode::from(interrupted.code);
    }
    ExitCode::FAILURE
}

/// Whether whoever reads what is printed has had enough, as `head` has.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
