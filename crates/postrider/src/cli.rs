//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::client;
use crate::config::Setting;
use crate::nats;
use crate::plan;
use crate::roles::Role;

/// Sends webhooks: publish an event once, and it is delivered, signed, retried
/// and recorded.
#[derive(Debug, Parser)]
#[command(name = "postrider", version, propagate_version = true)]
pub(crate) struct Cli {
    /// A TOML file with settings; environment and flags win over it
    #[arg(long, global = true, env = "POSTRIDER_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run everything in one process, with a nats-server and SQLite of its own
    Standalone(Standalone),
    /// Run the role that accepts events over gRPC
    Ingest(Process),
    /// Run the role that decides which endpoints get an event
    Fanout(Process),
    /// Run the role that POSTs to endpoints and retries
    Dispatcher(Process),
    /// Run the role that records what happened; or, as a client, read it
    #[command(args_conflicts_with_subcommands = true)]
    History {
        #[command(flatten)]
        process: Process,
        #[command(subcommand)]
        command: Option<client::history::Command>,
    },
    /// Run the role that holds endpoints and keys and answers REST
    Control(Process),
    /// Bring the database to this version's schema and, with nats_url, the streams too
    Migrate {
        /// Move what waits to the configured number of partitions; only while no
        /// fanout, dispatcher, history and control runs
        #[arg(long)]
        repartition: bool,
    },
    /// Show or check the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Ask the admin address whether the process is ready; exits with 0 or 1
    Healthcheck {
        #[command(flatten)]
        process: Process,
        /// Ask only whether it is alive
        #[arg(long)]
        live: bool,
    },
    /// Make, list and revoke keys
    #[command(subcommand)]
    Key(client::key::Command),
    /// Work with endpoints
    #[command(subcommand)]
    Endpoint(client::endpoint::Command),
    /// Publish events
    #[command(subcommand)]
    Event(client::event::Command),
    /// Send a recorded event to an endpoint again
    Resend(client::event::Resend),
    /// Send the events of a span of time to an endpoint again, and watch it
    Replay(client::replay::Replay),
    /// Have events forgotten, and wait until they are
    Erase(client::erase::Erase),
    /// Estimate what a load needs: replicas, disk, network, cost
    Plan(plan::Plan),
    /// Bring an account's events to this machine as they come, for development
    Listen(client::listen::Listen),
    /// Standalone with receivers and sample events
    #[command(hide = true)]
    Demo(Standalone),
    #[command(name = nats::child::NAME, hide = true)]
    NatsChild(nats::child::Arguments),
}

/// Flags of every process that runs roles.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Process {
    /// Where REST listens [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    http_addr: Option<String>,
    /// Where all gRPC services listen [default: 127.0.0.1:50051]
    #[arg(long, value_name = "ADDRESS")]
    grpc_addr: Option<String>,
    /// Where /livez, /readyz and /metrics listen [default: 127.0.0.1:9090]
    #[arg(long, value_name = "ADDRESS")]
    admin_addr: Option<String>,
    /// Allow http:// and loopback targets, log for people
    #[arg(long)]
    dev: bool,
    /// What is logged: a level, or directives [default: info]
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// json or text
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

/// Flags of standalone.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Standalone {
    /// Where everything is kept [default: ./data]
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<String>,
    #[command(flatten)]
    process: Process,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print every setting with its value and where it comes from
    Show {
        #[command(flatten)]
        standalone: Standalone,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Check the configuration and explain what is probably not meant
    Check {
        /// What is to run with it
        #[arg(value_enum, default_value = "standalone")]
        target: Target,
        #[command(flatten)]
        standalone: Standalone,
    },
}

/// What a configuration is checked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Target {
    Standalone,
    Ingest,
    Fanout,
    Dispatcher,
    History,
    Control,
}

impl Target {
    /// The roles that run in it.
    pub(crate) fn roles(self) -> &'static [Role] {
        match self {
            Self::Standalone => Role::ALL,
            Self::Ingest => &[Role::Ingest],
            Self::Fanout => &[Role::Fanout],
            Self::Dispatcher => &[Role::Dispatcher],
            Self::History => &[Role::History],
            Self::Control => &[Role::Control],
        }
    }
}

/// Settings that flags give.
pub(crate) type Flags = Vec<(Setting, Option<String>)>;

impl Process {
    pub(crate) fn flags(&self) -> Flags {
        vec![
            (Setting::HttpAddr, self.http_addr.clone()),
            (Setting::GrpcAddr, self.grpc_addr.clone()),
            (Setting::AdminAddr, self.admin_addr.clone()),
            (Setting::Dev, self.dev.then(|| "true".to_owned())),
            (Setting::Log, self.log.clone()),
            (Setting::LogFormat, self.log_format.clone()),
        ]
    }
}

impl Standalone {
    pub(crate) fn flags(&self) -> Flags {
        let mut flags = self.process.flags();
        flags.push((Setting::DataDir, self.data_dir.clone()));
        flags
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn history_is_a_role_and_a_client() {
        let role = Cli::try_parse_from(["postrider", "history", "--grpc-addr", "127.0.0.1:1"]);
        assert!(matches!(
            role.map(|cli| cli.command),
            Ok(Command::History { command: None, .. })
        ));
        let client = Cli::try_parse_from(["postrider", "history", "list", "--account", "acme"]);
        assert!(matches!(
            client.map(|cli| cli.command),
            Ok(Command::History {
                command: Some(client::history::Command::List(_)),
                ..
            })
        ));
    }
}
