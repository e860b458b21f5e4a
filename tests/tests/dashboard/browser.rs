//! Chromium at the dashboard. Each script of `tests/browser` is a story: it
//! brings its own receiver, and calls REST where a customer's platform would.

use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use domain::{AccountId, Timestamp};
use harness::deployment::{Deployment, Mode};
use harness::past::Past;
use harness::suite::Scenario;
use serde_json::json;
use store::{History, Pool};
use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(240);

/// A browser is most of a small machine.
static ONE_AT_A_TIME: Semaphore = Semaphore::const_new(1);

pub(crate) fn scenarios() -> Vec<Scenario<Arc<Deployment>>> {
    harness::scenarios![
        a_customer_sets_up_breaks_repairs_and_deletes_an_endpoint,
        the_same_way_works_without_script,
        every_action_can_be_done_by_keyboard,
        new_rows_arrive_live_and_move_nothing,
        what_strangers_send_is_shown_inert,
        anything_is_found_recovered_and_proved,
        what_was_erased_and_what_is_not_sent_again_is_told,
        a_customer_reads_who_changed_what,
        who_changed_what_is_told_without_script,
        the_operator_sees_accounts_fleet_keys_and_the_log,
        a_site_that_is_named_may_frame_it_and_no_other,
        copying_works_without_a_secure_context,
        the_readmes_pictures_are_of_this_dashboard,
    ]
}

async fn a_customer_sets_up_breaks_repairs_and_deletes_an_endpoint(
    deployment: Arc<Deployment>,
) -> Result<()> {
    tell(&deployment, "journey", &[("ACCOUNT", "journey")]).await
}

async fn the_same_way_works_without_script(deployment: Arc<Deployment>) -> Result<()> {
    let plain = [("ACCOUNT", "journey-plain"), ("SCRIPT", "off")];
    tell(&deployment, "journey", &plain).await
}

async fn every_action_can_be_done_by_keyboard(deployment: Arc<Deployment>) -> Result<()> {
    tell(&deployment, "keyboard", &[]).await
}

async fn new_rows_arrive_live_and_move_nothing(deployment: Arc<Deployment>) -> Result<()> {
    tell(&deployment, "live", &[]).await
}

async fn what_strangers_send_is_shown_inert(deployment: Arc<Deployment>) -> Result<()> {
    tell(&deployment, "inert", &[]).await
}

async fn anything_is_found_recovered_and_proved(deployment: Arc<Deployment>) -> Result<()> {
    tell(&deployment, "tools", &[]).await
}

async fn what_was_erased_and_what_is_not_sent_again_is_told(
    deployment: Arc<Deployment>,
) -> Result<()> {
    tell(&deployment, "erased", &[]).await
}

async fn a_customer_reads_who_changed_what(deployment: Arc<Deployment>) -> Result<()> {
    tell(&deployment, "audit", &[("ACCOUNT", "audit")]).await
}

async fn who_changed_what_is_told_without_script(deployment: Arc<Deployment>) -> Result<()> {
    let plain = [("ACCOUNT", "audit-plain"), ("SCRIPT", "off")];
    tell(&deployment, "audit", &plain).await
}

async fn the_operator_sees_accounts_fleet_keys_and_the_log(
    deployment: Arc<Deployment>,
) -> Result<()> {
    tell(&deployment, "operator", &[]).await
}

async fn a_site_that_is_named_may_frame_it_and_no_other(deployment: Arc<Deployment>) -> Result<()> {
    tell(&deployment, "frame", &[]).await
}

async fn copying_works_without_a_secure_context(deployment: Arc<Deployment>) -> Result<()> {
    tell(&deployment, "copy", &[]).await
}

/// `make screenshots` keeps them.
async fn the_readmes_pictures_are_of_this_dashboard(deployment: Arc<Deployment>) -> Result<()> {
    // The past goes straight into its database.
    if deployment.mode() != Mode::Standalone {
        return Ok(());
    }
    let shots = deployment.dir().join("shots");
    let kept = std::env::var("POSTRIDER_SCREENSHOTS").map_or(shots, Into::into);
    std::fs::create_dir_all(&kept)?;
    let endpoint = with_a_past(&deployment, "acme").await?;
    let variables = [
        ("PICTURES", kept.to_str().context("a path")?),
        ("ACCOUNT", "acme"),
        ("ENDPOINT", &endpoint),
    ];
    tell(&deployment, "pictures", &variables).await?;
    let readme = std::fs::read_to_string(harness::repository().join("README.md"))?;
    for entry in std::fs::read_dir(&kept)? {
        let name = entry?.file_name();
        let path = format!("docs/images/{}", name.to_str().context("a name")?);
        ensure!(readme.contains(&path), "the README does not show {path}");
        let stands = harness::repository().join(&path);
        ensure!(stands.exists(), "{path} is missing: make screenshots");
    }
    Ok(())
}

/// Three endpoints with a day behind them; the id of the first.
async fn with_a_past(deployment: &Deployment, account: &str) -> Result<String> {
    let path = deployment.dir().join("data/postrider.db");
    let pool = Pool::open(&format!("sqlite://{}", path.display())).await?;
    let history = History::new(pool);
    let endpoints = [
        (
            "Analytics",
            "https://metrics.example.com/in",
            90,
            "form.submitted",
        ),
        (
            "Team alerts",
            "https://chat.example.com/hooks/ops",
            400,
            "message.incoming",
        ),
        (
            "CRM sync",
            "https://crm.example.com/webhooks",
            1_500,
            "message.report",
        ),
    ];
    let mut last = String::new();
    for (description, url, per_day, event_type) in endpoints {
        let body = json!({
            "url": url, "description": description,
            "event_types": ["message.incoming", event_type, "endpoint.disabled"],
        });
        let path = format!("/v1/accounts/{account}/endpoints");
        let made = deployment.api().post(201, &path, &body).await?;
        last = made["id"].as_str().context("an id")?.to_owned();
        let start = Timestamp::from(SystemTime::now()).minus(Duration::from_secs(86_400));
        let past = Past::of(AccountId::parse(account)?, last.parse()?, start, per_day);
        for chapter in past.chapters(0) {
            history.record(chapter?.batch()).await?;
        }
    }
    Ok(last)
}

async fn tell(deployment: &Deployment, story: &str, variables: &[(&str, &str)]) -> Result<()> {
    let _turn = ONE_AT_A_TIME.acquire().await?;
    let mut node = Command::new("node");
    node.arg(format!("{story}.mjs"))
        .current_dir(harness::repository().join("tests/browser"))
        .env("BASE", deployment.http())
        .env("KEY", deployment.api().key())
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = timeout(LIMIT, node.output())
        .await
        .context("the browser does not end")??;
    ensure!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
