//! The recipes of `docs/recipes`, started as they are and fed real deliveries:
//! each does its job once per event, and refuses what is not signed.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::deployment::Deployment;
use harness::ports::free_port;
use harness::receiver::{Answer, Receiver};
use harness::suite::Scenario;
use harness::wait::eventually;
use serde_json::{Value, json};
use tokio::process::{Child, Command};

const LIMIT: Duration = Duration::from_secs(20);

pub(crate) fn scenarios() -> Vec<Scenario<Arc<Deployment>>> {
    harness::scenarios![
        crm_sync_keeps_one_contact_per_sender,
        team_alerts_reach_slack_and_teams,
        lead_capture_writes_each_form_once,
        delivery_monitoring_counts_each_report_once,
        analytics_keep_each_event_once,
    ]
}

/// A recipe that runs, and its endpoint.
struct Recipe {
    _child: Child,
    account: String,
    endpoint: String,
    url: String,
}

impl Recipe {
    /// `variables` are those that only this recipe takes.
    async fn start(
        deployment: &Deployment,
        file: &str,
        event_types: &[&str],
        variables: &[(&str, &str)],
    ) -> Result<Self> {
        let account = format!("recipe-{}", free_port());
        let port = free_port();
        let url = format!("http://127.0.0.1:{port}/");
        let api = deployment.api();
        let endpoint = api.endpoint(&account, &url, event_types).await?;
        let program = if file.ends_with(".py") {
            "python3"
        } else {
            "node"
        };
        let child = Command::new(program)
            .arg(harness::repository().join("docs/recipes").join(file))
            .env("PORT", port.to_string())
            .env("SECRET", api.secret(&account, &endpoint).await?)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        eventually("the recipe listens", LIMIT, async || {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
            Ok(())
        })
        .await?;
        let forged = reqwest::Client::new().post(&url).body("{}");
        let status = forged.send().await?.status();
        ensure!(status == 401, "{file} takes what is not signed: {status}");
        Ok(Self {
            _child: child,
            account,
            endpoint,
            url,
        })
    }

    /// Publishes, waits until it is delivered, sends it again and waits again.
    async fn deliver(
        &self,
        deployment: &Deployment,
        event_type: &str,
        object: &Value,
    ) -> Result<()> {
        let api = deployment.api();
        let event = api.publish(&self.account, event_type, object).await?;
        self.delivered(deployment, &event, 1).await?;
        let path = format!("/v1/accounts/{}/events/{event}/resend", self.account);
        let body = json!({"endpoint_id": self.endpoint});
        api.post(202, &path, &body).await?;
        self.delivered(deployment, &event, 2).await
    }

    async fn delivered(&self, deployment: &Deployment, event: &str, times: usize) -> Result<()> {
        eventually("a delivery", LIMIT, async || {
            let attempts = deployment
                .api()
                .attempts(&self.account, &self.endpoint)
                .await?;
            let done = attempts
                .iter()
                .filter(|one| one["event_id"] == event && one["status"] == "succeeded");
            ensure!(done.count() == times, "{attempts:?}");
            Ok(())
        })
        .await
    }
}

/// Asks a database of SQLite, with Python's own.
async fn query(database: &Path, sql: &str) -> Result<Value> {
    let script = "import json, sqlite3, sys\n\
                  print(json.dumps(sqlite3.connect(sys.argv[1]).execute(sys.argv[2]).fetchall()))";
    let mut python = Command::new("python3");
    python.args(["-c", script]).arg(database).arg(sql);
    let output = python.output().await?;
    serde_json::from_slice(&output.stdout).context("rows")
}

async fn crm_sync_keeps_one_contact_per_sender(deployment: Arc<Deployment>) -> Result<()> {
    let database = deployment.dir().join("contacts.db");
    let path = database.to_str().context("a path")?;
    let types = ["message.incoming"];
    let recipe = Recipe::start(&deployment, "crm_sync.py", &types, &[("DATABASE", path)]).await?;
    // The later message comes first.
    for (text, at) in [
        ("second", "2026-05-13T12:47:00Z"),
        ("first", "2026-05-13T12:46:00Z"),
    ] {
        let object = json!({
            "sender": {"name": "Asha", "phone_number": "+91"}, "type": "TEXT",
            "text": {"body": text}, "timestamp": at,
        });
        recipe.deliver(&deployment, types[0], &object).await?;
    }
    let rows = query(
        &database,
        "SELECT name, last_message, messages FROM contacts",
    )
    .await?;
    ensure!(rows == json!([["Asha", "second", 2]]), "{rows}");
    Ok(())
}

async fn lead_capture_writes_each_form_once(deployment: Arc<Deployment>) -> Result<()> {
    let leads = deployment.dir().join("leads.csv");
    let path = leads.to_str().context("a path")?;
    let types = ["form.submitted"];
    let recipe = Recipe::start(&deployment, "lead_capture.py", &types, &[("LEADS", path)]).await?;
    let object = json!({
        "form_id": "order", "submitted_at": "2026-05-13T12:58:02Z",
        "contact": {"name": "=HYPERLINK(\"x\")", "phone_number": "+91"}, "answers": {"rating": 5},
    });
    recipe.deliver(&deployment, types[0], &object).await?;
    let csv = std::fs::read_to_string(&leads)?;
    ensure!(csv.lines().count() == 1, "{csv}");
    ensure!(
        csv.contains("'=HYPERLINK") && csv.contains("rating"),
        "{csv}"
    );
    Ok(())
}

async fn analytics_keep_each_event_once(deployment: Arc<Deployment>) -> Result<()> {
    let database = deployment.dir().join("events.db");
    let path = database.to_str().context("a path")?;
    let types = ["message.incoming", "form.submitted"];
    let recipe = Recipe::start(&deployment, "analytics.py", &types, &[("DATABASE", path)]).await?;
    for event_type in types {
        recipe
            .deliver(&deployment, event_type, &json!({"n": 1}))
            .await?;
    }
    let sql = "SELECT type, COUNT(*) FROM events GROUP BY type ORDER BY type";
    let rows = query(&database, sql).await?;
    ensure!(
        rows == json!([["form.submitted", 1], ["message.incoming", 1]]),
        "{rows}"
    );
    Ok(())
}

async fn delivery_monitoring_counts_each_report_once(deployment: Arc<Deployment>) -> Result<()> {
    let types = ["message.report"];
    let recipe = Recipe::start(&deployment, "delivery_monitoring.mjs", &types, &[]).await?;
    for status in ["SENT", "READ", "READ"] {
        recipe
            .deliver(&deployment, types[0], &json!({"status": status}))
            .await?;
    }
    let metrics = reqwest::get(format!("{}metrics", recipe.url))
        .await?
        .text()
        .await?;
    for line in [
        "messages_total{status=\"sent\"} 1",
        "messages_total{status=\"read\"} 2",
        "messages_total{status=\"failed\"} 0",
    ] {
        ensure!(metrics.contains(line), "{metrics}");
    }
    Ok(())
}

async fn team_alerts_reach_slack_and_teams(deployment: Arc<Deployment>) -> Result<()> {
    let chat = Receiver::start().await?;
    for (kind, place) in [
        ("slack", "/text"),
        ("teams", "/attachments/0/content/body/0/text"),
    ] {
        let url = chat.url(kind);
        let variables = [("CHAT", kind), ("CHAT_URL", url.as_str())];
        let types = ["endpoint.disabled"];
        let recipe = Recipe::start(&deployment, "team_alerts.mjs", &types, &variables).await?;
        // Another endpoint of the account says that it is gone.
        let api = deployment.api();
        let gone = chat.url("gone");
        chat.script("gone", [Answer::status(410)]);
        let other = api.endpoint(&recipe.account, &gone, &["message.incoming"]);
        let other = other.await?;
        let event = json!({"text": "is anybody there?"});
        api.publish(&recipe.account, "message.incoming", &event)
            .await?;
        let told = chat.wait_for(kind, 1, LIMIT).await?;
        let body: Value = serde_json::from_slice(&told[0].body)?;
        let text = body.pointer(place).and_then(Value::as_str);
        let text = text.with_context(|| body.to_string())?;
        ensure!(
            text.contains("was disabled") && text.contains(&other),
            "{text}"
        );
    }
    Ok(())
}
