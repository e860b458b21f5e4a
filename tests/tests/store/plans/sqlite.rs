//! SQLite explains how it would answer what the driver says it was asked.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use store::{Error, History, Pool};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context as LayerContext, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

use super::{Asks, ask_everything, recorded};
use crate::Databases;

/// What the driver has told since it was looked at last.
static STATEMENTS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Reads statements from stdin, and writes what each is to do, a list of steps.
const EXPLAIN: &str = r#"
import json, sqlite3, sys
class Nothing(dict):
    def __missing__(self, name): return None
database = sqlite3.connect(sys.argv[1])
def explain(text):
    values = Nothing() if "$" in text else (None,) * text.count("?")
    return [row[3] for row in database.execute("EXPLAIN QUERY PLAN " + text, values)]
print(json.dumps({text: explain(text) for text in json.load(sys.stdin)}))
"#;

/// What has a plan; a new connection tells of its settings too.
const QUESTIONS: [&str; 5] = ["SELECT", "WITH", "INSERT", "UPDATE", "DELETE"];

pub(super) async fn every_question_goes_along_an_index(databases: &Databases) -> Result<()> {
    // A database of its own: the others' deletes have no order to keep to.
    let path = databases.dir.path().join("plans.db");
    let pool = Pool::open(&format!("sqlite://{}", path.display())).await?;
    pool.migrate().await?;
    let history = History::new(pool);
    let (past, told) = recorded(&history).await?;
    let subscriber = tracing_subscriber::registry().with(Listener);
    // Everybody's: statements are told by the driver's own threads too.
    tracing::subscriber::set_global_default(subscriber)?;
    let asked = Sqlite {
        history,
        questions: Mutex::default(),
    };
    ask_everything(&asked, &past, &told).await?;
    let questions = asked.questions.into_inner();
    check(&path, &questions.unwrap_or_else(PoisonError::into_inner))
}

struct Sqlite {
    history: History,
    /// Which question led to which statements.
    questions: Mutex<BTreeMap<String, String>>,
}

impl Asks for Sqlite {
    fn history(&self) -> &History {
        &self.history
    }

    /// How many rows are read, SQLite does not tell.
    async fn reads<T>(
        &self,
        what: &str,
        _: u64,
        question: impl Future<Output = Result<T, Error>>,
    ) -> Result<()> {
        statements().clear();
        question.await.with_context(|| what.to_owned())?;
        let told = std::mem::take(&mut *statements());
        ensure!(!told.is_empty(), "{what}: the driver tells no statement");
        let mut questions = self
            .questions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        questions.extend(told.into_iter().map(|text| (text, what.to_owned())));
        Ok(())
    }
}

fn statements() -> MutexGuard<'static, Vec<String>> {
    STATEMENTS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn check(database: &Path, questions: &BTreeMap<String, String>) -> Result<()> {
    let mut python = Command::new("python3")
        .args(["-c", EXPLAIN])
        .arg(database)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let texts: Vec<&String> = questions
        .keys()
        .filter(|text| QUESTIONS.iter().any(|verb| text.starts_with(verb)))
        .collect();
    let mut stdin = python.stdin.take().context("a pipe")?;
    stdin.write_all(&serde_json::to_vec(&texts)?)?;
    drop(stdin);
    let output = python.wait_with_output()?;
    ensure!(output.status.success(), "python3 cannot explain");
    let plans: BTreeMap<String, Vec<String>> =
        serde_json::from_value(serde_json::from_slice::<Value>(&output.stdout)?)?;
    ensure!(plans.len() == texts.len(), "some are not explained");
    for (text, steps) in &plans {
        for step in steps {
            ensure!(
                !reads_a_whole_table(step),
                "{}: {step}, for {text}",
                questions[text]
            );
        }
    }
    Ok(())
}

/// `SCAN` reads all of something: of a table it may be only along an index that is
/// to be read as a whole, which is what partial ones are for.
fn reads_a_whole_table(step: &str) -> bool {
    const MADE_UP: [&str; 8] = [
        "keys",
        "near",
        "looked_at",
        "told",
        "matching",
        "tag",
        "turns",
        "(",
    ];
    let Some(what) = step.strip_prefix("SCAN ") else {
        return false;
    };
    // `VALUES`, of one row or of several.
    let given = what.contains("CONSTANT ROW");
    !given && !what.contains("USING") && !MADE_UP.iter().any(|name| what.starts_with(name))
}

/// Hears what the driver tells.
struct Listener;

impl<S: Subscriber + for<'s> LookupSpan<'s>> Layer<S> for Listener {
    fn on_event(&self, event: &Event<'_>, _: LayerContext<'_, S>) {
        if event.metadata().target() == "sqlx::query" {
            let mut text = Text::default();
            event.record(&mut text);
            let Text { whole, summary } = text;
            let text = if whole.trim().is_empty() {
                summary
            } else {
                whole
            };
            statements().push(text.trim().to_owned());
        }
    }
}

/// A statement: whole, unless its summary is.
#[derive(Default)]
struct Text {
    whole: String,
    summary: String,
}

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "db.statement" => value.clone_into(&mut self.whole),
            "summary" => value.clone_into(&mut self.summary),
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}
