//! Connections to one of two engines.

use std::str::FromStr as _;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection as _, Executor as _, PgPool, Sqlite, SqlitePool};
use tokio::time::timeout;
use tracing::debug;

use crate::Error;

/// A caller waits this long for a connection, then for its statements.
const ACQUIRE: Duration = Duration::from_secs(3);
pub(crate) const STATEMENTS: Duration = Duration::from_secs(5);
const BUSY: Duration = Duration::from_secs(3);
const CONNECTIONS: u32 = 16;
/// A connection that has lain longer than this is tested before it is used. Not
/// every one: that is a round trip more, as long as most answers take.
const UNTESTED: Duration = Duration::from_secs(1);
/// PostgreSQL's. A new one opens the tables of ninety days one after the other, as they are
/// asked for, which takes longer than most answers.
const LIFETIME: Duration = Duration::from_secs(6 * 3_600);
/// Recording has a text for each table and number of rows.
const STATEMENTS_KEPT: usize = 256;
/// SQLite's, in KiB behind the minus: where rows are added stays in memory.
const CACHE: &str = "-32768";
/// In pages of 4 KiB: what every batch changes is copied back seldom.
const CHECKPOINT: &str = "8192";
const READERS: u32 = 4;
/// Every question goes along an index that has its order. A table of a day that
/// has just begun has no statistics, and by a guess all of it would be read and
/// sorted. What has no index works as ever. Compiling takes longer than
/// answering, and so does planning anew for each answer over the tables of 90 days.
const PLANNING: &str = "SET enable_seqscan = off; SET enable_bitmapscan = off; SET jit = off; \
    SET plan_cache_mode = force_generic_plan";

static SQLITE: Migrator = sqlx::migrate!("./migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("./migrations/postgres");

/// Runs a body, once written and compiled for each engine, on a connection for
/// reading.
macro_rules! reading {
    ($pool:expr, $connection:ident => $body:block) => {
        $crate::pool::bounded(async {
            match &$pool.0 {
                $crate::pool::Engine::Sqlite { read, .. } => {
                    let mut $connection = read.acquire().await?;
                    let out: Result<_, $crate::Error> = async { $body }.await;
                    out
                }
                $crate::pool::Engine::Postgres(pool) => {
                    let mut $connection = pool.acquire().await?;
                    let out: Result<_, $crate::Error> = async { $body }.await;
                    out
                }
            }
        })
        .await
    };
}

/// Runs a body, once written and compiled for each engine, in a transaction
/// that is rolled back if the body fails.
macro_rules! transaction {
    ($pool:expr, $tx:ident => $body:block) => {
        $crate::pool::bounded(async {
            match &$pool.0 {
                $crate::pool::Engine::Sqlite { write, .. } => {
                    let mut connection = write.acquire().await?;
                    let done: Result<_, $crate::Error> = async {
                        let begin =
                            sqlx::Connection::begin_with(&mut *connection, "BEGIN IMMEDIATE");
                        let mut $tx = begin.await?;
                        let out: Result<_, $crate::Error> = async { $body }.await;
                        let out = out?;
                        $tx.commit().await?;
                        Ok(out)
                    }
                    .await;
                    $crate::pool::give_back(connection, done).await
                }
                $crate::pool::Engine::Postgres(pool) => {
                    let mut $tx = pool.begin().await?;
                    let out: Result<_, $crate::Error> = async { $body }.await;
                    let out = out?;
                    $tx.commit().await?;
                    Ok(out)
                }
            }
        })
        .await
    };
}

/// Gives back the connection of a transaction, or closes it if that failed for a
/// full disk or the like: SQLite has rolled it back then, and the driver, which
/// counts it as open, would refuse every later one.
pub(crate) async fn give_back<T>(
    connection: PoolConnection<Sqlite>,
    done: Result<T, Error>,
) -> Result<T, Error> {
    if done.as_ref().is_err_and(Error::is_outage)
        && let Err(error) = connection.close().await
    {
        debug!(%error, "a connection to SQLite is not closed in order");
    }
    done
}

/// Connections to the database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Pool(pub(crate) Engine);

#[derive(Debug, Clone)]
pub(crate) enum Engine {
    Sqlite {
        /// SQLite has one writer at a time: waiting for it in a queue is fair,
        /// and trying again and again is not.
        write: SqlitePool,
        read: SqlitePool,
    },
    Postgres(PgPool),
}

/// The connections of a pool.
#[derive(Debug, Clone, Copy)]
pub struct Connections {
    /// `read` or `write` of SQLite, `all` of PostgreSQL.
    pub name: &'static str,
    pub idle: u64,
    pub used: u64,
    pub limit: u64,
}

impl Pool {
    /// Prepares connections to `sqlite://<path>` or `postgres://…`; they are
    /// made when they are needed.
    ///
    /// # Errors
    ///
    /// [`Error::Configuration`].
    pub async fn open(url: &str) -> Result<Self, Error> {
        if url.starts_with("sqlite:") {
            let options = SqliteConnectOptions::from_str(url)?
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .foreign_keys(true)
                .busy_timeout(BUSY);
            let writing = options
                .clone()
                .statement_cache_capacity(STATEMENTS_KEPT)
                .pragma("cache_size", CACHE)
                // What is deleted is overwritten: it may have been erased.
                .pragma("secure_delete", "ON")
                // What a statement that is refused midway takes back is some pages for
                // each batch. It would go into a file otherwise, to be forgotten.
                .pragma("temp_store", "MEMORY")
                .pragma("wal_autocheckpoint", CHECKPOINT);
            let pool = |connections, options| {
                SqlitePoolOptions::new()
                    .max_connections(connections)
                    .test_before_acquire(false)
                    .acquire_timeout(ACQUIRE)
                    .connect_lazy_with(options)
            };
            return Ok(Self(Engine::Sqlite {
                write: pool(1, writing),
                read: pool(READERS, options),
            }));
        }
        if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            let options = PgConnectOptions::from_str(url)?.application_name("postrider");
            let pool = PgPoolOptions::new()
                .max_connections(CONNECTIONS)
                .max_lifetime(LIFETIME)
                .acquire_timeout(ACQUIRE)
                .test_before_acquire(false)
                .before_acquire(|connection, held| {
                    Box::pin(async move {
                        let is_fresh = held.idle_for < UNTESTED;
                        Ok(is_fresh || connection.ping().await.is_ok())
                    })
                })
                .after_connect(|connection, _| {
                    Box::pin(async move { connection.execute(PLANNING).await.map(drop) })
                })
                .connect_lazy_with(options);
            return Ok(Self(Engine::Postgres(pool)));
        }
        Err(Error::Configuration(
            "use sqlite://<path> or postgres://<address>".to_owned(),
        ))
    }

    /// How many connections there are, for each pool of this.
    #[must_use]
    pub fn connections(&self) -> Vec<Connections> {
        fn of<DB: sqlx::Database>(name: &'static str, pool: &sqlx::Pool<DB>) -> Connections {
            let (open, idle) = (u64::from(pool.size()), pool.num_idle() as u64);
            Connections {
                name,
                idle,
                used: open.saturating_sub(idle),
                limit: u64::from(pool.options().get_max_connections()),
            }
        }
        match &self.0 {
            Engine::Sqlite { write, read } => vec![of("write", write), of("read", read)],
            Engine::Postgres(pool) => vec![of("all", pool)],
        }
    }

    /// Brings the tables up to this version, if a later one has not changed them
    /// yet: what a version adds, the one before it can work with.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn prepare(&self) -> Result<(), Error> {
        self.migrate_beside(true).await
    }

    /// Brings the tables up to this version; any number of processes may do it
    /// at once.
    ///
    /// # Errors
    ///
    /// An outage, or tables that a later version has made.
    pub async fn migrate(&self) -> Result<(), Error> {
        self.migrate_beside(false).await
    }

    /// `later`: whether there may be migrations that this version does not know.
    async fn migrate_beside(&self, later: bool) -> Result<(), Error> {
        let migrator = |known: &'static Migrator| Migrator {
            ignore_missing: later,
            migrations: known.migrations.clone(),
            ..Migrator::DEFAULT
        };
        let migrated = match &self.0 {
            Engine::Sqlite { write, .. } => {
                let mut connection = write.acquire().await?;
                // The rows of an index that is made are sorted there.
                connection.execute("PRAGMA temp_store = FILE").await?;
                let migrating = migrator(&SQLITE);
                let migrated = migrating.run_direct(None, &mut *connection, false).await;
                let restored = connection.execute("PRAGMA temp_store = MEMORY").await;
                migrated.and(restored.map(drop).map_err(MigrateError::Execute))
            }
            Engine::Postgres(pool) => {
                let mut connection = pool.acquire().await?;
                let migrating = migrator(&POSTGRES);
                let migrated = migrating.run_direct(None, &mut *connection, false).await;
                // It still holds the lock that others would wait for.
                if migrated.is_err()
                    && let Err(error) = connection.close().await
                {
                    debug!(%error, "a connection to PostgreSQL is not closed in order");
                }
                migrated
            }
        };
        migrated.map_err(|error| match error {
            MigrateError::Execute(error) => error.into(),
            MigrateError::VersionMissing(_) => Error::Refused(format!(
                "{error}: a later version of Postrider has migrated this database; run that one"
            )),
            other => Error::Refused(other.to_string()),
        })
    }

    /// Whether the database answers.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn ping(&self) -> Result<(), Error> {
        reading!(self, connection => {
            sqlx::query("SELECT 1").execute(&mut *connection).await?;
            Ok(())
        })
    }
}

/// Fails with an outage when the statements take too long.
pub(crate) async fn bounded<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    timeout(STATEMENTS + ACQUIRE, work)
        .await
        .map_err(|_| Error::Unavailable("no answer in time".to_owned()))?
}
