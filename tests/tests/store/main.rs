//! The stores' own promises, the same on SQLite and PostgreSQL: recording
//! again and in any order changes nothing, what has arrived has succeeded, counts agree.

mod audit;
mod erasure;
mod far;
mod history;
mod long;
mod plans;
mod recording;
mod registry;
mod replay;
mod retention;
mod search;
mod upgrade;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use harness::postgres::Postgres;
use harness::suite::{Scenario, runtime, trial};
use libtest_mimic::{Arguments, Trial};
use store::Pool;
use tempfile::TempDir;
use tokio::sync::Mutex;

/// The engines under test.
#[derive(Debug, Clone, Copy)]
enum Engine {
    Sqlite,
    Postgres,
}

/// Databases that are started when they are needed and end with the program.
#[derive(Debug)]
struct Databases {
    dir: TempDir,
    postgres: Mutex<Option<Postgres>>,
}

impl Databases {
    /// PostgreSQL's address and log, once it runs.
    async fn postgres(&self) -> Result<(String, PathBuf)> {
        let mut postgres = self.postgres.lock().await;
        if postgres.is_none() {
            let mut started = Postgres::new(self.dir.path())?;
            started.start().await?;
            *postgres = Some(started);
        }
        let url = postgres.as_ref().map(Postgres::url).unwrap_or_default();
        Ok((url, self.dir.path().join("postgres.log")))
    }

    /// A database of PostgreSQL's with what these statements make; its address.
    async fn postgres_database(&self, name: &str, statements: &str) -> Result<String> {
        self.postgres().await?;
        let postgres = self.postgres.lock().await;
        let postgres = postgres.as_ref().context("it runs")?;
        postgres.execute("postgres", &format!("CREATE DATABASE {name}"))?;
        postgres.execute(name, statements)?;
        Ok(postgres.url_of(name))
    }

    /// A migrated database; every test uses ids of its own.
    async fn open(&self, engine: Engine) -> Result<Pool> {
        let url = match engine {
            Engine::Sqlite => format!("sqlite://{}", self.dir.path().join("test.db").display()),
            Engine::Postgres => self.postgres().await?.0,
        };
        let pool = Pool::open(&url).await?;
        pool.migrate().await?;
        Ok(pool)
    }
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // SQLite has one writer, and these share a database.
    arguments.test_threads = Some(1);
    let runtime = runtime();
    let dir = tempfile::Builder::new().prefix("postrider-test-").tempdir();
    let databases = Arc::new(Databases {
        dir: dir.expect("a folder for the databases can be made"),
        postgres: Mutex::default(),
    });
    let mut trials: Vec<Trial> = Vec::new();
    for (engine, name) in [(Engine::Sqlite, "sqlite"), (Engine::Postgres, "postgres")] {
        let scenarios: Vec<Scenario<Pool>> = history::scenarios()
            .into_iter()
            .chain(recording::scenarios())
            .chain(registry::scenarios())
            .chain(audit::scenarios())
            .chain(retention::scenarios())
            .chain(search::scenarios())
            .chain(erasure::scenarios())
            .chain(replay::scenarios())
            .collect();
        for scenario in scenarios {
            let (databases, handle) = (Arc::clone(&databases), runtime.clone());
            trials.push(trial(&runtime, name, scenario, move || {
                handle.block_on(databases.open(engine))
            }));
        }
    }
    trials.extend(plans::trials(&runtime, &databases));
    trials.extend(upgrade::trials(&runtime, &databases));
    trials.extend(far::trials(&runtime, &databases));
    trials.push(long::trial(&runtime, &databases));
    libtest_mimic::run(&arguments, trials).exit_code()
}
