//! Tables with rows in them, brought up to this version.

use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use domain::{AccountId, EndpointId, EventId};
use futures::future::BoxFuture;
use harness::repository;
use libtest_mimic::{Failed, Trial};
use store::{AttemptFilter, Error, EventFilter, History, Pool};
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::{Databases, Engine};

/// Prints a database as it was before history was divided by day: the tables of
/// the first four migrations, the driver's note of them, and rows.
const BEFORE: &str = r#"
import hashlib, pathlib, sys
folder, blob, now = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
print(f"CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL,"
      f" installed_on {now} NOT NULL DEFAULT CURRENT_TIMESTAMP, success BOOLEAN NOT NULL,"
      f" checksum {blob} NOT NULL, execution_time BIGINT NOT NULL);")
bytes_of = (lambda text: "'" + chr(92) + "x" + text + "'") if blob == "BYTEA" else (lambda text: f"x'{text}'")
for path in sorted(folder.iterdir())[:4]:
    version, description = path.stem.split("_", 1)
    checksum = hashlib.sha384(path.read_bytes()).hexdigest()
    print(path.read_text())
    print(f"INSERT INTO _sqlx_migrations VALUES ({int(version)}, '{description}',"
          f" CURRENT_TIMESTAMP, TRUE, {bytes_of(checksum)}, 1);")
def uuid(number):
    text = f"{number:032x}"
    return f"'{text}'" if blob == "BYTEA" else f"x'{text}'"
endpoint, day = uuid(1), 86400000
print(f"INSERT INTO history_endpoints (id, account, generation, deleted)"
      f" VALUES ({endpoint}, 'acme', 0, FALSE);")
for n in range(3):
    event, at = uuid(100 + n), (20000 + n) * day + 5
    tags = '{"chat": "42", "n": "' + str(n) + '"}'
    print(f"INSERT INTO events VALUES ({event}, 'acme', 'message.report', {at}, TRUE, FALSE,"
          f" '{tags}', {bytes_of('7b7d')}, 'trace{n}');")
    print(f"INSERT INTO plans VALUES ({event}, {at + 1});")
    print(f"INSERT INTO not_sent VALUES ({event}, {uuid(2)}, 'not_subscribed');")
    state, next_at = ("pending", at + 9) if n == 2 else ("succeeded", "NULL")
    print(f"INSERT INTO deliveries (id, event_id, endpoint_id, account, event_type, cause, state,"
          f" reason, generation, accepted_at, attempts, last_number, next_attempt_at) VALUES"
          f" ({uuid(200 + n)}, {event}, {endpoint}, 'acme', 'message.report', 'event', '{state}',"
          f" '', 0, {at}, 1, 1, {next_at});")
    # Made after midnight.
    print(f"INSERT INTO attempts VALUES ({uuid(300 + n)}, {uuid(200 + n)}, {event}, {endpoint},"
          f" 'acme', 'message.report', 1, TRUE, 200, '', '', {at + day}, 7, 'https://example.com',"
          f" '{{}}', '{{}}', {bytes_of('00')}, FALSE, NULL, 'trace{n}');")
# What was planned of an event that came later, or never.
print(f"INSERT INTO plans VALUES ({uuid(900)}, {20001 * day});")
"#;

pub(crate) fn trials(runtime: &Arc<Runtime>, databases: &Arc<Databases>) -> Vec<Trial> {
    let engines = [(Engine::Sqlite, "sqlite"), (Engine::Postgres, "postgres")];
    let trial = |(engine, name): (Engine, &str)| {
        let made = |scenario: &str, run: Run| {
            let (runtime, databases) = (Arc::clone(runtime), Arc::clone(databases));
            Trial::test(format!("{name}::{scenario}"), move || {
                let ended = runtime.block_on(run(&databases, engine));
                ended.map_err(|error| Failed::from(format!("{error:#}")))
            })
        };
        [
            made("rows_of_before_are_kept", |databases, engine| {
                Box::pin(rows_of_before_are_kept(databases, engine))
            }),
            made(
                "what_a_later_version_has_added_is_no_hindrance",
                |databases, engine| {
                    Box::pin(what_a_later_version_has_added_is_no_hindrance(
                        databases, engine,
                    ))
                },
            ),
        ]
    };
    engines.into_iter().flat_map(trial).collect()
}

type Run = for<'a> fn(&'a Databases, Engine) -> BoxFuture<'a, Result<()>>;

async fn rows_of_before_are_kept(databases: &Databases, engine: Engine) -> Result<()> {
    let url = old_database(databases, engine, "old", "").await?;
    let pool = Pool::open(&url).await?;
    // Twice: a process that comes later finds it done.
    for _ in 0..2 {
        pool.migrate().await?;
    }
    let history = History::new(pool);
    let account = AccountId::parse("acme").ok().context("an account")?;
    let tagged = EventFilter {
        tag: Some(("chat".to_owned(), "42".to_owned())),
        ..EventFilter::default()
    };
    let events = history.events(&account, &tagged, None, 10).await?.rows;
    ensure!(events.len() == 3, "{events:?}");
    for event in &events {
        ensure!(event.planned && event.body == b"{}", "{event:?}");
        ensure!(
            event.tags.len() == 2 && event.not_sent.len() == 1,
            "{event:?}"
        );
        ensure!(event.deliveries.len() == 1, "{event:?}");
    }
    ensure!(events[0].deliveries[0].state == "pending", "{events:?}");
    let one = EventFilter {
        tag: Some(("n".to_owned(), "1".to_owned())),
        ..EventFilter::default()
    };
    let found = history.events(&account, &one, None, 10).await?.rows;
    ensure!(
        found.len() == 1 && found[0].id == Uuid::from_u128(101),
        "{found:?}"
    );
    let event = EventId::from_uuid(Uuid::from_u128(100));
    ensure!(history.event(&account, event).await?.is_some());
    let filter = AttemptFilter {
        endpoint: Some(EndpointId::from_uuid(Uuid::from_u128(1))),
        ..AttemptFilter::default()
    };
    let attempts = history.attempts(&account, &filter, None, 10).await?.rows;
    ensure!(attempts.len() == 3, "{attempts:?}");
    // What waited, and has never been made up for, is due.
    let overdue = history
        .overdue(attempts_end(), (i64::MIN, Uuid::nil()), 10)
        .await?;
    ensure!(
        overdue.len() == 1 && overdue[0].id == Uuid::from_u128(202),
        "{overdue:?}"
    );
    Ok(())
}

/// As during an upgrade, and after a rollback.
async fn what_a_later_version_has_added_is_no_hindrance(
    databases: &Databases,
    engine: Engine,
) -> Result<()> {
    let checksum = match engine {
        Engine::Sqlite => "x'00'",
        Engine::Postgres => "'\\x00'",
    };
    let later = format!(
        "INSERT INTO _sqlx_migrations VALUES (9999, 'later', CURRENT_TIMESTAMP, TRUE, {checksum}, 1);"
    );
    let url = old_database(databases, engine, "later", &later).await?;
    let pool = Pool::open(&url).await?;
    let refused = pool.migrate().await;
    ensure!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
    for _ in 0..2 {
        pool.prepare().await?;
    }
    let account = AccountId::parse("acme").ok().context("an account")?;
    let (history, any) = (History::new(pool), EventFilter::default());
    let events = history.events(&account, &any, None, 10).await?.rows;
    ensure!(events.len() == 3, "{events:?}");
    Ok(())
}

fn attempts_end() -> domain::Timestamp {
    domain::Timestamp::from_unix_millis(30_000 * 86_400_000)
}

/// A database with rows in it, as an earlier version left it; its address.
async fn old_database(
    databases: &Databases,
    engine: Engine,
    name: &str,
    more: &str,
) -> Result<String> {
    let migrations = repository().join("crates/store/migrations");
    let (folder, blob, now) = match engine {
        Engine::Sqlite => ("sqlite", "BLOB", "TIMESTAMP"),
        Engine::Postgres => ("postgres", "BYTEA", "TIMESTAMPTZ"),
    };
    let mut python = Command::new("python3");
    python.args(["-c", BEFORE]).arg(migrations.join(folder));
    let output = python.args([blob, now]).output()?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{error}");
    let statements = String::from_utf8(output.stdout)? + more;
    match engine {
        Engine::Sqlite => {
            let path = databases.dir.path().join(format!("{name}.db"));
            let script = "import sqlite3, sys\n\
                          sqlite3.connect(sys.argv[1]).executescript(sys.stdin.read())";
            let text = databases.dir.path().join(format!("{name}.sql"));
            std::fs::write(&text, statements)?;
            let mut python = Command::new("python3");
            python.args(["-c", script]).arg(&path);
            let status = python.stdin(std::fs::File::open(&text)?).status()?;
            ensure!(status.success(), "the old database cannot be made");
            Ok(format!("sqlite://{}", path.display()))
        }
        Engine::Postgres => databases.postgres_database(name, &statements).await,
    }
}
