//! PostgreSQL tells how it has answered.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use store::{Error, History, Pool};

use super::{Asks, DAYS, ask_everything, recorded};
use crate::{Databases, Engine};

pub(super) async fn every_question_goes_along_an_index(databases: &Databases) -> Result<()> {
    let history = History::new(databases.open(Engine::Postgres).await?);
    let (past, told) = recorded(&history).await?;
    history.close_days(past.day(DAYS + 1), DAYS).await?;
    ask_everything(&Explained::open(databases).await?, &past, &told).await
}

/// A history whose every answer is explained in PostgreSQL's log.
pub(crate) struct Explained {
    history: History,
    log: PathBuf,
}

impl Explained {
    pub(crate) async fn open(databases: &Databases) -> Result<Self> {
        let (url, log) = databases.postgres().await?;
        let explained = [
            ("session_preload_libraries", "auto_explain"),
            ("auto_explain.log_min_duration", "0"),
            ("auto_explain.log_analyze", "on"),
            ("auto_explain.log_format", "json"),
        ];
        let options = explained.map(|(name, value)| format!("options[{name}]={value}"));
        let url = format!("{url}?{}", options.join("&"));
        let history = History::new(Pool::open(&url).await?);
        Ok(Self { history, log })
    }
}

impl Asks for Explained {
    fn history(&self) -> &History {
        &self.history
    }

    async fn reads<T>(
        &self,
        what: &str,
        at_most: u64,
        question: impl Future<Output = Result<T, Error>>,
    ) -> Result<()> {
        let before = std::fs::metadata(&self.log)?.len();
        question.await.with_context(|| what.to_owned())?;
        let log = std::fs::read(&self.log)?;
        let log = String::from_utf8_lossy(&log[usize::try_from(before)?..]);
        let plans = plans(&log)?;
        ensure!(
            !plans.is_empty(),
            "{what}: PostgreSQL tells no plan:\n{log}"
        );
        let mut rows = 0;
        for plan in &plans {
            let mut steps = Vec::new();
            collect(&plan["Plan"], &mut steps);
            for step in steps {
                let kind = step["Node Type"].as_str().unwrap_or_default();
                let table = step["Relation Name"].as_str();
                ensure!(
                    kind != "Seq Scan",
                    "{what}: all of {table:?} is read by {}",
                    plan["Query Text"]
                );
                if table.is_some() || kind == "Bitmap Index Scan" {
                    rows += read_by(step);
                }
            }
        }
        ensure!(
            rows <= at_most,
            "{what}: {rows} rows are read, not {at_most}\n{log}"
        );
        Ok(())
    }
}

/// Rows that a step read, wanted or not.
fn read_by(step: &Value) -> u64 {
    let number = |name: &str| step[name].as_f64().unwrap_or_default();
    let each = number("Actual Rows")
        + number("Rows Removed by Filter")
        + number("Rows Removed by Index Recheck");
    (each * number("Actual Loops")) as u64
}

fn collect<'p>(plan: &'p Value, steps: &mut Vec<&'p Value>) {
    steps.push(plan);
    for inner in plan["Plans"].as_array().into_iter().flatten() {
        collect(inner, steps);
    }
}

/// The plans in a log: JSON that begins behind `plan:` and whose lines are
/// indented by a tab.
fn plans(log: &str) -> Result<Vec<Value>> {
    log.split("plan:\n")
        .skip(1)
        .map(|behind| {
            let lines = behind.lines().take_while(|line| line.starts_with('\t'));
            let json: String = lines.collect();
            serde_json::from_str(&json).with_context(|| json)
        })
        .collect()
}
