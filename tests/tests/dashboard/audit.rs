//! Who did what at the dashboard, and who is told of it.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use harness::deployment::Deployment;
use harness::suite::Scenario;
use serde_json::{Value, json};

use crate::visitor::{Browser, a_message, portal};

pub(crate) fn scenarios() -> Vec<Scenario<Arc<Deployment>>> {
    harness::scenarios![
        what_is_repaired_at_the_dashboard_is_noted,
        a_customer_reads_their_own_log_and_of_the_operator_no_more_than_that,
    ]
}

/// The entries of an account, the oldest first.
async fn entries(deployment: &Deployment, account: &str) -> Result<Vec<Value>> {
    let path = format!("/v1/accounts/{account}/audit-log?page_size=100");
    let page = deployment.api().get(&path).await?;
    let mut entries = page["audit_entries"].as_array().context("entries")?.clone();
    entries.reverse();
    Ok(entries)
}

async fn first_endpoint(deployment: &Deployment, account: &str) -> Result<String> {
    let path = format!("/v1/accounts/{account}/endpoints");
    let page = deployment.api().get(&path).await?;
    let id = page["endpoints"][0]["id"].as_str();
    Ok(id.context("an endpoint")?.to_owned())
}

async fn what_is_repaired_at_the_dashboard_is_noted(deployment: Arc<Deployment>) -> Result<()> {
    const ACCOUNT: &str = "noted";
    let base = format!("/accounts/{ACCOUNT}");
    let (event, attempt) = a_message(&deployment, ACCOUNT).await?;
    let endpoint = first_endpoint(&deployment, ACCOUNT).await?;
    let url = portal(&deployment, ACCOUNT, &json!({})).await?;
    let customer = Browser::follow(&deployment, &url).await?;
    let before = entries(&deployment, ACCOUNT).await?.len();

    let body = format!("endpoint_id={endpoint}");
    let resend = format!("{base}/events/{event}/resend");
    customer.submit(&resend, body).await?;
    let resend = format!("{base}/attempts/{attempt}/resend");
    customer.submit(&resend, String::new()).await?;
    let recover = format!("{base}/webhooks/{endpoint}/recover");
    // A preview changes nothing.
    customer.page(&format!("{recover}?since=1h")).await?;
    let span = "after=2026-05-13T00:00:00Z&before=2026-05-14T00:00:00Z".to_owned();
    let begun = customer.submit(&recover, span).await?;
    let replay = begun.rsplit('/').next().context("its id")?.to_owned();
    customer
        .submit(&format!("{begun}/cancel"), String::new())
        .await?;
    // What is refused was not done.
    let refused = customer
        .send("POST", &recover, "after=x&before=y".to_owned())
        .await?;
    ensure!(refused.status() == 422, "{}", refused.status());

    let noted = entries(&deployment, ACCOUNT).await?.split_off(before);
    let told: Vec<(&str, &str)> = noted
        .iter()
        .map(|one| {
            let word = |name: &str| one[name].as_str().unwrap_or_default();
            (word("action"), word("via"))
        })
        .collect();
    let expected = [
        ("event.resent", "portal"),
        ("event.resent", "portal"),
        ("replay.started", "portal"),
        ("replay.cancelled", "portal"),
    ];
    ensure!(told == expected, "{noted:?}");
    for one in &noted[..2] {
        let target = one["target"].as_str().unwrap_or_default();
        ensure!(target.starts_with("dlv_"), "{one}");
    }
    ensure!(noted[2]["target"] == replay.as_str(), "{noted:?}");
    ensure!(noted[3]["target"] == replay.as_str(), "{noted:?}");
    ensure!(noted[3]["address"] == "127.0.0.1", "{noted:?}");

    let row = |what: &str| format!("<td class=\"wraps\">{what}");
    let all = customer.page(&format!("{base}/audit-log")).await?;
    for what in ["Message resent", "Recovery started", "Recovery cancelled"] {
        ensure!(all.contains(&row(what)), "{what}: {all}");
    }
    ensure!(all.contains(&format!("href=\"{begun}\"")), "{all}");
    let filtered = format!("{base}/audit-log?action=replay.started&target={replay}&range=24h");
    let filtered = customer.page(&filtered).await?;
    ensure!(
        filtered.matches("<td class=\"wraps\">").count() == 1
            && filtered.contains(&row("Recovery started")),
        "{filtered}"
    );
    let unknown = customer
        .get(&format!("{base}/audit-log?via=window"))
        .await?;
    ensure!(unknown.status() == 400, "{}", unknown.status());
    Ok(())
}

async fn a_customer_reads_their_own_log_and_of_the_operator_no_more_than_that(
    deployment: Arc<Deployment>,
) -> Result<()> {
    let api = deployment.api();
    let types = ["message.report"];
    let own = api
        .endpoint("log-own", "https://example.com/", &types)
        .await?;
    let other = api
        .endpoint("log-other", "https://example.com/", &types)
        .await?;
    let url = portal(&deployment, "log-own", &json!({})).await?;
    let customer = Browser::follow(&deployment, &url).await?;
    let operator = Browser::sign_in(&deployment, api.key()).await?;
    let entry = entries(&deployment, "log-own").await?.swap_remove(0);
    let key = entry["key_id"].as_str().context("a key")?.to_owned();

    let path = "/accounts/log-own/audit-log";
    let seen = customer.page(path).await?;
    ensure!(seen.contains(&own) && !seen.contains(&other), "{seen}");
    ensure!(
        !seen.contains(&key) && !seen.contains("127.0.0.1"),
        "{seen}"
    );
    // Not even whether a key did something is theirs to ask.
    let asked = customer
        .page(&format!("{path}?key=none-has-this-id"))
        .await?;
    ensure!(asked.contains(&own), "{asked}");

    let seen = operator.page(path).await?;
    ensure!(seen.contains(&key) && seen.contains("127.0.0.1"), "{seen}");
    let asked = operator
        .page(&format!("{path}?key=none-has-this-id"))
        .await?;
    ensure!(!asked.contains(&own), "{asked}");
    let seen = operator.page(&format!("/audit-log?target={other}")).await?;
    ensure!(
        seen.contains("href=\"/accounts/log-other/audit-log\""),
        "{seen}"
    );
    Ok(())
}
