//! Lists of several pages lead to the end and back, also under a filter; and what
//! goes wrong is told by a page.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::deployment::Deployment;
use harness::receiver::Receiver;
use harness::suite::Scenario;
use harness::wait::eventually;
use serde_json::json;

use crate::visitor::{Browser, portal};

const LIMIT: Duration = Duration::from_secs(20);

pub(crate) fn scenarios() -> Vec<Scenario<Arc<Deployment>>> {
    harness::scenarios![
        messages_go_on_by_next_and_previous_within_a_time_range,
        the_audit_log_goes_on_by_next_and_previous,
        whatever_goes_wrong_is_told_by_a_page,
        a_form_that_is_out_of_date_replaces_nothing_unseen,
    ]
}

/// Where the link of this name leads.
fn link<'a>(page: &'a str, name: &str) -> Option<&'a str> {
    let before = page.split_once(&format!("\">{name}</a>"))?.0;
    before.rsplit_once("href=\"").map(|(_, href)| href)
}

/// Goes along a list by links of this name; the pages, this one included.
async fn walk(browser: &Browser, list: &str, query: &str, name: &str) -> Result<Vec<String>> {
    let mut pages = vec![browser.page(&format!("{list}{query}")).await?];
    while let Some(to) = link(pages.last().context("a page")?, name) {
        let to = format!("{list}{}", to.replace("&#38;", "&").replace("&amp;", "&"));
        pages.push(browser.page(&to).await?);
        ensure!(pages.len() < 10, "{name} does not end");
    }
    Ok(pages)
}

/// Values of an attribute or behind a tag, each once.
fn all<'a>(pages: &'a [String], mark: &str) -> BTreeSet<&'a str> {
    let parts = pages.iter().flat_map(|page| page.split(mark).skip(1));
    parts
        .filter_map(|part| part.split(['"', '<']).next())
        .collect()
}

async fn messages_go_on_by_next_and_previous_within_a_time_range(
    deployment: Arc<Deployment>,
) -> Result<()> {
    const ACCOUNT: &str = "pages";
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let types = ["message.report"];
    let endpoint = api.endpoint(ACCOUNT, &receiver.url("hook"), &types).await?;
    let event = json!({"type": types[0], "object": {}});
    let batch = json!({"events": vec![event; 45]});
    let path = format!("/v1/accounts/{ACCOUNT}/events/batch");
    api.post(200, &path, &batch).await?;
    eventually("all is recorded", LIMIT, || async {
        let recorded = api.attempts(ACCOUNT, &endpoint).await?.len();
        ensure!(recorded == 45, "{recorded}");
        Ok(())
    })
    .await?;
    let url = portal(&deployment, ACCOUNT, &json!({})).await?;
    let customer = Browser::follow(&deployment, &url).await?;
    let list = format!("/accounts/{ACCOUNT}/webhooks/{endpoint}/messages");
    let there = walk(&customer, &list, "?range=24h&status=succeeded", "Next").await?;
    ensure!(there.len() == 3, "{} pages", there.len());
    ensure!(all(&there, "data-id=\"").len() == 45);
    let last = link(&there[1], "Next").context("a last page")?;
    let last = last.replace("&#38;", "&").replace("&amp;", "&");
    let back = walk(&customer, &list, &last, "Previous").await?;
    ensure!(all(&back, "data-id=\"").len() == 45);
    ensure!(all(&back[2..], "data-id=\"") == all(&there[..1], "data-id=\""));
    Ok(())
}

async fn the_audit_log_goes_on_by_next_and_previous(deployment: Arc<Deployment>) -> Result<()> {
    const ACCOUNT: &str = "audit-pages";
    let api = deployment.api();
    let mut ids = Vec::new();
    for _ in 0..60 {
        let made = api.endpoint(ACCOUNT, "https://example.com/", &["message.report"]);
        ids.push(made.await?);
    }
    let log = api
        .get(&format!("/v1/accounts/{ACCOUNT}/audit-log"))
        .await?;
    ensure!(
        log["next_page_token"]
            .as_str()
            .is_some_and(|token| !token.is_empty())
    );
    ensure!(log["prev_page_token"] == "", "{log}");
    let url = portal(&deployment, ACCOUNT, &json!({})).await?;
    let customer = Browser::follow(&deployment, &url).await?;
    let list = format!("/accounts/{ACCOUNT}/audit-log");
    let query = "?action=endpoint.created&range=7d";
    let there = walk(&customer, &list, query, "Next").await?;
    ensure!(there.len() == 2, "{} pages", there.len());
    let made: BTreeSet<&str> = ids.iter().map(String::as_str).collect();
    ensure!(all(&there, "<code>") == made, "{there:?}");
    let last = link(&there[0], "Next").context("a last page")?;
    let last = last.replace("&#38;", "&").replace("&amp;", "&");
    let back = walk(&customer, &list, &last, "Previous").await?;
    ensure!(all(&back[1..], "<code>") == all(&there[..1], "<code>"));
    Ok(())
}

async fn whatever_goes_wrong_is_told_by_a_page(deployment: Arc<Deployment>) -> Result<()> {
    const ACCOUNT: &str = "wrong-ways";
    let api = deployment.api();
    let made = api.endpoint(ACCOUNT, "https://example.com/", &["message.report"]);
    let id = made.await?;
    let url = portal(&deployment, ACCOUNT, &json!({})).await?;
    let customer = Browser::follow(&deployment, &url).await?;
    let base = format!("/accounts/{ACCOUNT}");
    let endpoint = format!("{base}/webhooks/{id}");
    let large = format!("url={}", "a".repeat(1_100_000));
    let none = String::new;
    let cases = [
        (404, "GET", format!("{base}/nope"), none()),
        (404, "GET", format!("{endpoint}/nope"), none()),
        (404, "POST", format!("{endpoint}/nope"), none()),
        (404, "GET", format!("{base}/webhooks/nobody's"), none()),
        (404, "GET", "/portal/%ff".to_owned(), none()),
        (405, "GET", format!("{endpoint}/enable"), none()),
        (405, "GET", format!("{base}/events/{id}/resend"), none()),
        (405, "GET", "/sign-out".to_owned(), none()),
        (400, "GET", format!("{base}/webhooks?page=a&page=b"), none()),
        (400, "GET", format!("{endpoint}/messages?page=AAAA"), none()),
        (400, "GET", format!("{endpoint}/messages?status=so"), none()),
        (413, "POST", format!("{base}/webhooks/new"), large),
    ];
    for (expected, method, path, body) in cases {
        let answer = customer.send(method, &path, body).await?;
        let status = answer.status();
        let page = answer.text().await?;
        ensure!(status == expected, "{method} {path}: {status}: {page}");
        ensure!(
            page.starts_with("<!doctype html>") && page.contains("Go to the start"),
            "{method} {path}: {page}"
        );
    }
    let to = customer.get(&base).await?;
    ensure!(to.status() == 303, "{}", to.status());
    Ok(())
}

async fn a_form_that_is_out_of_date_replaces_nothing_unseen(
    deployment: Arc<Deployment>,
) -> Result<()> {
    const ACCOUNT: &str = "two-tabs";
    let api = deployment.api();
    let made = api.endpoint(ACCOUNT, "https://example.com/", &["message.report"]);
    let id = made.await?;
    let url = portal(&deployment, ACCOUNT, &json!({})).await?;
    let customer = Browser::follow(&deployment, &url).await?;
    let path = format!("/accounts/{ACCOUNT}/webhooks/{id}");
    let seen = |page: &str| -> Result<String> {
        let behind = page.split_once("name=\"seen\" value=\"").context("seen")?.1;
        Ok(behind.split('"').next().unwrap_or_default().to_owned())
    };
    let form = |description: &str, seen: &str| {
        format!(
            "url=https://example.com/&description={description}&event_types=message.report\
             &seen={seen}"
        )
    };
    let both = seen(&customer.page(&path).await?)?;
    customer.submit(&path, form("first", &both)).await?;
    let answer = customer.send("POST", &path, form("second", &both)).await?;
    ensure!(answer.status() == 409, "{}", answer.status());
    let page = answer.text().await?;
    ensure!(page.contains("changed meanwhile"), "{page}");
    ensure!(page.contains("value=\"second\""), "what was typed: {page}");
    let stored = format!("/v1/accounts/{ACCOUNT}/endpoints/{id}");
    ensure!(api.get(&stored).await?["description"] == "first");
    customer
        .submit(&path, form("second", &seen(&page)?))
        .await?;
    ensure!(api.get(&stored).await?["description"] == "second");
    Ok(())
}
