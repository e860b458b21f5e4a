//! From the command line to what it starts.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use broker::topology::Differing;

use crate::cli::{Cli, Command, ConfigCommand, Flags, Standalone, Target};
use crate::config::{self, Config, Environment, Setting, Values, Warning};
use crate::logs::Logs;
use crate::roles::Role;
use crate::{client, database, demo, plan, serve, streams};

const STREAMS_LIMIT: Duration = Duration::from_secs(600);
const HEALTHCHECK_LIMIT: Duration = Duration::from_secs(5);

/// Runs the command.
///
/// # Errors
///
/// A [`config::Error`] makes the process exit with 64, any other with 1.
pub(crate) async fn run(cli: Cli) -> Result<ExitCode> {
    let file = cli.config;
    match cli.command {
        Command::Standalone(flags) => standalone(&flags, file).await?,
        Command::Ingest(process) => role(Role::Ingest, process.flags(), file).await?,
        Command::Fanout(process) => role(Role::Fanout, process.flags(), file).await?,
        Command::Dispatcher(process) => role(Role::Dispatcher, process.flags(), file).await?,
        Command::History {
            command: Some(command),
            ..
        } => client::history::run(command).await?,
        Command::History { process, .. } => role(Role::History, process.flags(), file).await?,
        Command::Control(process) => role(Role::Control, process.flags(), file).await?,
        Command::Migrate { repartition } => {
            migrate(&Loaded::new(&Vec::new(), file)?, repartition).await?;
        }
        Command::Config(ConfigCommand::Show { standalone, json }) => {
            show(&Loaded::new(&standalone.flags(), file)?, json)?;
        }
        Command::Config(ConfigCommand::Check { target, standalone }) => {
            check(&Loaded::new(&standalone.flags(), file)?, target)?;
        }
        Command::Healthcheck { process, live } => {
            return healthcheck(&Loaded::new(&process.flags(), file)?.config, live).await;
        }
        Command::Key(command) => {
            let settings = |flags: &Flags| Ok(Loaded::new(flags, file)?.config);
            client::key::run(command, settings).await?;
        }
        Command::Endpoint(command) => client::endpoint::run(command).await?,
        Command::Event(command) => client::event::run(command).await?,
        Command::Resend(resend) => client::event::resend(resend).await?,
        Command::Replay(replay) => client::replay::run(replay).await?,
        Command::Erase(erase) => client::erase::run(erase).await?,
        Command::Plan(load) => plan::run(&load)?,
        Command::Listen(listen) => client::listen::run(listen).await?,
        Command::Demo(flags) => demo::run(Loaded::new(&flags.flags(), file)?).await?,
        // Handled before the runtime was started.
        Command::NatsChild(_) => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// A configuration, and what it was made from.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    pub(crate) values: Values,
    environment: Environment,
}

impl Loaded {
    /// Reads all sources.
    ///
    /// # Errors
    ///
    /// When a source cannot be read or a value is not valid.
    pub(crate) fn new(flags: &Flags, file: Option<PathBuf>) -> Result<Self, config::Error> {
        let environment = config::environment();
        let values = Values::merge(flags, &environment, file.as_deref())?;
        let config = Config::parse(&values)?;
        Ok(Self {
            config,
            values,
            environment,
        })
    }

    /// What its operator should know.
    pub(crate) fn warnings(&self, roles: &[Role], standalone: bool) -> Vec<Warning> {
        config::warnings(
            &self.config,
            &self.values,
            &self.environment,
            roles,
            standalone,
        )
    }
}

async fn role(role: Role, flags: Flags, file: Option<PathBuf>) -> Result<()> {
    let loaded = Loaded::new(&flags, file)?;
    Config::suffices_for(&loaded.values, &[role])?;
    serve::role(role, loaded).await
}

async fn standalone(flags: &Standalone, file: Option<PathBuf>) -> Result<()> {
    serve::standalone(Loaded::new(&flags.flags(), file)?, None).await
}

async fn migrate(loaded: &Loaded, repartition: bool) -> Result<()> {
    let Some(url) = &loaded.config.database_url else {
        let missing = config::Error::Missing {
            setting: Setting::DatabaseUrl,
            what: "migrate",
        };
        return Err(missing.into());
    };
    database::migrate(&database::open(url).await?).await?;
    print("the database has this version's schema")?;
    if loaded.config.nats_url.is_none() && !repartition {
        return Ok(());
    }
    Logs::start(&loaded.config);
    let broker = streams::connect(&loaded.config, "migrate").await?;
    if repartition {
        let partitions = loaded.config.partitions;
        let moved = broker.repartition(partitions).await;
        let moved = moved.context("what waits is not moved yet: run this again")?;
        for (stream, count) in moved.into_iter().flatten() {
            print(&format!("{stream}: {count} messages moved"))?;
        }
        print(&format!("there are {partitions} partitions"))?;
    }
    tokio::time::timeout(
        STREAMS_LIMIT,
        streams::ensure(&broker, &loaded.config, Differing::Changed),
    )
    .await
    .context("nats-server has not confirmed the streams within 10 minutes")??;
    print("the streams are as this version wants them")
}

fn show(loaded: &Loaded, json: bool) -> Result<()> {
    if json {
        let settings: serde_json::Map<String, serde_json::Value> = loaded
            .values
            .shown()
            .map(|(setting, value, origin)| {
                (
                    setting.key().to_owned(),
                    serde_json::json!({"value": value, "from": origin}),
                )
            })
            .collect();
        return print(&serde_json::to_string_pretty(&settings)?);
    }
    for (setting, value, origin) in loaded.values.shown() {
        let value = if value.is_empty() { "-" } else { &value };
        print(&format!("{:<20}  {value:<42}  {origin}", setting.key()))?;
    }
    Ok(())
}

fn check(loaded: &Loaded, target: Target) -> Result<()> {
    let standalone = target == Target::Standalone;
    if !standalone {
        Config::suffices_for(&loaded.values, target.roles())?;
    }
    let warnings = loaded.warnings(target.roles(), standalone);
    for warning in &warnings {
        print(&format!("warning: {}: {}", warning.about, warning.text))?;
    }
    match warnings.len() {
        0 => print("the configuration is good"),
        1 => print("the configuration is valid, with 1 warning"),
        count => print(&format!(
            "the configuration is valid, with {count} warnings"
        )),
    }
}

async fn healthcheck(config: &Config, live: bool) -> Result<ExitCode> {
    let mut address = config.admin_addr;
    if address.ip().is_unspecified() {
        address.set_ip(serve::loopback_like(address.ip()));
    }
    let path = if live { "livez" } else { "readyz" };
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(HEALTHCHECK_LIMIT)
        .build()?;
    let answer = client
        .get(format!("http://{address}/{path}"))
        .send()
        .await?;
    let status = answer.status();
    print(answer.text().await?.trim())?;
    Ok(if status.is_success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn print(text: &str) -> Result<()> {
    writeln!(std::io::stdout().lock(), "{text}")?;
    Ok(())
}
